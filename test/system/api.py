"""The agent's API beyond starting and stopping: configuration changed under load, sessions edited, verified, downloaded
and deleted, their ledger, jobs over restarts, the log. Foreign judges: tarfile, hashlib, jsonschema.
"""
import hashlib
import io
import json
import signal
import tarfile
import threading
import time
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

import bp
from agentapi import Agent
from bag import Bag

DOMAIN = 137
ROOT = Path(__file__).resolve().parents[2]


def job(agent, started, state="done"):
    """The job's end."""
    bp.until(lambda: agent.get(f"/api/v1/jobs/{started['id']}")["state"] not in ("queued", "running"), 60, "a job")
    done = agent.get(f"/api/v1/jobs/{started['id']}")
    bp.check(done["state"] == state, f"the job: {done}")
    return done


def schema():
    """The examples fit the schema, what is wrong does not, and `check` thinks the same."""
    judge = Draft202012Validator(json.loads(bp.bagpipe("config", "schema")[1]))
    Draft202012Validator.check_schema(judge.schema)
    examples = sorted((ROOT / "docs/config").glob("*.yaml"))
    bp.check(len(examples) >= 3, "examples are there")
    for path in examples:
        errors = [e.message for e in judge.iter_errors(yaml.safe_load(path.read_text()))]
        bp.check(not errors, f"{path.name}: {errors}")
    folder = bp.scratch()
    for i, (text, good) in enumerate((
            ("record: {segment_size: 2GiB, segment_time: 1h30min, hidden: yes}", True), ("record.max_rate: ['/a=5']", True),
            ("http:\n", True), ("record: {segment_size: [1]}", False), ("record: {segment_sise: 2GiB}", False),
            ("record.compression: rar", False), ("record: {segment_time: soon}", False), ("http: {workers: 0}", False),
            ("http: 5", False))):
        file = folder / f"{i}.yaml"
        file.write_text(text)
        says = bp.bagpipe("config", "check", file, ok=(0, 2))[0] == 0
        bp.check(says == good == judge.is_valid(yaml.safe_load(text)), f"'{text}': check says {says}, expected {good}")


def config(folder, agent):
    """Reload and live keys while a session records: nothing is lost, later sessions go by the new values."""
    keys = agent.get("/api/v1/config")["keys"]
    bp.check(keys["session.mission"] == {"value": "one", "source": "file", "live": True}, f"config: {keys['session.mission']}")
    bp.check(keys["discovery.domains"]["source"] == "--set", "a word of the command line")
    head, _ = agent.raw("GET", "/api/v1/config")
    agent.raw("GET", "/api/v1/config", headers={"If-None-Match": head["ETag"]}, expect=304)
    load = agent.json("POST", "/api/v1/sessions", {"name": "load"}, 201)
    over = threading.Event()
    counts = {"reload": 0, "patch": 0}

    def hammer():
        i = 0
        while not over.is_set():
            i += 1
            agent.config.write_text(f"session:\n  mission: m{i}\n  operator: m{i}\n")
            agent.json("POST", "/api/v1/config/reload", {})
            agent.json("PATCH", "/api/v1/config", {"record.max_rate": [f"/none{i}=5"], "log": {"level": "info"}})
            counts["reload"] += 1

    thread = threading.Thread(target=hammer)
    thread.start()
    end = time.monotonic() + bp.amount(4, 30)
    while time.monotonic() < end:
        values = agent.get("/api/v1/config")["keys"]
        pair = values["session.mission"]["value"], values["session.operator"]["value"]
        bp.check(pair[0] == pair[1] or pair == ("one", ""), f"values that belong together: {pair}")
    over.set()
    thread.join()
    before = agent.get("/api/v1/config")["keys"]["session.mission"]["value"]
    agent.config.write_text("session:\n  mission: bad\nrecord:\n  segment_size: tiny\n")
    p = agent.json("POST", "/api/v1/config/reload", {}, 400)
    bp.check("line 4" in p["detail"] and "record.segment_size" in p["detail"], f"a bad file: {p}")
    agent.p.send(signal.SIGHUP)
    bp.until(lambda: "nothing has changed" in agent.p.text(), 10, "SIGHUP with a bad file")
    bp.check(agent.get("/api/v1/config")["keys"]["session.mission"]["value"] == before, "a bad file changes nothing")
    agent.config.write_text("session:\n  mission: later\nhttp:\n  workers: 9\n")
    agent.p.send(signal.SIGHUP)
    bp.until(lambda: "configuration reloaded" in agent.p.text(), 10, "SIGHUP")
    keys = agent.get("/api/v1/config")["keys"]
    bp.check(keys["http.workers"]["value"] == 4 and keys["http.workers"]["pending"] == 9, f"a restart: {keys['http.workers']}")
    done = agent.json("POST", "/api/v1/sessions/load/stop", {})
    bag = Bag(agent.data / "load")
    bp.check(done["lost"] == 0 == bag.lost() and done["mission"] == "one", f"under load: {done}")
    for topic in bag.messages:
        spans = sorted(bag.seqs(topic))
        bp.check(spans == list(range(spans[0], spans[0] + len(spans))), f"{topic} has no hole")
    agent.json("PATCH", "/api/v1/config", {"record": {"max_rate": ["/robot1/imu=10"]}})
    agent.json("POST", "/api/v1/sessions", {"name": "slow", "topics": ["/robot1/imu"]}, 201)
    time.sleep(2)
    slow = agent.json("POST", "/api/v1/sessions/slow/stop", {})
    bp.check(slow["mission"] == "later" and 0 < slow["messages"] < 40, f"new values for a new session: {slow}")
    agent.json("PATCH", "/api/v1/config", {"record": {"max_rate": None}, "log.level": None})
    bp.check(agent.get("/api/v1/config")["keys"]["record.max_rate"]["value"] == [], "taken back")
    for body, word in (({"http.workers": 2}, "restart"), ({"sesion.mission": "x"}, "session.mission"), ([], "object"),
                       ({"storage.min_free": "much"}, "storage.min_free")):
        p = agent.json("PATCH", "/api/v1/config", body, 400)
        bp.check(word in p["detail"], f"{body}: '{p['detail']}' names '{word}'")
    wrong = agent.json("POST", "/api/v1/config/check", b"record:\n\n  hiden: yes\n")
    bp.check(not wrong["ok"] and wrong["line"] == 3 and wrong["key"] == "record.hiden", f"check: {wrong}")
    bp.check(agent.json("POST", "/api/v1/config/check", b"record: {hidden: yes}")["ok"], "check: a good one")
    bp.say(f"{counts['reload']} reloads and patches under load, {done['messages']} messages, none lost")


def edit(folder, agent):
    agent.json("POST", "/api/v1/sessions", {"name": "edited", "topics": ["/robot1/imu"]}, 201)
    row = agent.json("PATCH", "/api/v1/sessions/edited", {"notes": "while it runs", "tags": ["a"]})
    bp.check(row["notes"] == "while it runs" and row["status"] == "recording", f"edited: {row}")
    agent.json("DELETE", "/api/v1/sessions/edited", expect=409)
    agent.json("GET", "/api/v1/sessions/edited/download", expect=409)
    agent.json("POST", "/api/v1/sessions/edited/verify", {}, 409)
    agent.json("POST", "/api/v1/sessions/edited/split", {})
    bp.until(lambda: any(s["complete"] for s in agent.get("/api/v1/sessions/edited/segments")["segments"]), 10, "a segment")
    segments = agent.get("/api/v1/sessions/edited/segments")["segments"]
    for s in segments:
        agent.raw("GET", f"/api/v1/sessions/edited/segments/{s['name']}", expect=200 if s["complete"] else 409)
    bp.check(not all(s["complete"] for s in segments), f"the one that is written to: {segments}")
    agent.json("POST", "/api/v1/sessions/edited/stop", {})
    row = agent.json("PATCH", "/api/v1/sessions/edited", {"mission": "afterwards", "operator": "ann"})
    bp.check((row["notes"], row["mission"], row["operator"], row["tags"]) == ("while it runs", "afterwards", "ann", ["a"]), f"{row}")
    for body, word in (({"name": "x"}, "name"), ({"tags": "x"}, "tags"), ({"notes": 5}, "notes"), ({"tags": [1]}, "tags"),
                       ({"mission": "no", "colour": 1}, "colour"), ({"keep": "x"}, "keep")):
        p = agent.json("PATCH", "/api/v1/sessions/edited", body, 400)
        bp.check(word in p["detail"], f"{body}: '{p['detail']}' names '{word}'")
    bp.check(agent.get("/api/v1/sessions/edited")["mission"] == "afterwards", "a wrong request changes nothing")
    agent.json("PATCH", "/api/v1/sessions/none", {"notes": ""}, 404)


def files(folder, agent):
    """Segments as they lie on the disk, whole, in parts, and all of them as an archive."""
    listed = agent.get("/api/v1/sessions/load/segments")
    here = agent.data / "load"
    bp.check({f["name"] for f in listed["segments"] + listed["files"]} == {p.name for p in here.iterdir() if p.is_file()},
             f"all files: {listed}")
    for s in listed["segments"]:
        raw = (here / s["name"]).read_bytes()
        head, got = agent.raw("GET", f"/api/v1/sessions/load/segments/{s['name']}")
        bp.check(got == raw and s["sha256"] in (None, hashlib.sha256(got).hexdigest()) and s["bytes"] == len(raw), f"{s}: {len(raw)} on disk, {len(got)} received")
        bp.check(s["sha256"] is None or head["ETag"] == f'"{s["sha256"]}"', "its digest is its tag")
        _, part = agent.raw("GET", f"/api/v1/sessions/load/segments/{s['name']}", headers={"Range": "bytes=100-199"}, expect=206)
        bp.check(part == raw[100:200], "a part")
        agent.raw("GET", f"/api/v1/sessions/load/segments/{s['name']}", headers={"If-None-Match": head["ETag"]}, expect=304)
    (here / "link.mcap").symlink_to("/etc/passwd")
    for name in ("..%2f..%2fcatalog.db", "%2e%2e", "..%2fslow%2fmetadata.yaml", "link.mcap", ".", "nothing.mcap", "%2fetc%2fpasswd"):
        agent.raw("GET", f"/api/v1/sessions/load/segments/{name}", expect=(404, 400))
    (here / "link.mcap").unlink()
    head, raw = agent.raw("GET", "/api/v1/sessions/load/download")
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        names = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
    bp.check(names == {f"load/{p.name}": p.read_bytes() for p in here.iterdir()}, f"the archive: {sorted(names)}")
    long = "n" * 120
    agent.json("POST", "/api/v1/sessions", {"name": long, "topics": ["/robot1/odom"]}, 201)
    time.sleep(0.5)
    agent.json("POST", f"/api/v1/sessions/{long}/stop", {})
    with tarfile.open(fileobj=io.BytesIO(agent.raw("GET", f"/api/v1/sessions/{long}/download")[1])) as tar:
        bp.check(f"{long}/{long}_0.mcap" in tar.getnames(), f"long names: {tar.getnames()}")


def truth(folder, agent):
    """Ledger, topics and verify against what a foreign reader finds in the files."""
    bag = Bag(agent.data / "load")
    ledger = agent.get("/api/v1/sessions/load/ledger?spans=1")
    bp.check(ledger["lost"] == 0 and ledger["received"] == bag.count, f"ledger {ledger['received']}, file {bag.count}")
    for s in ledger["sources"]:
        numbers = sum(int(b) - int(a) + 1 for a, _, b in ((x.partition("-")[0], 0, x.rpartition("-")[2])
                                                          for x in s["spans"]["received"].split(",") if x))
        bp.check(numbers == s["received"], f"{s['topic']}: {numbers} in spans, {s['received']} received")
    topics = {t["topic"]: t["messages"] for t in agent.get("/api/v1/sessions/load/topics")["topics"]}
    bp.check(topics == {t: len(v) for t, v in bag.messages.items()} | {t: 0 for t in topics if t not in bag.messages},
             f"topics: {topics}")
    done = job(agent, agent.json("POST", "/api/v1/sessions/load/verify", {}, 202))
    bp.check(done["result"]["verdict"] == "whole" and done["result"]["messages"] == bag.count, f"verify: {done}")
    segment = sorted((agent.data / "slow").glob("*.mcap"))[0]
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 3] ^= 1
    segment.write_bytes(raw)
    done = job(agent, agent.json("POST", "/api/v1/sessions/slow/verify", {}, 202))
    bp.check(done["result"]["verdict"] == "damaged" and segment.name in done["log"], f"verify of a damaged one: {done}")
    listed = agent.get("/api/v1/jobs?limit=1")
    bp.check(listed["jobs"][0]["id"] == done["id"] == listed["next"], f"jobs: {listed}")
    bp.check(len(agent.get(f"/api/v1/jobs?before={done['id']}")["jobs"]) == 1, "the page before")
    agent.json("DELETE", f"/api/v1/jobs/{done['id']}", expect=204)
    agent.json("GET", f"/api/v1/jobs/{done['id']}", expect=404)
    agent.json("DELETE", f"/api/v1/jobs/{done['id']}", expect=404)


def so_far(folder, agent):
    """The ledger of a session that runs: it grows, over segments and a kill, and in the end it is that of the files."""
    def sets():
        ledger = agent.get("/api/v1/sessions/so_far/ledger?spans=1")
        out = {}
        for s in ledger["sources"]:
            bp.check((s["guid"], s["topic"]) not in out, f"{s['topic']} is told twice")
            pairs = [x.partition("-")[::2] for x in s["spans"]["received"].split(",") if x]
            out[s["guid"], s["topic"]] = {q for a, b in pairs for q in range(int(a), int(b or a) + 1)}
        count = sum(map(len, out.values())) + ledger["folded"]["received"]
        bp.check(count == ledger["received"], f"spans and sum: {count}, {ledger['received']}")
        return ledger, out

    agent.json("POST", "/api/v1/sessions", {"name": "so_far", "segment_size": 1 << 20}, 201)
    before, received, seen, n = {}, 0, 0, 0
    while n < 4 or seen < 5:
        time.sleep(0.3)
        ledger, now = sets()
        bp.check(ledger["running"] and ledger["lost"] == 0, f"while it runs: {ledger['running']}, lost {ledger['lost']}")
        folded = sum(len(v - now.get(k, set())) for k, v in before.items())
        bp.check(folded <= ledger["folded"]["received"], f"{folded} numbers are a sum: {ledger['folded']}")
        bp.check(ledger["received"] > received, f"so does the sum: {received}, {ledger['received']}")
        before = {k: before.get(k, set()) | now.get(k, set()) for k in {*before, *now}}
        received, n = ledger["received"], n + 1
        seen = len(list((agent.data / "so_far").glob("*.mcap")))
        if not bp.check(n < 60, f"segments: {seen}"):
            break
    bp.check(sum(map(len, before.values())) > 100, f"{ledger['received']} messages")
    agent.json("POST", "/api/v1/sessions/so_far/stop", {})
    ledger, last = sets()
    bag = Bag(agent.data / "so_far")
    count = sum(len(set(bag.seqs(t))) for t in bag.messages)  # latched ones are in every segment
    bp.check(not ledger["running"] and ledger["received"] == count, f"in the end: {ledger['received']}, {count}")
    bp.check(all(v <= last[k] for k, v in before.items()), "what was told is in the files")


def cancelled(folder, agent):
    """A check ends within a file, however large: here it is one that takes seconds."""
    big = agent.data / "load"
    segment = max(big.glob("*.mcap"), key=lambda p: p.stat().st_size)
    whole = segment.read_bytes()
    with open(segment, "ab") as f:  # sparse: many seconds of zeros to hash
        f.truncate(bp.amount(24, 100) << 30)
    started = agent.json("POST", "/api/v1/sessions/load/verify", {}, 202)
    bp.until(lambda: agent.get(f"/api/v1/jobs/{started['id']}")["state"] == "running", 10, "it to run")
    time.sleep(1)
    bp.check(agent.get(f"/api/v1/jobs/{started['id']}")["state"] == "running", "it takes longer")
    t = time.monotonic()
    agent.json("DELETE", f"/api/v1/jobs/{started['id']}", expect=(200, 202, 204))
    bp.until(lambda: agent.get(f"/api/v1/jobs/{started['id']}")["state"] not in ("running", "cancelling"), 10, "its end", 0.02)
    took, state = time.monotonic() - t, agent.get(f"/api/v1/jobs/{started['id']}")["state"]
    bp.check(state == "cancelled" and took < 1 * 3, f"{state} after {took:.2f} s")
    bp.say(f"verify cancelled after {took * 1000:.0f} ms")
    segment.write_bytes(whole)


def deletion(folder, agent):
    row = agent.json("DELETE", "/api/v1/sessions/slow", expect=202)
    bp.check(row["status"] == "deleted", f"deleted: {row}")
    bp.until(lambda: not [p for p in agent.data.iterdir() if "slow" in p.name or p.name.startswith(".deleting")], 20, "its files")
    bp.check("slow" not in [s["name"] for s in agent.get("/api/v1/sessions")["sessions"]], "it is not listed")
    bp.check([s["name"] for s in agent.get("/api/v1/sessions?status=deleted")["sessions"]] == ["slow"], "its tombstone is")
    agent.json("DELETE", "/api/v1/sessions/slow", expect=404)
    agent.json("GET", "/api/v1/sessions/slow/download", expect=404)


def logs(folder, agent):
    lines = agent.get("/api/v1/logs?tail=1000")["lines"]
    bp.check(any("session started" in x["text"] for x in lines), f"the log: {lines[-3:]}")
    bp.check([x["number"] for x in lines] == sorted(x["number"] for x in lines), "oldest first")
    last = lines[-1]["number"]
    agent.json("POST", "/api/v1/sessions", {"name": "heard", "topics": ["/robot1/odom"]}, 201)
    agent.json("POST", "/api/v1/sessions/heard/stop", {})
    new = agent.get(f"/api/v1/logs?since={last}")
    bp.check(any("heard" in x["text"] for x in new["lines"]) and all(x["number"] > last for x in new["lines"]), f"since: {new}")
    bp.check(new["next"] >= new["lines"][-1]["number"], "where to go on")
    found = agent.get("/api/v1/logs?q=HEARD&level=notice&tail=1")["lines"]
    bp.check(len(found) == 1 and "heard" in found[0]["text"], f"q and tail: {found}")
    bp.check(all(x["level"] in ("error", "warning") for x in agent.get("/api/v1/logs?level=warning")["lines"]), "by level")
    agent.json("GET", "/api/v1/logs?level=loud", expect=400)


def topics(folder, agent):
    """Rates over the last seconds, QoS as offered."""
    agent.json("POST", "/api/v1/sessions", {"name": "rates"}, 201)
    imu = lambda: {t["topic"]: t for t in agent.get("/api/v1/topics")["topics"]}["/robot1/imu"]
    bp.until(lambda: (imu()["rate_hz"] or 0) > 20, 20, "a rate")
    time.sleep(5)
    a, start = imu(), time.monotonic()
    time.sleep(2)
    b = imu()
    true = (b["messages"] - a["messages"]) / (time.monotonic() - start)
    bp.check(0.6 * true < b["rate_hz"] < 1.4 * true, f"rate {b['rate_hz']} Hz, counted {true:.1f}")
    bp.check(b["bytes_per_s"] > b["rate_hz"] * 100 and b["age_s"] < 2, f"bandwidth and age: {b}")
    bp.check(b["qos"]["offered"] and "reliability" in b["qos"]["offered"][0] and not b["qos"]["incompatible"], f"QoS: {b['qos']}")
    # nobody listened to it for a while: what was sent meanwhile is no loss of this session
    bp.check(b["lost"] == {}, f"loss: {b['lost']}")
    done = agent.json("POST", "/api/v1/sessions/rates/stop", {})
    bp.check(done["lost"] == 0, f"loss after the topics were left alone: {done}")


def restart(folder, agent):
    """What a kill cut short is found interrupted."""
    started = [agent.json("POST", "/api/v1/sessions/load/verify", {}, 202) for _ in range(40)]
    agent.p.kill9()
    agent = Agent(folder, domain=DOMAIN)
    states = [agent.get(f"/api/v1/jobs/{s['id']}")["state"] for s in started]
    bp.check("interrupted" in states and set(states) <= {"interrupted", "done"}, f"after a kill: {states}")
    bp.say(f"{states.count('interrupted')} of {len(states)} jobs interrupted by kill -9")
    return agent


def discovery(folder):
    """What is not there for us is neither shown nor recorded; whose topics are whose by rule; QoS by file."""
    here = folder / "discovery"
    here.mkdir()
    qos = here / "qos.yaml"
    qos.write_text("/robot1/imu:\n  reliability: reliable\n  history: keep_last\n  depth: 7\n")
    agent = Agent(here, "discovery.mode=list", "discovery.topics=/robot1/*", "discovery.exclude_topics=*tf*",
                  "robots.rules=wheels=~^/robot1/od", f"qos.overrides={qos}", domain=DOMAIN)
    topics = lambda: {t["topic"]: t for t in agent.get("/api/v1/topics")["topics"]}
    bp.until(lambda: "/robot1/imu" in topics(), 20, "topics")
    agent.json("POST", "/api/v1/sessions", {"name": "few"}, 201)
    time.sleep(2)
    seen = topics()
    bp.check(all(t.startswith("/robot1/") and "tf" not in t for t in seen) and len(seen) > 3, f"topics seen: {sorted(seen)}")
    bp.check(seen["/robot1/odom"]["robot"] == "wheels" and seen["/robot1/imu"]["robot"] == "robot1", f"robots: {seen}")
    asked = seen["/robot1/imu"]["qos"]
    bp.check(asked["requested"]["depth"] == 7 and asked["incompatible"] == ["reliability"], f"QoS by file: {asked}")
    bp.check(seen["/robot1/imu"]["messages"] == 0, "who asks for more than is offered gets nothing, and is told so")
    agent.json("POST", "/api/v1/sessions/few/stop", {})
    bag = Bag(agent.data / "few")
    bp.check("/robot1/odom" in bag.messages and not [t for t in bag.messages if "tf" in t or t == "/rosout"],
             f"recorded: {sorted(bag.messages)}")
    bp.check(agent.p.stop(timeout=20, sig=signal.SIGTERM) == 0, "a clean end")
    for word, key in (("discovery.mode=list", "discovery.topics"), ("robots.rules=a", "robots.rules"),
                      (f"qos.overrides={here / 'none.yaml'}", "none.yaml")):
        status, _, err = bp.bagpipe("config", "show", "--set", word, ok=range(256))
        bp.check(status != 0 and key in err, f"{word}: {err}")


def test():
    schema()
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder, domain=DOMAIN)
    bp.until(lambda: agent.get("/api/v1/status")["graph"]["topics"] > 8, 20, "topics of the robot")
    for part in (config, edit, files, truth, so_far, cancelled, deletion, logs, topics):
        part(folder, agent)
    agent = restart(folder, agent)
    bp.check(agent.p.stop(timeout=20, sig=signal.SIGTERM) == 0, "a clean end")
    discovery(folder)
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
