"""The agent from outside: sessions over HTTP and by the verbs, several at once on one set of readers, marks,
pause, split, late joiners of latched topics, kill -9 and going on, wrong requests, a clean end.
"""
import json
import signal
import time
import urllib.error
import urllib.request

import bp
from bag import Bag

DOMAIN = 131
PORT = 19590
BASE = f"http://127.0.0.1:{PORT}"


def http(method, path, body=None, expect=200):
    """@return the document; a problem's text is in its `detail`."""
    data = json.dumps(body).encode() if body is not None else None
    req = urllib.request.Request(BASE + path, data=data, method=method,
                                 headers={"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(req, timeout=20) as r:
            status, text = r.status, r.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    bp.check(status == expect, f"{method} {path}: {status}, expected {expect}: {text[:300]}")
    return json.loads(text) if text and text[:1] in b"{[" else text.decode()


class Agent:
    def __init__(self, folder, *args, ok=True):
        self.data = folder / "data"
        self.sock = folder / "agent.sock"
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={self.data}", f"http.socket={self.sock}",
                          f"http.listen=127.0.0.1:{PORT}", f"discovery.domains={DOMAIN}", "buffer.ring_size=32MiB", *args])
        if ok:
            bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
            bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")

    def verb(self, *args, ok=(0,)):
        return bp.bagpipe(*args, "--url", f"unix:{self.sock}", ok=ok)[1]


def spans_of(bag, topic):
    return sorted(bag.seqs(topic))


def sessions(folder, agent):
    """Two sessions with different topics share one subscription; marks, split, pause; both verify."""
    status = http("GET", "/api/v1/status")
    bp.check(status["state"] == "idle" and status["graph"]["subscribed"] == 0, f"idle: {status}")
    bp.until(lambda: http("GET", "/api/v1/status")["graph"]["topics"] > 8, 15, "topics of the robot")
    every = http("POST", "/api/v1/sessions", {"name": "every", "mission": "both"}, 201)
    time.sleep(1.5)
    light = http("POST", "/api/v1/sessions", {"name": "light", "topics": ["/robot1/imu", "/robot1/tf_static"]}, 201)
    time.sleep(1)
    st = http("GET", "/api/v1/status")
    names = {t["topic"]: t for t in http("GET", "/api/v1/topics")["topics"]}
    bp.check(st["sessions"]["running"] == 2 and st["state"] == "recording", f"two run: {st}")
    bp.check(names["/robot1/imu"]["sessions"] == 2 and names["/robot1/odom"]["sessions"] == 1, f"topics: {names}")
    bp.check(st["graph"]["subscribed"] <= st["graph"]["topics"], "a topic is subscribed to once")
    http("POST", "/api/v1/sessions/every/marks", {"text": "hit the shelf", "values": {"aisle": "7"}}, 204)
    http("POST", "/api/v1/sessions/every/marks", {"values": {}}, 400)
    http("POST", "/api/v1/sessions/every/split", {})
    http("POST", f"/api/v1/sessions/{light['id']}/pause", {})
    bp.check(http("GET", f"/api/v1/sessions/{light['id']}")["status"] == "paused", "light is paused")
    time.sleep(0.5)
    http("POST", f"/api/v1/sessions/{light['id']}/resume", {})
    time.sleep(0.7)
    out = agent.verb("session", "stop", "light")
    bp.check("finished" in out, f"session stop: {out}")
    bp.check(http("GET", "/api/v1/status")["sessions"]["running"] == 1, "one still runs")
    done = http("POST", f"/api/v1/sessions/{every['id']}/stop", {})
    bp.check(done["status"] == "finished" and done["lost"] == 0 and done["segments"] == 2, f"every: {done}")
    bp.check([m["text"] for m in done["marks"]] == ["hit the shelf"], f"marks: {done['marks']}")
    a, b = Bag(agent.data / "every"), Bag(agent.data / "light")
    bp.bagpipe("verify", agent.data / "every")
    bp.bagpipe("verify", agent.data / "light")
    bp.check(set(b.messages) == {"/robot1/imu", "/robot1/tf_static"}, f"light has its topics: {set(b.messages)}")
    imu = spans_of(a, "/robot1/imu"), spans_of(b, "/robot1/imu")
    bp.check(imu[1] and set(imu[1]) <= set(imu[0]), "what light has, every has too")
    missing = set(range(min(imu[1]), max(imu[1]) + 1)) - set(imu[1])
    bp.check(b.lost("paused") == len(missing) > 0, f"light left out what came while it was paused: {len(missing)}")
    bp.check(set(imu[0]) == set(range(min(imu[0]), max(imu[0]) + 1)), "every has no hole")
    bp.check(len(b.messages["/robot1/tf_static"]) == 1, "who begins later has the latched transforms, too")
    bp.check(a.lost() == 0 and b.lost() == 0, f"nothing is lost: {a.lost()} {b.lost()}")
    bp.say(f"every {a.count}, light {b.count} messages; {len(missing)} while paused")


def killed(folder, agent):
    """kill -9 while recording; the next agent goes on with the same session and marks the outage."""
    s = http("POST", "/api/v1/sessions", {"name": "long", "topics": ["/robot1/imu"], "tags": ["kept"]}, 201)
    time.sleep(1.5)
    before = http("GET", "/api/v1/sessions/long")["messages"]
    agent.p.kill9()
    agent = Agent(folder)
    time.sleep(1)
    row = http("GET", f"/api/v1/sessions/{s['id']}")
    bp.check(row["status"] == "recording" and row["outages"] == 1 and row["name"] == "long", f"it goes on: {row}")
    row = http("POST", "/api/v1/sessions/current/stop", {})
    bp.check(row["status"] == "finished" and row["id"] == s["id"] and row["tags"] == ["kept"], f"and ends: {row}")
    bp.bagpipe("verify", agent.data / "long")
    bag = Bag(agent.data / "long")
    bp.check(bag.count >= before, f"{bag.count} messages, {before} were there before the kill")
    listed = http("GET", "/api/v1/sessions?q=kept")["sessions"]
    bp.check([x["name"] for x in listed] == ["long"], f"found by its tag: {listed}")
    bp.say(f"killed with {before} messages, ended with {bag.count}, {bag.lost()} sent meanwhile")
    return agent


def wrong(folder, agent):
    """Every wrong request says what is wrong and changes nothing."""
    for body, word in (({"topics": "x"}, "topics"), ({"colour": 1}, "colour"), ({"regex": "a("}, "a("),
                       ({"compression": "rar"}, "rar"), ({"max_time_s": -1}, "max_time_s"), ([], "object")):
        p = http("POST", "/api/v1/sessions", body, 400)
        bp.check(word in p.get("detail", ""), f"{body}: '{p.get('detail')}' names '{word}'")
    http("GET", "/api/v1/sessions/none", None, 404)
    http("POST", "/api/v1/sessions/none/stop", {}, 404)
    http("POST", "/api/v1/sessions/current/stop", {}, 404)
    http("GET", "/api/v1/sessions?limit=x", None, 400)
    http("DELETE", "/api/v1/status", None, 405)
    http("GET", "/nothing", None, 404)
    bp.check(http("GET", "/api/v1/status")["sessions"]["running"] == 0, "nothing was started")
    bp.check("bagpipe_graph_topics" in http("GET", "/metrics"), "metrics")
    out = agent.verb("status")
    bp.check("idle" in out and "topics" in out, f"status: {out}")
    other = Agent(folder, "http.listen=0.0.0.0:19591", "http.socket=" + str(folder / "other.sock"), ok=False)
    other.p.wait(20)
    bp.check(other.p.p.returncode not in (0, None) and "http.listen" in other.p.text(), f"public: {other.p.text()[-300:]}")
    status, _, err = bp.bagpipe("status", "--url", f"unix:{folder}/none.sock", ok=range(256))
    bp.check(status != 0 and "running" in err, f"no agent: {status} {err}")


def limits(folder, agent):
    """A session ends by itself after its time, and SIGTERM finishes what runs."""
    http("POST", "/api/v1/sessions", {"name": "short", "max_time_s": 1}, 201)
    bp.until(lambda: http("GET", "/api/v1/sessions/short")["status"] == "finished", 10, "the end of a short session")
    http("POST", "/api/v1/sessions", {"name": "last"}, 201)
    time.sleep(0.7)
    status = agent.p.stop(timeout=20, sig=signal.SIGTERM)
    bp.check(status == 0, f"SIGTERM: exit status {status}")
    bp.bagpipe("verify", agent.data / "last")
    again = Agent(folder)
    bp.check(http("GET", "/api/v1/sessions/last")["status"] == "finished", "it was finished")
    again.p.stop(timeout=20, sig=signal.SIGTERM)


def test():
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder)
    sessions(folder, agent)
    agent = killed(folder, agent)
    wrong(folder, agent)
    limits(folder, agent)
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
