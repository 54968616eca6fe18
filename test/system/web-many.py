"""Two thousand topics in the dashboard's table."""
import bp
import browser
from agentapi import Agent

DOMAIN = 155
TOPICS = 2000


def test():
    browser.need()
    agent = Agent(bp.scratch(), domain=DOMAIN)
    browser.sim(DOMAIN, "--topics", TOPICS, "--size", "32", "--hz", "0.5")
    count = lambda: len(agent.get("/api/v1/topics")["topics"])
    bp.until(lambda: count() >= TOPICS, 120, "all topics", step=1)
    all_ = agent.get("/api/v1/topics")["topics"]
    bp.say(f"  {len(all_)} topics, such as {all_[-1]['topic']}")
    browser.drive("many", agent.base, topics=len(all_), last=all_[-1]["topic"])


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
