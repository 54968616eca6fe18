"""The demo as anybody starts it, without a length: one address of a dashboard, two robots recording within 30 s of the
start, something to see on every page (lidar, camera, driving, loss, alerts, a target that refuses what it is sent,
commands through the server), a folder that stops growing, and an end at Ctrl-C that leaves whole sessions and nobody
behind.
"""
import json
import os
import re
import signal
import subprocess
import time
import urllib.request

import bp

SIZE_MAX_MB = 2000


class Demo:
    def __init__(self, folder):
        self.began = time.monotonic()
        # whoever started this test may have told it to ignore Ctrl-C
        self.p = bp.Proc(["bash", bp.REPO / "test" / "demo.sh", ""], env={"BP_BUILD": str(folder), "BAGPIPE": bp.BAGPIPE},
                         under=["env", "--default-signal=INT"])
        bp.until(lambda: "Ctrl-C" in self.p.text() or not self.p.alive(), 30, "its address", step=0.1)
        bp.check(self.p.alive(), f"it runs: {self.p.text()[-500:]}")
        self.urls = re.findall(r"http://127\.0\.0\.1:\d+(?=/\s)", self.p.text())
        bp.check(len(self.urls) == 3, f"one dashboard and two robots: {self.urls}")
        self.server, *self.agents = self.urls

    def ask(self, url, path):
        with urllib.request.urlopen(url + path, timeout=20) as r:
            return json.load(r)

    def tell(self, url, path, body):
        r = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(r, timeout=20) as answer:
            return json.load(answer)


def page(demo):
    for url in demo.urls:
        r = urllib.request.urlopen(urllib.request.Request(url + "/", headers={"Accept": "text/html"}), timeout=20)
        bp.check(b"<title>bagpipe</title>" in r.read(), f"{url} is a page")


def recording(demo):
    def there():
        robots = demo.ask(demo.server, "/api/v1/robots")["robots"]
        return {r["robot"] for r in robots if r["state"] == "online" and r["does"] == "recording"} == {"robot1", "robot2"}

    bp.until(there, 30, "two robots that record", step=0.2)
    took = time.monotonic() - demo.began
    bp.check(took < 30, f"they recorded {took:.1f} s after the start")
    bp.say(f"two robots record {took:.1f} s after the start")


def topics(demo):
    got = {t["topic"] for t in demo.ask(demo.agents[0], "/api/v1/topics")["topics"]}
    for name in ("lidar/points", "camera/image_raw", "camera/image_raw/compressed", "odom", "imu", "fix", "tf"):
        bp.check(f"/robot1/{name}" in got, f"/robot1/{name} is there: {sorted(got)}")


def alive(demo):
    """What the pages of robot 2 and of the server have to show."""
    one, two = demo.agents
    bp.until(lambda: demo.ask(two, "/api/v1/status")["sessions"]["lost"] > 0, 30, "loss on robot 2's network", step=0.5)
    bp.check(demo.ask(one, "/api/v1/status")["sessions"]["lost"] == 0, "robot 1 loses nothing")
    keys = lambda: {a["key"] for a in demo.ask(two, "/api/v1/alerts")["alerts"]}
    want = {"sync/depot", "trigger.battery/robot2", "trigger.sharp_turn/robot2"}
    bp.until(lambda: want <= keys(), 40, "robot 2's alerts", step=0.5)
    targets = {t["name"]: t for t in demo.ask(two, "/api/v1/sync")["targets"]}
    bp.check(targets["depot"]["class"] == "permanent" and targets["depot"]["text"], f"the depot refuses: {targets['depot']}")
    bp.until(lambda: all(s["done"]["files"] for s in (demo.ask(a, "/api/v1/sync")["targets"][0] for a in demo.agents)), 40,
             "files of both at the server", step=0.5)
    bp.until(lambda: len(demo.ask(demo.server, "/api/v1/sessions")["sessions"]) >= 2, 20, "sessions at the server", step=0.5)


def size_mb(folder):
    return int(subprocess.run(["du", "-sm", str(folder)], capture_output=True, text=True).stdout.split()[0])


def bounded(demo, folder):
    """It stays small: for five minutes with --full."""
    end = time.monotonic() + bp.amount(0, 300)
    sizes = [size_mb(folder)]
    while time.monotonic() < end:
        time.sleep(5)
        sizes.append(size_mb(folder))
    most = max(sizes)
    bp.check(most < SIZE_MAX_MB, f"MB on the disk every 5 s: {sizes}")
    bp.say(f"at most {most} MB on the disk after {time.monotonic() - demo.began:.0f} s")


def left(folder):
    """Programs that have files of the demo open, or its folder among their words."""
    r = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True)
    return [p for p in r.stdout.split() if int(p) != os.getpid()]


def end(demo, folder):
    began = time.monotonic()
    demo.p.send(signal.SIGINT)
    demo.p.wait(60)
    text = demo.p.text()
    bp.check(demo.p.p.returncode == 0, f"Ctrl-C: {demo.p.p.returncode} {text[-600:]}")
    whole = re.search(r"(\d+) sessions are whole", text)
    bp.check(whole and int(whole[1]) >= 2, f"sessions are whole: {text[-300:]}")
    bp.check(not left(folder), f"nobody stays: {left(folder)}")
    bp.say(f"Ctrl-C took {time.monotonic() - began:.1f} s")


def test():
    folder = bp.scratch()
    demo = Demo(folder)
    page(demo)
    recording(demo)
    topics(demo)
    alive(demo)
    bounded(demo, folder)
    end(demo, folder)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
