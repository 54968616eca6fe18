"""A robot that seals for somebody else: of what its snapshots are made of, nothing lies readable on its disk. It
reads its own history while it lives, not in the next life, and says so; whoever has the key reads all of it, with
our agent and with a reader that knows docs/formats/ alone. A ring on a disk is refused.
"""
import subprocess
import time

import bp
import care
import history

DOMAIN = 148
WORDS = (b"/robot1/imu", b"sensor_msgs", b"robot1", b"imu_link", b"float64")  # topics, types, payload, definitions


def lies_there(folder):
    """Which of the words are in any file of the folder, names included."""
    names = "\n".join(str(p.relative_to(folder)) for p in folder.rglob("*")).encode()
    got = {w for w in WORDS if w in names}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            got |= {w for w in WORDS if w in data or w.decode().encode("utf-16-le") in data}
    return got


def start(folder, name, *more):
    agent = care.Agent(folder, DOMAIN, "snapshot.enabled=true", "snapshot.disk_bytes=64MiB", "snapshot.max_bytes=8MiB",
                       "snapshot.topics=/robot1/imu,/robot1/odom", f"snapshot.disk_dir={folder}/{name}", *more)
    bp.until(lambda: agent.ask("/api/v1/snapshot")["memory"]["messages"] > 100, 30, "messages")
    bp.until(lambda: agent.ask("/api/v1/snapshot")["disk"]["written"] > 20000, 30, "files")
    return agent


def snapshot(agent, key=None):
    """@return its number of messages, by its session folder"""
    s = agent.tell("/api/v1/snapshot", {"before_s": 600, "after_s": 0.2, "name": "saved"}, 201)
    bp.until(lambda: agent.ask(f"/api/v1/sessions/{s['id']}")["status"] == "finished", 30, "the snapshot")
    row = agent.ask(f"/api/v1/sessions/{s['id']}")
    bp.bagpipe("verify", agent.data / row["name"], *(["--key", key] if key else []))
    return row["messages"]


def ring_on_disk(folder, public):
    on_disk = folder / "ring"
    on_disk.mkdir()
    kind = subprocess.run(["stat", "-f", "-c", "%T", on_disk], capture_output=True, text=True).stdout.strip()
    if not bp.check(kind != "tmpfs", f"the test's folder is on a disk: {kind}"):
        return
    agent = care.Agent(folder, DOMAIN, f"crypto.recipients={public}", f"buffer.ring_dir={on_disk}")
    problem = agent.tell("/api/v1/sessions", {"name": "refused"}, 400)
    bp.check("tmpfs" in problem["detail"] and "none" in problem["detail"], f"a ring on a disk: {problem}")
    bp.check(not list(on_disk.iterdir()), "and none was made")
    agent.http("PATCH", "/api/v1/config", {"buffer.ring_dir": "none"})
    agent.tell("/api/v1/sessions", {"name": "taken"}, 201)
    time.sleep(1)
    agent.tell("/api/v1/sessions/taken/stop")
    agent.stop()
    bp.check(lies_there(agent.data / "taken") <= {b"/robot1/imu", b"robot1", b"sensor_msgs"},
             "of a sealed session only metadata.yaml and manifest.json tell names")


def test():
    folder = bp.scratch()
    key = folder / "key"
    public = bp.bagpipe("key", "new", key)[1].strip()
    robot = bp.sim("--robots", 1, domain=DOMAIN, log=folder / "sim.log")

    agent = start(folder, "clear")
    agent.p.kill9()
    bp.check(lies_there(folder / "clear") >= {b"/robot1/imu", b"sensor_msgs"}, "without sealing the search finds them")

    agent = start(folder, "history", f"crypto.recipients={public}")
    time.sleep(2)
    before = snapshot(agent, key)
    bp.check(before > 300, f"a snapshot out of sealed files and memory: {before} messages")
    agent.p.kill9()  # the disk as a thief finds it
    files = sorted((folder / "history").glob("history-*.bph"))
    bp.check(files and all(f.read_bytes()[:8] == b"\x89BPSEAL\n" for f in files), f"sealed files: {files}")
    bp.check(lies_there(folder / "history") == set(), f"readable: {lies_there(folder / 'history')}")
    bp.check(history.numbers(folder / "history") == {}, "the foreign reader without the key reads nothing")
    theirs = history.numbers(folder / "history", key)
    count = sum(len(v) for (_, topic), v in theirs.items())
    bp.check({t for _, t in theirs} == {"/robot1/imu", "/robot1/odom"} and count > 300, f"with the key: {count}")

    agent = start(folder, "history", f"crypto.recipients={public}")
    disk = agent.ask("/api/v1/snapshot")["disk"]
    bp.check(disk["locked"] == len(files), f"what it cannot open it says: {disk}")
    bp.check("no key here opens it" in agent.p.text() and all(f.exists() for f in files), "and keeps")
    few = snapshot(agent, key)
    bp.check(few > 50, f"snapshots go on: {few}")
    agent.stop()
    bp.check(lies_there(folder / "history") == set(), "after both lives")
    both = sum(len(v) for v in history.numbers(folder / "history", key).values())
    bp.check(both > count, f"the foreign reader has both: {both}")

    agent = start(folder, "history", f"crypto.key_file={key}")
    disk = agent.ask("/api/v1/snapshot")["disk"]
    bp.check(disk["locked"] == 0, f"with the key all is taken up: {disk}")
    every = snapshot(agent, key)
    bp.check(every >= both, f"a snapshot reaches over three lives: {every} of {both}")
    agent.stop()
    ring_on_disk(folder, public)
    bp.check(robot.stop() == 0, "the sim ends")
    bp.say(f"{before} messages in a snapshot; {both} in {len(files)}+ files, {every} over three lives")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
