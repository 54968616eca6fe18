"""Every page of an agent that records a robot, in Debian's Chromium: live values, both themes, no finding of
axe, no violation of the CSP, no console error, no request to another host.
"""
import bp
import browser
from agentapi import Agent

DOMAIN = 150


def test():
    browser.need()
    agent = Agent(bp.scratch(), domain=DOMAIN)
    browser.sim(DOMAIN, "--robots", "2", "--profile", "small")
    agent.json("POST", "/api/v1/sessions", {"name": "drive", "mission": "through the yard"}, 201)
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 16, 30, "topics of two robots")
    browser.drive("pages", agent.base)
    bp.check(agent.get("/api/v1/status")["state"] == "recording", "looking has changed nothing")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
