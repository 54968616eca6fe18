"""Robots told apart, and sessions that begin, end and follow each other by themselves.

Two simulated robots in one domain: what is told of each (topics, rates, sessions, losses), rules that give them
other names, {robot} in the names of sessions; a session that begins with the first topic, again when the robots
were off and on, not after it was stopped by hand; sessions that end at a size, with no message between two of
them missing.
"""
import time

import bp
import care
from bag import Bag

DOMAIN = 137


def robots(folder, number=2):
    return bp.sim("--robots", number, "--profile", "mixed", domain=DOMAIN, log=folder / f"sim-{time.time_ns()}.log")


def told(agent):
    return {r["robot"]: r for r in agent.ask("/api/v1/robots")["robots"]}


def names(agent):
    return [s["name"] for s in agent.ask("/api/v1/sessions?limit=500")["sessions"]]


def by_itself(folder):
    """first_topic: begins when robots come, once; not again until they were gone."""
    agent = care.Agent(folder, DOMAIN, "session.auto_start=first_topic", "session.name=auto_{mission}", "session.mission=night")
    time.sleep(2)
    bp.check(agent.ask("/api/v1/status")["state"] == "idle" and not names(agent), "an empty graph: nothing begins")
    sim = robots(folder)
    bp.until(lambda: names(agent) == ["auto_night"], 15, "a session with the first topic")
    time.sleep(2)
    agent.tell("/api/v1/sessions/current/stop")
    time.sleep(2.5)
    bp.check(names(agent) == ["auto_night"], f"stopped by hand it stays stopped: {names(agent)}")
    sim.stop()
    bp.until(lambda: agent.ask("/api/v1/status")["graph"]["writers"] == 0, 30, "robots gone")
    time.sleep(1.5)
    sim = robots(folder)
    bp.until(lambda: names(agent) == ["auto_night-2", "auto_night"], 15, "another one when they are back")
    time.sleep(1)
    agent.stop()
    bp.check(Bag(agent.data / "auto_night-2").count > 0, "with something in it")
    return sim


def view(folder):
    """Each robot's topics, rates, sessions and losses; robot1's imu may hold next to nothing of the ring."""
    agent = care.Agent(folder, DOMAIN, "record.budget=/robot1/*=1k")
    bp.until(lambda: {"robot1", "robot2"} <= set(told(agent)), 15, "two robots")
    s = agent.tell("/api/v1/sessions", {"name": "{robot}_{mission}", "mission": "shelf 7"}, 201)
    bp.check(s["name"] == "robot1+robot2_shelf_7", f"the name of the session: {s['name']}")
    agent.tell("/api/v1/sessions", {"name": "one", "topics": ["/robot2/*"]}, 201)
    time.sleep(3.5)
    r = told(agent)
    for name in ("robot1", "robot2"):
        x = r[name]
        bp.check(x["topics"] > 3 and x["rate"] > 10 and x["byte_rate"] > 1000 and x["domains"] == [DOMAIN],
                 f"{name} is alive: {x}")
        bp.check(x["recorded"]["messages"] > 0 and int(x["last_ns"]) > 0, f"{name} is recorded: {x}")
    bp.check(r["robot1"]["sessions"] == [s["name"]] and r["robot2"]["sessions"] == [s["name"], "one"],
             f"sessions: {r['robot1']['sessions']}, {r['robot2']['sessions']}")
    bp.check(r["robot1"]["recorded"]["lost_by_cause"]["budget"] > 0, f"robot1 loses by its budget: {r['robot1']}")
    bp.check(r["robot2"]["recorded"]["lost_by_cause"]["budget"] == 0, f"robot2 does not: {r['robot2']}")
    one = agent.ask("/api/v1/robots/robot1")
    bp.check(len(one["topic_list"]) >= one["topics"] and all(t["topic"].startswith("/robot1/") for t in one["topic_list"]),
             f"its topics: {one}")
    agent.ask("/api/v1/robots/none", expect=404)
    sums = {x["robot"]: x for x in agent.ask("/api/v1/status")["robots"]}
    bp.check(sums["robot1"]["lost"] > 0 and sums["robot2"]["rate"] > 10, f"in the status: {sums}")
    bp.check('bagpipe_robot_messages_total{robot="robot2"}' in agent.ask("/metrics"), "in the metrics")
    agent.stop()


def rules(folder):
    agent = care.Agent(folder, DOMAIN, r"robots.rules=left=/robot1,amr-$1=~^/robot(\d)/")
    bp.until(lambda: {"left", "amr-2"} <= set(told(agent)), 15, f"robots by rule, not {set(told(agent))}")
    bp.check(not {"robot1", "robot2"} & set(told(agent)), f"and no others: {set(told(agent))}")
    agent.tell("/api/v1/sessions", {"name": "ruled"}, 201)
    time.sleep(1.5)
    agent.stop()
    bag = Bag(agent.data / "ruled")
    seen = {t: m.get("bagpipe.robot") for t, m in bag.channels.items()}
    bp.check(seen["/robot1/imu"] == "left" and seen["/robot2/imu"] == "amr-2", f"in the file: {seen}")


def one_after_the_other(folder):
    agent = care.Agent(folder, DOMAIN, "session.max_size=2MiB", "session.at_max=next", ring="32MiB")
    agent.tell("/api/v1/sessions", {"name": "chain", "topics": ["/robot1/imu", "/robot1/*camera*", "/robot1/scan"],
                                    "tags": ["kept"]}, 201)
    bp.until(lambda: len([n for n in names(agent) if n.startswith("chain")]) >= 4, 60, "four sessions in a row")
    running = agent.ask("/api/v1/sessions/" + names(agent)[0])
    bp.check(running["tags"] == ["kept"], f"the next is as the first: {running}")
    agent.stop()
    links = sorted((p for p in agent.data.iterdir() if p.name.startswith("chain")), key=lambda p: p.stat().st_mtime_ns)
    seqs, twice = [], 0
    for p in links:
        bp.bagpipe("verify", p)
        got = Bag(p).seqs("/robot1/imu")
        twice += len(set(got) & set(seqs))
        seqs += got
    bp.check(set(seqs) == set(range(min(seqs), max(seqs) + 1)), "no message between two sessions is missing")
    bp.say(f"{len(links)} sessions, {len(set(seqs))} messages, {twice} of them in two")


def test():
    folder = bp.scratch()
    sim = by_itself(folder)
    view(folder)
    rules(folder)
    one_after_the_other(folder)
    sim.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
