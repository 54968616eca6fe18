"""What a simulated robot sends is watched through a real server: samples, pictures and points are those of the agent, one
stream for many viewers, nothing without a viewer, the newest over a slow link while commands go on, a robot that goes and
comes back, agents and servers that do not keep to docs/api/link.md, whose examples are compared with the wire.
"""
import base64
import hashlib
import io
import json
import re
import signal
import socket
import statistics
import struct
import threading
import time
import urllib.request

import numpy as np
from PIL import Image

import bp
from linkwire import Proxy, shape
from serverd import Server
from ws import WS, frame

DOMAIN = 96
CAMERA, CLOUD, IMU = "/robot1/camera/image_raw", "/robot1/lidar/points", "/robot1/imu"


class Agent:
    def __init__(self, folder, url, *more):
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={folder / 'data'}", f"http.socket={folder / 'agent.sock'}",
                          "http.listen=127.0.0.1:0", f"discovery.domains={DOMAIN}", "buffer.ring_size=16MiB", f"link.url={url}", *more])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 30, "the agent")
        self.port = int(re.findall(r"127\.0\.0\.1:(\d+)", self.p.text())[-1])
        self.device = self.get("/api/v1/link")["device"]

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as r:
            return json.load(r)

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as r:
            return float(re.search(rf"^{name} (\S+)$", r.read().decode(), re.M)[1])

    def linked(self):
        bp.until(lambda: self.get("/api/v1/link")["state"] == "connected", 60, "the link")


class Frame:
    def __init__(self, data):
        (magic, self.kind, head, self.stream, n, self.seq, self.recv, self.stamp, self.a, self.b, self.c, self.d,
         name) = struct.unpack_from("<4sHHIIQqqIIIIH", data)
        bp.check(magic == b"BPM1" and head == 64 and len(data) == 64 + n + name, f"head {data[:64].hex()}")
        self.payload = data[64:64 + n]

    def age(self):
        return (time.time_ns() - self.stamp) / 1e9


class Viewer:
    """Of one device, through the server."""

    def __init__(self, server, device, **options):
        self.w = WS(("127.0.0.1", server.port), "/api/v1/events", **options)
        self.w.json()
        self.prefix = f"device:{device}/"

    def subscribe(self, name, **more):
        answer, _ = self.w.ask({"subscribe": [{"topic": self.prefix + name, **more}]})
        bp.check(answer.get("ok"), f"{name}: {answer}")
        return answer["subscribed"][0]

    def leave(self, *names):
        self.w.send({"unsubscribe": [self.prefix + n for n in names]})

    def credit(self, name, n=1):
        self.w.send({"credit": {self.prefix + name: n}})

    def frame(self, timeout=10):
        until = time.monotonic() + timeout
        while True:
            opcode, data = self.w.recv(max(until - time.monotonic(), 0.01))
            if opcode == 2:
                return Frame(data)

    def event(self, name, timeout=10, skip=lambda data: False):
        """The next event as text of a topic."""
        until = time.monotonic() + timeout
        while True:
            opcode, data = self.w.recv(max(until - time.monotonic(), 0.01))
            m = json.loads(data) if opcode == 1 else {}
            if m.get("topic") == self.prefix + name and not skip(m["data"]):
                return m

    def close(self):
        self.w.close()


def latest(credit=1, **more):
    return {"policy": "latest", "credit": credit, **more}


# ---- parts ----

def same(server, agent):
    """What comes through the server is what the agent's own viewers get."""
    v = Viewer(server, agent.device)
    name = f"image:{CAMERA}?width=320&quality=90"
    stream = v.subscribe(name, **latest())["stream"]
    for i in range(3):
        f = v.frame()
        p = np.asarray(Image.open(io.BytesIO(f.payload)).convert("RGB")).astype(int)
        bp.check((f.kind, f.stream, f.seq, f.a, f.b, f.c, f.d) == (1, stream, i + 1, 320, 240, 640, 480) and p.shape == (240, 320, 3),
                 f"{name}: {vars(f)['seq']} {f.a} x {f.b}, {p.shape}")
        bp.check(abs(p[-1, 160].mean() - (50 + 239 / 3)) < 25, f"the floor: {p[-1, 160]}")
        v.credit(name)
    v.leave(name)
    name = f"points:{CLOUD}?max=5000"
    stream = v.subscribe(name, **latest())["stream"]
    f = v.frame()
    while f.kind != 3:
        f = v.frame()
    xyz = np.frombuffer(f.payload, "<f4", f.a * 3).reshape(-1, 3)
    bp.check((f.stream, f.a, f.b, f.c) == (stream, 5000, 20000, 2) and np.abs(xyz).max() < 15, f"points: {f.a} of {f.b}")
    v.leave(name)
    own = WS(("127.0.0.1", agent.port), "/api/v1/events")
    own.json()
    own.send({"subscribe": [f"sample:{IMU}"]})
    own.json()
    v.subscribe(f"sample:{IMU}", max_hz=1000)
    there = {m["data"]["recv_ns"]: m["data"] for m in (v.event(f"sample:{IMU}") for _ in range(40))}
    here = [own.json()["data"] for _ in range(20)]
    both = [x for x in here if x["recv_ns"] in there]
    bp.check(both and all(there[x["recv_ns"]] == x for x in both), f"samples: {len(both)} of {len(here)} are in both, as they are")
    rate = 39 / max((int(b) - int(a)) / 1e9 for a, b in [(min(there), max(there))])
    bp.check(rate > 25, f"asked for quicker they come quicker: {rate:.0f} a second")
    v.subscribe("log")
    v.subscribe("sessions")
    body = json.dumps({"name": "far"}).encode()
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{agent.port}/api/v1/sessions", body,
                                                  {"Content-Type": "application/json"}), timeout=20)
    m = v.event("sessions")
    bp.check(m["data"]["event"] == "started" and m["data"]["session"]["name"] == "far", f"{m}")
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{agent.port}/api/v1/sessions/far/stop", b"{}",
                                                  {"Content-Type": "application/json"}), timeout=60)
    line = v.event("log", skip=lambda data: data["level"] not in ("info", "notice"))
    bp.check(line["data"]["text"], f"lines below a warning, too: {line}")
    own.close()
    v.close()


def shared(server, agent, proxy):
    """Two viewers, one stream; who is slow gets the newest, who does not read costs nobody anything."""
    name = f"image:{CAMERA}?width=640"
    asked = lambda: sum(1 for w, m in list(proxy.seen) if w == "server" and any(
        s["topic"] == name for s in m.get("live", {}).get("ask", {}).get("subscribe", [])))
    quick, slow, deaf = Viewer(server, agent.device), Viewer(server, agent.device), Viewer(server, agent.device, rcvbuf=4096)
    bp.check(quick.subscribe(name, **latest())["stream"] == slow.subscribe(name, **latest(0))["stream"], "equal viewers share a stream")
    deaf.subscribe(name, **latest(1000))
    made, ages, late, again = agent.metric("bagpipe_media_frames_total"), [], [], 0
    end = time.monotonic() + 5
    while time.monotonic() < end:
        f = quick.frame()
        ages.append(f.age())
        quick.credit(name)
        if time.monotonic() > again:
            while len(late) % 2 == 0:  # the one that waited, then a new one
                slow.credit(name)
                late.append(slow.frame())
            slow.credit(name)
            late.append(slow.frame())
            again = time.monotonic() + 1
    made = agent.metric("bagpipe_media_frames_total") - made
    bp.check(asked() == 1, f"the agent was asked {asked()} times")
    bp.check(len(ages) > 50 and statistics.median(ages) < 0.3, f"{len(ages)} pictures, age {statistics.median(ages):.3f} s")
    bp.check(late[-1].age() < 1 and all(b.seq > a.seq for a, b in zip(late, late[1:])), f"{[x.seq for x in late]}")
    bp.check(made <= len(ages) * 1.2 + 20, f"{made} were made for {len(ages)} shown")
    for v in (quick, slow, deaf):
        v.close()
    gone = lambda: any(w == "server" and m.get("live", {}).get("ask", {}).get("unsubscribe") == [name] for w, m in list(proxy.seen))
    bp.until(gone, 10, "the agent need not send it any more")
    time.sleep(1)
    sent = agent.metric("bagpipe_link_live_bytes_total")
    time.sleep(1.5)
    bp.check(agent.metric("bagpipe_link_live_bytes_total") == sent, "nobody watches: nothing is sent")
    bp.say(f"{len(ages)} pictures in 5 s through the server, age {statistics.median(ages) * 1e3:.0f} ms")


def without_credit(server, agent):
    """Nothing is made, nor sent, for somebody who shows nothing."""
    name = f"image:{CAMERA}?width=480"
    v = Viewer(server, agent.device)
    v.subscribe(name, **latest())
    v.frame()
    time.sleep(1)
    sent = agent.metric("bagpipe_link_live_frames_total")
    time.sleep(2)
    bp.check(agent.metric("bagpipe_link_live_frames_total") - sent <= 1, "without credit none is sent")
    v.credit(name)
    bp.check(v.frame().age() < 1, "and with it a new one")
    v.close()


def slow_link(server, agent, proxy):
    """Where not even one stream fits: pictures come seldom and are new, the link's other duties go on."""
    proxy.rate = 150_000
    v = Viewer(server, agent.device)
    names = [f"image:{CAMERA}?width=640&quality=95", f"points:{CLOUD}?max=20000"]
    for n in names:
        v.subscribe(n, **latest())
    v.subscribe(f"sample:{IMU}", max_hz=5)
    got, waits, stop = {"frames": [], "samples": []}, [], time.monotonic() + bp.amount(15, 40)

    def watch():
        while time.monotonic() < stop:
            try:
                opcode, data = v.w.recv(1)
            except TimeoutError:
                continue
            if opcode == 2:
                f = Frame(data)
                got["frames"].append((f.kind, f.age()))
                v.credit(names[0] if f.kind == 1 else names[1])
            elif b"sample:" in data:
                got["samples"].append((time.time_ns() - int(json.loads(data)["data"]["recv_ns"])) / 1e9)
    t = threading.Thread(target=watch)
    t.start()
    time.sleep(3)
    while time.monotonic() < stop - 2:
        begin = time.monotonic()
        r = server.ask("POST", f"/api/v1/devices/{agent.device}/commands", {"name": "status", "within_s": 10})
        waits.append(time.monotonic() - begin)
        bp.check(r.status == 200 and r.json()["state"] == "done", f"a command: {r.status} {r.body[:200]}")
        state = server.want(200, "GET", f"/api/v1/devices/{agent.device}/status").json()
        bp.check(state["state"] == "online" and state["age_s"] < 5, f"{state['state']} {state['age_s']}")
        time.sleep(0.3)
    t.join()
    proxy.rate = None
    kinds = {k for k, _ in got["frames"]}
    oldest = max(a for _, a in got["frames"])
    bp.check(kinds == {1, 3} and len(got["samples"]) > 3, f"all of them come: {kinds}, {len(got['samples'])} samples")
    bp.check(oldest < 10, f"none is old: {oldest:.1f} s")
    bp.check(statistics.median(waits) < 2 and max(waits) < 5, f"commands: {statistics.median(waits):.2f} s, {max(waits):.2f} s at most")
    v.close()
    bp.say(f"150 kB/s: {len(got['frames'])} frames, the oldest {oldest:.1f} s, {len(got['samples'])} samples, "
           f"commands {statistics.median(waits):.2f} s, at most {max(waits):.2f} s")


def wrong(server, agent):
    v = Viewer(server, agent.device)
    for wish, word in (({"topic": f"device:{agent.device}/image:{CAMERA}"}, "latest"),
                       ({"topic": f"device:{agent.device}/image:{CAMERA}?width=3", **latest()}, "16 to 4096"),
                       ({"topic": f"device:{agent.device}/image:camera", **latest()}, "name of a topic"),
                       ({"topic": f"device:{agent.device}/sample:/a\"b"}, "name of a topic"),
                       ({"topic": f"device:{agent.device}/weather"}, "there is no topic"),
                       ({"topic": "device:nobody/sample:/imu"}, "no device"),
                       ({"topic": f"device:{agent.device}/sample:/{'x' * 500}"}, "there is no topic")):
        answer, _ = v.w.ask({"subscribe": [wish]})
        bp.check(word in answer.get("error", ""), f"{wish}: {answer} names '{word}'")
    name = f"image:{IMU}"
    v.subscribe(name, **latest())
    bp.check("sensor_msgs/msg/Imu" in v.event(name)["data"]["why"], "what cannot be shown says why")
    for i in range(60):
        answer, _ = v.w.ask({"subscribe": [f"device:{agent.device}/sample:/many{i}"]})
        if not answer.get("ok"):
            break
    bp.check("at most 48 streams" in answer.get("error", ""), f"{i} streams, then {answer}")
    v.close()
    bp.until(lambda: b"bagpipe_links_live_streams 0" in server.want(200, "GET", "/metrics", port=server.metrics).body, 15, "all let go")


def restart(server, agent, folder, proxy):
    """The robot goes: it is said. It comes back: what was subscribed to goes on."""
    name, sample = f"image:{CAMERA}?width=160", f"sample:{IMU}"
    v = Viewer(server, agent.device)
    v.subscribe(name, **latest(10))
    v.subscribe(sample)
    v.frame()
    proxy.cut()
    why = v.event(sample, skip=lambda data: "why" not in data)
    bp.check("is not connected" in why["data"]["why"], f"{why}")
    late = Viewer(server, agent.device)
    late.subscribe(sample)
    bp.check("is not connected" in late.event(sample)["data"]["why"], "who comes now is told, too")
    proxy.up = True
    late.event(sample, 70, skip=lambda data: "why" in data)
    v.credit(name, 10)
    bp.check(v.frame(20).age() < 2, "pictures go on")
    bp.check(agent.p.stop() == 0, "the agent ends")
    late.event(sample, 10, skip=lambda data: "why" not in data)
    agent = Agent(folder, f"http://127.0.0.1:{proxy.port}")
    agent.linked()
    late.event(sample, 20, skip=lambda data: "why" in data)
    v.credit(name, 10)
    f = v.frame(20)
    bp.check(f.age() < 2 and f.kind == 1, "and with another life of the agent")
    v.close()
    late.close()
    return agent


def no_live(server, scratch):
    (scratch / "shy").mkdir()
    agent = Agent(scratch / "shy", f"http://127.0.0.1:{server.port}", "link.live_rate=0")
    agent.linked()
    v = Viewer(server, agent.device)
    v.subscribe(f"sample:{IMU}")
    bp.check("sends no live data" in v.event(f"sample:{IMU}")["data"]["why"], "it is said that none comes")
    v.close()
    agent.p.stop()


# ---- who does not keep to it ----

def piece(kind, total, before, data, magic=b"BPL1", head=16):
    return magic + struct.pack("<HHII", kind, head, total, before) + data


def clear(data):
    """A binary message under a mask of zeros, which costs nothing."""
    n = len(data)
    return (struct.pack(">BB", 0x82, 0x80 | n) if n < 126 else struct.pack(">BBH", 0x82, 0xfe, n) if n < 65536 else
            struct.pack(">BBQ", 0x82, 0xff, n)) + bytes(4) + data


def whole(kind, data):
    return piece(kind, len(data), 0, data)


def picture(stream=1, payload=b"\xff\xd8", n=None, kind=1):
    return struct.pack("<4sHHIIQqqIIIIH6x", b"BPM1", kind, 64, stream, len(payload) if n is None else n, 1, 2, 3, 4, 5, 6, 7, 0) + payload


def hostile_agents(server, agent):
    rows = (("no piece", [b"hello"]), ("another magic", [piece(2, 5, 0, b"hello", magic=b"BPL2")]), ("another head", [piece(2, 5, 0, b"hello", head=20)]),
            ("too long", [piece(2, 5 << 20, 0, b"hello")]), ("a text too long", [piece(1, 2 << 20, 0, b"hello")]),
            ("the middle", [piece(2, 50, 20, b"hello")]), ("a gap", [piece(2, 50, 0, b"hello"), piece(2, 50, 6, b"hello")]),
            ("no frame", [whole(2, b"hello" * 20)]), ("a frame longer than it is", [whole(2, picture(n=1 << 31))]),
            ("a cloud that is none", [whole(2, picture(kind=3))]), ("not JSON", [whole(1, b"{")]), ("no object", [whole(1, b"[]")]),
            ("deep", [whole(1, b"[" * 5000)]), ("too much", [whole(2, picture(payload=b"x" * 900_000))] * 250))
    kind = (("answers to nobody", [whole(1, b'{"id": 99, "error": "x"}'), whole(1, b'{"id": "x"}')]),
            ("events nobody wants", [whole(1, b'{"topic": "sample:/other", "seq": 1, "data": 1}'), whole(1, b'{"topic": 7, "data": 1}')]),
            ("odd notices", [whole(1, b'{"dropped": 7}'), whole(1, b'{"dropped": {"topic": "log", "count": -5}}'), whole(1, b'{"too_long": []}')]),
            ("a frame of no stream of its", [whole(2, picture(stream=77))]), ("of later versions", [whole(1, b'{"later": 1}')]))
    v = Viewer(server, agent.device)
    v.subscribe(f"sample:{IMU}")
    for name, messages in rows + kind:
        device = "h-" + hashlib.sha1(name.encode()).hexdigest()[:8]
        w = WS(("127.0.0.1", server.port), "/api/v1/link", ["Sec-WebSocket-Protocol: bagpipe-link.1"])
        w.send({"hello": {"version": "1", "device": device, "name": "x", "robots": [], "log": "01M8HYWSG2FGC8Z1HYQW5BDX79", "resume": 0,
                          "dropped": {}, "time_ns": str(time.time_ns()), "live": True}})
        w.json()
        watching = Viewer(server, device)
        watching.subscribe("image:/x", **latest())
        ask = w.json()
        while "live" not in ask:
            ask = w.json()
        code = None
        try:
            w.raw(b"".join(clear(m) for m in messages))
            w.s.settimeout(3)
            while code is None:
                opcode, data = w.recv(3)
                code = struct.unpack(">H", data[:2])[0] if opcode == 8 else None
        except (TimeoutError, socket.timeout):
            code = 0
        except (OSError, EOFError):
            code = 1006
        bp.check(code in (1007, 1008, 1006) if (name, messages) in rows else code == 0, f"{name}: {code}")
        if (name, messages) in rows:
            bp.check("is not connected" in watching.event("image:/x")["data"]["why"], f"{name}: who watches is told")
        watching.close()
        w.close()
    w = WS(("127.0.0.1", server.port), "/api/v1/link", ["Sec-WebSocket-Protocol: bagpipe-link.1"])
    w.raw(frame(2, whole(2, picture())))
    try:
        opcode, data = w.recv(5)
    except EOFError:
        opcode, data = 8, b""
    bp.check(opcode == 8, "a piece that nobody asked for ends it")
    v.event(f"sample:{IMU}")
    v.close()
    bp.say(f"hostile agents: {len(rows)} rows ended, {len(kind)} borne, the others as before")


def hostile_server(scratch):
    """It asks for what it should not, or for too much; the agent lives, and still serves its own viewers."""
    welcome = {"welcome": {"version": "1", "acknowledged": 0, "interval_s": 1, "window": 256, "max_message": 1 << 20,
                           "live": {"max_message": -1, "max_text": 1e300, "bytes_s": "x"}}}
    sub = {"live": {"ask": {"id": 1, "subscribe": [{"topic": f"image:{CAMERA}", "policy": "latest", "credit": 1000}]}}}
    script = [[{"live": 7}, {"live": {"ask": 7}}, {"live": {"ask": {"subscribe": 7}}}, {"live": {"ack": -1}}, {"live": {"ack": 1 << 60}}],
              [{"live": {"ask": {"id": i, "subscribe": [f"sample:/t{i}"]}}} for i in range(300)],
              [{"live": {"ask": {"credit": {"log": 1}}}}] * 20000, [sub] * 50, [sub]]
    s = socket.create_server(("127.0.0.1", 0))
    turns, got = [], [0]

    def run():
        while True:
            c, _ = s.accept()
            c.settimeout(4)
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += c.recv(4096)
                key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
                ok = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                c.sendall(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ok +
                          b"\r\nSec-WebSocket-Protocol: bagpipe-link.1\r\n\r\n")
                messages = script[min(len(turns), len(script) - 1)]
                turns.append(1)
                got[0] = 0
                c.sendall(b"".join(frame(1, json.dumps(m).encode(), mask=False) for m in [welcome, *messages]))
                end = time.monotonic() + 3
                while time.monotonic() < end:
                    got[0] += len(c.recv(65536))
            except (OSError, TypeError):
                pass
            c.close()
    threading.Thread(target=run, daemon=True).start()
    (scratch / "brave").mkdir()
    agent = Agent(scratch / "brave", f"http://127.0.0.1:{s.getsockname()[1]}")
    bp.until(lambda: len(turns) >= len(script) or not agent.p.alive(), 120, "it came back")
    time.sleep(2)
    bp.check(agent.p.alive(), "the agent lives")
    bp.check(got[0] < 600_000, f"nothing is acknowledged: {got[0]} bytes came, not more than a window")
    own = WS(("127.0.0.1", agent.port), "/api/v1/events")
    own.json()
    own.send({"subscribe": [f"sample:{IMU}"]})
    own.json()
    bp.check("message" in own.json()["data"], "its own viewers see as before")
    bp.check(agent.p.stop() == 0, "and ends")
    bp.say(f"a hostile server: {len(turns)} connections")


def page(proxy):
    """The examples of the page about what is watched are as what went over the wire."""
    blocks = re.findall(r"```json (\w+)\n(.*?)```", (bp.REPO / "docs/api/link.md").read_text(), re.S)
    blocks = [(w, json.loads(b)) for w, b in blocks if '"live"' in b]
    bp.check(len(blocks) >= 5, f"{len(blocks)} examples")
    for way, example in blocks:
        key = next(iter(example))
        why = [shape(example, m, key) for w, m in proxy.seen if w == way and key in m]
        if "live" in example and "credit" in example["live"].get("ask", {}):
            why = [None if f"sample:{IMU}" in m["live"].get("ask", {}).get("credit", {}) else "other" for w, m in proxy.seen if "live" in m]
        bp.check(None in why, f"example of {way}: {(why or ['never came'])[0]}: {example}")


def main():
    bp.own_network()
    scratch = bp.scratch()
    (scratch / "server").mkdir()
    (scratch / "agent").mkdir()
    server = Server(scratch / "server")
    proxy = Proxy(server.port)
    agent = Agent(scratch / "agent", f"http://127.0.0.1:{proxy.port}")
    agent.linked()
    sim = bp.Proc([bp.BAGPIPE, "sim", "--robots", "1", "--profile", "mixed", "--domain", str(DOMAIN)])
    bp.until(lambda: any(t["topic"] == CAMERA for t in agent.get("/api/v1/topics")["topics"]), 30, "the robot is seen")
    same(server, agent)
    shared(server, agent, proxy)
    without_credit(server, agent)
    wrong(server, agent)
    slow_link(server, agent, proxy)
    agent = restart(server, agent, scratch / "agent", proxy)
    no_live(server, scratch)
    hostile_agents(server, agent)
    page(proxy)
    bp.check(agent.p.stop() == 0, "the agent ends")
    hostile_server(scratch)
    bp.check(server.p.stop(sig=signal.SIGTERM) == 0, f"the server ends: {server.p.text()[-400:]}")
    sim.stop()


bp.main(main)
