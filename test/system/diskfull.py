"""A disk that fills up: everything accepted stays readable, nothing is lost silently.

wait: messages are refused at the door, counted; recording resumes by itself when space returns.
stop: the recorder ends by itself. rotate: its own oldest segments make room.
"""
import os
import signal
import time

import bp
import disk
import judge
import senders
from bag import Bag

DOMAIN = 16
LOAD = dict(topics=2, size=100_000, hz=100)  # 20 MB/s


def start(folder, mb, *args, **more):
    d = disk.Loop(folder, mb)
    return d, *on(d, folder, *args, **more)


def on(d, folder, *args, ring="32MiB", wait=True, **load):
    rec = bp.record(d.path / "bag", "--min-free", "4MiB", "--max-cache-size", ring, "-b", "8MiB", *args,
                    domain=DOMAIN, wait=wait)
    log = folder / "sent.log"
    return rec, log, senders.peer(DOMAIN, log, linger=1, **{**LOAD, **load})


def judged(what, out, log, status, want_lost):
    bp.bagpipe("verify", out)
    check = senders.PayloadCheck()
    bag = Bag(out, payload=check)
    r = judge.account(bag, judge.SendLog(log), joined_early=True)
    for p in r.problems + check.bad[:3]:
        bp.fail(f"{what}: {p}")
    bp.say(f"{what}: sent {r.sent} stored {r.stored} lost {r.lost} (disk {bag.lost('disk')}), exit {status}")
    if want_lost:
        bp.check(bag.lost("disk") > 0, f"{what}: the disk's refusals are in the ledger")
        bp.check(status == 3, f"{what}: exit status 3, got {status}")
    bp.check(r.stored > 0, f"{what}: something was stored")
    return bag, r


def free_mb(d):
    s = os.statvfs(d.path)
    return s.f_bavail * s.f_frsize / 1e6


def wait_and_resume():
    folder = bp.scratch("shm")
    d, rec, log, pub = start(folder, 96)
    ballast = d.path / "ballast"
    bp.until(lambda: free_mb(d) < 60, 20, "some recording")
    with open(ballast, "wb") as f:  # others take the rest of the disk
        try:
            for _ in range(int(free_mb(d)) - 30):
                f.write(b"x" * 1_000_000)
        except OSError:
            pass
    bp.until(lambda: "disk" in rec.text().lower() or free_mb(d) < 12, 20, "the disk to be full")
    time.sleep(1.5)
    bp.check(rec.alive(), "wait: the recorder goes on")
    bp.check(free_mb(d) >= 3, f"wait: the last bytes are left alone, {free_mb(d):.1f} MB free")
    full_at = time.time_ns()
    ballast.unlink()
    time.sleep(1.5)
    pub.send(signal.SIGTERM)
    pub.stop()
    time.sleep(0.5)
    status = rec.stop(timeout=20, sig=signal.SIGINT)
    bag, _ = judged("wait", d.path / "bag", log, status, True)
    later = sum(1 for v in bag.messages.values() for m in v if m[1] > full_at + 200_000_000)
    bp.check(later > 10, f"wait: resumed by itself when space came back ({later} messages)")
    d.close()


def full_at_the_start(left, says):
    """Nothing fits when it begins: it waits, says so, counts what it refuses, and records when there is room."""
    folder = bp.scratch("shm")
    d = disk.Loop(folder, 96)
    ballast = d.path / "ballast"
    with open(ballast, "wb") as f:
        f.write(b"x" * int((free_mb(d) - left) * 1e6))
    rec, log, pub = on(d, folder, wait=False)
    bp.until(lambda: says in rec.text(), 20, "it to say so")
    time.sleep(2)
    bp.check(rec.alive(), f"full at the start: it waits: {rec.text()[-300:]}")
    room_at = time.time_ns()
    ballast.unlink()
    time.sleep(3)
    pub.send(signal.SIGTERM)
    pub.stop()
    time.sleep(0.5)
    status = rec.stop(timeout=20, sig=signal.SIGINT)
    bag, _ = judged("full at the start", d.path / "bag", log, status, True)
    bp.check(all(m[1] > room_at for v in bag.messages.values() for m in v), "what it has came when there was room")
    d.close()


def stop():
    folder = bp.scratch("shm")
    d, rec, log, pub = start(folder, 64, "--on-full", "stop", "--json")
    status = rec.wait(30)
    pub.stop()
    r = judge.SendLog(log)
    bp.bagpipe("verify", d.path / "bag")
    bag = Bag(d.path / "bag")
    bp.check(status not in (0, None) and status > 0, f"stop: says so by its exit status, {status}")
    for topic, v in bag.messages.items():
        seqs = [m[0] for m in v]
        bp.check(seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"stop: {topic} without a hole")
    bp.say(f"stop: sent {r.count}, stored {bag.count}, exit {status}: {rec.text().strip().splitlines()[-1][:150]}")
    d.close()


def rotate():
    folder = bp.scratch("shm")
    d, rec, log, pub = start(folder, 256, "--on-full", "rotate", ring="16MiB", hz=250)
    time.sleep(8)
    bp.check(rec.alive(), "rotate: goes on")
    pub.stop()
    time.sleep(0.5)
    status = rec.stop(timeout=20, sig=signal.SIGINT)
    bp.bagpipe("verify", d.path / "bag")
    bag = Bag(d.path / "bag")
    sent = judge.SendLog(log)
    newest = max(m[0] for v in bag.messages.values() for m in v)
    last = max(rows[-1][0] for rows in sent.sent.values())
    bp.check(newest == last, f"rotate: the newest sample is there ({newest} of {last})")
    bp.check(min(m[0] for v in bag.messages.values() for m in v) > 1, "rotate: the oldest are gone")
    kept = sum(f.stat().st_size for f in bag.files) / 1e6
    bp.check(kept > 60, f"rotate: keeps what fits, {kept:.0f} of 256 MB")
    r = judge.account(bag, sent)
    for p in r.problems:
        bp.fail(f"rotate: {p}")
    bp.check(r.lost < 0.02 * r.sent, f"rotate: {r.lost} of {r.sent} refused while the oldest made room")
    bp.say(f"rotate: sent {sent.count}, kept {bag.count} ({kept:.0f} MB), refused {r.lost}, exit {status}")
    d.close()


def test():
    wait_and_resume()
    full_at_the_start(19, "is full")  # the journal takes 16
    full_at_the_start(8, "no room to begin")
    stop()
    rotate()


if __name__ == "__main__":
    bp.need("mkfs.ext4", "losetup")
    bp.own_mounts()
    bp.own_network()
    bp.main(test)
