"""Snapshots: what came before a trigger and what came after, to the message. The truth is the sender's own
log, and a session that records the same topics at the same time: same messages, same times, nothing changed
in its ledger. Merged triggers, latched topics, files that keep the minute before a kill -9, bounded memory.
"""
import json
import re
import signal
import time
import urllib.error
import urllib.request

import bp
import history
import judge
import spans
from bag import Bag

DOMAIN = 133
SLACK = 200_000_000  # ns between a sender's clock reading and reception, on a loaded machine


class Agent:
    def __init__(self, folder, *args, name="agent"):
        self.data = folder / "data"
        self.sock = folder / f"{name}.sock"
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={self.data}", f"http.socket={self.sock}",
                          "http.listen=127.0.0.1:0", f"discovery.domains={DOMAIN}", "buffer.ring_size=32MiB",
                          "snapshot.enabled=true", *args])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
        bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")
        found = re.search(r"127\.0\.0\.1:\d+", self.p.text())
        bp.check(found, f"its address: {self.p.text()[-600:]}")
        self.base = f"http://{found[0]}"

    def http(self, method, path, body=None, expect=200):
        data = json.dumps(body).encode() if body is not None else None
        req = urllib.request.Request(self.base + path, data=data, method=method,
                                     headers={"Content-Type": "application/json"} if data else {})
        try:
            with urllib.request.urlopen(req, timeout=30) as r:
                status, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        bp.check(status == expect, f"{method} {path}: {status}, expected {expect}: {text[:300]}")
        return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()

    def verb(self, *args, ok=(0,)):
        return bp.bagpipe(*args, "--url", f"unix:{self.sock}", ok=ok)[1]

    def snapshot(self, body, expect=201):
        """@return the session and its window as (from_ns, until_ns), wall clock"""
        s = self.http("POST", "/api/v1/snapshot", body, expect)
        saving = {x["id"]: x for x in self.http("GET", "/api/v1/snapshot")["saving"]}
        w = saving.get(s.get("id"))
        bp.check(w is not None, f"{s.get('id')} is being saved: {saving}")
        return s, w and (int(w["from_ns"]), int(w["until_ns"]))

    def finished(self, key, timeout=40):
        bp.until(lambda: self.http("GET", f"/api/v1/sessions/{key}")["status"] in ("finished", "failed"), timeout,
                 f"the end of {key}", 0.1)
        row = self.http("GET", f"/api/v1/sessions/{key}")
        bp.check(row["status"] == "finished" and row["class"] == "snapshot", f"{key}: {row}")
        bp.bagpipe("verify", row["dir"])
        return row, Bag(row["dir"])


def in_window(bag, window, topic):
    return sorted(m[0] for m in bag.messages[topic] if window[0] <= m[1] <= window[1])


def same_as(snap, every, window, skip=()):
    """The snapshot has of each topic what the session has in the window: each message once, with its times."""
    n = 0
    for topic in every.messages:
        if topic in skip:
            continue
        want = sorted((m[0], m[1], m[2], m[3]) for m in every.messages[topic] if window[0] <= m[1] <= window[1])
        got = sorted((m[0], m[1], m[2], m[3]) for m in snap.messages[topic])
        n += len(want)
        bp.check(got == want, f"{topic}: {len(got)} messages, {len(want)} in the window; "
                 f"missing {sorted(set(want) - set(got))[:3]}, too many {sorted(set(got) - set(want))[:3]}")
    return n


def never_came(src):
    """Numbers that a loaded network has lost, by the ledger."""
    return {q for a, b in src.lost["transport"] for q in range(a, b + 1)}


def as_sent(snap, sender, window, skip=()):
    """By the sender's log: all that was sent well inside the window, nothing from well outside, none twice."""
    log, n = judge.SendLog(sender), 0
    for (guid, topic), rows in log.sent.items():
        if topic in skip or topic not in snap.messages:
            continue
        inner = {s for s, _, wall, _ in rows if window[0] + SLACK < wall < window[1] - SLACK}
        outer = {s for s, _, wall, _ in rows if window[0] - SLACK < wall < window[1] + SLACK}
        got = snap.seqs(topic)
        bp.check(len(got) == len(set(got)), f"{topic}: a message is there twice")
        src = snap.ledger[(guid, topic)]
        lost = never_came(src) - set(got)
        bp.check(inner <= set(got) | lost and set(got) <= outer,
                 f"{topic}: missing {spans.show(spans.of(inner - set(got)))}, "
                 f"too many {spans.show(spans.of(set(got) - outer))}")
        bp.check(len(lost) <= len(got) // 20, f"{topic}: {len(lost)} never came")
        bp.check(set(got) | lost == set(range(min(got), max(got) + 1)), f"{topic}: a hole that nobody knows of")
        bp.check(spans.count(spans.normal(src.received + src.late)) == len(got), f"{topic}: the ledger knows {src.received}")
        n += len(got)
    return n


def to_the_message(folder, agent):
    every = agent.http("POST", "/api/v1/sessions", {"name": "every"}, 201)
    time.sleep(5)
    s, window = agent.snapshot({"reason": "hit the shelf", "before_s": 2.5, "after_s": 1.5, "values": {"aisle": "7"}})
    bp.check(s["merged"] is False and s["class"] == "snapshot" and s["status"] == "recording", f"snapshot: {s}")
    bp.check(agent.http("GET", "/api/v1/status")["sessions"]["running"] == 1, "it is no session of anybody's")
    topics = {t["topic"]: t for t in agent.http("GET", "/api/v1/topics")["topics"]}
    bp.check(topics["/robot1/imu"]["sessions"] == 1, "the history is no session")
    row, snap = agent.finished(s["id"])
    done = agent.http("POST", "/api/v1/sessions/current/stop", {})
    bp.check(done["id"] == every["id"], "'current' is the session, not the snapshot")
    bp.bagpipe("verify", done["dir"])
    whole = Bag(done["dir"])
    bp.check(window[1] - window[0] == 4_000_000_000, f"the window is 4 s: {window}")
    qos = {t: whole.channels[t].get("offered_qos_profiles", "") for t in whole.messages}
    latched = {t for t in qos if ("transient_local" in qos[t] or "durability: 1" in qos[t]) and t != "/rosout"}
    n = same_as(snap, whole, window, skip=latched)
    m = as_sent(snap, folder / "sim.log", window, skip=latched)
    bp.check(n > 500 and m == n, f"{n} messages in the window, {m} by the sender's log")
    bp.check(snap.lost() == snap.lost("transport") == row["lost"], f"nothing else is lost: {snap.lost()}")
    bp.check(whole.lost() == whole.lost("transport")
             and sum(spans.count(x.received + x.late) for x in whole.ledger.values()) == whole.count,
             "and nothing changed for the session beside it")
    bp.check("/robot1/tf_static" in latched, f"latched topics: {latched}")
    for t in latched:
        bp.check(len(snap.messages[t]) == 1 and snap.messages[t][0][1] == window[0], f"{t}: {snap.messages[t]}")
    marks = [x for x in snap.metadata if x[1] == "bagpipe.mark"]
    bp.check(len(marks) == 1 and marks[0][2]["text"] == "hit the shelf" and marks[0][2]["aisle"] == "7", f"{marks}")
    bp.check([x["text"] for x in row["marks"]] == ["hit the shelf"], f"marks: {row['marks']}")
    bp.say(f"{n} messages in a window of 4 s, {len(latched)} latched topics; the session beside it has {whole.count}")


def merged(folder, agent):
    """Three triggers in a row are one snapshot with three marks; other topics are one of their own."""
    every = agent.http("POST", "/api/v1/sessions", {"name": "merge-every", "topics": ["/robot1/imu", "/robot1/odom"]}, 201)
    time.sleep(2)
    a, window = agent.snapshot({"reason": "first", "before_s": 1, "after_s": 5, "name": "merge"})
    time.sleep(0.3)
    other = agent.snapshot({"reason": "imu alone", "before_s": 1, "after_s": 0.5, "topics": ["/robot1/imu"]})[0]
    b, _ = agent.snapshot({"reason": "second", "before_s": 1, "after_s": 5}, 200)
    time.sleep(0.3)
    c, longer = agent.snapshot({"reason": "third", "before_s": 1, "after_s": 5}, 200)
    far, _ = agent.snapshot({"reason": "reaches further back", "before_s": 30, "after_s": 0}, 201)
    bp.check(a["id"] == b["id"] == c["id"] and b["merged"], f"merged: {a['id']} {b['id']} {c['id']}")
    bp.check(longer[0] == window[0] and longer[1] - window[1] > 500_000_000, f"longer: {window} {longer}")
    bp.check(len({a["id"], other["id"], far["id"]}) == 3, "other topics, or further back: of their own")
    row, snap = agent.finished(a["id"])
    bp.check([x["text"] for x in row["marks"]] == ["first", "second", "third"], f"marks: {row['marks']}")
    agent.finished(far["id"])
    _, imu = agent.finished(other["id"])
    bp.check(set(imu.messages) == {"/robot1/imu"} and imu.count > 50, f"imu alone: {imu.count} {set(imu.messages)}")
    whole = Bag(agent.http("POST", f"/api/v1/sessions/{every['id']}/stop", {})["dir"])
    n = same_as(snap, whole, longer)
    bp.say(f"three triggers, one snapshot, {n} messages of two topics in {(longer[1] - longer[0]) / 1e9:.2f} s")
    state = agent.http("GET", "/api/v1/snapshot")
    bp.check(state["merged"] == 2 and state["started"] >= 4 and state["saving"] == [], f"state: {state}")
    bp.check("bagpipe_snapshots_merged_total 2" in agent.http("GET", "/metrics"), "metrics")


def wrong(agent):
    for body, word in (({"before_s": -1}, "before_s"), ({"after_s": "x"}, "after_s"), ({"colour": 1}, "colour"),
                       ({"values": {"a": 1}}, "values.a"), ({"topics": "x"}, "topics"), ([], "object"),
                       ({"name": "{nothing}"}, "nothing"), ({"reason": 5}, "reason")):
        p = agent.http("POST", "/api/v1/snapshot", body, 400)
        bp.check(word in p.get("detail", ""), f"{body}: '{p.get('detail')}' names '{word}'")
    s, _ = agent.snapshot({"before_s": 1, "after_s": 30, "name": "stopped"})
    agent.http("POST", f"/api/v1/sessions/{s['id']}/pause", {}, 400)
    time.sleep(0.3)
    row = agent.http("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    bp.check(row["status"] == "finished", f"stopped by hand: {row}")
    bp.bagpipe("verify", row["dir"])


def by_verb(agent):
    """The verb waits for the end; what is asked for wrongly is refused before anything happens."""
    out = agent.verb("snapshot", "--before", "1s", "--after", "500ms", "--reason", "by hand", "--values", "who=me",
                     "--name", "by-verb", "--wait")
    bp.check("finished" in out and "by-verb" in out, f"verb: {out}")
    s = json.loads(agent.verb("snapshot", "--before", "1s", "--after", "0s", "--wait", "--json"))
    bp.check(s["status"] == "finished" and s["merged"] is False and s["messages"] > 100, f"verb, JSON: {s}")
    status, _, err = bp.bagpipe("snapshot", "--before", "soon", "--url", f"unix:{agent.sock}", ok=range(256))
    bp.check(status == 2 and "soon" in err, f"wrong time: {status} {err}")


def limits(folder):
    """Cool-down and number an hour refuse new ones; memory stays within its bound; without history: a clear no."""
    agent = Agent(folder, "snapshot.cooldown=1h", "snapshot.max_bytes=8MiB", "snapshot.keep_every=/robot1/imu=5",
                  "snapshot.exclude_topics=/robot1/odom", name="limits")
    bp.until(lambda: agent.http("GET", "/api/v1/snapshot")["memory"]["evicted"] > 0, 40, "a full history", 0.2)
    odd = "hit: 'the\n\"shelf\" # " + "ü" * 400
    s, _ = agent.snapshot({"before_s": 1, "after_s": 0.5, "name": "limits", "reason": odd})
    row, snap = agent.finished(s["id"])
    bp.check(row["marks"][0]["text"] == odd and row["notes"] == odd, "a reason of any kind")
    imu = sorted(snap.seqs("/robot1/imu"))
    bp.check(len(imu) > 3 and min(b - a for a, b in zip(imu, imu[1:])) >= 5, f"every fifth: {imu}")
    bp.check(snap.lost("ring") == 0 and snap.lost("rate") + snap.lost("transport") >= 4 * (len(imu) - 1),
             f"thinned: {snap.lost('rate')}")
    bp.check("/robot1/odom" not in snap.messages and "/robot1/tf" in snap.messages, f"topics: {set(snap.messages)}")
    p = agent.http("POST", "/api/v1/snapshot", {"before_s": 1, "after_s": 0}, 503)
    bp.check("cooldown" in p["detail"], f"cool-down: {p}")
    start = bp.rss_kb(agent.p.pid)["RssAnon"]
    time.sleep(4)
    m = agent.http("GET", "/api/v1/snapshot")["memory"]
    rss = bp.rss_kb(agent.p.pid)["RssAnon"]
    bp.check(m["used"] <= m["size"] == 8 << 20 and m["dropped"] == 0, f"memory: {m}")
    bp.check(rss - start < 4096, f"memory grows: {start} kB, {rss} kB")
    agent.p.stop(timeout=20, sig=signal.SIGTERM)
    for f in agent.data.glob("catalog.db*"):
        f.unlink()
    agent = Agent(folder, "snapshot.enabled=false", name="without")
    bp.check(agent.http("GET", "/api/v1/sessions/limits")["class"] == "snapshot", "known without the catalogue")
    bp.check(agent.http("GET", "/api/v1/sessions/every")["class"] == "session", "and what is none")
    p = agent.http("POST", "/api/v1/snapshot", {}, 409)
    bp.check("snapshot.enabled" in p["detail"], f"not enabled: {p}")
    bp.check(agent.http("GET", "/api/v1/snapshot") == {"enabled": False}, "and says so")
    bp.check(agent.http("GET", "/api/v1/status")["graph"]["subscribed"] == 0, "nothing is subscribed to")
    agent.p.stop(timeout=20, sig=signal.SIGTERM)
    bp.say(f"history of {m['size'] >> 20} MiB: {m['evicted']} let go, {rss} kB of memory")


def killed(folder, sender):
    """Files keep what came before a kill -9: the next agent's snapshot begins with it, to the message."""
    on_disk = ["snapshot.disk_bytes=256MiB", "snapshot.max_bytes=64MiB"]
    agent = Agent(folder, *on_disk, name="disk")
    began = time.time_ns() + 1_000_000_000
    time.sleep(6)
    s, _ = agent.snapshot({"before_s": 1, "after_s": 600, "name": "half"})
    time.sleep(1.5)
    killed_at = time.time_ns()
    agent.p.kill9()
    in_files = history.numbers(agent.data / "history")
    time.sleep(1)
    agent = Agent(folder, *on_disk, name="disk2")
    up = time.time_ns()
    row, half = agent.finished(s["id"])
    bp.check(row["outages"] == 1 and half.count > 200, f"the snapshot that was being saved is finished: {row}")
    bp.until(lambda: agent.http("GET", "/api/v1/snapshot")["memory"]["messages"] > 100, 20, "messages", 0.1)
    time.sleep(1)
    s, window = agent.snapshot({"reason": "after the fault", "before_s": 60, "after_s": 0.5, "name": "whole"})
    row, snap = agent.finished(s["id"])
    d = agent.http("GET", "/api/v1/snapshot")["disk"]
    bp.check(d["missed"] == 0 and d["error"] is None and d["bytes"] < 256 << 20, f"files: {d}")
    log = judge.SendLog(sender)
    n, gap = 0, 0
    for (guid, topic), rows in log.sent.items():
        got = snap.seqs(topic)
        if topic not in snap.messages or len(rows) < 50:
            continue
        before = {q for q, _, wall, _ in rows if began < wall < killed_at - SLACK - 150_000_000}
        after = {q for q, _, wall, _ in rows if up + 2_000_000_000 < wall < window[1] - SLACK}
        bp.check(len(got) == len(set(got)), f"{topic}: a message is there twice")
        src = snap.ledger[(guid, topic)]
        lost = never_came(src) - set(got)
        bp.check(len(before & lost) <= len(before) // 20, f"{topic}: {len(before & lost)} never came")
        before, after = before - lost, after - lost
        bp.check(before <= set(got), f"{topic}: missing of the time before the kill: "
                 f"{spans.show(spans.of(before - set(got)))}")
        bp.check(after <= set(got), f"{topic}: missing of the time after: {spans.show(spans.of(after - set(got)))}")
        bp.check(before <= set(in_files.get((guid, topic), [])), f"{topic}: the files as the format page tells have it")
        hole = set(range(min(got), max(got) + 1)) - set(got)
        # numbers that were noted as missing first and came late are in both
        told = {q for c in ("transport", "ring") for a, b in src.lost[c] for q in range(a, b + 1)} - set(got)
        bp.check(told == hole, f"{topic}: missing {spans.show(spans.of(hole))}, told {spans.show(spans.of(told))}, "
                 f"all: { {c: v for c, v in src.lost.items() if v} }")
        n += len(before)
        gap += len(hole)
    bp.check(n > 1000 and gap > 50, f"{n} before, {gap} while nobody listened")
    bp.check(len(snap.messages["/robot1/tf_static"]) >= 1, "latched topics, too")
    agent.p.stop(timeout=20, sig=signal.SIGTERM)
    bp.say(f"killed: {n} messages of the time before are in the next agent's snapshot, {gap} known as lost")


def test():
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder)
    bp.until(lambda: agent.http("GET", "/api/v1/status")["graph"]["topics"] > 8, 15, "topics of the robot")
    to_the_message(folder, agent)
    merged(folder, agent)
    wrong(agent)
    by_verb(agent)
    status = agent.p.stop(timeout=20, sig=signal.SIGTERM)
    bp.check(status == 0, f"SIGTERM: exit status {status}: {agent.p.text()[-400:]}")
    limits(folder)
    killed(folder, folder / "sim.log")
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
