"""Recordings in the browser: found in the list, looked at, replayed, exported, compared. At a hundred random places of
a replay, with a camera beside, each value shown equals the one that pip `rosbags` decodes from the files.
"""
import dataclasses
import json
import time
import urllib.request

from rosbags.highlevel import AnyReader

import bp
import browser
from agentapi import Agent
from bag import Bag

DOMAIN = 152
TOPICS = ("/robot1/odom", "/robot1/imu", "/robot1/fix")


def flat(value, path=""):
    """A message's numbers and texts by the names that the tree shows; what it shows folded is left out."""
    if hasattr(value, "sec") and hasattr(value, "nanosec"):
        return {path: f"{value.sec}.{value.nanosec:09}"}
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value) if f.name.islower() and f.name[0] != "_"]  # no constants
        fields = [(f"{path}.{n}" if path else n, getattr(value, n)) for n in names]
        return {k: v for name, inner in fields for k, v in flat(inner, name).items()}
    if hasattr(value, "__len__") and not isinstance(value, str):
        return {k: v for i, x in enumerate(value) if len(value) <= 16 for k, v in flat(x, f"{path}.{i}").items()}
    return {path: value if isinstance(value, (str, bool)) else float(value)}


def truth(folder):
    found = {}
    with AnyReader([folder]) as r:
        for c, t, raw in r.messages():
            if c.topic in TOPICS:
                found.setdefault(c.topic, []).append([str(t), flat(r.deserialize(raw, c.msgtype))])
    bp.check(sorted(found) == sorted(TOPICS), f"topics: {sorted(found)}")
    return {k: sorted(v, key=lambda x: int(x[0])) for k, v in found.items()}


def record(agent, name, seconds, marks=()):
    agent.json("POST", "/api/v1/sessions", {"name": name, "tags": ["yard"], "mission": f"mission of {name}"}, 201)
    for text in marks:
        time.sleep(seconds / (len(marks) + 1))
        agent.json("POST", f"/api/v1/sessions/{name}/marks", {"text": text}, 204)
    time.sleep(seconds / (len(marks) + 1))
    agent.json("POST", f"/api/v1/sessions/{name}/stop")
    bp.until(lambda: agent.get(f"/api/v1/sessions/{name}")["status"] == "finished", 20, f"{name} is closed")
    return agent.get(f"/api/v1/sessions/{name}")["id"]


def export(folder, agent):
    def get(path):
        """What the page's link brings, as an outside reader sees it. @return messages by topic"""
        file = folder / "export.mcap"
        with urllib.request.urlopen(agent.base + path, timeout=30) as r:
            file.write_bytes(r.read())
        bag = Bag(file)
        return {t: len(m) for t, m in bag.messages.items()}
    return get


def test():
    browser.need()
    folder = bp.scratch()
    agent = Agent(folder, domain=DOMAIN)
    browser.sim(DOMAIN, "--profile", "camera")
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 8, 30, "topics of a robot")
    drive = record(agent, "drive", bp.amount(12, 60), ["hit the shelf", "back again"])
    short = record(agent, "short", 3)
    values = folder / "truth.json"
    values.write_text(json.dumps(truth(agent.data / "drive")))
    browser.drive("replay", agent.base, {"export": export(folder, agent)}, drive=drive, short=short, truth=str(values),
                  places=bp.amount(100, 300), seed=bp.seeded().randrange(1 << 31))


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
