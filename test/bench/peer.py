"""Loss, CPU and memory of `bagpipe record` beside a recorder built as rosbag2 is (peer-plain).

peer.py [--quick] [--runs N]: each load, RELIABLE KEEP_LAST 10 and BEST_EFFORT, from a publisher on
Cyclone's defaults; the two recorders take turns. A run whose publisher reached less than 98 % of its
rate is void and repeated (twice at most). Loss = sent by the publisher's log, not in the file.
"""
import json
import signal
import statistics
import sys
import threading
import time

import bp
import judge
import machine
from bag import Bag

LOADS = [
    ("6 MB x 30 Hz", dict(topics=1, size=6_000_000, hz=30)),
    ("4 x 1 MB x 30 Hz", dict(topics=4, size=1_000_000, hz=30)),
    ("100 x 100 B x 100 Hz", dict(topics=100, size=100, hz=100)),
    ("64 KiB x 2 kHz", dict(topics=1, size=65536, hz=2000)),
]
DOMAIN = 12
TOOLS = bp.BUILD / "test" / "bench"


class Memory(threading.Thread):
    """Peak of anonymous memory and of all memory of a process, looked at every 50 ms."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.anon, self.rss, self.end = pid, 0, 0, False
        self.start()

    def run(self):
        while not self.end:
            m = bp.rss_kb(self.pid)
            self.anon = max(self.anon, m.get("VmRSS", 0) - m.get("RssShmem", 0))
            self.rss = max(self.rss, m.get("VmRSS", 0))
            time.sleep(0.05)


def publish(folder, load, qos, secs):
    log = folder / "sent.log"
    args = [TOOLS / "peer-pub", DOMAIN, log, f"secs={secs}", f"qos={qos}", "depth=10", "linger=2"]
    p = bp.Proc(args + [f"{k}={v}" for k, v in load.items()])
    p.wait(secs + 40)
    return log, json.loads(p.text().strip().splitlines()[-1])


def stored(bag, log):
    """How many of the sent samples are in the file, by the publisher's own sequence numbers."""
    return sum(min(len(bag.messages[topic]), len(rows)) for (_, topic), rows in log.sent.items())


def one(which, load, qos, secs, folder):
    out = folder / ("bag" if which == "bagpipe" else "peer.mcap")
    if which == "bagpipe":
        rec = bp.record(out, domain=DOMAIN)
    else:
        rec = bp.Proc([TOOLS / "peer-plain", out, DOMAIN])
        bp.until(lambda: "ready" in rec.text(), 10, "peer-plain")
    mem = Memory(rec.pid)
    path, pub = publish(folder, load, qos, secs)
    time.sleep(0.5)
    mem.end = True
    rec.stop(timeout=30, sig=signal.SIGINT)
    log = judge.SendLog(path)
    bag = Bag(out, strict=False)
    lost = log.count - stored(bag, log)
    r = dict(which=which, sent=log.count, lost=lost, cpu=rec.cpu_s(), rss=mem.anon / 1024,
             void=pub["sent"] < 0.98 * pub["wanted"] or pub["secs"] > secs / 0.98)
    if which == "bagpipe":
        v = judge.account(bag, log, joined_early=True, tolerate_tail=True)
        r["truth"] = not v.problems and v.missing == 0 and bag.lost() == lost
        for p in v.problems[:3]:
            bp.say(f"  ledger: {p}")
        if not r["truth"]:
            bp.say(f"  ledger says lost {bag.lost()}, truth {lost}, unaccounted {v.missing}")
    return r


def series(name, load, qos, secs, runs, folder):
    got = {"bagpipe": [], "plain": []}
    for i in range(runs):
        for which in ("bagpipe", "plain") if i % 2 == 0 else ("plain", "bagpipe"):
            for attempt in range(3):
                d = folder / f"{which}-{i}-{attempt}"
                d.mkdir()
                r = one(which, load, qos, secs, d)
                bp.run(["rm", "-rf", d])
                if not r["void"]:
                    break
                bp.say(f"  void: publisher too slow ({name}, {qos}, {which})")
            got[which].append(r)
    return got


def row(name, qos, got):
    a, b = got["bagpipe"], got["plain"]
    loss = lambda rs: " ".join(f"{100 * r['lost'] / max(1, r['sent']):.2f}" for r in rs)
    median = lambda rs, k: statistics.median(r[k] for r in rs)
    void = "*" if any(r["void"] for r in a + b) else ""
    return [name + void, qos, loss(a), loss(b), f"{median(a, 'cpu'):.2f}", f"{median(b, 'cpu'):.2f}",
            f"{median(a, 'cpu') / max(0.01, median(b, 'cpu')):.2f}", f"{median(a, 'rss'):.0f}", f"{median(b, 'rss'):.0f}",
            "yes" if all(r["truth"] for r in a) else "NO"]


def bench():
    secs = 4 if "--quick" in sys.argv else 20
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 1
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    folder = bp.scratch()
    rows = []
    for name, load in LOADS:
        if only not in name:
            continue
        for qos in ("reliable", "best_effort"):
            d = folder / f"{len(rows)}"
            d.mkdir()
            rows.append(row(name, qos, series(name, load, qos, secs, runs, d)))
            bp.say("  " + " ".join(rows[-1]))
    head = ["load", "qos", "lost % bagpipe", "lost % plain", "CPU s bagpipe", "CPU s plain", "ratio",
            "MiB bagpipe", "MiB plain", "ledger = truth"]
    machine.report("peer", "\n".join([
        f"{machine.describe(folder)}; {secs} s a run, {runs} runs; memory without the ring",
        "", machine.table(head, rows), "", "`*` a run was void: the publisher did not reach 98 % of its rate."]))
    bp.check(all(r[-1] == "yes" for r in rows), "the ledger equals the truth")


if __name__ == "__main__":
    machine.raise_rmem()
    bp.own_network()
    bp.main(bench)
