"""Memory stays flat while topics come and go: one recorder, publishers that live for seconds.

1 minute by default, 30 with --full. Looks at anonymous memory (the ring is shared memory) after each
generation and fits a line through the second half.
"""
import signal
import time

import bp
import senders

DOMAIN = 19


def slope(points):
    """kB per generation by least squares."""
    n = len(points)
    mx, my = (n - 1) / 2, sum(points) / n
    return sum((i - mx) * (y - my) for i, y in enumerate(points)) / sum((i - mx) ** 2 for i in range(n))


def anon_kb(pid):
    m = bp.rss_kb(pid)
    return m.get("VmRSS", 0) - m.get("RssShmem", 0)


def test():
    folder = bp.scratch()
    seconds = 1800 if bp.full() else 60
    rec = bp.record(folder / "bag", "-b", "4MiB", domain=DOMAIN)
    points, end, g = [], time.monotonic() + seconds, 0
    topics = 20
    while time.monotonic() < end:
        # the same names return every fourth generation, so channels are bounded as on a robot
        p = senders.peer(DOMAIN, folder / "sent.log", secs=1, topics=topics, size=2000, hz=50, prefix=f"/gen{g % 4}",
                         linger=0)
        p.wait(30)
        points.append(anon_kb(rec.pid))
        bp.check(rec.alive(), "the recorder is alive")
        g += 1
    status = rec.stop(timeout=30, sig=signal.SIGINT)
    half = points[len(points) // 2:]
    per = slope(half)
    bp.say(f"{g} generations of {topics} topics in {seconds} s: {points[0]} kB first, {half[0]} in the middle, "
           f"{points[-1]} at the end; slope {per:.1f} kB a generation; exit {status}")
    # Each generation brings 20 new writers. What is kept of one until it is gone and its segments are
    # closed makes a saw of some hundred kB; in 30 minutes a line of it, 0.12 kB a writer were measured.
    bp.check(per < topics * (0.5 if bp.full() else 4), f"memory grows by {per:.1f} kB a generation")
    bp.check(points[-1] < 100 * 1024, "below 100 MiB beyond the ring")
    _, info = bp.bagpipe_json("info", "--json", folder / "bag")
    bp.check(info and info["message_count"] == g * topics * 50, f"all {g * topics * 50} messages are there: "
             f"{info and info['message_count']}")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
