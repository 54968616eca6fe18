"""Signs of life come while everything moves, and only then: a disk that stalls the writer ends them, and they come
back with it. The manager here is a datagram socket; the rest is real.
"""
import os
import signal
import socket
import time

import bp
from care import Agent

DOMAIN = 136
WATCHDOG_S = 2
STALL_S = 9
# one write of the journal, some ten seconds after the start
STALL = f"op=pwrite,path=*journal*,at=90,delay={STALL_S}s"


class Manager:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(WATCHDOG_S * 1000000)}

    def heard(self, seconds):
        """@return [line] of that time"""
        end, got = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            self.s.settimeout(left)
            try:
                got += self.s.recv(4096).decode().splitlines()
            except TimeoutError:
                break
        return got


def begins(folder, manager):
    agent = Agent(folder, DOMAIN, "session.auto_start=true", env={**manager.env, "BAGPIPE_FAULT": STALL})
    lines = manager.heard(3)
    bp.check("READY=1" in lines, f"ready: {lines}")
    bp.check(any(x.startswith("STATUS=recording 1 session, ") for x in lines), f"status: {lines}")
    bp.check(any(x.startswith("EXTEND_TIMEOUT_USEC=") for x in lines), f"time is asked for while it starts: {lines}")
    return agent


def gaps(manager, seconds):
    """@return the longest time without a sign of life, and whether one came at the end of it"""
    last = end = time.monotonic()
    longest, end = 0.0, end + seconds
    while (now := time.monotonic()) < end:
        if "WATCHDOG=1" in manager.heard(0.2):
            longest, last = max(longest, now - last), now
    return longest, end - last < WATCHDOG_S


def test():
    folder = bp.scratch()
    manager = Manager(folder / "notify")
    bp.sim("--robots", 1, domain=DOMAIN, log=folder / "sim.log")
    agent = begins(folder, manager)
    n = manager.heard(4).count("WATCHDOG=1")
    bp.check(3 <= n <= 12, f"signs of life within 4 s: {n}")
    os.kill(agent.p.pid, signal.SIGSTOP)
    time.sleep(0.2)
    manager.heard(0.3)
    bp.check(not manager.heard(3), "a stopped process gives none")
    os.kill(agent.p.pid, signal.SIGCONT)
    bp.check("WATCHDOG=1" in manager.heard(3), "and again")
    longest, back = gaps(manager, 24)
    bp.say(f"a write took {STALL_S} s: {longest:.1f} s without a sign of life")
    bp.check(longest > STALL_S - 2 * WATCHDOG_S, f"{longest:.1f} s without a sign of life while the disk stalled")
    bp.check(back, "signs of life came back with the disk")
    bp.check(any("a writer" in x for x in agent.p.text().splitlines() if "no sign of life" in x), "the log says what stood still")
    agent.stop()
    bp.check(any(x == "STOPPING=1" for x in manager.heard(1)), "it says that it stops")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
