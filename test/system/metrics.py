"""/metrics as Prometheus' own tools read it: promtool lints the text format, the reference parser reads OpenMetrics, both
formats say the same, counters do not fall when sessions end, and what they count is what is in the file.
"""
import re
import signal
import subprocess
import time

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_parser
from prometheus_client.parser import text_string_to_metric_families as text_parser

import bp
from agentapi import Agent
from bag import Bag

DOMAIN = 141
OPEN = "application/openmetrics-text; version=1.0.0"


def page(agent, accept=None):
    head, text = agent.raw("GET", "/metrics", headers={"Accept": accept} if accept else {})
    return head["Content-Type"], text.decode()


def values(families):
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def lint(text):
    p = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def formats(agent):
    kind, text = page(agent)
    bp.check(kind.startswith("text/plain; version=0.0.4"), kind)
    status, said = lint(text)
    bp.check(status == 0 and not said.strip(), f"promtool: {said}")
    status, said = lint(text.replace("bagpipe_accepted_messages_total", "bagpipe_accepted_messages"))
    bp.check(status != 0, "promtool finds a counter without _total")
    kind, om = page(agent, OPEN + ", text/plain;q=0.5")
    bp.check(kind.startswith("application/openmetrics-text; version=1.0.0") and om.endswith("# EOF\n"), kind)
    families = list(open_parser(om))
    bp.check(len(families) > 40, f"{len(families)} families")
    for f in families:
        bp.check(f.documentation and f.type in ("counter", "gauge", "histogram"), f"{f.name}: {f.type} '{f.documentation}'")
        bp.check(len(f.samples) < 200, f"{f.name} has {len(f.samples)} samples")
    a, b = values(text_parser(text)), values(families)
    bp.check(set(a) == set(b), f"the same families and labels: {set(a) ^ set(b)}")
    moving = re.compile("process_|_http_|received|age|udp|commit|ring|written|accepted|journal|session_|forced|disk_free")
    differ = [k for k in a if a[k] != b[k] and not moving.search(k[0])]
    bp.check(not differ, f"the same values: {differ}")
    own = [f for f in families if f.name.startswith(("bagpipe_commit", "bagpipe_accepted", "bagpipe_ring", "bagpipe_lost",
                                                     "bagpipe_segments", "bagpipe_sessions", "bagpipe_disk", "process_"))]
    bp.check(len(own) >= 16 and all("?" in f.documentation for f in own), f"each names its question: {[f.name for f in own]}")
    kind, _ = page(agent, "application/openmetrics-text;q=0.1, text/plain")
    bp.check(kind.startswith("text/plain"), "as the client prefers")


def truth(agent):
    """Counted by the families as by who reads the file."""
    before = values(text_parser(page(agent)[1]))
    agent.json("POST", "/api/v1/sessions", {"name": "counted"}, 201)
    time.sleep(2.5)
    live = values(text_parser(page(agent)[1]))
    agent.json("POST", "/api/v1/sessions/counted/stop", {})
    after = values(text_parser(page(agent)[1]))
    bag = Bag(agent.data / "counted")
    got = after[("bagpipe_accepted_messages_total", ())] - before[("bagpipe_accepted_messages_total", ())]
    bp.check(got == bag.count > 0, f"{got} counted, {bag.count} in the file")
    size = sum(p.stat().st_size for p in (agent.data / "counted").glob("*.mcap"))
    wrote = after[("bagpipe_written_bytes_total", ())] - before[("bagpipe_written_bytes_total", ())]
    bp.check(0.9 * size <= wrote <= 1.1 * size + 65536, f"{wrote} bytes counted, {size} on the disk")
    for key, value in live.items():
        if key[0].endswith(("_total", "_count", "_bucket")) and not key[0].startswith("bagpipe_session_"):
            bp.check(after.get(key, -1) >= value, f"{key} fell from {value} to {after.get(key)}")
    bp.check(live[("bagpipe_sessions_running", ())] == 1 and after[("bagpipe_sessions_running", ())] == 0, "running sessions")
    bp.check(live[("bagpipe_commit_seconds_count", ())] >= 15, f"commits: {live[('bagpipe_commit_seconds_count', ())]}")
    bp.check(after[("bagpipe_segments_opened_total", ())] == after[("bagpipe_segments_finished_total", ())] > 0, "segments")
    rss = bp.rss_kb(agent.p.p.pid)["VmRSS"] * 1024
    bp.check(0.5 * rss < after[("process_resident_memory_bytes", ())] < 2 * rss, f"memory: {rss}")
    bp.check(abs(after[("process_start_time_seconds", ())] - time.time()) < 120, "start time")
    bp.say(f"{len(after)} samples; {got:.0f} messages counted")


def test():
    bp.need("promtool")
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "small", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder, domain=DOMAIN)
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 8, 20, "topics of the robot")
    agent.json("POST", "/api/v1/sessions", {"name": "other"}, 201)
    formats(agent)
    agent.json("POST", "/api/v1/sessions/other/stop", {})
    truth(agent)
    bp.check(agent.p.stop(timeout=20, sig=signal.SIGTERM) == 0, "a clean end")
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
