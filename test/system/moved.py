"""An interrupted session whose folder was renamed, copied or moved elsewhere before it is recovered.

Everything that the senders' logs show as sent 50 ms or more before the kill must be there, also what
was only in the ring. Neither a new recording under the old name nor the recovery of a copy may touch
what belongs to the session. And what another program left interrupted is never continued by us.
"""
import shutil
import time

import bp
import judge
import senders
from bag import Bag

DOMAIN = 104
SLACK_NS = 50_000_000


def interrupted(folder, shm, seconds, *args):
    """@return (session folder, senders' logs, mono of the kill)"""
    out = folder / "first"
    rec = bp.record(out, "--ring-dir", shm, *args, domain=DOMAIN)
    logs, procs = [], []
    for i, load in enumerate((dict(topics=5, size=200, hz=50), dict(topics=1, size=200_000, hz=30, prefix="/big"))):
        logs.append(folder / f"sent{i}.log")
        procs.append(senders.peer(DOMAIN, logs[-1], linger=0, **load))
    bp.until(lambda: all(log.exists() and log.stat().st_size for log in logs), 20, "senders")
    time.sleep(seconds)
    t = rec.kill9()
    for p in procs:
        p.stop()
    bp.check(rings(shm) == 1, "a ring is left")
    return out, logs, t


def rings(shm):
    return len(list(shm.glob("*.ring")))


def contents(out):
    return {topic: sorted(v) for topic, v in Bag(out).messages.items()}


def whole(what, out, logs, t):
    r = judge.account(Bag(out), judge.SendLog(*logs), until_mono=t - SLACK_NS)
    for p in r.problems:
        bp.fail(f"{what}: {p}")
    bp.check(r.stored > 0, f"{what}: something was stored")
    bp.bagpipe("verify", out)
    bp.check(not (out / "ring").exists() and not (out / "journal").exists(), f"{what}: nothing is left behind")
    bp.say(f"{what}: sent {r.sent} stored {r.stored} lost {r.lost}")


def renamed(folder, shm, seconds, split):
    """mv first second; recover second. Meanwhile somebody records under the old name."""
    out, logs, t = interrupted(folder, shm, seconds, *split)
    second = out.rename(folder / "second")
    said = bp.record(out, "--ring-dir", shm, domain=DOMAIN + 1)
    bp.check("is left from an interrupted recording" in said.text(), f"the next one says it: {said.text()}")
    said.stop()
    bp.check(Bag(out).count == 0 and rings(shm) == 1, "the new recording has nothing of the moved one, and leaves its ring")
    _, report, _ = bp.bagpipe("recover", second, "--ring-dir", shm)
    whole(f"renamed after {seconds} s", second, logs, t)
    bp.check(rings(shm) == 0, "the ring went with the recovery")
    bp.check(all(f.name.startswith("first_") for f in second.glob("*.mcap")), "segments keep their name")
    before = contents(second)
    third = second.rename(folder / "third")
    bp.bagpipe("recover", third, "--ring-dir", shm)
    bp.check(contents(third) == before, "a finished one may be renamed as well")
    bp.bagpipe("verify", third)
    status, _, err = bp.bagpipe("record", "-o", third, "--duration", "100ms", "--domain", DOMAIN + 1, ok=None)
    bp.check(status != 0 and "holds a recording already" in err, f"a finished one is not continued: {status} {err}")


def continued(folder, shm):
    """mv first second; record -o second."""
    out, logs, t = interrupted(folder, shm, 0.6, "-b", "4MiB")
    second = out.rename(folder / "second")
    bp.bagpipe("record", "-a", "-o", second, "--ring-dir", shm, "--domain", DOMAIN, "--duration", "500ms", ok=(0, 3))
    whole("renamed and continued", second, logs, t)
    names = {f.name.rsplit("_", 1)[0] for f in second.glob("*.mcap")}
    bp.check(names == {"first"} and rings(shm) == 0, f"continued by the session's own name: {names}")


def copied(folder, shm):
    """cp -a first copy; whichever is recovered first, both have all."""
    out, logs, t = interrupted(folder, shm, 0.6)
    shutil.copytree(out, folder / "copy")
    bp.bagpipe("recover", folder / "copy", "--ring-dir", shm)
    bp.check(rings(shm) == 1, "a copy leaves the ring to the original")
    bp.bagpipe("recover", out, "--ring-dir", shm)
    bp.check(rings(shm) == 0, "the original takes it")
    whole("a copy", folder / "copy", logs, t)
    whole("the original of a copy", out, logs, t)
    bp.check(contents(out) == contents(folder / "copy"), "both have the same")


def elsewhere(folder, shm):
    """To another file system: a copy as well, as far as one can tell."""
    out, logs, t = interrupted(folder, shm, 0.6)
    to = bp.scratch("shm") / "there"
    shutil.move(out, to)
    _, text, _ = bp.bagpipe("recover", to, "--ring-dir", shm)
    whole("to another file system", to, logs, t)
    bp.check("stays: this folder is a copy" in text, f"says which ring stays: {text}")
    for ring in shm.glob("*.ring"):
        ring.unlink()


def live_copy(folder, shm):
    """A copy of a session that is still being recorded is recovered by what its files hold."""
    out = folder / "first"
    rec = bp.record(out, "--ring-dir", shm, domain=DOMAIN)
    p = senders.peer(DOMAIN, folder / "sent.log", linger=0, topics=2, size=200_000, hz=50)
    time.sleep(1.5)
    shutil.copytree(out, folder / "copy")
    bp.bagpipe("recover", folder / "copy", "--ring-dir", shm, ok=(0, 3))
    bp.bagpipe("verify", folder / "copy")
    bp.check(Bag(folder / "copy").count > 10 and rec.alive() and rings(shm) == 1, "the original goes on")
    p.stop()
    bp.check(rec.stop() == 0, "and ends well")
    bp.bagpipe("verify", out)


def foreign(folder):
    """An interrupted recording of another tool, whatever the folder is called."""
    from mcap.writer import Writer

    for name in ("theirs", "renamed"):
        out = folder / name
        out.mkdir()
        path = out / "theirs_0.mcap"
        with open(path, "wb") as f:
            w = Writer(f, chunk_size=4096)
            w.start("ros2", "libmcap")
            s = w.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
            c = w.register_channel("/a", "cdr", s)
            for i in range(1000):
                w.add_message(c, log_time=i * 10**9, publish_time=i * 10**9, data=b"\0\1\0\0\x05\0\0\0abcd\0", sequence=i)
        before = path.read_bytes()
        status, _, err = bp.bagpipe("record", "-o", out, "--duration", "100ms", "--domain", DOMAIN + 1, ok=None)
        bp.check(status != 0 and "another program" in err and path.read_bytes() == before,
                 f"{name}: not continued, not touched: {status} {err}")
        bp.bagpipe("recover", out, ok=(0, 3))
        bp.check(Bag(out).count > 900, f"{name}: recover brings back {Bag(out).count}")
        bp.bagpipe("verify", out)


def mixed_in(folder, shm):
    """A stranger's files between the segments of an interrupted session are not cut or removed."""
    out, logs, t = interrupted(folder, shm, 0.3)
    (out / "first_900.mcap").write_bytes(b"not an MCAP file at all " * 100)
    bp.bagpipe("recover", out, "--ring-dir", shm, ok=None)
    bp.check((out / "first_900.mcap").read_bytes() == b"not an MCAP file at all " * 100, "the stranger's file is as it was")


def test():
    rnd = bp.seeded()
    cases = [lambda f, s, x=x: renamed(f, s, x, rnd.choice([[], ["-b", "4MiB"]])) for x in (0, 0.05, 0.3, 1.2)]
    for case in (*cases, continued, copied, elsewhere, live_copy, mixed_in):
        folder, shm = bp.scratch(), bp.scratch("shm")
        case(folder, shm)
        bp.run(["rm", "-rf", folder, shm])
    foreign(bp.scratch())


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
