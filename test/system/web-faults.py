"""What the dashboard shows of an agent that has nothing, is killed, and comes back at the same address."""
import bp
import browser
from agentapi import Agent

DOMAIN = 153
PORT = 19880


def test():
    browser.need()
    folder = bp.scratch()
    life = [Agent(folder, f"http.listen=127.0.0.1:{PORT}", domain=DOMAIN)]
    answers = {
        "sim": lambda: browser.sim(DOMAIN, "--profile", "small").pid,
        "kill": lambda: life[-1].p.kill9(),
        "start": lambda: life.append(Agent(folder, f"http.listen=127.0.0.1:{PORT}", domain=DOMAIN)),
    }
    browser.drive("faults", life[0].base, answers)
    bp.check(len(life) == 2 and life[1].p.alive(), "the second one lives")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
