"""Loss on the network: the ledger equals the senders' logs, sample by sample.

Sender and recorder in two network namespaces; packets are dropped at random by nftables, or the
recorder stands still with a small receive buffer. RELIABLE KEEP_LAST and BEST_EFFORT, small and fragmented
samples. A sample of which not one packet came, sent last or first by a best-effort sender, cannot be known;
all else must be.
"""
import signal
import time

import bp
import judge
import netns
import senders
from bag import Bag

DOMAIN = 18
SMALL_BUFFER = ("<CycloneDDS><Domain Id='any'><Internal><SocketReceiveBufferSize min='default' max='64kB'/>"
                "</Internal></Domain></CycloneDDS>")
CASES = [
    # name, dropped per mille, of packets longer than, recorder's environment, senders, loss expected
    ("5 % of all", 50, 0, {}, [dict(topics=10, size=200, hz=100), dict(topics=10, size=200, hz=100, qos="best_effort", prefix="/be")], True),
    ("1 % of fragments", 10, 1000, {}, [dict(topics=1, size=200_000, hz=20), dict(topics=1, size=200_000, hz=20, qos="best_effort", prefix="/be")], True),
    ("30 %, KEEP_LAST 1", 300, 0, {}, [dict(topics=2, size=5000, hz=200, depth=1)], True),
    ("small receive buffer", 0, 0, {"CYCLONEDDS_URI": SMALL_BUFFER}, [dict(topics=1, size=1_000_000, hz=50), dict(topics=1, size=1_000_000, hz=20, qos="best_effort", prefix="/be")], True),
]


def one(net, case):
    name, per_mille, length, env, loads, expected = case
    folder = bp.scratch()
    # root takes a large receive buffer whatever the limit; without this right the limit holds
    under = ["setpriv", "--bounding-set=-net_admin"] if env else []
    rec = bp.record(folder / "bag", domain=DOMAIN, ns=net.b, env=env, under=under)
    logs = [folder / f"sent{i}.log" for i in range(len(loads))]
    pubs = [senders.peer(DOMAIN, log, secs=2.5, linger=2, ns=net.a, **o) for log, o in zip(logs, loads)]
    bp.until(lambda: all(l.exists() and l.stat().st_size for l in logs), 25, "senders")
    if per_mille:
        net.drop(net.b, per_mille, length)
    for _ in range(8 if env else 0):  # a recorder that gets no CPU for a while
        rec.send(signal.SIGSTOP)
        time.sleep(0.1)
        rec.send(signal.SIGCONT)
        time.sleep(0.15)
    for p in pubs:
        p.wait(60)
    dropped = net.dropped(net.b) if per_mille else 0
    net.undrop(net.b)
    time.sleep(1)
    status = rec.stop(timeout=20, sig=signal.SIGINT)
    check = senders.PayloadCheck("/")
    bag = Bag(folder / "bag", payload=check)
    r = judge.account(bag, judge.SendLog(*logs), tolerate_tail=True)
    for p in r.problems + check.bad[:3]:
        bp.fail(f"{name}: {p}")
    lost = bag.lost("transport")
    # what a best-effort writer sent before the first packet that was heard looks like a late join; the
    # recorder looks every 250 ms (5 samples of a megabyte, 25 of the small ones)
    bp.check(r.before <= 40, f"{name}: {r.before} before the first that was heard")
    bp.check(r.stored + r.lost + r.missing + r.before == r.sent, f"{name}: the sums agree")
    bp.check(r.missing <= 5, f"{name}: {r.missing} at the end are unaccounted for")
    if expected:
        bp.check(lost > 0, f"{name}: nothing was lost, the case shows nothing")
    bp.check(status == (3 if lost else 0), f"{name}: exit status {status} with {lost} lost")
    bp.bagpipe("verify", folder / "bag")
    bp.say(f"{name}: sent {r.sent} stored {r.stored} lost {r.lost}, unknown at the end {r.missing}, packets dropped {dropped}")
    bp.run(["rm", "-rf", folder])


def late(net):
    """Who joins a running robot has not lost what was sent before: 0 lost, exit status 0."""
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", "--duration", "12s", domain=DOMAIN, ns=net.a, log=folder / "log")
    bp.until(lambda: (folder / "log").exists() and (folder / "log").stat().st_size, 20, "the robot")
    for i in range(4):
        time.sleep(1 if i == 0 else 0.13 * i)  # a link just made, then at odd moments
        rec = bp.record(folder / f"bag{i}", domain=DOMAIN, ns=net.b)
        time.sleep(1)
        status = rec.stop(timeout=20, sig=signal.SIGINT)
        bag = Bag(folder / f"bag{i}")
        bp.check(bag.count > 100 and bag.lost() == 0 and status == 0,
                 f"joined late: {bag.count} stored, {bag.lost()} lost, exit status {status}")
    robot.wait(30)
    bp.say("joined a running robot four times")
    bp.run(["rm", "-rf", folder])


def test():
    bp.need("ip", "nft")
    net = netns.Pair("loss")
    late(net)
    for case in CASES:
        one(net, case)


if __name__ == "__main__":
    import os

    if os.geteuid() != 0:
        bp.skip("network namespaces need root")
    bp.main(test)
