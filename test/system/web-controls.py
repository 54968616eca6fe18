"""An operator's hand in the browser: start, pause, resume, mark, split, stop, palette, topics; after each the
agent's API must say the same. What was recorded is read by somebody else's reader.
"""
import bp
import browser
from agentapi import Agent
from bag import Bag

DOMAIN = 151


def test():
    browser.need()
    agent = Agent(bp.scratch(), domain=DOMAIN)
    browser.sim(DOMAIN, "--robots", "2", "--profile", "small")
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 16, 30, "topics of two robots")
    browser.drive("controls", agent.base)
    if bp.failures():
        return  # it may still run
    files = sorted((agent.data / "by-hand").glob("*.mcap"))
    topics = set(Bag(*files).messages)
    bp.check(len(files) >= 2, f"a segment more by the button: {files}")
    bp.check(topics and all(t.startswith("/robot1/") for t in topics), f"only what was asked for: {topics}")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
