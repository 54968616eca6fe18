"""An agent with 100 topics discovered and nothing recorded: memory and processor time, with Debian's node_exporter
measured beside it. Less than 15 MB, less than 1 % of a core (five times that here, where others compute, too); over
a minute with --full. Then it records session after session while topics come and go, and retention deletes them:
for some seconds, half an hour with --full, four hours with --slow. Its memory stays flat.
"""
import shutil
import time

import bp
import flat
from care import Agent

DOMAIN = 133
RSS_MAX_MB = 15
CPU_MAX = 0.01 * 5


def exporter():
    """Started as it is, or None."""
    if not shutil.which("prometheus-node-exporter"):
        return None
    return bp.Proc(["prometheus-node-exporter", "--web.listen-address=127.0.0.1:0"])


def share(pid, before, past):
    return (bp.cpu_of(pid) - before) / past


def recording(folder, agent):
    agent.tell("/api/v1/sessions", {"name": "busy"}, 201)
    flat.generations(agent.p, DOMAIN, folder / "sent.log", bp.amount(12, 1800, 4 * 3600), "an agent that records")
    status = agent.ask("/api/v1/status")
    bp.check(status["state"] == "recording", f"it records: {status['sessions']}")
    got = agent.metric("bagpipe_received_messages_total")  # of all sessions: the last one may just have begun
    bp.check(got > 200, f"messages were received: {got}")
    lost = {k: v for k, v in status["lost_by_cause"].items() if v and k in ("ring", "budget", "disk")}
    bp.check(not lost, f"and refused nothing: {lost}")
    if bp.full():
        bp.check(agent.ask("/api/v1/storage")["deleted"]["sessions"] > 0, "sessions came and went")
    agent.tell("/api/v1/sessions/current/stop")


def test():
    folder = bp.scratch()
    # slow, since this is about what an agent does by itself, not what it is sent
    bp.sim("--robots", 10, "--profile", "mixed", "--rate", 0.1, domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder, DOMAIN, "record.segment_size=4MiB", "session.max_size=32MiB", "session.at_max=next",
                  "retention.max_size=128MiB", "retention.delete_not_uploaded=true", "retention.interval=5s", ring="64MiB")
    other = exporter()
    bp.until(lambda: agent.ask("/api/v1/status")["graph"]["topics"] >= 100, 30, "100 topics", step=0.2)
    time.sleep(3)  # what discovery itself costs is not idling
    length = bp.amount(12, 60)
    t, mine = time.monotonic(), bp.cpu_of(agent.p.pid)
    theirs = bp.cpu_of(other.pid) if other else 0
    first = bp.rss_kb(agent.p.pid)["VmRSS"]
    time.sleep(length)
    past = time.monotonic() - t
    cpu, rss = share(agent.p.pid, mine, past), bp.rss_kb(agent.p.pid)
    if other:
        bp.say(f"node_exporter, nobody asks it: {bp.rss_kb(other.pid)['VmRSS'] / 1000:.1f} MB, "
               f"{share(other.pid, theirs, past) * 100:.2f} % of a core")
    status = agent.ask("/api/v1/status")
    bp.say(f"agent with {status['graph']['topics']} topics over {past:.0f} s: {rss['VmRSS'] / 1000:.1f} MB "
           f"({rss['RssAnon'] / 1000:.1f} of its own), {cpu * 100:.2f} % of a core")
    bp.check(status["state"] == "idle" and status["graph"]["subscribed"] == 0, f"nothing is recorded: {status}")
    bp.check(cpu < CPU_MAX, f"{cpu * 100:.2f} % of a core")
    if bp.sanitized():
        bp.say("a sanitizer needs memory of its own: not judged")
    else:
        bp.check(rss["VmRSS"] < RSS_MAX_MB * 1000, f"{rss} kB")
        bp.check(rss["VmRSS"] < first + 1500, f"it grows: {first} to {rss['VmRSS']} kB")
    recording(folder, agent)
    agent.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
