"""A player's slices, from a robot's agent alone: what was there before, pictures and points as frames, pieces that go on
where the last one ended, in a session that runs and in the same when it is over; how long a seek takes.
"""
import json
import os
import random
import re
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import bp

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import slices  # noqa: E402

DOMAIN = 167
IMAGE, CLOUD = "/robot1/camera/image_raw/compressed", "/robot1/lidar/points"


class Agent:
    def __init__(self, folder):
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={folder / 'data'}",
                          f"http.socket={folder / 'agent.sock'}", "http.listen=127.0.0.1:0",
                          f"discovery.domains={DOMAIN}", "buffer.ring_size=32MiB"])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
        self.port = int(re.findall(r"127\.0\.0\.1:(\d+)", self.p.text())[-1])

    def ask(self, method, path, body=None, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as r:
                return r.status, r.read(), r.headers
        except urllib.error.HTTPError as e:
            return e.code, e.read(), e.headers

    def data(self, session, **query):
        return self.ask("GET", f"/sessions/{session}/data", **query)


def pieces(agent, session):
    def get(at, end, topics, prior):
        status, data, _ = agent.data(session, topics=",".join(topics), format="frames", max_bytes=200000,
                                     prior=str(prior).lower(), **{"from": at, "to": end})
        bp.check(status == 200, f"frames: {status}") if status != 200 else None
        return data
    return get


def frames(agent, session, everything, t):
    """Pictures and clouds, told apart by the topic's place; the ones before are there, too."""
    image = next((k[0] for k in everything if k[1].endswith("Image")), IMAGE)
    cloud = next(k[0] for k in everything if k[1].endswith("PointCloud2"))
    topics = [image, cloud, "/robot1/tf"]
    end = t + 10**9
    status, data, headers = agent.data(session, topics=",".join(topics), format="frames", prior="true", width=160,
                                       max_points=500, max_bytes=64 << 20, **{"from": t, "to": end})
    bp.check(status == 200 and "immutable" in headers["Cache-Control"] and headers["Bagpipe-Missing-Segments"] == "0",
             f"{status} {headers['Cache-Control']}")
    all_of = slices.records(data)
    bp.check(all_of[-1][0] == 2 and json.loads(all_of[-1][1]) == {"reached": str(end), "complete": True}, f"{all_of[-1]}")
    for i, (topic, kind) in enumerate(((image, 1), (cloud, 3))):
        heads = [struct.unpack_from("<4sHHIIQqqIIIIH", c) for k, c in all_of if k == 1]
        mine = [h for h in heads if h[3] == i]
        want = sorted(k[2] for k in everything if k[0] == topic and t <= k[2] < end)
        before = max(k[2] for k in everything if k[0] == topic and k[2] < t)
        bp.check(all(h[0] == b"BPM1" and h[1] == kind for h in mine), f"{topic}: kinds")
        bp.check(all(h[8] == 160 if kind == 1 else 0 < h[8] <= 500 for h in mine), f"{topic}: sizes {mine[:1]}")
        bp.check(sorted(h[6] for h in mine) == [before, *want], f"{topic}: {len(mine)} frames of {len(want) + 1}")


def seeks(agent, session, t0, t1):
    rng, took = random.Random(1), []
    for _ in range(60):
        t = rng.randrange(t0, t1)
        begin = time.monotonic()
        status, data, _ = agent.data(session, topics=f"{IMAGE},{CLOUD},/robot1/tf,/robot1/tf_static,/robot1/imu",
                                     format="frames", prior="true", **{"from": t, "to": t + 10**9})
        took.append(time.monotonic() - begin)
        bp.check(status == 200 and len(data) <= (5 << 20), f"seek: {status}, {len(data)}") if status != 200 else None
    took.sort()
    bp.say(f"a second from anywhere: {took[30] * 1e3:.0f} ms, p95 {took[56] * 1e3:.0f} ms, at most {took[-1] * 1e3:.0f} ms")
    bp.check(took[56] < (0.3 if bp.full() else 1.5), "fast enough")


def refused(agent, session):
    for query in ({"format": "mcap", "prior": "true", "from": "+1s"}, {"format": "json", "prior": "true"},
                  {"format": "json", "prior": "maybe"}, {"format": "frames", "max_bytes": str(65 << 20)},
                  {"format": "frames", "width": "3"}, {"format": "frames", "quality": "101"},
                  {"format": "frames", "max_points": "0"}, {"from": "9", "to": "8"}):
        bp.check(agent.data(session, **query)[0] == 400, f"{query} is refused")
    bp.check(agent.data("nobody")[0] == 404, "no such session")


def test():
    agent = Agent(bp.SCRATCH)
    sim = bp.sim("--robots", 1, "--profile", "mixed", "--duration", "30s", domain=DOMAIN, log=bp.SCRATCH / "sim.log")
    status, body, _ = agent.ask("POST", "/sessions", {})
    bp.check(status == 201, f"started: {status} {body[:200]}")
    session = json.loads(body)["id"]
    time.sleep(3)
    agent.ask("POST", f"/sessions/{session}/split", {})
    bp.until(lambda: any(s["complete"] for s in json.loads(agent.ask("GET", f"/sessions/{session}/segments")[1])["segments"]),
             10, "a segment is closed")
    status, data, headers = agent.data(session, format="json", topics="/robot1/imu")
    bp.check(status == 200 and len(data.splitlines()) > 50 and int(headers["Bagpipe-Missing-Segments"]) >= 1 and
             "immutable" not in headers["Cache-Control"], f"while it runs: {status}, {len(data.splitlines())} lines, {headers}")
    time.sleep(3)
    agent.ask("POST", f"/sessions/{session}/split", {})
    time.sleep(2)
    status, body, _ = agent.ask("POST", f"/sessions/{session}/stop", {})
    bp.check(status == 200, f"stopped: {status}")
    bp.until(lambda: json.loads(agent.ask("GET", f"/sessions/{session}")[1])["status"] == "finished", 20, "it is over")
    sim.stop()
    files = sorted(next((bp.SCRATCH / "data").rglob("*.mcap")).parent.glob("*.mcap"))
    everything = slices.whole(files, repeats=True)
    t0, t1 = slices.times(everything)
    bp.say(f"{len(everything)} messages in {len(files)} segments")
    slices.priors("files", files, everything)
    some = ["/robot1/imu", "/robot1/tf"]
    bp.check(slices.in_frames("frames", pieces(agent, session), everything, t0, t1 + 1, some) > 1, "in pieces")
    frames(agent, session, everything, (t0 + t1) // 2)
    refused(agent, session)
    seeks(agent, session, t0, t1)
    bp.check(agent.p.stop() == 0, "it ends well")


if __name__ == "__main__":
    bp.SCRATCH = bp.scratch()
    bp.main(test)
