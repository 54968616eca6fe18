"""Whether memory stays flat while topics come and go: generations of publishers that live for a second."""
import time

import bp
import senders

TOPICS = 20


def slope(points):
    """kB per generation by least squares."""
    n = len(points)
    mx, my = (n - 1) / 2, sum(points) / n
    return sum((i - mx) * (y - my) for i, y in enumerate(points)) / sum((i - mx) ** 2 for i in range(n))


def anon_kb(pid):
    """Without rings, which are shared memory."""
    m = bp.rss_kb(pid)
    return m.get("VmRSS", 0) - m.get("RssShmem", 0)


def generations(p, domain, log, seconds, what, hz=50):
    """@return how many there were. 50 messages each of 20 topics, whose names return every fourth time, so channels
    are bounded as on a robot."""
    points, end, g = [], time.monotonic() + seconds, 0
    while time.monotonic() < end or g < 8:
        # KEEP_ALL and a moment to be heard out: on a machine that others use nothing is lost on the way
        sender = senders.peer(domain, log, secs=1, topics=TOPICS, size=2000, hz=hz, prefix=f"/gen{g % 4}", depth=0,
                              linger=0.2)
        sender.wait(30)
        points.append(anon_kb(p.pid))
        if not bp.check(p.alive(), f"{what} is alive"):
            break
        g += 1
    half = points[len(points) // 2:]
    per = slope(half)
    bp.say(f"{what}: {g} generations of {TOPICS} topics in {seconds} s: {points[0]} kB first, {half[0]} in the middle, "
           f"{points[-1]} at the end; slope {per:.1f} kB a generation")
    # Each generation brings 20 new writers. What is kept of one until it is gone and its segments are
    # closed makes a saw of some hundred kB; in 30 minutes a line of it, 0.12 kB a writer were measured.
    if bp.sanitized():
        bp.say("a sanitizer needs memory of its own: not judged")
    else:
        # Of a saw this short the line says little, 614 kB were seen where it is flat in the end. What it would show is
        # a generation's payload kept: 2,000 kB.
        few = g < 30
        bp.check(per < TOPICS * (0.5 if bp.full() else 65 if few else 4), f"memory grows by {per:.1f} kB a generation")
        bp.check(points[-1] < 100 * 1024, "below 100 MiB beyond the ring")
    return g
