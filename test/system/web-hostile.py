"""Names, messages, marks and log lines made to become markup or scripts: the dashboard shows them as texts."""
import threading

import bp
import browser
import say
from agentapi import Agent

DOMAIN = 156
PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    "\"><script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "</title><style>*{display:none}</style>",
    "<a href=javascript:alert(1) onclick=alert(1)>here</a>",
    "$t(common:nav.overview) {{- name}}",
    "\u202egnp.exe <b>bold</b>",
)
# DDS takes what ROS would not, and Fast DDS any of it.
NAMES = ("/<img src=x onerror=alert(1)>", "/\"><script>alert(1)</script>", "/'-alert(1)-'", "/{{constructor}}")
WORDS = ("/words/one", "/words/two", "/words/three")
PEER = bp.BUILD / "test/interop/peers/fast-peer"


def speak(speaker, end):
    while not end.wait(0.2):
        for i, topic in enumerate(WORDS):
            speaker.write(topic, say.T["std_msgs/msg/String"](data=PAYLOADS[i]))


def test():
    browser.need()
    if not PEER.exists():
        bp.skip("fast-peer was not built (libfastrtps-dev)")
    agent = Agent(bp.scratch(), domain=DOMAIN)
    speaker, end = say.Say(DOMAIN), threading.Event()
    for t in WORDS:
        speaker.open(t, "std_msgs/msg/String")
    for t in NAMES:
        bp.Proc([PEER, "--topic", f"rt{t}", "--type", "std_msgs::msg::dds_::String_", "--domain", DOMAIN, "--rate", 2,
                 "--for", 600])
    s = agent.json("POST", "/api/v1/sessions", {"name": "hostile", "mission": PAYLOADS[0], "notes": "\n".join(PAYLOADS),
                                                "operator": PAYLOADS[1], "tags": [PAYLOADS[0], PAYLOADS[2]]}, 201)
    for p in PAYLOADS:
        agent.json("POST", "/api/v1/sessions/hostile/marks", {"text": p, "values": {"k": p}}, 204)
        for name in (p, "x" * 300):  # refused or not: it must do no harm
            agent.raw("POST", "/api/v1/sessions", {"name": name}, expect=(201, 400, 409, 422, 503))
        agent.raw("POST", "/api/v1/login", {"user": p, "password": "x"}, expect=(400, 401, 429))
    names = lambda: {t["topic"] for t in agent.get("/api/v1/topics")["topics"]}
    bp.until(lambda: set(NAMES + WORDS) <= names(), 30, "the topics")
    talk = threading.Thread(target=speak, args=(speaker, end))
    talk.start()
    try:
        browser.drive("hostile", agent.base, names=NAMES, words=WORDS, payloads=PAYLOADS, session=s["id"])
    finally:
        end.set()
        talk.join()
        speaker.end()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
