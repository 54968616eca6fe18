"""A recording is not touched by what is sent beside it: some hundred MB of an older session go to a server at full speed
while a robot drives, and to the last message the file has what the robot's own log says, as it has without.

The same drive is recorded twice, first with uploads paused, then while the queue drains. Nothing is refused or left out by
us in either, and no more is lost on the way beside the uploads than alone.
"""
import time

import bp
import judge
import syncing
from bag import Bag
from syncing import Agent, Server

DOMAIN = 178
OURS = ("ring", "budget", "disk", "degraded", "bad")
SECONDS = 8               # of a drive, at least
LEAST_RATE = 10_000_000   # bytes a second; slower is not what we mean by full speed


class Site(Server):
    under = ("nice", "-n", "19")  # in the field it is another machine: it takes what nobody here wants


def backlog(agent):
    """An older session that waits. @return (id, bytes)"""
    s = agent.ask("POST", "/api/v1/sessions", {"name": "older"}, (201,))
    sim = bp.sim("--profile", "none", "--topics", 4, "--size", 1_000_000, "--hz", 25, "--wait-for-readers", 1, "--duration",
                 f"{bp.amount(4, 20)}s", domain=DOMAIN, log=agent.folder / "older.log")
    sim.wait(120)
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    folder = agent.data / "older"
    bp.until(lambda: (folder / "manifest.json").exists(), 60, "the older session is finished")
    return s["id"], sum(p.stat().st_size for p in folder.iterdir() if p.is_file())


def fullest(agent):
    return agent.ask("GET", "/api/v1/status")["back_pressure"]["fullest_ring"]


def drive(agent, name, begun, over):
    """A robot drives, begun() is called, then it goes on until over() and for SECONDS. @return (the judge's result, bag, fullest ring, seconds until over)"""
    log, ring = agent.folder / f"{name}.log", 0
    s = agent.ask("POST", "/api/v1/sessions", {"name": name}, (201,))
    sim = bp.sim("--robots", 1, "--profile", "mixed", "--reliable-sensors", "--wait-for-readers", 1, "--duration", "300s",
                 domain=DOMAIN, log=log)
    bp.until(lambda: log.exists() and log.stat().st_size, 30, "the robot")
    begun()
    begin, took = time.monotonic(), None
    while took is None or time.monotonic() < begin + SECONDS:
        ring = max(ring, fullest(agent))
        if took is None and over():
            took = time.monotonic() - begin
        if time.monotonic() > begin + 240:
            raise TimeoutError(f"{name}: not over: {agent.sync()}")
        time.sleep(0.1)
    bp.check(sim.stop() == 0, f"{name}: the robot ends well: {sim.text()[-300:]}")
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    bp.until(lambda: (agent.data / name / "manifest.json").exists(), 60, f"{name} is finished")
    bag = Bag(agent.data / name)
    r = judge.account(bag, judge.SendLog(log), joined_early=True)
    # latched messages that later segments repeat are more than there should be, to the judge
    for p in r.problems:
        bp.check(any(t in p for t in ("tf_static", "robot_description", "rosout")), f"{name}: {p}")
    return r, bag, ring, took


def judged(name, r, bag, ring):
    ours = bag.lost(*OURS)
    bp.check(ours == 0, f"{name}: {ours} messages lost by us: {({c: bag.lost(c) for c in OURS})}")
    bp.check(r.stored + r.lost == r.sent and r.sent > 1000, f"{name}: {r.stored} stored and {r.lost} lost of {r.sent} sent")
    bp.bagpipe("verify", bag.files[0].parent)
    bp.say(f"{name}: sent {r.sent}, stored {r.stored}, lost on the way {bag.lost('transport')}, by us {ours}; ring up to "
           f"{ring * 100:.0f} %")


def test():
    folder = bp.scratch()
    site = Site(folder / "site").start()
    agent = Agent(folder / "robot", DOMAIN)
    agent.start(f"sync.upstream={site.base}", "record.segment_size=16MiB")
    agent.ask("POST", "/api/v1/sync/pause", {})
    older, size = backlog(agent)
    bp.check(size > 200_000_000, f"some hundred MB wait: {size}")
    r0, bag0, ring0, _ = drive(agent, "alone", lambda: None, lambda: True)
    bp.check(not site.sessions(), f"alone: nothing is sent: {site.sessions()}")
    judged("alone", r0, bag0, ring0)

    path = f"/api/v1/sessions/{older}"

    def send():
        agent.ask("POST", "/api/v1/sync/resume", {})
        agent.ask("POST", "/api/v1/sync/now", {"session": "older"})

    r1, bag1, ring1, took = drive(agent, "beside", send, lambda: agent.ask("GET", path)["uploaded_ns"])
    judged("beside", r1, bag1, ring1)
    bp.check(bag1.lost("transport") <= bag0.lost("transport"),
             f"lost on the way: {bag1.lost('transport')} beside uploads, {bag0.lost('transport')} alone")
    rate = size / took
    bp.check(rate > LEAST_RATE, f"at full speed: {rate / 1e6:.1f} MB/s")
    bp.say(f"{size / 1e6:.0f} MB went in {took:.1f} s, {rate / 1e6:.0f} MB/s, while 'beside' was recorded")
    ours, theirs = syncing.digests(agent.data / "older"), site.files(older)
    bp.check(ours == {k: theirs.get(k) for k in ours}, "the older session is there, byte by byte")
    bp.check(agent.p.stop(timeout=60) == 0, "the agent ends well")
    bp.check(site.p.stop() == 0, "the server ends well")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
