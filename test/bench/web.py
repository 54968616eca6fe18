"""The live view in a browser: from a picture's stamp to its pixels, with a lidar beside it; a viewer on a thin line;
five viewers, and what they cost the recording.

web.py [--quick] [--only live|cloud|thin|five]: Debian's Chromium draws without a GPU, on the same cores as robot and
agent. Ages are to the animation frame in which the page can read the pixels: add one frame (17 ms) for the screen.
A cloud of 200,000 points at 30 Hz is for machines with a GPU: `--only gpu`.
"""
import io
import json
import sys
import time

from PIL import Image
from mcap.reader import make_reader

import bp
import browser
import machine
from agentapi import Agent

DOMAIN = 58
CAMERA, CLOUD = "/robot1/camera/image_raw/compressed", "/robot1/lidar/points"
WIDTH, BLOCK = 1280, 32
ROW = ["what", "pictures/s", "age ms p50", "p95", "max", "first/last quarter", "page frames/s", "tasks > 100 ms",
       "agent CPU", "lost", "goal"]


def number(jpeg):
    im = Image.open(io.BytesIO(jpeg)).convert("L")
    return sum((im.getpixel((i * BLOCK + BLOCK // 2, BLOCK // 2)) > 127) << i for i in range(16))


def stamps(folder):
    """@return {number of a picture: ms of its stamp}, from what was recorded meanwhile"""
    found = {}
    for f in sorted(folder.glob("*.mcap")):
        with open(f, "rb") as file:
            for _, _, m in make_reader(file).iter_messages(topics=[CAMERA]):
                sec, nanosec = (int.from_bytes(m.data[i:i + 4], "little") for i in (4, 8))
                found[number(m.data[m.data.index(b"\xff\xd8"):])] = sec * 1e3 + nanosec / 1e6
    return found


def ages(one, stamp):
    return [t - stamp[n] for t, n in one["seen"][1:] if n in stamp]


def at(values, part):
    return sorted(values)[int(part * (len(values) - 1))] if values else float("nan")


def run(folder, name, secs, lidar, goal, viewers=1, bytes_s=0, shown=WIDTH, settle=5):
    d = folder / name
    d.mkdir()
    agent = Agent(d, domain=DOMAIN)
    sim = browser.sim(DOMAIN, "--profile", "mixed", "--camera", f"{WIDTH}x720@30", "--lidar", lidar)
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 8, 30, "topics of a robot")
    agent.json("POST", "/api/v1/sessions", {"name": "bench", "topics": [CAMERA]}, 201)
    before, start = bp.cpu_of(agent.p.pid), time.monotonic()
    lines = browser.drive("latency", agent.base, limit=secs + 200, camera=CAMERA, cloud=CLOUD, width=WIDTH, shown=shown,
                          secs=secs, settle=settle, viewers=viewers, bytes_s=bytes_s,
                          scene={"topics": [CLOUD], "points": int(lidar.split("@")[0])})
    cpu = (bp.cpu_of(agent.p.pid) - before) / (time.monotonic() - start)
    agent.json("POST", "/api/v1/sessions/bench/stop")
    lost = agent.get("/api/v1/sessions/bench")["lost"]
    sim.stop()
    stamp = stamps(agent.data / "bench")
    results = [json.loads(line[7:]) for line in lines if line.startswith("RESULT ")]
    bp.check(results and all(ages(r, stamp) for r in results), f"{name}: nothing was seen")
    agent.p.stop()
    bp.run(["rm", "-rf", d])
    rows = []
    for i, r in enumerate(results):
        a = ages(r, stamp)
        q = len(a) // 4 or 1
        rows.append([f"{name} {i + 1}" if viewers > 1 else name, f"{len(a) / secs:.1f}", f"{at(a, 0.5):.0f}",
                     f"{at(a, 0.95):.0f}", f"{max(a):.0f}", f"{at(a[:q], 0.5):.0f}/{at(a[-q:], 0.5):.0f}",
                     f"{r['frames'] / secs:.0f}", sum(t > 100 for t in r["tasks"]), f"{cpu * 100:.0f} %", lost, goal])
    return rows


def bench():
    quick = "--quick" in sys.argv
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    browser.need()
    folder, secs, rows = bp.scratch(), (10 if quick else 30), []
    runs = {
        "live": dict(lidar="20000@10", goal="p95 < 150 ms, >= 28/s"),
        "cloud": dict(lidar="100000@10", goal="not growing, no task > 100 ms", secs=secs if quick else 600),
        "thin": dict(lidar="20000@10", goal="p95 < 500 ms", bytes_s=125_000, settle=20),
        "five": dict(lidar="20000@10", goal="lost 0", viewers=5),
        "gpu": dict(lidar="200000@30", goal="p95 < 150 ms"),
    }
    for name, what in runs.items():
        if only == name or (only == "" and name != "gpu"):
            rows += run(folder, name, what.pop("secs", secs), **what)
    machine.report("web", "\n".join([machine.describe(folder), "", machine.table(ROW, rows)]))


if __name__ == "__main__":
    machine.raise_rmem()
    bp.own_network()
    bp.main(bench)
