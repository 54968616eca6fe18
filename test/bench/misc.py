"""Latency of commit, loss under kill -9, idle cost, recovery and cut-out of a large session.

misc.py [--quick] [--full] [--only commit|kill|idle|recovery|cut]: recovery and cut use 1 GB, 10 GB with
--full. Cold = page cache dropped, when that is allowed (printed).
"""
import os
import signal
import sys
import time

import bp
import judge
import machine
import senders
from bag import Bag

DOMAIN = 22


def drop_caches():
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("1")
        return True
    except OSError:
        return False


LOADS = (("10 kB/s", dict(topics=5, size=100, hz=20)), ("1 MB/s", dict(topics=10, size=1000, hz=100)),
         ("20 MB/s", dict(topics=4, size=50_000, hz=100)), ("200 MB/s", dict(topics=2, size=1_000_000, hz=100)))


def kill(folder, secs):
    """What kill -9 costs: samples sent before it, by the sender's log, that recovery does not bring back.
    The youngest may still have been between the sender and the recorder."""
    rows = []
    for name, load in LOADS:
        d = folder / ("kill" + name.replace(" ", "").replace("/", ""))
        d.mkdir()
        rec = bp.record(d / "bag", domain=DOMAIN)
        pub = senders.peer(DOMAIN, d / "sent.log", secs=secs + 5, linger=0.5, **load)
        time.sleep(secs)
        killed = time.monotonic_ns()
        rec.kill9()
        pub.stop()
        t = time.monotonic()
        bp.bagpipe("recover", d / "bag", ok=(0, 3), timeout=300)
        took = time.monotonic() - t
        sent = judge.SendLog(d / "sent.log")
        early = sum(mono <= killed for rows_ in sent.sent.values() for _, mono, _, _ in rows_)
        v = judge.account(Bag(d / "bag"), sent, until_mono=killed)
        rows.append([name, early, v.missing, f"{v.missing_ns / 1e6:.1f}" if v.missing else "-", f"{took:.2f}"])
        bp.run(["rm", "-rf", d])
    return machine.table(["load", "sent before kill -9", "missing", "oldest of them, ms before the kill", "recovery s"], rows)


def commit(folder, secs):
    """Age of what is durable, seen from outside: from the log of published promises."""
    rows = []
    for name, load in LOADS:
        d = folder / name.replace(" ", "").replace("/", "")
        d.mkdir()
        durable = d / "durable"
        durable.touch()
        rec = bp.record(d / "bag", "--json", domain=DOMAIN, env={"BAGPIPE_TEST_DURABLE_LOG": str(durable)})
        pub = senders.peer(DOMAIN, d / "sent.log", secs=secs, linger=0.5, **load)
        ages, at = [], 0
        with open(durable) as f:
            while pub.alive():
                line = f.readline()
                if not line:
                    ages.append((time.time_ns() - at) / 1e6) if at else None
                    time.sleep(0.002)
                    continue
                at = max([at] + [int(w) for w in line.split() if w.isdigit()])
        rec.stop(timeout=30, sig=signal.SIGINT)
        ages.sort()
        pick = lambda q: f"{ages[int(q * (len(ages) - 1))]:.0f}" if ages else "-"
        bag, sent = Bag(d / "bag"), judge.SendLog(d / "sent.log")
        rows.append([name, pick(0.5), pick(0.99), pick(1.0), sent.count - bag.count, f"{rec.cpu_s():.2f}"])
        bp.run(["rm", "-rf", d])
    return machine.table(["load", "age of the newest durable message, ms: p50", "p99", "max", "lost",
                          f"CPU s in {secs} s"], rows)


def idle(folder, secs):
    """CPU of a recorder that has 500 topics and receives nothing."""
    rec = bp.record(folder / "idle", domain=DOMAIN)
    pub = senders.peer(DOMAIN, folder / "idle.log", secs=secs + 30, topics=500, hz=-1)
    time.sleep(8)
    a, t = bp.cpu_of(rec.pid), time.monotonic()
    time.sleep(secs)
    share = 100 * (bp.cpu_of(rec.pid) - a) / (time.monotonic() - t)
    m = bp.rss_kb(rec.pid)
    pub.stop()
    rec.stop(timeout=30, sig=signal.SIGINT)
    return machine.table(["500 topics at rest", "goal"], [[f"{share:.2f} % of a core", "< 0.5 %"],
                         [f"{(m['VmRSS'] - m['RssShmem']) / 1024:.0f} MiB without the ring", "< 100 MiB"]])


def big(folder, gb, *args):
    out = folder / f"big{len(list(folder.glob('big*')))}"
    rec = bp.record(out, *args, domain=DOMAIN)
    pub = senders.peer(DOMAIN, folder / "big.log", secs=600, size=1_000_000, hz=300, depth=0, linger=0)
    while sum(f.stat().st_size for f in out.glob("*.mcap")) < gb * 1e9 and pub.alive():
        time.sleep(0.05)
    return out, rec, pub


def cat_seconds(out):
    files = sorted(out.glob("*.mcap"))
    drop_caches()
    t = time.monotonic()
    for f in files:
        bp.run(["sh", "-c", f"cat '{f}' > /dev/null"], timeout=900)
    return time.monotonic() - t


def recovery(folder, gb):
    """One segment without a footer: recovery must read all of it."""
    out, rec, pub = big(folder, gb, "-b", "100GiB")
    rec.kill9()
    pub.stop()
    size = sum(f.stat().st_size for f in out.glob("*.mcap")) / 1e6
    cat = cat_seconds(out)
    cold = drop_caches()
    t = time.monotonic()
    bp.bagpipe("recover", out, ok=(0, 3), timeout=900)
    took = time.monotonic() - t
    bp.bagpipe("verify", out, timeout=900)
    bp.run(["rm", "-rf", out])
    return machine.table(["session MB", "cold" if cold else "warm (dropping caches is not allowed)", "cat s", "recover s",
                          "speed against cat", "goal"],
                         [[f"{size:.0f}", "yes" if cold else "no", f"{cat:.2f}", f"{took:.2f}", f"{100 * cat / took:.0f} %", ">= 70 %"]])


def cut(folder, gb):
    """10 s out of the middle of a large session."""
    out, rec, pub = big(folder, gb)
    time.sleep(1)
    pub.stop()
    rec.stop(timeout=60, sig=signal.SIGINT)
    _, info = bp.bagpipe_json("info", "--json", out, timeout=300)
    secs = info["duration_seconds"]
    start, length = secs * 0.5, min(10, secs * 0.4)
    cold = drop_caches()
    t = time.monotonic()
    _, said, _ = bp.bagpipe("play", out, "--dry-run", "--start-offset", f"{start}s", "--until", f"{start + length}s",
                            "--json", timeout=300)
    took = time.monotonic() - t
    bp.run(["rm", "-rf", out])
    return machine.table(["session", "cut", "cold", "s", "goal"],
                         [[f"{gb} GB, {secs:.0f} s", f"{length:.0f} s at {start:.0f} s", "yes" if cold else "no",
                           f"{took:.2f}", "< 1 s"]]) + f"\n{said.strip()[-300:]}"


def bench():
    quick, full = "--quick" in sys.argv, "--full" in sys.argv
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    folder = bp.scratch()
    gb, secs = (10 if full else 1), (3 if quick else 8)
    parts = []
    for name, fn, arg in (("commit", commit, secs), ("kill", kill, secs), ("idle", idle, secs), ("recovery", recovery, gb), ("cut", cut, gb)):
        if only in ("", name):
            parts += [fn(folder, arg), ""]
    machine.report("misc", "\n".join([machine.describe(folder), "", *parts]))


if __name__ == "__main__":
    machine.raise_rmem()
    bp.own_network()
    bp.main(bench)
