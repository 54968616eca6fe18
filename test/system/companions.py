"""`bagpipe agent --sim N`: simulated robots that end with the agent, even by kill -9; and the agent as the first
process of a container: signals arrive, nobody's zombies stay.
"""
import os
import signal
import subprocess
import time

import bp
import children
from care import Agent

DOMAIN = 135


class WithRobots(Agent):
    def __init__(self, folder, *under):
        real = bp.Proc
        bp.Proc = lambda args, **kw: real([*args, "--sim", "2"], under=under, **kw)
        try:
            super().__init__(folder, DOMAIN)
        finally:
            bp.Proc = real


def ends_with_it(folder, how):
    (folder / how.name).mkdir()
    agent = WithRobots(folder / how.name)
    bp.until(lambda: {r["robot"] for r in agent.ask("/api/v1/robots")["robots"]} >= {"robot1", "robot2"}, 30, "two robots",
             step=0.2)
    robots = children.of(agent.p.pid)
    bp.check(len(robots) == 1 and children.alive(robots[0]), f"a child: {robots}")
    agent.p.stop(timeout=20, sig=how)
    bp.until(lambda: not any(map(children.alive, robots)), 10, f"the robots are gone after {how.name}", step=0.05)
    bp.say(f"{how.name}: the agent left with {agent.p.p.returncode}, its robots with it")


def first_process(folder):
    if subprocess.run(["unshare", "-fp", "--kill-child", "true"], capture_output=True).returncode != 0:
        bp.say("no process namespace here: not tried as pid 1")
        return
    (folder / "one").mkdir()
    agent = WithRobots(folder / "one", "unshare", "-fp", "--kill-child", "--mount-proc")
    first = children.of(agent.p.pid)[0]
    inside = open(f"/proc/{first}/status").read()
    bp.check("\t1\n" in next(x for x in inside.splitlines(True) if x.startswith("NSpid")), "it is pid 1")
    # a grandchild whose parent leaves is the agent's to take
    bp.run(["nsenter", "-t", str(first), "-p", "-m", "sh", "-c", "(sleep 0.5 &) ; true"])
    time.sleep(1.5)
    left = [p for p in children.of(first) if not children.alive(p)]
    bp.check(not left, f"zombies: {left}")
    t = time.monotonic()
    os.kill(first, signal.SIGTERM)
    agent.p.wait(20)
    bp.check(agent.p.p.returncode == 0, f"SIGTERM ends it: {agent.p.p.returncode}")
    bp.say(f"as pid 1: ended by SIGTERM in {time.monotonic() - t:.2f} s")


def test():
    folder = bp.scratch()
    for how in (signal.SIGTERM, signal.SIGKILL):
        ends_with_it(folder, how)
    first_process(folder)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
