"""The link of a real agent to the server's side of it, through a proxy that is cut and that looks on: commands with
deadlines, at most once whatever breaks, events of an outage told afterwards as they were on the bus, memory while there
is no link, hostile agents and servers, many agents, a server that goes; npm ws as the server, also by TLS. Every example of
docs/api/link.md is compared with what went over the wire.
"""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import bp
from linkwire import Proxy, shape
from ws import WS, frame

DOMAIN = 78  # its ports are below those the kernel gives to others
PROBE = bp.BUILD / "test/system/link-probe"
LOAD = bp.BUILD / "test/bench/link-load"


# ---- both ends ----

def http(base, method, path, body=None, timeout=30):
    """@return (status, JSON)"""
    req = urllib.request.Request(base + path, method=method, data=json.dumps(body).encode() if body is not None else None,
                                 headers={"Content-Type": "application/json"} if body is not None else {})
    try:
        with urllib.request.urlopen(req, timeout=timeout) as r:
            status, text = r.status, r.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    return status, json.loads(text) if text else None


class Server:
    def __init__(self, folder, port=0, quiet=False):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.p = bp.Proc([PROBE, folder, f"127.0.0.1:{port}"], env={"QUIET": "1"} if quiet else None)
        bp.until(lambda: re.search(r"^127\.0\.0\.1:(\d+)$", self.p.text(), re.M) or not self.p.alive(), 20, "the server")
        self.port = int(re.search(r"^127\.0\.0\.1:(\d+)$", self.p.text(), re.M)[1])
        self.base = f"http://127.0.0.1:{self.port}"

    def get(self, path):
        return http(self.base, "GET", path)[1]

    def do(self, device, name, args=None, within=10, **more):
        return http(self.base, "POST", f"/api/v1/devices/{device}/commands",
                    {"name": name, "args": args or {}, "within_s": within, **more}, timeout=within + 20)

    def state(self, device):
        found = [d for d in self.get("/api/v1/devices")["devices"] if d["device"] == device]
        return found[0]["state"] if found else None

    def news(self, topic):
        lines = [json.loads(x) for x in self.p.text().splitlines() if x.startswith('{"topic"')]
        return [x["data"] for x in lines if x["topic"] == topic]

    def events(self, device, *topics):
        out, after = [], 0
        while True:
            page = self.get(f"/api/v1/devices/{device}/events?limit=500&after={after}")
            out += [e for e in page["events"] if e["topic"] in topics or not topics]
            if not page["next"]:
                return out
            after = page["next"]


class Agent:
    def __init__(self, folder, url, *more, env=None):
        folder.mkdir(exist_ok=True)
        self.folder, self.sock = folder, folder / "agent.sock"
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={folder / 'data'}", f"http.socket={self.sock}",
                          "http.listen=127.0.0.1:0", f"discovery.domains={DOMAIN}", "buffer.ring_size=16MiB", "log.level=info",
                          f"link.url={url}", *more], env={"no_proxy": "127.0.0.1,localhost", **(env or {})})
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 40, "the agent")
        bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")
        ready = [json.loads(x) for x in self.p.text().splitlines() if "agent is ready" in x][-1]
        self.base = f"http://{ready['http']}"
        self.device = self.get("/api/v1/link")["device"]

    def get(self, path):
        return http(self.base, "GET", path)[1]

    def post(self, path, body=None):
        status, o = http(self.base, "POST", path, body or {})
        bp.check(status < 300, f"POST {path}: {status} {o}")
        return o

    def linked(self, timeout=90):
        bp.until(lambda: self.get("/api/v1/link")["state"] == "connected", timeout, "the link")

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.p.pid}/status").read())[1]) << 10


# ---- parts ----

def commands(server, agent, proxy):
    status, o = server.do(agent.device, "session.start", {"mission": "far", "name": "one"})
    bp.check(status == 200 and o["state"] == "done" and o["status"] == 201 and o["body"]["mission"] == "far", f"start: {o}")
    status, o = server.do(agent.device, "session.mark", {"text": "hi"})
    bp.check(o["status"] == 204, f"mark: {o}")
    status, o = server.do(agent.device, "session.get", {"session": "one"})
    bp.check(o["status"] == 200 and [m["text"] for m in o["body"]["marks"]] == ["hi"], f"get: {o}")
    for name, args, want in (("session.mark", {}, 400), ("session.get", {"session": "../../secrets"}, 400), ("session.get", {"session": "nothing"}, 404), ("session.get", {}, 400),
                             ("session.list", {"limit": 2}, 200), ("make.coffee", {}, 501), ("config.patch", {"log.level": "info"}, 403)):
        status, o = server.do(agent.device, name, args)
        bp.check(status == 200 and o["status"] == want, f"{name} {args}: {o}, expected {want}")
    bp.check(server.do(agent.device, "session.stop")[1]["status"] == 200, "stop")
    status, o = http(server.base, "GET", f"/api/v1/devices/{agent.device}/config")
    bp.check(status == 200 and o["keys"]["link.role"]["value"] == "operator", "the configuration of afar")
    bp.check("link.token" in o["keys"] and "hush" not in json.dumps(o), "a token stays where it is")
    status, o = http(server.base, "PATCH", f"/api/v1/devices/{agent.device}/config", {"log.level": "debug"})
    bp.check(status == 403, f"link.role bounds an admin: {status} {o}")
    bp.check(server.do("d-nobody", "status")[0] == 404, "no such device")
    bp.check(server.do(agent.device, "status", within=0)[0] == 400, "a time that is none")
    status, topics = http(server.base, "GET", f"/api/v1/devices/{agent.device}/topics")
    bp.check(status == 200 and "topics" in topics, f"topics: {topics}")
    bp.say("commands: done, refused, unknown")


def alerts(server, agent, _proxy):
    """What is wrong with it now, as its events tell, and who has seen it."""
    def active():
        return {a["key"]: a for a in server.get(f"/api/v1/devices/{agent.device}/status")["alerts"]}

    http(agent.base, "PATCH", "/api/v1/config", {"storage.alert_free": "900TiB"})
    bp.until(lambda: "disk.low" in active(), 20, f"it is told: {active()}")
    bp.check(active()["disk.low"]["acknowledged_by"] is None, "nobody has seen it")
    args = {"alert": "disk.low", "note": "seen from afar"}
    status, o = server.do(agent.device, "alert.acknowledge", args)
    bp.check(status == 200 and o["body"]["note"] == "seen from afar", f"acknowledged: {o}")
    bp.until(lambda: active()["disk.low"].get("note") == "seen from afar", 20, f"that is told, too: {active()}")
    http(agent.base, "PATCH", "/api/v1/config", {"storage.alert_free": None})
    bp.until(lambda: "disk.low" not in active(), 20, f"it is over: {active()}")
    status, o = server.do(agent.device, "alert.acknowledge", args)
    bp.check(o["status"] == 404, f"what is over is not acknowledged: {o}")
    bp.say("alerts: told, acknowledged, over")


def deadlines(server, agent, proxy):
    proxy.cut()
    bp.until(lambda: server.state(agent.device) == "offline", 20, "the server sees that it is gone")
    begin = time.monotonic()
    status, o = server.do(agent.device, "session.start", {"name": "late"}, within=1)
    bp.check(status == 504 and "will not do it" in o["detail"], f"not connected: {status} {o}")
    bp.check(1 <= time.monotonic() - begin < 15, "about when its time is over")
    status, o = server.do(agent.device, "session.start", {"name": "kept"}, within=120, wait=False)
    bp.check(status == 202 and o["state"] == "waiting", f"not waited for: {status} {o}")
    proxy.up = True
    agent.linked()
    path = f"/api/v1/devices/{agent.device}/commands/{o['id']}"
    bp.until(lambda: server.get(path)["state"] == "done", 20, "what waited is done")
    bp.check(server.get(path)["status"] == 201, "and well")
    names = [s["name"] for s in agent.get("/api/v1/sessions")["sessions"]]
    bp.check("kept" in names and "late" not in names, f"too late is not done: {names}")
    agent.post("/api/v1/sessions/kept/stop")
    bp.say("deadlines: too late is not done, in time is")


def once(server, agent, proxy):
    """The link breaks when the agent has got the command, before its answer; then the agent itself is killed."""
    for i in range(bp.amount(3, 20)):
        proxy.cut_at = b'"command"'
        got = {}
        t = threading.Thread(target=lambda i=i: got.update(r=server.do(agent.device, "session.start", {"name": f"once{i}"}, within=100)))
        t.start()
        bp.until(lambda: not proxy.up, 20, "the cut")
        time.sleep(0.2)
        proxy.up = True
        t.join(120)
        status, o = got["r"]
        bp.check(status == 200 and o["status"] == 201, f"the result of the first time: {status} {o}")
        names = [s["name"] for s in agent.get("/api/v1/sessions?limit=900")["sessions"]]
        bp.check(sum(n.startswith(f"once{i}") for n in names) == 1, f"once: {names}")
        agent.post(f"/api/v1/sessions/once{i}/stop")
    told = [m for way, m in proxy.seen if way == "server" and "command" in m]
    twice = len(told) - len({m["command"]["id"] for m in told})
    bp.check(twice >= 1, "it was told twice at least once, or nothing was tried")
    bp.say(f"at most once: {twice} commands were told twice and done once")


def bus_of(agent, topics):
    """Everything the bus says of `topics` from now on. @return (list, stop)"""
    host, port = agent.base[7:].split(":")
    w, out, stop = WS((host, int(port)), "/api/v1/events"), [], threading.Event()
    w.json()
    w.ask({"subscribe": topics})

    def run():
        while not stop.is_set():
            try:
                m = w.json(0.3)
            except TimeoutError:
                continue
            except (EOFError, OSError):
                return
            if m.get("topic"):
                out.append((m["topic"], m["data"]))
    t = threading.Thread(target=run, daemon=True)
    t.start()
    return out, lambda: (time.sleep(0.7), stop.set(), t.join(5))


def backfill(server, agent, proxy):
    bp.until(lambda: agent.get("/api/v1/link")["waiting"] == 0, 20, "what was before is told")
    before = server.events(agent.device)
    seen, stop = bus_of(agent, ["sessions", "alerts"])
    proxy.cut()
    bp.until(lambda: agent.get("/api/v1/link")["state"] != "connected", 20, "the outage")
    for i in range(bp.amount(8, 60)):
        agent.post("/api/v1/sessions", {"name": f"gone{i}"})
        for k in range(10):
            agent.post("/api/v1/sessions/current/marks", {"text": f"mark {i}.{k} grüße", "values": {"k": str(k)}})
        agent.post("/api/v1/sessions/current/stop")
    stop()
    waiting = agent.get("/api/v1/link")["waiting"]
    bp.check(waiting >= len(seen), f"{waiting} wait, {len(seen)} were seen")
    # the server is killed in the middle of it
    proxy.up = True
    bp.until(lambda: len(server.events(agent.device)) > len(before), 90, "the first of them")
    port, folder = server.port, server.folder
    server.p.kill9()
    again = Server(folder, port)
    agent.linked()
    bp.until(lambda: agent.get("/api/v1/link")["waiting"] == 0, 60, "everything is told")
    got = again.events(agent.device)[len(before):]
    bus = [(e["topic"], e["data"]) for e in got if e["topic"] not in ("log", "status")]
    odd = next((i for i, pair in enumerate(zip(bus, seen)) if pair[0] != pair[1]), min(len(bus), len(seen)))
    bp.check(bus == seen, f"{len(bus)} came of {len(seen)} that were on the bus; number {odd}: {bus[odd:odd + 1]} for {seen[odd:odd + 1]}")
    seqs = [e["seq"] for e in got]
    bp.check(seqs == sorted(set(seqs)), "each once, in order")
    bp.check(all(x["device"] == agent.device for x in again.news("sessions")), "news say whose they are")
    bp.say(f"an outage: {len(seen)} events were on the bus, {len(got)} came, the server killed in the middle")
    return again


def offline_memory(scratch):
    """No server at all, and more news than there is room for."""
    agent = Agent(scratch / "lonely", "http://127.0.0.1:1", "link.queue_size=64KiB", "link.alert_after=1")
    seen, stop = bus_of(agent, ["alerts"])
    agent.post("/api/v1/sessions", {"name": "lonely"})

    def marks(n):
        for k in range(n):
            agent.post("/api/v1/sessions/current/marks", {"text": f"{k} " + "x" * 100})
    marks(150)
    small = agent.rss()
    marks(bp.amount(450, 20000))
    bp.check(agent.rss() - small < 8 << 20, f"memory while offline: {small} to {agent.rss()}")
    bp.until(lambda: any(a["key"] == "link.down" for a in agent.get("/api/v1/alerts")["alerts"]), 20, "an alert")
    link = agent.get("/api/v1/link")
    bp.check(0 < link["waiting_bytes"] <= 64 << 10 and link["state"] != "connected", f"bounded: {link}")
    agent.post("/api/v1/sessions/current/stop")
    stop()
    alerts = [d for t, d in seen]
    agent.p.stop()
    server = Server(scratch / "late")
    agent = Agent(scratch / "lonely", server.base, "link.queue_size=64KiB")
    agent.linked()
    bp.until(lambda: agent.get("/api/v1/link")["waiting"] == 0, 30, "everything is told")
    dropped = server.get(f"/api/v1/devices/{agent.device}/status")["dropped"]
    bp.check(dropped.get("sessions", 0) > 100 and "alerts" not in dropped, f"what had no room is counted: {dropped}")
    told = [e["data"] for e in server.events(agent.device, "alerts")]
    bp.check(told[:len(alerts)] == alerts and alerts, f"alerts outlive all others: {len(told)} of {len(alerts)}")
    agent.p.stop()
    server.p.stop(sig=signal.SIGTERM)
    bp.say(f"offline: {small >> 20} MiB, then {agent.rss() >> 20 if agent.p.alive() else small >> 20} MiB; dropped {dropped}")


def hello(device, log="01M8HYWSG2FGC8Z1HYQW5BDX79", **more):
    return {"hello": {"version": "x", "device": device, "name": "x", "log": log, "resume": 0, "robots": [], "dropped": {}, **more}}


def link_to(server, query="", **options):
    return WS(("127.0.0.1", server.port), f"/api/v1/link{query}", headers=["Sec-WebSocket-Protocol: bagpipe-link.1"], **options)


def ended(w, timeout=30):
    """@return the code it was closed with"""
    try:
        while True:
            opcode, data = w.recv(timeout)
            if opcode == 8:
                return int.from_bytes(data[:2], "big") if data else 1005
    except (EOFError, OSError):
        return 1006


def hostile_agents(server, agent):
    event = {"seq": 1, "topic": "log", "time_ns": "1", "data": {}}
    rows = (
        ("no hello", [{"status": {}}], 1008),
        ("not JSON", ["{"], 1007),
        ("no object", ["[]"], 1007),
        ("deep", ["[" * 5000], 1007),
        ("an id that is none", [hello("../x")], 1013),
        ("an id too long", [hello("x" * 65)], 1013),
        ("no log", [hello("h1", log="x")], 1008),
        ("two hellos", [hello("h1"), hello("h1")], 1008),
        ("robots", [hello("h1", robots=["x"] * 257)], 1008),
        ("numbers that fall", [hello("h1"), {"events": [event, event]}], 1008),
        ("number 0", [hello("h1"), {"events": [{**event, "seq": 0}]}], 1008),
        ("no topic", [hello("h1"), {"events": [{"seq": 1}]}], 1008),
        ("too many events", [hello("h1"), {"events": [{**event, "seq": i + 1} for i in range(257)]}], 1008),
        ("a status that grows", [hello("h1"), *({"status": {f"{i}.{k}": 1 for k in range(20)}} for i in range(4))], 1008),
        ("a large status", [hello("h1"), {"status": {"x": "y" * 70000}}], 1008),
        ("large alerts", [hello("h1"), {"alerts": ["y" * 70000]}], 1009),
        ("a status that is none", [hello("h1"), {"status": 7}], 1008),
    )
    for name, messages, code in rows:
        w = link_to(server)
        for m in messages:
            w.send(m)
        got = ended(w)
        bp.check(got == code, f"{name}: closed with {got}, expected {code}")
    w = link_to(server, "?device=mine")  # proved to be `mine`
    w.send(hello(agent.device))
    bp.check(ended(w) == 1008, "it says it is another device than it proved to be")
    w = link_to(server)
    w.raw(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0")
    bp.check(ended(w) == 1009, "a huge frame is refused by its head")
    flood = link_to(server)
    flood.send(hello("flood"))
    try:
        for _ in range(2000):
            flood.send({"status": {"x": "y" * 100}})
    except OSError:
        pass
    bp.check(ended(flood) in (1008, 1006), "a flood is ended")
    deaf = link_to(server, rcvbuf=4096)
    deaf.send(hello("deaf"))
    bp.check(server.state(agent.device) == "online", "the others do not feel it")
    for _ in range(40):
        server.do("deaf", "status", {"x": "y" * 60000}, within=60, wait=False)
    begin = time.monotonic()
    status, o = server.do(agent.device, "status")
    bp.check(status == 200 and o["status"] == 200 and time.monotonic() - begin < 10, f"nor its commands: {o}")
    bp.check(http(server.base, "GET", "/api/v1/link")[0] == 400, "a plain GET")
    mine = [e for e in server.events(agent.device) if e["topic"] == "log" and e["data"] == {}]
    bp.check(not mine, "nobody speaks for another")
    deaf.close()
    bp.say(f"hostile agents: {len(rows) + 4} rows, each ended, others as before")


def hostile_server(scratch):
    """It accepts and then sends what it should not."""
    import base64
    import hashlib

    script = [b"\x81\x02hi", b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), frame(1, b"{}"), b"\xf1\x00", b"\x81\x02\xff\xfe",
              frame(1, b'{"welcome": {"acknowledged": -5}}', mask=False) + frame(1, b'{"ack": 99999999}', mask=False),
              frame(1, json.dumps({"welcome": {"interval_s": 1e300, "window": -1, "acknowledged": 0}}).encode(), mask=False) * 500,
              frame(1, json.dumps({"command": {"id": "x" * 500, "name": None}}).encode(), mask=False) * 50, b""]
    s = socket.create_server(("127.0.0.1", 0))
    turns = []

    def run():
        while True:
            c, _ = s.accept()
            c.settimeout(10)
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += c.recv(4096)
                key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
                ok = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                i = len(turns)
                turns.append(i)
                c.sendall(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ok +
                          (b"\r\nSec-WebSocket-Protocol: bagpipe-link.1" if i % 10 else b"") + b"\r\n\r\n")
                c.sendall(script[i % len(script)])
                while c.recv(65536):
                    pass
            except (OSError, TypeError):
                pass
            c.close()
    threading.Thread(target=run, daemon=True).start()
    agent = Agent(scratch / "brave", f"http://127.0.0.1:{s.getsockname()[1]}")
    # a hint of the kernel brings it back at once
    end = time.monotonic() + bp.amount(12, 60)
    while len(turns) < len(script) and time.monotonic() < end:
        time.sleep(0.3)
    bp.check(agent.p.alive() and agent.get("/api/v1/status")["state"] == "idle", "the agent lives")
    bp.check(len(turns) >= 3, f"it came back {len(turns)} times")
    bp.check(agent.p.stop() == 0, "and ends")
    bp.say(f"a hostile server: {len(turns)} connections")


def many(scratch):
    n, seconds = bp.amount(200, 1000), bp.amount(6, 20)
    server = Server(scratch / "many", quiet=True)
    p = bp.Proc([LOAD, f"ws://127.0.0.1:{server.port}/api/v1/link", n, seconds])
    bp.until(lambda: "connected" in p.text(), 120, "they are connected")
    ticks = lambda: sum(map(int, open(f"/proc/{server.p.pid}/stat").read().split()[13:15]))
    before, begin = ticks(), time.monotonic()
    time.sleep(seconds - 1)
    cpu = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - begin)
    robots = server.get("/api/v1/robots")["robots"]
    p.wait(60)
    o = json.loads(p.text().splitlines()[-1])
    rss = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{server.p.pid}/status").read())[1]) >> 10
    bp.check(len(robots) == n and all(r["state"] == "online" for r in robots), f"{len(robots)} robots")
    bp.check(o["connected"] == n and o["ended"] == 0 and o["sent"] >= n * (seconds - 1) and o["acks"] > 0, f"{o}")
    bp.check(rss < 150 and cpu < 5 * 0.2, f"{n} agents: {rss} MiB, {cpu:.3f} of a core")
    server.p.stop(sig=signal.SIGTERM)
    bp.say(f"{n} agents, each once a second: {rss} MiB, {cpu * 100:.1f} % of a core, {o}")


def goes_away(server, agent):
    """The server ends: it asks agents to come back in their own time, and they do."""
    port = server.port
    before = agent.get("/api/v1/link")["connects"]
    server.p.send(signal.SIGUSR1)
    server.p.wait(30)
    again = Server(server.folder, port)
    bp.check(again.state(agent.device) in ("offline", "online"), "it is known before it comes")
    agent.linked()
    bp.check(agent.get("/api/v1/link")["connects"] > before, "a new connection")
    bp.until(lambda: again.state(agent.device) == "online", 10, "online again")
    bp.say("a server that ends: agents come back")
    return again


def foreign(scratch):
    """npm ws as the server, plain and by TLS with an authority of our own."""
    modules = bp.BUILD / "npm/node_modules"
    if not modules.exists():
        modules = bp.REPO / "build/npm/node_modules"
    bp.need("node", "openssl")
    d = scratch / "tls"
    d.mkdir()
    for name in ("server", "other"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", d / f"{name}.key",
                        "-out", d / f"{name}.pem"], check=True, capture_output=True)
    peer = bp.Proc(["node", bp.REPO / "test/system/link-peer.mjs", modules, d / "server.pem", d / "server.key"])
    bp.until(lambda: '"wss"' in peer.text() or not peer.alive(), 30, "npm ws")
    ports = json.loads(peer.text().splitlines()[0])
    (d / "token").write_text("hush-hush\n")
    said = lambda: [json.loads(x) for x in peer.text().splitlines()[1:]]
    for kind, url, more in (("ws", f"ws://localhost:{ports['ws']}", ()),
                            ("wss", f"wss://localhost:{ports['wss']}", (f"link.ca_file={d / 'server.pem'}",))):
        at = len(said())
        agent = Agent(scratch / f"foreign-{kind}", url, f"link.token=file:{d / 'token'}", *more)
        agent.linked()
        agent.post("/api/v1/sessions", {"name": "abroad"})
        agent.post("/api/v1/sessions/current/stop")
        bp.until(lambda: agent.get("/api/v1/link")["waiting"] == 0, 20, "events are acknowledged")
        bp.until(lambda: {"topics", "result"} <= {m["key"] for m in said()[at:]}, 20, "topics and a result")
        agent.p.stop()
        bp.until(lambda: said()[-1]["key"] == "close", 10, "a close")
        got = said()[at:]
        opened = got[0]
        bp.check(opened["auth"] == "Bearer hush-hush" and opened["secure"] == (kind == "wss"), f"{opened}")
        bp.check(kind == "ws" or opened["tls"] in ("TLSv1.2", "TLSv1.3"), f"{opened}")
        bp.check([m["text"] for m in got if m["key"] == "pong"][:1] == ["between"], "a ping between pieces is answered")
        bp.check(got[-1]["code"] == 1001 and not [m for m in got if m["key"] == "error"], f"{kind}: ends well: {got[-1]}")
        sessions = [e["data"]["event"] for m in got if m["key"] == "events" for e in m["m"]["events"] if e["topic"] == "sessions"]
        bp.check(sessions == ["started", "stopped"], f"{kind}: {sessions}")
        result = [m["m"]["result"] for m in got if m["key"] == "result"][0]
        bp.check(result["status"] == 200 and "sessions" in result["body"], f"{kind}: {result}")
    before = len([m for m in said() if m["key"] == "open"])
    for name, more in (("another authority", (f"link.ca_file={d / 'other.pem'}",)), ("the system's", ())):
        agent = Agent(scratch / f"wary-{len(more)}", f"wss://localhost:{ports['wss']}", f"link.token=file:{d / 'token'}", *more)
        bp.until(lambda: "certificate" in agent.get("/api/v1/link")["error"], 20, f"{name}: the error says why")
        bp.check("hush" not in agent.p.text(), "the token is in no log")
        agent.p.stop()
    bp.check(len([m for m in said() if m["key"] == "open"]) == before, "nobody is let in without trust")
    bp.say("npm ws: the same by ws and wss; wrong authorities are refused")


def real_server(scratch):
    """bagpipe server with accounts: a device waits for an admin, or brings a one-time token; what people have it do is written
    down; its news are in the server's events; one that is refused loses its link.
    """
    folder = scratch / "real"
    folder.mkdir()
    p = bp.Proc([bp.BAGPIPE, "server", "--set", f"server.dir={folder}", f"http.socket={folder / 's.sock'}", "http.listen=127.0.0.1:0",
                 "events.listen=127.0.0.1:0", "metrics.listen=127.0.0.1:0", "auth.mode=required", "auth.rate=1000"])
    bp.until(lambda: "server is ready" in p.text() or not p.alive(), 30, "the server")
    base = "http://" + [json.loads(x) for x in p.text().splitlines() if "server is ready" in x][-1]["http"]

    def admin(method, path, body=None, want=200):
        status, out, _ = bp.run(["curl", "-s", "--unix-socket", folder / "s.sock", "-X", method, "-H", "Content-Type: application/json",
                                 "-w", "\n%{http_code}", *(["-d", json.dumps(body)] if body is not None else []), f"http://localhost{path}"])
        text, code = out.rsplit("\n", 1)
        bp.check(int(code) == want, f"{method} {path}: {code} {text[:300]}")
        return json.loads(text) if text else None

    agent = Agent(scratch / "knocks", base)
    bp.until(lambda: "admin" in agent.get("/api/v1/link")["error"], 30, "it waits to be let in")
    bp.check(http(base, "GET", "/api/v1/robots")[0] == 401, "strangers see nothing")
    admin("PATCH", f"/api/v1/devices/{agent.device}", {"state": "accepted"})
    agent.linked()
    w = WS(str(folder / "s.sock"), "/api/v1/events")
    w.json()
    answer, _ = w.ask({"subscribe": ["sessions", "robots", f"device:{agent.device}/status", f"device:{agent.device}/topics"]})
    bp.check(answer.get("ok"), f"{answer}")
    o = admin("POST", f"/api/v1/devices/{agent.device}/commands", {"name": "session.start", "args": {"name": "far"}})
    bp.check(o["status"] == 201, f"{o}")
    seen = {}
    while not {"sessions", f"device:{agent.device}/status", f"device:{agent.device}/topics"} <= set(seen):
        m = w.json(15)
        seen[m["topic"]] = m["data"]
    bp.check(seen["sessions"]["device"] == agent.device and seen["sessions"]["event"] == "started", f"{seen['sessions']}")
    audit = [e for e in admin("GET", "/api/v1/audit")["entries"] if e["action"] == "device.command"]
    bp.check(len(audit) == 1 and audit[0]["subject"] == agent.device and audit[0]["details"]["name"] == "session.start", f"{audit}")
    metrics = bp.run(["curl", "-s", "--unix-socket", folder / "s.sock", "http://localhost/metrics"])[1]
    bp.check("bagpipe_links_online 1" in metrics, "metrics")
    token = admin("POST", "/api/v1/enrolments", {"name": "line"}, want=201)["token"]
    (folder / "invitation").write_text(token)
    second = Agent(scratch / "invited", base, f"link.enrolment=file:{folder / 'invitation'}")
    second.linked()
    bp.check(len(admin("GET", "/api/v1/robots")["robots"]) == 2, "both are there")
    admin("PATCH", f"/api/v1/devices/{agent.device}", {"state": "refused"})
    bp.until(lambda: agent.get("/api/v1/link")["state"] != "connected", 20, "one that is refused loses its link")
    bp.check(second.get("/api/v1/link")["state"] == "connected", "the other keeps its own")
    bp.check(token not in second.p.text() + p.text(), "the token is in no log")
    agent.p.stop()
    second.p.stop()
    bp.check(p.stop(sig=signal.SIGTERM) == 0, f"the server ends: {p.text()[-300:]}")
    bp.say("the real server: let in by an admin and by a token, watched, commanded, refused")


# ---- the page ----

def page(proxy):
    text = (bp.REPO / "docs/api/link.md").read_text()
    blocks = re.findall(r"```json (\w+)\n(.*?)```", text, re.S)
    bp.check(len(blocks) >= 12, f"{len(blocks)} examples")
    never = {"robots", "live"}  # would take a graph that changes; link-live has it
    for way, block in blocks:
        example = json.loads(block)
        key = next(iter(example))
        real = [m for w, m in proxy.seen if w == way and next(iter(m)) == key]
        why = [shape(example, m, key) for m in real]
        bp.check(None in why or (key in never and not real), f"example of {way}: {(why or ['never came'])[0]}: {block[:200]}")
        keys = {k for m in real for k in (m[key] if isinstance(m[key], dict) else {})}
        if key in ("hello", "welcome", "command", "result", "away"):
            bp.check(keys == set(example[key]), f"{key}: {sorted(keys)} came, {sorted(example[key])} are documented")
    bp.say(f"{len(blocks)} examples of docs/api/link.md compared with {len(proxy.seen)} messages")


def main():
    bp.own_network()
    scratch = bp.scratch()
    server = Server(scratch / "server")
    proxy = Proxy(server.port)
    (scratch / "token").write_text("hush")
    agent = Agent(scratch / "agent", f"http://127.0.0.1:{proxy.port}", f"link.token=file:{scratch / 'token'}")
    agent.linked()
    bp.until(lambda: server.state(agent.device) == "online", 10, "the server knows it")
    commands(server, agent, proxy)
    alerts(server, agent, proxy)
    deadlines(server, agent, proxy)
    once(server, agent, proxy)
    server = backfill(server, agent, proxy)
    hostile_agents(server, agent)
    server = goes_away(server, agent)
    bp.check(agent.p.stop() == 0, "the agent ends")
    bp.until(lambda: server.state(agent.device) == "offline", 10, "and the server knows")
    server.p.stop(sig=signal.SIGTERM)
    page(proxy)
    offline_memory(scratch)
    hostile_server(scratch)
    many(scratch)
    foreign(scratch)
    real_server(scratch)


bp.main(main)
