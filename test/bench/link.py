"""Agents at a `bagpipe server`, over loopback: each tells its status once a second and an event every ten. What that costs the
server. Promise for 1,000: < 150 MB, < 20 % of a core.

link.py [--quick] [--agents N,N,…] [--secs N]: so many agents (0, 100, 1,000, 4,000; quick 100), each time at a server of
its own, for so long (30; quick 5)
"""
import json
import sys
import time

import bp
import machine
from syncing import Server

LOAD = bp.BUILD / "test/bench/link-load"


def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def once(folder, agents, secs):
    s = Server(folder).start("auth.rate=0", "storage.min_free=0", "http.max_connections=8192")
    alone = bp.rss_kb(s.p.pid)["VmRSS"]
    r, joined, load_cpu = {"connected": 0, "sent": 0, "acks": 0, "ack_ms": 0, "ack_max_ms": 0}, 0, 0
    if agents:
        began = time.monotonic()
        p = bp.Proc([LOAD, f"ws://127.0.0.1:{s.port}/api/v1/link", agents, secs + 2])
        bp.until(lambda: "connected" in p.text() or not p.alive(), 180, "they are connected")
        joined = time.monotonic() - began
    time.sleep(1)
    before, began = bp.cpu_of(s.p.pid), time.monotonic()
    time.sleep(secs)
    cpu = (bp.cpu_of(s.p.pid) - before) / (time.monotonic() - began)
    rss = bp.rss_kb(s.p.pid)
    if agents:
        robots = s.ask("GET", "/api/v1/robots")["robots"]
        bp.check(len(robots) == agents and all(x["state"] == "online" for x in robots), f"{len(robots)} of {agents} are online")
        bp.check(p.wait(60) == 0, f"link-load: {p.text()[-500:]}")
        r, load_cpu = json.loads(p.text().splitlines()[-1]), p.cpu_s()
        bp.check(r["connected"] == agents and r["ended"] == 0 and r["refused"] == 0, f"{r}")
        bp.check(r["sent"] >= agents * secs and r["acks"] >= agents * (secs // 10) * 0.9, f"{r}")
    s.p.stop()
    each = (rss["VmRSS"] - alone) / agents if agents else 0
    return [f"{agents:,}", f"{joined:.1f}", f"{rss['VmRSS'] / 1024:.0f}", f"{rss['VmHWM'] / 1024:.0f}", f"{each:.1f}" if agents else "",
            f"{100 * cpu:.1f}", f"{r['ack_ms']:.1f}" if agents else "", f"{r['ack_max_ms']:.1f}" if agents else "",
            f"{load_cpu:.1f}" if agents else ""]


def bench():
    quick = "--quick" in sys.argv
    agents = [int(x) for x in option("--agents", "100" if quick else "0,100,1000,4000").split(",")]
    secs = int(option("--secs", "5" if quick else "30"))
    folder = bp.scratch()
    rows = [once(folder / str(n), n, secs) for n in agents]
    machine.report("link", "\n".join([machine.describe(folder), "", f"{secs} s each", "", machine.table(
        ["agents", "connected in s", "server MiB", "at most", "KiB an agent", "% of a core", "event acknowledged ms", "at most",
         "CPU s of the agents"], rows)]))


if __name__ == "__main__":
    bp.main(bench)
