"""Every page of an agent that records a robot, in Debian's Chromium: live values, both themes, no finding of
axe, no violation of the CSP, no console error, no request to another host.
"""
import time

import bp
import browser
import syncing
from agentapi import Agent

DOMAIN = 150


def earlier(agent):
    """A session that is over, sent and checked: something for the pages that look back."""
    agent.json("POST", "/api/v1/sessions", {"name": "morning", "tags": ["yard", "rain"], "notes": "wet floor"}, 201)
    agent.json("POST", "/api/v1/sessions/morning/marks", {"text": "hit the shelf"}, 204)
    time.sleep(3)
    agent.json("POST", "/api/v1/sessions/morning/stop")
    agent.json("POST", "/api/v1/sessions/morning/verify", expect=202)


def test():
    browser.need()
    folder = bp.scratch()
    server = syncing.Server(folder / "server").start()
    agent = Agent(folder, f"sync.upstream={server.base}", "storage.alert_free=900TiB", domain=DOMAIN)
    browser.sim(DOMAIN, "--robots", "2", "--profile", "small")
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 16, 30, "topics of two robots")
    earlier(agent)
    agent.json("POST", "/api/v1/sessions", {"name": "drive", "mission": "through the yard"}, 201)
    browser.drive("pages", agent.base)
    bp.check(agent.get("/api/v1/status")["state"] == "recording", "looking has changed nothing")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
