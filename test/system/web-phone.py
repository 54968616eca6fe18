"""The dashboard on a phone: every page, nothing wider than the screen, a mark set by hand."""
import bp
import browser
from agentapi import Agent

DOMAIN = 154


def test():
    browser.need()
    agent = Agent(bp.scratch(), domain=DOMAIN)
    browser.sim(DOMAIN, "--profile", "small")
    agent.json("POST", "/api/v1/sessions", {"name": "a-rather-long-name-of-a-session-in-the-warehouse"}, 201)
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 8, 30, "topics of a robot")
    browser.drive("phone", agent.base)
    session = agent.get("/api/v1/sessions/a-rather-long-name-of-a-session-in-the-warehouse")
    bp.check([m["text"] for m in session["marks"]] == ["seen on the way"], f"the mark: {session['marks']}")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
