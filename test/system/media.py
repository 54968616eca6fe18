"""Pictures and clouds of points of a simulated robot, as the binary messages of GET /api/v1/events: right pixels
and points, one message for each credit and then the newest, equal viewers share, what cannot be shown says why.
"""
import io
import json
import re
import signal
import struct
import subprocess
import time

import numpy as np
from PIL import Image

import bp
from ws import WS

DOMAIN = 165
RAW, SMALL, CLOUD = "/robot1/camera/image_raw", "/robot1/camera/image_raw/compressed", "/robot1/lidar/points"


class Frame:
    def __init__(self, data):
        (magic, self.kind, head, self.stream, n, self.seq, self.recv, self.stamp, self.a, self.b, self.c, self.d,
         frame) = struct.unpack_from("<4sHHIIQqqIIIIH", data)
        bp.check(magic == b"BPM1" and head == 64 and len(data) == 64 + n + frame, f"head {data[:64].hex()}")
        self.payload, self.frame_id = data[64:64 + n], data[64 + n:].decode()

    def pixels(self):
        return np.asarray(Image.open(io.BytesIO(self.payload)).convert("RGB")).astype(int)

    def number(self):
        p = self.pixels()
        w = p.shape[1] / 640
        return sum((p[int(16 * w), int((32 * i + 16) * w)].mean() > 127) << i for i in range(16))


class Agent:
    def __init__(self, folder):
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={folder / 'data'}",
                          f"http.socket={folder / 'agent.sock'}", "http.listen=127.0.0.1:0",
                          f"discovery.domains={DOMAIN}", "buffer.ring_size=16MiB"])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
        self.port = int(re.findall(r"127\.0\.0\.1:(\d+)", self.p.text())[-1])

    def ws(self, **options):
        w = WS(("127.0.0.1", self.port), "/api/v1/events", **options)
        w.json()
        return w

    def metric(self, name):
        text = subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/metrics"], capture_output=True,
                              text=True).stdout
        return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def subscribe(w, topic, credit=1, **more):
    w.send({"subscribe": [{"topic": topic, "policy": "latest", "credit": credit, **more}]})
    answer = w.json()
    bp.check(answer.get("ok"), f"{topic}: {answer}")
    return answer["subscribed"][0]["stream"]


def frame(w, timeout=10):
    opcode, data = w.recv(timeout)
    if opcode != 2:
        bp.fail(f"no binary message: {data[:300]}")
    return Frame(data)


def pictures(agent):
    """Raw and compressed, whole and smaller; the two show the same room."""
    w = agent.ws()
    for topic, width in ((RAW, 640), (RAW, 160), (SMALL, 640), (SMALL, 200)):
        name = f"image:{topic}?width={width}&quality=90"
        stream = subscribe(w, name)
        f = frame(w)
        p = f.pixels()
        bp.check((f.kind, f.stream, f.a, f.b, f.c, f.d) == (1, stream, width, width * 3 // 4, 640, 480) and
                 p.shape == (f.b, f.a, 3), f"{name}: {vars(f)['a']} x {f.b}, {p.shape}")
        bp.check(f.frame_id.endswith("camera_optical") and 0 <= f.recv - f.stamp < 1e9, f"{name}: {f.frame_id}")
        bp.check(abs(p[-1, f.a // 2].mean() - (50 + 239 / 3)) < 25, f"{name}: the floor: {p[-1, f.a // 2]}")
        w.ask({"unsubscribe": [name]})
    w.close()


def newest(agent):
    """At 15 pictures a second none is shown twice or late; who is slow gets the newest, not a queue."""
    quick, slow = agent.ws(), agent.ws()
    name = f"image:{RAW}?width=640"
    bp.check(subscribe(quick, name) == subscribe(slow, name, credit=0), "equal viewers share a stream")
    made = agent.metric("bagpipe_media_frames_total")
    numbers, ages, late = [], [], []
    end = time.monotonic() + 5
    again = 0
    while time.monotonic() < end:
        f = frame(quick)
        numbers.append(f.number())
        ages.append((time.time_ns() - f.stamp) / 1e6)
        quick.send({"credit": {name: 1}})
        if time.monotonic() > again:
            slow.send({"credit": {name: 1}})
            late.append(frame(slow))
            bp.check(time.time_ns() - late[-1].stamp < 0.5e9, "who comes seldom gets what is new")
            again = time.monotonic() + 1
    made = agent.metric("bagpipe_media_frames_total") - made
    bp.check(all(b > a for a, b in zip(numbers, numbers[1:])) and len(numbers) > 60, f"numbers {numbers}")
    bp.check(np.median(ages) < 200, f"age {np.median(ages):.0f} ms")
    bp.check(made <= len(numbers) + 3, f"{made} frames were made for {len(numbers)} shown")
    bp.check(len(late) >= 4 and all(b.seq - a.seq > 5 for a, b in zip(late, late[1:])), f"{[f.seq for f in late]}")
    idle = agent.metric("bagpipe_media_frames_total")
    time.sleep(0.5)
    frame(quick)
    time.sleep(0.7)
    bp.check(agent.metric("bagpipe_media_frames_total") - idle <= 2, "without credit none is made")
    bp.say(f"{len(numbers)} pictures in 5 s, age {np.median(ages):.1f} ms, p95 {np.percentile(ages, 95):.1f} ms")
    quick.close()
    slow.close()


def clouds(agent):
    w = agent.ws()
    for most in (20000, 1000):
        name = f"points:{CLOUD}?max={most}"
        stream = subscribe(w, name)
        f = frame(w)
        xyz = np.frombuffer(f.payload, "<f4", f.a * 3).reshape(-1, 3)
        bp.check((f.kind, f.stream, f.a, f.b, f.c) == (3, stream, most, 20000, 2) and
                 len(f.payload) == most * 16, f"{name}: {f.a} of {f.b}, flags {f.c}")
        bp.check(np.abs(xyz).max() < 15 and np.hypot(xyz[:, 0], xyz[:, 1]).min() > 0.1, "inside of the room")
        w.ask({"unsubscribe": [name]})
    w.close()


def refused(agent):
    """Wrong names, wrong policies, server-sent events, and topics of another type."""
    w = agent.ws()
    for wish, word in (({"topic": f"image:{RAW}"}, "latest"), ({"topic": f"points:{CLOUD}", "policy": "bounded"}, "latest"),
                       ({"topic": f"image:{RAW}?width=3", "policy": "latest"}, "16 to 4096"),
                       ({"topic": "image:camera", "policy": "latest"}, "name of a topic"),
                       ({"topic": f"points:{CLOUD}?color=1", "policy": "latest"}, "max=N")):
        w.send({"subscribe": [wish]})
        answer = w.json()
        bp.check(word in answer.get("error", ""), f"{wish}: {answer} names '{word}'")
    subscribe(w, "image:/robot1/imu", max_hz=5)
    m = w.json()
    bp.check("sensor_msgs/msg/Imu" in m["data"]["why"], f"{m}")
    out = subprocess.run(["curl", "-s", f"http://127.0.0.1:{agent.port}/api/v1/events?topics=image:{RAW}"],
                         capture_output=True, text=True).stdout
    bp.check("WebSocket" in json.loads(out).get("message", out), out)
    w.close()


def test():
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder)
    pictures(agent)
    newest(agent)
    clouds(agent)
    refused(agent)
    bp.check(agent.p.stop(timeout=20, sig=signal.SIGTERM) == 0, "a clean end")
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
