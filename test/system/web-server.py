"""The dashboard of a server: a robot that is linked, what it has sent, and commands from the browser to the robot."""
import os
import time

import bp
import browser
import syncing

DOMAIN = 158


def test():
    browser.need()
    os.environ["ROS_LOCALHOST_ONLY"] = "1"  # as syncing has it
    folder = bp.scratch()
    server = syncing.Server(folder / "server").start()
    agent = syncing.Agent(folder / "robot", DOMAIN).start(f"sync.upstream={server.base}")
    browser.sim(DOMAIN, "--profile", "small")
    bp.until(lambda: agent.ask("GET", "/api/v1/status")["graph"]["topics"] > 8, 30, "topics of a robot")
    agent.ask("POST", "/api/v1/sessions", {"name": "sent", "mission": "to the site"}, (201,))
    time.sleep(3)
    agent.ask("POST", "/api/v1/sessions/current/stop")
    bp.until(lambda: [s for s in server.sessions() if s.get("manifest")], 60, "the session is on the server", 0.2)
    browser.drive("server", server.base, agent=agent.base)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
