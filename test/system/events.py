"""GET /api/v1/events of a real agent with a simulated robot: every example of docs/api/events.md, order and
numbers, coming back after a lost connection, a forgotten past and another life, credit, a client that
does not read, server-sent events by curl, a clean end.
"""
import json
import re
import signal
import subprocess
import time
import urllib.request

import bp
from ws import WS, Refused

DOMAIN = 133


class Agent:
    def __init__(self, folder):
        self.sock = str(folder / "agent.sock")
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={folder / 'data'}", f"http.socket={self.sock}",
                          "http.listen=127.0.0.1:0", f"discovery.domains={DOMAIN}", "buffer.ring_size=16MiB"])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
        bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")
        self.port = int(re.findall(r"127\.0\.0\.1:(\d+)", self.p.text())[-1])
        self.base = f"http://127.0.0.1:{self.port}"

    def http(self, method, path, body=None):
        req = urllib.request.Request(self.base + path, method=method,
                                     data=json.dumps(body).encode() if body is not None else None)
        with urllib.request.urlopen(req, timeout=20) as r:
            text = r.read()
        return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()

    def ws(self, **options):
        w = WS(("127.0.0.1", self.port), "/api/v1/events", **options)
        w.hello = w.json()["hello"]
        return w

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.http("GET", "/metrics"), re.M)[1])


def same_shape(example, real, where=""):
    """@return what differs: keys and kinds, values only of short texts of our own (ok, policy, topic)"""
    if isinstance(example, dict):
        if not isinstance(real, dict):
            return f"{where}: no object"
        if where.endswith(".data"):
            return next((f"{where}.{k} is missing" for k in example if k not in real), None)
        if set(example) != set(real):
            return f"{where}: keys {sorted(real)}, documented {sorted(example)}"
        return next(filter(None, (same_shape(example[k], real[k], f"{where}.{k}") for k in example)), None)
    if isinstance(example, list):
        if not isinstance(real, list) or len(real) < len(example):
            return f"{where}: {real}"
        return next(filter(None, (same_shape(a, b, where + "[]") for a, b in zip(example, real))), None)
    if type(example) is not type(real):
        return f"{where}: {real!r}, documented {example!r}"
    if where.split(".")[-1] in ("id", "ok", "topic", "policy", "error") and "hello" not in where and example != real:
        return f"{where}: {real!r}, documented {example!r}"
    return None


def examples(agent):
    """The documentation is a conversation: what it says a client sends is sent, what it says comes must come."""
    text = (bp.REPO / "docs/api/events.md").read_text()
    blocks = re.findall(r"```json (client|server)\n(.*?)```", text, re.S)
    bp.check(len(blocks) >= 12, f"{len(blocks)} examples")
    w = WS(agent.sock, "/api/v1/events")
    boot = None
    for who, block in blocks:
        example = json.loads(block)
        if who == "client":
            if "resume" in example:
                example["resume"]["boot"] = boot
            w.send(example)
            continue
        for _ in range(12):
            opcode, data = w.recv()
            if opcode != 1:
                continue
            real = json.loads(data)
            if "hello" in real:
                boot = real["hello"]["boot"]
            answer = "topic" not in example
            differs = same_shape(example, real)
            if not differs or (answer and "topic" not in real):
                break
        bp.check(not differs, f"documented: {json.dumps(example)[:200]}: {differs}; got {json.dumps(real)[:300]}")
    w.close()
    table = re.findall(r"^\| `(\w+)` \| .* \| \d", text, re.M)
    w = agent.ws()
    told = {t["topic"] for t in w.hello["topics"]}
    bp.check(set(table) | {"sample:/TOPIC", "image:/TOPIC", "points:/TOPIC"} == told, f"topics of the page: {table}, told {told}")
    w.close()


def wrong(agent):
    """Each wrong message is answered with what is wrong with it, and nothing else happens."""
    w = agent.ws()
    for message, word in (("{", "JSON"), ("[1]", "object"), ('{"a":1,"a":2}', "JSON"), ('{"subscribe":"status"}', "list"),
                          ('{"subscribe":[{"topic":"status","policy":"loud"}]}', "bounded"),
                          ('{"subscribe":[{"topic":"status","max_hz":0}]}', "max_hz"),
                          ('{"subscribe":[{"topic":"status","color":1}]}', "color"),
                          ('{"subscribe":[{"topic":"status","credit":1}]}', "latest"),
                          ('{"subscribe":["status","status"]}', "twice"), ('{"subscribe":["status","x"]}', "'x'"),
                          ('{"unsubscribe":["status"]}', "not subscribed"), ('{"credit":{"status":1}}', "latest"),
                          ('{"credit":{"status":-1}}', "whole number"), ('{"shout":1}', "shout"),
                          ('{"resume":{"boot":1}}', "resume"),
                          (json.dumps({"resume": {"boot": w.hello["boot"], "last": {"log": 10**9}}}), "newest")):
        w.send(message)
        answer = w.json()
        bp.check(word in answer.get("error", ""), f"{message}: {answer} names '{word}'")
    for deep in ("[" * 15000, '{"a":' * 3000):
        w.send(deep)
        bp.check("JSON" in w.json().get("error", ""), "deeply nested")
    w.raw(b"\x82\x80\0\0\0\0")
    bp.check("text" in w.json().get("error", ""), "binary")
    bp.check(w.ask({"unsubscribe": []})[0]["ok"], "it is still open")
    try:
        w.json(1.5)
        bp.fail("nothing was subscribed to")
    except TimeoutError:
        pass
    w.close()
    for headers, status in ((["Origin: http://evil.example"], 403),):
        try:
            WS(("127.0.0.1", agent.port), "/api/v1/events", headers=headers)
            bp.fail(f"{headers} let in")
        except Refused as e:
            bp.check(e.status == status, f"{headers}: {e}")


def order_and_credit(agent):
    """Numbers count up by one; `latest` sends one for each credit, the newest; max_hz thins."""
    a, b, c = agent.ws(), agent.ws(), agent.ws()
    a.ask({"subscribe": ["status", "topics"]})
    b.ask({"subscribe": [{"topic": "status", "policy": "latest", "credit": 1}]})
    c.ask({"subscribe": [{"topic": "status", "max_hz": 0.4}]})
    got = {"status": [], "topics": []}
    names = set()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        m = a.json()
        got[m["topic"]].append(m["seq"])
        if m["topic"] == "topics":
            names |= {t["topic"] for t in m["data"]["topics"]}
    bp.check("/robot1/imu" in names, f"topics of the robot: {sorted(names)[:5]}")
    for topic, seqs in got.items():
        bp.check(len(seqs) >= 3 and seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"{topic}: {seqs}")
    first = b.json()["seq"]
    try:
        bp.fail(f"without credit came {b.json(0.2)}")
    except TimeoutError:
        pass
    b.send({"credit": {"status": 1}})
    second = b.json(0.8)["seq"]  # it waited for us
    bp.check(second >= first + 2 and second >= max(got["status"]), f"the newest: {first}, {second}, {got['status']}")
    seen = [c.json()["seq"]]
    try:
        while True:
            seen.append(c.json(0.2)["seq"])
    except TimeoutError:
        pass
    bp.check(2 <= len(seen) <= 3 and all(y - x >= 2 for x, y in zip(seen, seen[1:])), f"every 2.5 s: {seen}")
    bp.check(agent.metric("bagpipe_events_superseded_total") > 0, "superseded are counted")
    for w in (a, b, c):
        w.close()
    bp.say(f"status {got['status']}, latest {first} {second}, thinned {seen}")


def samples(agent):
    """Decoded messages of a topic that nobody records, at the rates two clients ask for; a picture that is too
    large; then nobody watches any more."""
    a, b = agent.ws(), agent.ws()
    status = lambda: agent.http("GET", "/api/v1/status")["graph"]["subscribed"]
    bp.until(lambda: status() == 0, 10, "nothing is subscribed to")
    a.ask({"subscribe": [{"topic": "sample:/robot1/imu", "max_hz": 20}]})
    b.ask({"subscribe": [{"topic": "sample:/robot1/imu", "max_hz": 2}, "sample:/no/such"]})
    first = a.json()
    m = first["data"]["message"]
    bp.check(first["data"]["type"] == "sensor_msgs/msg/Imu" and abs(m["linear_acceleration"]["z"] - 9.8) < 3, f"{first}")
    bp.check(abs(int(first["data"]["recv_ns"]) / 1e9 - time.time()) < 5, "recv_ns is now")
    bp.check(status() == 1, "one topic is watched")
    rates = []
    for w, hz in ((a, 20), (b, 2)):
        n, end = 0, time.monotonic() + 3
        while (left := end - time.monotonic()) > 0:
            try:
                n += w.json(left)["topic"] == "sample:/robot1/imu"
            except TimeoutError:
                break
        rates.append(n / 3)
    bp.check(8 <= rates[0] <= 22, f"about 20 a second: {rates}")
    b.ask({"unsubscribe": ["sample:/robot1/imu"]})
    for w, wrong in ((a, "sample:imu"), (a, "sample:/a*"), (a, 'sample:/a"b')):
        bp.check("no name" in w.ask({"subscribe": [wrong]})[0].get("error", ""), wrong)
    a.ask({"subscribe": [{"topic": "sample:/robot1/battery_state", "policy": "latest", "credit": 1}]})
    while (m := a.json())["topic"] != "sample:/robot1/battery_state":
        pass
    bp.check(0 <= m["data"]["message"]["percentage"] <= 1, f"battery: {m}")
    many = [f"sample:/t{i}" for i in range(64)]
    answer = b.ask({"subscribe": many[:60]})[0]
    bp.check(answer.get("ok") is True, f"{answer}")
    c = agent.ws()
    answer = c.ask({"subscribe": many[60:]})[0]
    bp.check("64" in answer.get("error", ""), f"more than 64: {answer}")
    for w in (a, b, c):
        w.close()
    bp.until(lambda: status() == 0, 10, "nobody watches any more")
    bp.say(f"samples: {rates[0]:.1f} a second of 20")


def mark(agent, n):
    for i in range(n):
        agent.http("POST", "/api/v1/sessions/current/marks", {"text": f"mark {i}"})


def coming_back(agent):
    """What happened while the connection was lost comes; what is forgotten is counted."""
    w = agent.ws()
    w.ask({"subscribe": ["sessions"]})
    agent.http("POST", "/api/v1/sessions", {"name": "watched", "topics": ["/robot1/imu"]})
    m = w.json()
    bp.check(m["data"]["event"] == "started" and m["data"]["session"]["name"] == "watched", f"started: {m}")
    last, boot = m["seq"], w.hello["boot"]
    w.close()
    mark(agent, 20)
    w = agent.ws()
    answer, _ = w.ask({"resume": {"boot": boot, "last": {"sessions": last}}})
    bp.check(answer["subscribed"] == [{"topic": "sessions", "policy": "bounded", "seq": last, "gap": 0}], f"{answer}")
    seqs = [w.json()["seq"] for _ in range(20)]
    bp.check(seqs == list(range(last + 1, last + 21)), f"all of them, once: {seqs}")
    mark(agent, 1)
    bp.check(w.json()["seq"] == last + 21, "and what comes next")
    w.close()

    mark(agent, 1100)  # more than are remembered
    newest = last + 21 + 1100
    w = agent.ws()
    answer, _ = w.ask({"resume": {"boot": boot, "last": {"sessions": last}}})
    gap = answer["subscribed"][0]["gap"]
    bp.check(100 <= gap < 1100, f"a gap is told: {answer}")
    got = [w.json()["seq"]]
    while got[-1] != newest:
        got.append(w.json()["seq"])
    bp.check(got == list(range(last + gap + 1, newest + 1)), f"all behind the gap of {gap}: {got[0]}…{got[-1]}, {len(got)}")
    w.close()
    w = agent.ws()
    answer, _ = w.ask({"resume": {"boot": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "last": {"sessions": 5}}})
    bp.check(answer.get("restarted") is True and answer["subscribed"][0]["gap"] > 0, f"another life: {answer}")
    w.close()
    bp.say(f"back after {newest - last}: gap {gap}, got {len(got)}")
    return newest


def not_reading(agent, newest):
    """A client that does not read loses the oldest, is told how many, and delays nobody."""
    lazy, quick = agent.ws(rcvbuf=4096), agent.ws()
    lazy.ask({"subscribe": ["sessions"]})
    quick.ask({"subscribe": ["sessions"]})
    n = 1500
    slowest = 0
    for i in range(n):
        mark(agent, 1)
        begin = time.monotonic()
        seq = quick.json()["seq"]
        slowest = max(slowest, time.monotonic() - begin)
        if seq != newest + 1 + i:
            bp.fail(f"the quick one gets all: {seq}, not {newest + 1 + i}")
            break
    got, dropped = [], 0
    while not got or got[-1] != newest + n:
        m = lazy.json()
        if "dropped" in m:
            dropped += m["dropped"]["count"]
        else:
            got.append(m["seq"])
    bp.check(dropped > 0 and dropped + len(got) == n, f"lazy: got {len(got)} + dropped {dropped} = {n}")
    bp.check(agent.metric("bagpipe_events_dropped_total") >= dropped, "dropped are counted")
    lazy.close()
    quick.close()
    bp.say(f"lazy one: {len(got)} of {n}, told of {dropped} dropped; the quick one waited {slowest * 1000:.1f} ms at most")


def curl(agent, newest):
    """Server-sent events by curl, with names and ids; Last-Event-ID resumes."""
    url = f"{agent.base}/api/v1/events?topics=sessions,status"
    out = subprocess.run(["curl", "-sN", "--max-time", "2.6", url], capture_output=True, text=True).stdout
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in out.strip().split("\n\n")]
    bp.check(events[0]["event"] == "hello" and {e["event"] for e in events[1:]} == {"status"}, f"events: {out[:500]}")
    status = [json.loads(e["data"])["seq"] for e in events[1:]]
    bp.check(len(status) >= 2 and status == list(range(status[0], status[0] + len(status))), f"status {status}")
    bp.check(events[-1]["id"].endswith(f";status={status[-1]};sessions={newest}"), f"id {events[-1]['id']}")
    mark(agent, 3)
    out = subprocess.run(["curl", "-sN", "--max-time", "1.2", "--unix-socket", agent.sock, "-H",
                          f"Last-Event-ID: {events[-1]['id']}", "http://localhost/api/v1/events?topics=sessions"],
                         capture_output=True, text=True).stdout
    seqs = [json.loads(d)["seq"] for d in re.findall(r"^event: sessions\n.*\ndata: (.*)$", out, re.M)]
    bp.check(seqs == [newest + 1, newest + 2, newest + 3], f"resumed: {seqs}; {out[:300]}")
    bp.check('"gap":0' in out, "and says so")
    for query in ("topics=weather", "topics=status&max_hz=fast", "topics=status,status"):
        code = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5",
                               f"{agent.base}/api/v1/events?{query}"], capture_output=True, text=True).stdout
        bp.check(code == "400", f"{query}: {code}")


def end(agent):
    """SIGTERM closes with 1001 and is not held up; a new life has a new name."""
    w = agent.ws()
    w.ask({"subscribe": ["status"]})
    stream = subprocess.Popen(["curl", "-sN", f"{agent.base}/api/v1/events"], stdout=subprocess.DEVNULL)
    stuck = agent.ws(rcvbuf=4096)
    time.sleep(0.5)
    begin = time.monotonic()
    agent.p.p.send_signal(signal.SIGTERM)
    try:
        while True:
            w.json()
    except EOFError as e:
        bp.check("1001" in str(e), f"{e}")
    status = agent.p.stop(timeout=20, sig=signal.SIGTERM)
    took = time.monotonic() - begin
    bp.check(status == 0 and took < 10, f"exit status {status} after {took:.1f} s")
    bp.check(stream.wait(10) == 0, "the stream ended whole")
    stuck.close()
    return w.hello["boot"]


def test():
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder)
    examples(agent)
    wrong(agent)
    order_and_credit(agent)
    samples(agent)
    newest = coming_back(agent)
    not_reading(agent, newest)
    newest += 1500
    curl(agent, newest)
    agent.http("POST", "/api/v1/sessions/current/stop", {})
    boot = end(agent)
    again = Agent(folder)
    w = again.ws()
    bp.check(w.hello["boot"] != boot, "another life")
    answer, _ = w.ask({"resume": {"boot": boot, "last": {"sessions": newest}}})
    bp.check(answer.get("restarted") is True, f"and it says so: {answer}")
    again.p.stop(timeout=20, sig=signal.SIGTERM)
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
