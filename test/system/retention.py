"""Retention on a real agent: nothing that has no copy elsewhere is ever deleted unless it is said so, what is
kept or marked stays, the dry run says what then happens, and a kill in the middle of a deletion leaves whole
sessions only: those that are there verify, those that went are tombstones.
"""
import signal
import time

import bp
import care

DOMAIN = 134


class Agent(care.Agent):
    def __init__(self, folder, *settings, **kw):
        super().__init__(folder, DOMAIN, "retention.interval=1s", "record.segment_size=1MiB", *settings, **kw)


def there(agent):
    return {s["name"]: s for s in agent.ask("/api/v1/sessions?limit=500")["sessions"]}


def whole(agent, where):
    """What is there verifies; what went has left nothing but a tombstone."""
    names = there(agent)
    for name in names:
        status = bp.bagpipe("verify", agent.data / name)[0]
        bp.check(status == 0, f"{where}: '{name}' is whole")
    dead = {s["name"] for s in agent.ask("/api/v1/sessions?status=deleted&limit=500")["sessions"]}
    for name in dead:
        bp.check(not (agent.data / name).exists(), f"{where}: '{name}' is deleted and gone")
    left = [p.name for p in agent.data.iterdir() if p.is_dir() and not p.name.startswith(".")]
    bp.check(sorted(left) == sorted(names), f"{where}: folders {sorted(left)}, catalogue {sorted(names)}")
    return names, dead


def record(agent, name, seconds=1.0, mark=False):
    agent.tell("/api/v1/sessions", {"name": name}, 201)
    time.sleep(seconds)
    if mark:
        agent.tell(f"/api/v1/sessions/{name}/marks", {"text": "look here"}, 204)
    s = agent.tell(f"/api/v1/sessions/{name}/stop")
    bp.check(s["status"] == "finished" and s["messages"] > 0, f"'{name}' has something in it: {s}")


def fill(folder):
    agent = Agent(folder)
    bp.until(lambda: agent.ask("/api/v1/status")["graph"]["topics"] > 3, 20, "topics")
    for i in range(6):
        record(agent, f"s{i}", mark=i == 1)
    agent.stop()


def not_uploaded_stays(folder):
    """Every limit is crossed and nothing goes: there is no copy elsewhere, and nobody said it may go."""
    agent = Agent(folder, "retention.max_age=1s", "retention.max_size=1k", "retention.min_free=900T")
    bp.until(lambda: "delete_not_uploaded" in agent.p.text(), 10, "the log says that nothing can go")
    time.sleep(3)
    st = agent.ask("/api/v1/storage")
    bp.check(st["would_delete"]["sessions"] == 0 and len(st["held"]) == 6, f"nothing would go: {st}")
    bp.check({h["why"] for h in st["held"]} == {"not uploaded", "has a mark"}, f"and why: {st['held']}")
    bp.check(st["over"] > 0 and st["note"], f"what is missing is told: {st['over']}, {st['note']}")
    alerts = agent.ask("/api/v1/alerts")["alerts"]
    bp.check(any(a["key"] == "retention.over" for a in alerts), f"there is an alert: {alerts}")
    agent.tell("/api/v1/storage/clean", expect=202)
    time.sleep(1.5)
    bp.check(len(whole(agent, "not uploaded")[0]) == 6, "all are there")
    agent.stop()


def only_uploaded_goes(folder):
    """Of seven, those with a copy elsewhere go, but for the marked, the kept, and what runs."""
    agent = Agent(folder, "retention.max_age=1s", "retention.interval=1h")
    agent.tell("/api/v1/sessions", {"name": "running"}, 201)
    agent.tell("/api/v1/sessions/running/uploaded", expect=409)
    for i in (0, 1, 2, 4):
        agent.tell(f"/api/v1/sessions/s{i}/uploaded")
    agent.tell("/api/v1/sessions/s2/keep")
    told = agent.tell("/api/v1/storage/clean?dry_run=1")
    bp.check([n["name"] for n in told["next"]] == ["s0", "s4"], f"dry run: {told['next']}")
    why = {h["name"]: h["why"] for h in told["held"]}
    bp.check(why == {"s1": "has a mark", "s2": "kept by hand", "s3": "not uploaded", "s5": "not uploaded",
                     "running": "is being recorded"}, f"held: {why}")
    time.sleep(0.5)
    bp.check(set(there(agent)) == {"s0", "s1", "s2", "s3", "s4", "s5", "running"}, "a dry run deletes nothing")
    agent.tell("/api/v1/storage/clean", expect=202)
    bp.until(lambda: agent.ask("/api/v1/storage")["deleted"]["sessions"] == 2, 20, "deletions")
    bp.until(lambda: not list(agent.data.glob(".deleting-*")), 20, "erased")
    bp.check(set(there(agent)) == {"s1", "s2", "s3", "s5", "running"}, f"left: {list(there(agent))}")
    s0 = agent.ask("/api/v1/sessions/s0")
    bp.check(s0["status"] == "deleted" and s0["deleted_why"] == "older than max_age" and s0["uploaded_ns"],
             f"the tombstone: {s0}")
    page = agent.ask("/metrics")
    bp.check('bagpipe_retention_deleted_sessions_total{reason="age"} 2' in page, "counted")
    agent.http("PATCH", "/api/v1/config", {"retention.max_age": "1h"})
    agent.tell("/api/v1/sessions/s3/uploaded")
    st = agent.ask("/api/v1/storage")
    bp.check([n["name"] for n in st["later"]] == ["s3"] and st["next"] == [], f"what would go one day: {st}")
    agent.tell("/api/v1/sessions/running/stop")
    agent.stop()
    bp.check("session deleted" in agent.p.text(), "and in the log")


def killed(folder, rnd):
    """Killed at some file operation of a deletion, again and again; each next start goes on."""
    setup = Agent(folder)
    for i in range(bp.amount(8, 40)):
        record(setup, f"k{i}", 0.3)
        setup.tell(f"/api/v1/sessions/k{i}/uploaded")
    setup.stop()
    kills = 0
    for round_ in range(bp.amount(6, 60)):
        op, at = rnd.choice(("unlink", "rename", "sync_dir")), rnd.randint(1, 6)
        path = {"unlink": ",path=*_*.mcap", "rename": ",path=*.deleting-*", "sync_dir": ""}[op]
        fault = f"op={op}{path},at={at if op == 'unlink' else 1 + at % 2},kill"
        agent = Agent(folder, "retention.max_age=1s", env={"BAGPIPE_FAULT": fault}, wait=False)
        try:
            agent.p.wait(4)
            kills += agent.p.p.returncode == -signal.SIGKILL
        except TimeoutError:
            agent.p.stop(timeout=30, sig=signal.SIGTERM)
        look = Agent(folder)  # no limits: it only ends what was begun
        bp.until(lambda: not list(look.data.glob(".deleting-*")), 20, f"{fault}: what was begun is ended")
        whole(look, fault)
        look.stop()
    bp.check(kills >= 2, f"the kills came ({kills})")
    agent = Agent(folder, "retention.max_age=1s")
    bp.until(lambda: not any(n.startswith("k") for n in there(agent)), 30, "all that may go")
    names, dead = whole(agent, "at the end")
    bp.check({"s1", "s2", "s5", "running"} == set(names), f"the others stayed: {list(names)}")
    bp.say(f"{kills} kills, {len(dead)} tombstones, {len(names)} sessions left")
    agent.stop()


def forced(folder):
    """Told that sessions without a copy may go: only as many as the limit asks for, the oldest first."""
    agent = Agent(folder, "retention.interval=1h")
    order = [s["name"] for s in sorted(there(agent).values(), key=lambda s: s["id"]) if s["name"] not in ("s1", "s2")]
    size = {s["name"]: s["bytes"] for s in there(agent).values()}
    agent.stop()
    most = sum(size.values()) - size[order[0]] // 2
    agent = Agent(folder, f"retention.max_size={most}", "retention.delete_not_uploaded=true")
    bp.until(lambda: order[0] not in there(agent), 20, "the oldest to go")
    time.sleep(2.5)
    bp.check(set(size) - set(there(agent)) == {order[0]}, f"only that one went: {list(there(agent))}")
    whole(agent, "forced")
    agent.stop()


def hurries(folder):
    """With too little space free nobody waits for the next interval."""
    agent = Agent(folder, "retention.interval=1h", "retention.min_free=900T")
    record(agent, "urgent")
    time.sleep(1.5)
    bp.check("urgent" in there(agent), "not uploaded: it stays however full the disk is")
    agent.tell("/api/v1/sessions/urgent/uploaded")
    bp.until(lambda: "urgent" not in there(agent), 30, "the uploaded one to go long before the hour is over")
    s = agent.ask("/api/v1/sessions/urgent")
    bp.check(s["deleted_why"] == "less than min_free is free", f"and why: {s}")
    agent.stop()


def test():
    rnd = bp.seeded()
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    fill(folder)
    not_uploaded_stays(folder)
    only_uploaded_goes(folder)
    forced(folder)
    hurries(folder)
    killed(folder, rnd)
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
