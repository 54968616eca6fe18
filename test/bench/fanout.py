"""The fan-out beside npm ws: 200 clients x 1,000 messages/s x 200 B, the same with a client that never
reads, and frames of 30 kB to viewers with credit. Both servers publish by the clock, and a delay counts
from the moment a message was due: who falls behind cannot hide it.

fanout.py [--quick] [--runs N]: the median of N runs (5), ours and the peer's in turn.
"""
import json
import statistics
import subprocess
import sys

import bp
import machine

LOAD = str(bp.BUILD / "test/bench/fanout-load")

# name, clients, messages/s, bytes, path of ours, credit, clients that never read, beside the peer
ROWS = (("200 clients x 1,000/s x 200 B", 200, 1000, 200, "/feed", 0, 0, True),
        ("the same and one that never reads", 200, 1000, 200, "/feed", 0, 1, False),
        ("20 viewers x 1,000/s x 30 kB, latest, 2 credits", 20, 1000, 30000, "/feed?policy=latest", 2, 0, True),
        ("40 viewers x 1,000/s x 30 kB, latest, 2 credits", 40, 1000, 30000, "/feed?policy=latest", 2, 0, False))


def ours():
    p = bp.Proc([bp.BUILD / "test/system/ws-probe", "127.0.0.1:0"])
    bp.until(lambda: ":" in p.text(), 10, "the server")
    return p, int(p.text().split()[0].rsplit(":", 1)[1])


def peer():
    p = bp.Proc(["node", bp.REPO / "test/bench/ws-peer.mjs", bp.BUILD / "npm/node_modules"])
    bp.until(lambda: p.text().strip().isdigit() or not p.alive(), 10, "the peer")
    return p, int(p.text())


def once(server, row, secs):
    _, clients, rate, size, path, credit, stalled, _ = row
    p, port = server()
    before = bp.cpu_of(p.pid)
    out = subprocess.run([LOAD, str(port), path if server is ours else "/feed",
                          *map(str, (clients, rate, size, secs, credit if server is ours else 0, stalled))],
                         capture_output=True, text=True, timeout=120)
    if out.returncode != 0:
        bp.fail(f"{row[0]}: {out.stderr}")
        bp.finish()
    r = json.loads(out.stdout)
    r["server_cpu_s"] = bp.cpu_of(p.pid) - before
    bp.check(r["disordered"] == 0, f"{row[0]}: {r['disordered']} out of order")
    p.stop()
    return r


def line(name, who, runs, secs):
    m = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
    return [name, who, f"{100 * m['delivered'] / m['expected']:.1f}", f"{m['delivered'] / secs:.0f}", f"{m['p50_ms']:.2f}",
            f"{m['p99_ms']:.2f}", f"{max(r['p99_ms'] for r in runs):.2f}", f"{m['server_cpu_s']:.2f}", f"{m['client_cpu_s']:.2f}"]


def bench():
    quick = "--quick" in sys.argv
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 1 if quick else 5
    secs = 2 if quick else 5
    got = {}
    for _ in range(runs):
        for row in ROWS:
            for server in (ours, peer) if row[-1] else (ours,):
                got.setdefault((row, server), []).append(once(server, row, secs))
    table = [line(row[0], "bagpipe" if server is ours else "npm ws", r, secs) for (row, server), r in got.items()]
    machine.report("fanout", "\n".join([machine.describe(bp.scratch()), "", f"{secs} s a run, median of {runs}", "", machine.table(
        ["load", "server", "delivered %", "messages/s", "p50 ms", "p99 ms", "worst p99", "server CPU s", "client CPU s"], table)]))


if __name__ == "__main__":
    bp.own_network()
    bp.main(bench)
