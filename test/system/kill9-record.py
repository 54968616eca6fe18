"""kill -9 of the recorder at random moments, judged from outside.

Every sample the senders' logs show as sent 50 ms or more before the kill must be in the file or in
the ledger; payloads must be whole; the folder verifies after recovery. Loads low, mixed, high; none,
lz4, zstd; with and without splits; the disk stalled on purpose in a quarter; recovery itself killed
in a third and run again; in a fifth the next `record` in the folder recovers by itself and goes on.
Ends with the negative control: without tmpfs ring and without journal the same judge must object.
"""
import time

import bp
import judge
import senders
from bag import Bag

DOMAIN = 14
SLACK_NS = 50_000_000

LOADS = {
    "low": [dict(topics=5, size=200, hz=20)],
    "mixed": [dict(topics=20, size=300, hz=100, prefix="/small"), dict(topics=2, size=1_000_000, hz=15, prefix="/big"),
              dict(topics=1, size=20_000, hz=200, qos="best_effort", prefix="/mid")],
    "high": [dict(topics=2, size=1_000_000, hz=50, prefix="/big"), dict(topics=1, size=65536, hz=400, prefix="/mid")],
}
STALL = "op=datasync,every=3,delay=400ms;op=pwrite,path=*.mcap,every=9,delay=150ms"


def start_senders(folder, load):
    logs, procs = [], []
    for i, options in enumerate(LOADS[load]):
        logs.append(folder / f"sent{i}.log")
        procs.append(senders.peer(DOMAIN, logs[-1], linger=0, **options))
    bp.until(lambda: all(l.exists() and l.stat().st_size for l in logs), 20, "senders")
    return logs, procs


def kill_one(folder, rnd, load, args, env):
    """Records, kills at a random moment. @return (bag folder, log files, senders, mono of the kill)"""
    out = folder / "bag"
    rec = bp.record(out, *args, domain=DOMAIN, env=env)
    logs, procs = start_senders(folder, load)
    time.sleep(rnd.uniform(0.05, 2.0))
    return out, logs, procs, rec.kill9()


def recover(out, rnd, kill_it):
    if kill_it:
        k = rnd.randint(1, 80)
        bp.bagpipe("recover", out, env={"BAGPIPE_FAULT": f"op=*,at={k},kill"}, ok=None)
    bp.bagpipe("recover", out, ok=(0, 3))


def verdict(out, logs, t, canary):
    check = senders.PayloadCheck("/")
    bag = Bag(out, payload=check)
    log = judge.SendLog(*logs)
    r = judge.account(bag, log, until_mono=t - SLACK_NS)
    if r.missing and r.missing_ns < 4 * SLACK_NS and canary.worst_ms(t - 500_000_000) > 10:
        # the machine itself stood still around the kill: judge by five times the slack
        bp.say(f"  machine late by {canary.worst_ms(t - 500_000_000):.0f} ms around the kill: 250 ms instead of 50")
        r = judge.account(bag, log, until_mono=t - 5 * SLACK_NS)
    r.problems += check.bad[:5]
    return bag, r


def one(i, rnd, canary, totals):
    load = rnd.choice(list(LOADS))
    args = ["--compression-format", rnd.choice(["none", "none", "lz4", "zstd"])]
    args += rnd.choice([[], ["-b", "4MiB"], ["-b", "32MiB"]])
    stalled, resume, kill_it = i % 4 == 3, i % 5 == 2, i % 3 == 1
    folder = bp.scratch()
    what = f"kill {i}: {load} {' '.join(args[1:])}{' stalled' if stalled else ''}"
    out, logs, procs, t = kill_one(folder, rnd, load, args, {"BAGPIPE_FAULT": STALL} if stalled else {})
    wall = time.time_ns()
    if resume:
        what += " resumed by record"
        bp.bagpipe("record", "-a", "-o", out, "--domain", DOMAIN, "--duration", "2s", *args, ok=(0, 3))
    for p in procs:
        p.stop()
    if not resume:
        recover(out, rnd, kill_it)
    bag, r = verdict(out, logs, t, canary)
    bp.bagpipe("verify", out)
    totals["sent"] += r.sent
    totals["stored"] += r.stored
    totals["lost"] += r.lost
    for p in r.problems:
        bp.fail(f"{what}: {p}")
    if resume:
        newest = max((m[1] for v in bag.messages.values() for m in v), default=0)
        bp.check(newest > wall, f"{what}: the next record went on")
    bp.check(r.stored > 0 or r.sent == 0, f"{what}: something was stored")
    bp.say(f"{what}: sent {r.sent} stored {r.stored} lost {r.lost} before {r.before} {'ok' if not r.problems else 'BAD'}")
    bp.run(["rm", "-rf", folder])


def without_tmpfs(rnd, canary):
    """Promise: at most the last 10 ms on a quiet disk; this disk is shared: 50 ms more."""
    folder = bp.scratch()
    out, logs, procs, t = kill_one(folder, rnd, "low", ["--ring-dir", "none"], {})
    for p in procs:
        p.stop()
    recover(out, rnd, False)
    _, r = verdict(out, logs, t - 50_000_000, canary)
    for p in r.problems:
        bp.fail(f"without tmpfs: {p}")
    bp.say(f"without tmpfs: sent {r.sent} stored {r.stored} lost {r.lost}")


def negative_control(rnd, canary):
    folder = bp.scratch()
    env = {"BAGPIPE_FAULT": "op=pwrite,path=*journal*,skip"}
    out, logs, procs, t = kill_one(folder, rnd, "low", ["--ring-dir", "none"], env)
    for p in procs:
        p.stop()
    bp.bagpipe("recover", out, ok=None)
    _, r = verdict(out, logs, t, canary)
    bp.check(r.missing > 0 and r.problems, "negative control: without ring and journal the judge must object")
    bp.say(f"negative control: sent {r.sent}, the judge misses {r.missing}, as it should")


def test():
    rnd = bp.seeded()
    canary = judge.Canary()
    totals = dict(sent=0, stored=0, lost=0)
    n = bp.amount(20, 200, 1000)
    for i in range(n):
        one(i, rnd, canary, totals)
        if bp.failures() > 10:
            break
    without_tmpfs(rnd, canary)
    negative_control(rnd, canary)
    bp.say(f"{n} kills: {totals}")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
