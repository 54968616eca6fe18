"""Browser tests: what the scripts in test/browser need, and the talk with them while they run.

A script prints lines; "FAIL …" is a failure, "ASK [what, …]" has one of `answers` called, whose result goes
back as a line of JSON.
"""
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import bp

CHROMIUM = os.environ.get("BP_CHROMIUM") or "/usr/bin/chromium"
PICTURES = bp.BUILD / "test-artefacts" / "web"
HOME = bp.REPO / "test" / "browser"


def need():
    """Skips with the reason when there is no browser or nothing to drive it."""
    if not os.access(CHROMIUM, os.X_OK):
        bp.skip(f"no {CHROMIUM} (./run test installs chromium)")
    npm = packages()
    for name in ("playwright-core", "axe-core"):
        if not (npm / "node_modules" / name).exists():
            bp.skip(f"no {name} in {npm} (./run test makes it)")


def packages():
    return Path(os.environ.get("BP_NPM") or bp.BUILD / "npm")


def node():
    newer = bp.REPO / "build/node/node_modules/.bin/node"
    return str(newer) if newer.exists() else shutil.which("node") or bp.skip("node is not installed")


def drive(name, url, answers=None, limit=240, **facts):
    """Runs test/browser/NAME.mjs at this address. @return what it said"""
    facts = {"url": url if url.endswith("/") else url + "/", "npm": str(packages()), "chromium": CHROMIUM,
             "pictures": str(PICTURES / (bp.NAME.removeprefix("web-"))), **facts}
    start, lines = time.monotonic(), []
    p = subprocess.Popen([node(), str(HOME / f"{name}.mjs"), json.dumps(facts)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    bp.at_exit(lambda: end(p))
    for line in p.stdout:
        line = line.rstrip("\n")
        lines.append(line)
        if line.startswith("ASK "):
            what, *args = json.loads(line[4:])
            p.stdin.write(json.dumps((answers or {})[what](*args)) + "\n")
            p.stdin.flush()
        elif line.startswith("FAIL "):
            bp.fail(line[5:])
        else:
            bp.say(line)
        if time.monotonic() - start > limit:
            end(p)
            bp.fail(f"{name}.mjs: not over after {limit} s")
    code = p.wait()
    bp.check(code == 0 or any(l.startswith("FAIL ") for l in lines), f"{name}.mjs ends with {code}")
    bp.say(f"  {name}.mjs: {time.monotonic() - start:.1f} s; pictures in {facts['pictures']}")
    return lines


def end(p):
    """The script and the browser below it: a process group of their own."""
    if p.poll() is None:
        os.killpg(p.pid, 15)
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)


def sim(domain, *args):
    return bp.Proc([bp.BAGPIPE, "sim", "--domain", str(domain), *args])
