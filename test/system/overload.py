"""A disk that does not keep up: what is refused, who is told, and who still gets an answer.

The writer is slowed down through its file operations (BAGPIPE_FAULT) below what senders of three priorities
send. Low priorities are refused first, then normal ones, never high ones; every number is in file or ledger, as
the senders' own logs say; alerts are raised and, when the disk is well again, cleared; the status page answers
all the while. And a disk that hangs for some seconds: told, and nothing is lost.
"""
import threading
import time

import bp
import care
import judge
import senders
from bag import Bag

DOMAIN = 135
LOADS = {"low": dict(topics=2, size=100_000, hz=75), "normal": dict(topics=2, size=25_000, hz=100),
         "high": dict(topics=2, size=1_000, hz=100)}  # 15, 5 and 0.2 MB/s
PRIORITIES = "record.priority=/low*=low,/normal*=normal,/high*=high"
# each write of the segments so much later; ring, seconds, who loses
CASES = [
    ("disk at 8 MB/s", "op=pwrite,path=*.mcap,from=8,to=70,delay=130ms", {"low"}, {"normal", "high"}),
    ("disk at 2 MB/s", "op=pwrite,path=*.mcap,from=8,to=24,delay=520ms", {"low", "normal"}, {"high"}),
]
ANSWER_S = 0.05 * 5  # on a machine that does nothing else a fifth of it


class Watch:
    """What status and alerts say while it goes on."""

    def __init__(self, agent):
        self.agent, self.times, self.raised, self.accepts, self.fullest = agent, [], set(), set(), 0.0

    def look(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            took, s = self.agent.timed_status()
            self.times.append(took)
            self.accepts.add(s["back_pressure"]["accepts"])
            self.fullest = max(self.fullest, s["back_pressure"]["fullest_ring"])
            self.raised |= self.agent.alerts()
            time.sleep(0.04)

    def told(self, what):
        t = sorted(self.times)
        p99 = t[min(len(t) - 1, int(len(t) * 0.99))]
        bp.say(f"{what}: {len(t)} answers, median {t[len(t) // 2] * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, longest "
               f"{t[-1] * 1e3:.1f} ms; ring up to {self.fullest * 100:.0f} %, took {sorted(self.accepts)}, alerts "
               f"{sorted(self.raised)}")
        return p99


def lost_of(bag, prefix, *causes):
    return sum(n for (_, topic), src in bag.ledger.items() if topic.startswith("/" + prefix)
               for n in [sum(b - a + 1 for c in causes for a, b in src.lost[c])])


def one(case, seconds):
    what, fault, losers, keepers = case
    folder = bp.scratch()
    agent = care.Agent(folder, DOMAIN, PRIORITIES, "buffer.alert_threshold=60", ring="32MiB", env={"BAGPIPE_FAULT": fault})
    agent.tell("/api/v1/sessions", {"name": "load"}, 201)
    logs = {p: folder / f"{p}.log" for p in LOADS}
    pubs = [senders.peer(DOMAIN, logs[p], secs=seconds, prefix="/" + p, linger=1, **kw) for p, kw in LOADS.items()]
    watch = Watch(agent)
    watch.look(seconds + 1)
    for p in pubs:
        p.wait(60)
    bp.until(lambda: not agent.alerts(), 40, f"{what}: alerts to be cleared, not {agent.alerts()}")
    done = agent.tell("/api/v1/sessions/load/stop")
    page = agent.ask("/metrics")
    agent.stop()
    p99 = watch.told(what)
    bp.check(p99 < ANSWER_S, f"{what}: status answers within {ANSWER_S * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")
    bp.check({"buffer.level", "messages.lost"} <= watch.raised, f"{what}: alerts were raised: {watch.raised}")
    bp.check("normal" in watch.accepts or "high" in watch.accepts, f"{what}: back-pressure shows: {watch.accepts}")
    bp.check("bagpipe_alert" in page, "alerts are in the metrics")
    bp.bagpipe("verify", agent.data / "load")
    check = senders.PayloadCheck("/")
    bag = Bag(agent.data / "load", payload=check)
    r = judge.account(bag, judge.SendLog(*logs.values()), joined_early=True)
    for p in r.problems + check.bad[:3]:
        bp.fail(f"{what}: {p}")
    lost = {p: lost_of(bag, p, "ring", "budget", "disk") for p in LOADS}
    other = {p: lost_of(bag, p, "transport", "bad", "degraded") for p in LOADS}
    sent = {p: sum(len(v) for (_, t), v in judge.SendLog(logs[p]).sent.items()) for p in LOADS}
    bp.say(f"{what}: sent {sent}, refused {lost}, lost on the way {other}, stored {r.stored}")
    for p in losers:
        bp.check(lost[p] > 0, f"{what}: {p} priority is refused")
    for p in keepers:
        bp.check(lost[p] == 0, f"{what}: {p} priority is not refused while others are: {lost}")
    bp.check(done["lost"] == sum(lost.values()) + sum(other.values()), f"{what}: the API says {done['lost']} lost")


def hang():
    """A sync that takes 14 s: nothing is lost, and it is told."""
    folder = bp.scratch()
    agent = care.Agent(folder, DOMAIN, env={"BAGPIPE_FAULT": "op=datasync,path=*.mcap,at=3,delay=14s"})
    agent.tell("/api/v1/sessions", {"name": "hang"}, 201)
    log = folder / "sent.log"
    pub = senders.peer(DOMAIN, log, secs=14, topics=2, size=2000, hz=200, linger=1)
    watch = Watch(agent)
    watch.look(10)
    stopper = threading.Thread(target=lambda: agent.tell("/api/v1/sessions/hang/stop"))
    stopper.start()  # waits for the disk, and nobody else does
    watch.look(3)
    stopper.join(60)
    pub.stop()
    bp.until(lambda: not agent.alerts(), 40, f"hang: alerts to be cleared, not {agent.alerts()}")
    agent.stop()
    bp.check(watch.told("hang") < ANSWER_S, "hang: status answers while a session is being ended")
    bp.check("writer.stalled" in watch.raised, f"hang: told: {watch.raised}")
    r = judge.account(Bag(agent.data / "hang"), judge.SendLog(log), joined_early=True, tolerate_tail=True)
    for p in r.problems:
        bp.fail(f"hang: {p}")
    bp.check(r.lost == 0 and r.stored > 1000, f"hang: nothing is lost ({r.lost})")


def test():
    for case in CASES:
        one(case, bp.amount(9, 9, 60))
    hang()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
