"""The API against its own description: a validator reads it, schemathesis makes requests of it, well-formed and not,
to an agent that records a robot meanwhile. No 5xx, no status, type or shape that is not described; afterwards the agent
still answers and what it recorded is whole.
"""
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

import bp
from agentapi import Agent

DOMAIN = 139

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method,allow_header_conformance")


def schemathesis(folder, base, seconds, *more):
    tool = Path(sys.executable).with_name("schemathesis")
    report = folder / "report.ndjson"
    p = subprocess.run([tool, "run", f"{base}/api/v1/openapi.json", "--checks", CHECKS, "--max-time", str(seconds),
                        "--continue-on-failure", "--no-color", "--warnings", "off", "--workers", "1",
                        "--exclude-path", "/api/v1/events", *more]  # a stream that does not end has its own test
                       ,
                       capture_output=True, text=True, cwd=folder, timeout=seconds * 6 + 120)
    (folder / "schemathesis.log").write_text(p.stdout + p.stderr)
    bp.check(p.returncode == 0, f"schemathesis:\n{p.stdout[-6000:]}{p.stderr[-2000:]}")
    return p.stdout


def test():
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "small", domain=DOMAIN, log=folder / "sim.log")
    # auth off: a random request that makes the first account would shut out all others
    agent = Agent(folder, "buffer.ring_size=4MiB", "record.segment_size=4MiB", "http.auth=off", domain=DOMAIN)
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 8, 20, "topics of the robot")
    text = agent.raw("GET", "/api/v1/openapi.json")[1]
    spec = json.loads(text)
    errors = [e.message for e in OpenAPIV31SpecValidator(spec).iter_errors()]
    bp.check(not errors, f"the description: {errors[:5]}")
    # a judge that finds nothing wrong in a wrong description is blind
    broken = json.loads(text)
    broken["components"]["schemas"]["Status"]["properties"]["version"] = {"type": "integer"}
    (folder / "broken.json").write_text(json.dumps(broken))
    tool = Path(sys.executable).with_name("schemathesis")
    blind = subprocess.run([tool, "run", folder / "broken.json", "--url", agent.base, "--checks", CHECKS, "--max-time", "3",
                            "--include-path", "/api/v1/status", "--no-color"], capture_output=True, text=True, cwd=folder)
    bp.check(blind.returncode == 1 and "schema" in blind.stdout, f"a wrong description is found: {blind.stdout[-1500:]}")
    kept = agent.json("POST", "/api/v1/sessions", {"name": "kept"}, 201)
    agent.json("POST", "/api/v1/sessions", {"name": "over", "topics": ["/robot1/imu"]}, 201)
    agent.json("POST", "/api/v1/sessions/over/stop", {})
    out = schemathesis(folder, agent.base, bp.amount(35, 300), "--seed", str(bp.seeded().randrange(1 << 30)))
    counts = re.search(r"(\d+) generated", out)
    bp.check(counts and int(counts[1]) > 100, f"requests were made: {out[-600:]}")
    bp.say(f"{counts[1] if counts else '?'} requests")
    bp.check(agent.p.alive() and agent.get("/api/v1/status")["state"] in ("recording", "idle", "paused"), "it still answers")
    row = agent.get(f"/api/v1/sessions/{kept['id']}")
    bp.say(f"the session of the meantime: {row['status']}, {row['messages']} messages, {row['lost']} lost")
    bp.check(agent.p.stop(timeout=60, sig=signal.SIGTERM) == 0, f"a clean end: {agent.p.text()[-500:]}")
    bp.bagpipe("verify", *[p for p in agent.data.iterdir() if (p / "manifest.json").exists()], ok=(0,))
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
