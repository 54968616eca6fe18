"""I/O errors at every k-th call: the recorder neither crashes nor lies.

For each file operation and each k of a sweep, a recording in which that call fails with EIO (ENOSPC in
some). Whatever the exit status: after `recover` the folder verifies, payloads are whole, and every
sample is stored or in the ledger with its reason.
"""
import signal
import time

import bp
import judge
import senders
from bag import Bag

DOMAIN = 17
OPS = ["pwrite", "datasync", "sync", "sync_dir", "allocate", "open", "truncate", "rename", "close"]
PARALLEL = 6


def faults(rnd):
    """Specifications of the sweep: each operation at its first calls, then every k-th."""
    out = [f"op={op},at={k},errno=EIO" for op in OPS for k in (1, 2, 3, 5, 8, 13)]
    out += [f"op={op},every={k},errno=EIO" for op in ("pwrite", "datasync", "*") for k in (3, 7, 20)]
    out += [f"op=pwrite,path=*journal*,from={k},errno=EIO" for k in (1, 4, 9)]
    out += [f"op=pwrite,at={k},errno=EIO,half" for k in (4, 6, 9)]
    out += [f"op=allocate,from={k},errno=ENOSPC" for k in (2, 3)] + ["op=pwrite,path=*.mcap,from=6,errno=ENOSPC"]
    out += [f"op=*,at={k},errno=EIO" for k in range(1, 100, 3)]
    if not bp.full():
        out = rnd.sample(out, 18)
    return out


def judged(spec, out, status, logs):
    if status is None or status < 0:
        bp.fail(f"{spec}: the recorder died of signal {status}")
    if not any(out.glob("*.mcap")):
        bp.check(status not in (0, 3), f"{spec}: nothing recorded, so the exit status must say it ({status})")
        bp.say(f"{spec}: exit {status}, refused to start")
        return
    rc, said, err = bp.bagpipe("recover", out, ok=(0, 3))
    bp.bagpipe("verify", out)
    check = senders.PayloadCheck()
    bag = Bag(out, payload=check)
    r = judge.account(bag, logs, tolerate_tail=True)
    for p in r.problems + check.bad[:3]:
        bp.fail(f"{spec}: {p}")
    bp.say(f"{spec}: exit {status}, stored {r.stored} lost {r.lost} unaccounted tail {r.missing}")
    if status == 0:
        bp.check(r.missing == 0 and r.lost == 0, f"{spec}: exit 0 although {r.missing + r.lost} are missing")


def batch(specs):
    folder = bp.scratch()
    recs = []
    for i, spec in enumerate(specs):
        out = folder / f"bag{i}"
        recs.append((spec, out, bp.record(out, "-b", "2MiB", "--max-cache-size", "24MiB", domain=DOMAIN, wait=False,
                                          env={"BAGPIPE_FAULT": spec})))
    time.sleep(0.7)
    log = folder / "sent.log"
    pub = senders.peer(DOMAIN, log, secs=2, topics=4, size=4000, hz=200, linger=1, wait=1)
    pub.wait(40)
    ended = [(spec, out, rec.stop(timeout=20, sig=signal.SIGINT)) for spec, out, rec in recs]
    sent = judge.SendLog(log)
    for spec, out, status in ended:
        judged(spec, out, status, sent)
    bp.run(["rm", "-rf", folder])


def test():
    rnd = bp.seeded()
    specs = faults(rnd)
    for i in range(0, len(specs), PARALLEL):
        batch(specs[i:i + PARALLEL])


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
