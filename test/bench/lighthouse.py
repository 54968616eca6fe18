"""Lighthouse on pages of an agent that records: desktop and mobile preset, medians of three.

lighthouse.py [--quick]: goals are performance >= 95 (mobile >= 85) and accessibility 100.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import bp
import browser
import machine
from agentapi import Agent

DOMAIN = 59
PAGES = (("overview", ""), ("topics", "topics"), ("sessions", "sessions"))


def ask(url, mobile, folder):
    out = folder / "lighthouse.json"
    package = Path(os.environ["BP_BUILD"]) / "npm-bench/node_modules/lighthouse/cli/index.js"
    args = [browser.node(), str(package), url, "--quiet", "--output=json", f"--output-path={out}",
            "--only-categories=performance,accessibility", "--chrome-flags=--headless=new --no-sandbox"]
    subprocess.run(args + ([] if mobile else ["--preset=desktop"]), check=True, timeout=300, cwd=folder,
                   env={**os.environ, "CHROME_PATH": browser.CHROMIUM}, stdout=subprocess.DEVNULL)
    r = json.loads(out.read_text())
    found = [a["id"] for a in r["audits"].values() if a["score"] == 0 and a["id"] in
             {x["id"] for x in r["categories"]["accessibility"]["auditRefs"] if x["weight"] > 0}]
    if found:
        bp.say(f"  {url}: {found}")
    ms = [r["audits"][x]["numericValue"] for x in ("first-contentful-paint", "largest-contentful-paint", "total-blocking-time")]
    return [100 * r["categories"][c]["score"] for c in ("performance", "accessibility")] + ms + [
        r["audits"]["cumulative-layout-shift"]["numericValue"]], r["lighthouseVersion"]


def bench():
    folder, rows, version = bp.scratch(), [], ""
    browser.need()
    agent = Agent(folder, domain=DOMAIN)
    browser.sim(DOMAIN, "--robots", "2", "--profile", "small")
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 16, 30, "topics of two robots")
    agent.json("POST", "/api/v1/sessions", {"name": "drive"}, 201)
    for mobile in (False, True):
        for name, path in PAGES:
            runs = []
            for _ in range(1 if "--quick" in sys.argv else 3):
                values, version = ask(f"{agent.base}/{path}", mobile, folder)
                runs.append(values)
            m = [sorted(v)[len(v) // 2] for v in zip(*runs)]
            rows.append([name, "mobile" if mobile else "desktop", f"{m[0]:.0f}", f"{m[1]:.0f}", f"{m[2]:.0f}", f"{m[3]:.0f}",
                         f"{m[4]:.0f}", f"{m[5]:.3f}", ">= 85" if mobile else ">= 95, 100"])
    head = ["page", "preset", "performance", "accessibility", "first paint ms", "largest paint ms", "blocked ms", "layout shift", "goal"]
    machine.report("lighthouse", "\n".join([machine.describe(folder), f"Lighthouse {version}", "", machine.table(head, rows)]))


if __name__ == "__main__":
    bp.own_network()
    bp.main(bench)
