"""Power cuts under the recorder: the disk has a volatile cache of which each unflushed sector
survives with half a chance (lib/cutdisk.c); flushes are stretched to 40 ms in half of the runs.

What the recorder published as durable before the cut must be in the recovered folder, message by
message, judged by the senders' logs and by the ring it left in memory; the folder verifies; recovery
that is killed and run again gives the same messages. Negative control: with syncs skipped, the same
judge must object within a few cuts.
"""
import shutil
import time

import bp
import disk
import judge
import ring
import senders
from bag import Bag

DOMAIN = 15
LOADS = {
    "low": [dict(topics=5, size=200, hz=50)],
    "mixed": [dict(topics=10, size=300, hz=100, prefix="/small"), dict(topics=1, size=400_000, hz=15, prefix="/big")],
    "high": [dict(topics=1, size=500_000, hz=60, prefix="/big"), dict(topics=5, size=1000, hz=100, prefix="/small")],
}
SLACK_NS = 50_000_000  # between a sender's clock and our receive clock


def promises(path):
    """Wall times the recorder published as durable, oldest first."""
    out = []
    for line in open(path, errors="replace"):
        if line.endswith("\n"):
            words = [int(w) for w in line.split() if w.isdigit()]
            out += [max(words)] if words else []
    return out


class Cut:
    def __init__(self, folder, rnd, load, args, delay_ms, env=None, seconds=(0.6, 2.5)):
        self.folder, self.shm = folder, folder / "ring"
        self.shm.mkdir()
        self.disk = disk.CutDisk(folder / "disk", 192, rnd.randint(1, 1 << 30), sector=rnd.choice([512, 4096]),
                                 delay_ms=delay_ms)
        self.durable = folder / "durable"
        e = {"BAGPIPE_TEST_DURABLE_LOG": str(self.durable), **(env or {})}
        self.out = self.disk.path / "bag"
        self.rec = bp.record(self.out, "--ring-dir", self.shm, "--min-free", "8MiB", "-b", "24MiB", *args,
                             domain=DOMAIN, env=e)
        self.logs, procs = [], []
        for i, o in enumerate(LOADS[load]):
            self.logs.append(folder / f"sent{i}.log")
            procs.append(senders.peer(DOMAIN, self.logs[-1], linger=0, **o))
        bp.until(lambda: all(l.exists() and l.stat().st_size for l in self.logs), 20, "senders")
        time.sleep(rnd.uniform(*seconds))
        self.at, self.dirty, self.kept, _, self.flushes = self.disk.cut()
        self.rec.kill9()
        for p in procs:
            p.stop()
        self.ring = ring.messages(self.shm)
        shutil.rmtree(self.shm)  # memory is gone
        self.shm.mkdir()
        self.out = self.disk.dead() / "bag"

    def verdict(self, until_wall):
        """The promise, by the senders' logs (with slack) and by the ring (exactly)."""
        check = senders.PayloadCheck("/")
        bag = Bag(self.out, payload=check)
        r = judge.account(bag, judge.SendLog(*self.logs), until_wall=until_wall - SLACK_NS)
        r.problems += check.bad[:5]
        have = {t: {(m[0], m[1]) for m in v} for t, v in bag.messages.items()}
        gone = [m for m in self.ring if m[2] <= until_wall and (m[1], m[2]) not in have.get(m[0], ())]
        if gone:
            r.missing += len(gone)
            r.bad(f"accepted and published as durable, not in the file: {len(gone)}, e.g. {gone[0]}, "
                  f"{(until_wall - gone[0][2]) / 1e6:.1f} ms before the promise")
        return bag, r


def contents(bag):
    return {t: sorted(v) for t, v in bag.messages.items()}


def one(i, rnd):
    load = rnd.choice(list(LOADS))
    delay = 40 if i % 2 else 0
    args = ["--compression-format", rnd.choice(["none", "lz4", "zstd"])]
    folder = bp.scratch("shm")
    c = Cut(folder, rnd, load, args, delay)
    promised = promises(c.durable)
    what = f"cut {i}: {load} {args[1]} flush {delay} ms, {c.dirty} sectors unflushed"
    copy = folder / "copy" / c.out.name
    shutil.copytree(c.out, copy)
    k = rnd.randint(1, 60)
    bp.bagpipe("recover", c.out, "--ring-dir", c.shm, env={"BAGPIPE_FAULT": f"op=*,at={k},kill"}, ok=None)
    bp.bagpipe("recover", c.out, "--ring-dir", c.shm, ok=(0, 3))
    bag, r = c.verdict(promised[-1] if promised else 0)
    bp.bagpipe("recover", copy, "--ring-dir", c.shm, ok=(0, 3))
    bp.check(contents(Bag(copy)) == contents(bag), f"{what}: recovery killed at call {k} and run again gives the same")
    bp.bagpipe("verify", c.out)
    for p in r.problems:
        bp.fail(f"{what}: {p}")
    bp.check(promised, f"{what}: something was published as durable")
    bp.say(f"{what}: sent {r.sent} stored {r.stored}, {len(promised)} promises, in ring {len(c.ring)} "
           f"{'BAD' if r.problems else 'ok'}")
    c.disk.close()
    bp.run(["rm", "-rf", "--one-file-system", folder])


def negative_control(rnd):
    """Syncs of segments and journal that do nothing: a promise must break within a few cuts."""
    for i in range(6):
        folder = bp.scratch("shm")
        c = Cut(folder, rnd, "mixed", [], 0, env={"BAGPIPE_FAULT": SKIP_SYNC}, seconds=(1.0, 2.0))
        promised = promises(c.durable)
        bp.bagpipe("recover", c.out, "--ring-dir", c.shm, ok=None)
        try:
            _, r = c.verdict(promised[-1] if promised else 0)
            broken = bool(r.problems)
        except Exception as e:
            broken, r = True, None
            bp.say(f"negative control: unreadable: {e}")
        c.disk.close()
        bp.run(["rm", "-rf", "--one-file-system", folder])
        if broken:
            bp.say(f"negative control: cut {i}: the judge objects, as it should"
                   + (f" ({r.missing} missing)" if r else ""))
            return
    bp.fail("negative control: six cuts with syncs skipped and the judge never objected")


SKIP_SYNC = "op=datasync,skip;op=pwrite,path=*journal*,skip"


def test():
    rnd = bp.seeded()
    n = bp.amount(5, 50, 200)
    for i in range(n):
        one(i, rnd)
        if bp.failures() > 10:
            break
    negative_control(rnd)
    bp.say(f"{n} cuts")


if __name__ == "__main__":
    if not disk.PLUGIN.exists():
        bp.skip("nbdkit's plugin header is missing, cutdisk.so was not built")
    bp.need("nbdkit", "nbdfuse", "losetup", "mkfs.ext4")
    bp.own_mounts()
    bp.own_network()
    bp.main(test)
