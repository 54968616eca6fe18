"""Agent to server through a link that drops, crawls and lies, both killed again and again: every file arrives,
byte for byte, once; nothing whole is sent again without need; TLS with a CA of our own, and a wrong one refused.

BP_FULL: 2 GB in 200 segments and 30 kills of each side.
"""
import time

import bp
import syncing
from badlink import Link, own_ca
from syncing import Agent, Server

PART = 1 << 20 if bp.full() else 256 << 10
PARALLEL = 4
SEGMENTS, BYTES = 200, 2_000_000_000  # with BP_FULL
FAULTS = {"cut": 0.01, "stall": 0.003, "corrupt": 0.01, "error500": 0.01, "busy503": 0.004, "skew403": 0.005,
          "truncate": 0.01, "deaf": 0.01}


def start_agent(agent, link, segment):
    return agent.start(f"sync.upstream={link.url}", f"sync.part_size={PART}", f"record.segment_size={segment}",
                       f"sync.parallel={PARALLEL}")


def drained(agent, timeout, what):
    def look():
        s = agent.sync()
        return s["targets"] and not sum(s[k]["files"] for k in ("waiting", "parked", "failed")) and s["done"]["files"]
    try:
        bp.until(look, timeout, what, step=0.2)
    except TimeoutError:
        for state in ("failed", "parked", "waiting"):
            bp.say(f"{state}: {agent.ask('GET', f'/api/v1/sync/files?state={state}&limit=5')['files']}")
        bp.say(f"status: {agent.sync()}")
        raise


def compare(agent, server):
    """What the agent has is on the server, and nothing else is."""
    total, wanted = 0, set()
    for folder in agent.folders():
        ours, id_ = syncing.digests(folder), syncing.session_id(folder)
        theirs = server.files(id_)
        bp.check(ours == {k: theirs.get(k) for k in ours}, f"{folder.name}: files and digests differ: "
                 f"{[k for k in ours if ours[k] != theirs.get(k)][:5]}")
        row = server.ask("GET", f"/api/v1/sessions/{id_}")
        bp.check(row.get("manifest") is True, f"{folder.name} is whole over there: {row}")
        wanted |= set(ours.values())
        total += sum((folder / name).stat().st_size for name in ours)
    objects = server.objects()
    bp.check(set(objects) == wanted, f"objects: {len(objects)} there, {len(wanted)} wanted")
    bad = [k for k, p in objects.items() if syncing.sha256(p) != k]
    bp.check(not bad, f"objects that are not what they are called: {bad[:3]}")
    left = lambda: server.ask("GET", "/api/v1/uploads").get("uploads")
    try:  # the last ones are given up after everything is there
        bp.until(lambda: left() == [], 20, "no upload is left open")
    except TimeoutError:
        bp.check(False, f"no upload is left open: {left()}")
    return total, len(wanted)


def hard(folder, rng):
    kills = bp.amount(3, 30)
    segment = 10 << 20 if bp.full() else 2 << 20
    server = Server(folder / "server").start()
    link = Link(("127.0.0.1", server.port), FAULTS, rng, rate=8e6 if not bp.full() else 0, stall=4)
    agent = Agent(folder / "robot", 171)
    start_agent(agent, link, segment)
    s, sim = syncing.record(agent, bp.amount(4, 900), "first")
    for i in range(kills):
        time.sleep(rng.uniform(0.3, 1.2))
        agent.p.kill9()
        start_agent(agent, link, segment)
        time.sleep(rng.uniform(0.3, 1.2))
        server.p.kill9()
        server.start()
        if i == kills // 2:
            link.cut()
            time.sleep(1)
            link.restore()
    if bp.full():
        syncing.grown(agent, "first", SEGMENTS, BYTES)
        sim.stop()
    sim.wait(60)
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    agent.ask("PATCH", f"/api/v1/sessions/{s['id']}", {"tags": ["shipped"], "notes": "a hard way"})
    drained(agent, 120 if not bp.full() else 1800, "all files arrive")
    total, objects = compare(agent, server)
    if bp.full():
        n = len(list((agent.data / "first").glob("*.mcap")))
        bp.check(n >= SEGMENTS and total >= BYTES, f"{n} segments, {total} bytes")
    faults = sum(link.done.values())
    reached = sum(n for (method, path), n in link.sent.items() if "/parts/" in path)
    parts = [n for (method, path), n in link.sent.items() if "/parts/" in path]
    again = reached - total
    limit = (2 * kills * PARALLEL + faults + 2 * PARALLEL) * PART
    bp.check(again <= limit, f"sent again: {again} bytes, at most {limit} for {kills} kills and {faults} faults")
    wire = (2 * kills + faults + 2) * PARALLEL * PART  # a fault that looks like the link's end stops all that is under way
    bp.check(link.body_bytes - total <= wire, f"in vain on the wire: {link.body_bytes - total} bytes, at most {wire}")
    row = server.ask("GET", f"/api/v1/sessions/{s['id']}")
    bp.check(row["tags"] == ["shipped"] and row["notes"] == "a hard way", f"edits arrive: {row}")
    bp.until(lambda: agent.ask("GET", f"/api/v1/sessions/{s['id']}")["uploaded_ns"], 20, "the catalogue knows")
    bp.say(f"{total / 1e6:.1f} MB in {objects} files and {len(parts)} parts through {faults} faults {link.done} and "
           f"{2 * kills} kills; arrived twice {again / 1e6:.2f} MB, on the wire in vain "
           f"{(link.body_bytes - total) / 1e6:.2f} MB")
    return agent, server, link


def offline(agent, server, link):
    """Without a link all waits; when it is back it goes by itself. What was sent once is known to be there."""
    link.faults, link.rate = {}, 0
    link.cut()
    s, sim = syncing.record(agent, 1, "second")
    sim.wait(60)
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    bp.until(lambda: agent.sync()["targets"][0]["state"] == "offline", 30, "offline is noticed")
    bp.check(agent.left() > 0, "files wait while it is offline")
    before = link.body_bytes
    agent.ask("POST", "/api/v1/sync/pause", {})
    link.restore()
    time.sleep(1)
    bp.check(link.body_bytes == before, "paused: nothing is sent")
    agent.ask("POST", "/api/v1/sync/resume", {})
    agent.ask("POST", "/api/v1/sync/now", {"session": "second"})
    drained(agent, 60, "the rest arrives")
    compare(agent, server)
    sent = sum(n for (m, p), n in link.sent.items() if "/parts/" in p)
    status, out, err = bp.bagpipe("push", agent.data / "second", link.url, "--queue", agent.folder / "push.db")
    bp.check("were there" in out, f"a push of the same finds all there: {out} {err}")
    bp.check(sum(n for (m, p), n in link.sent.items() if "/parts/" in p) == sent, "and sends no part again")


def tls(folder, agent, server):
    ca, cert = own_ca(folder)
    wrong, _ = own_ca_in(folder / "other")
    link = Link(("127.0.0.1", server.port), cert=cert)
    for args, ok in ((("--ca-file", ca), True), (("--ca-file", wrong), False), ((), False)):
        status, out, err = bp.bagpipe("push", agent.data / "first", link.url, "--queue", folder / "tls.db", "--patience",
                                      "3s", *args, ok=None)
        bp.check((status == 0) == ok, f"{args}: status {status}: {out} {err}")
        if not ok:
            bp.check("certificate" in err.lower(), f"it says why: {err}")
    bp.check(any(path == "/api/v1/uploads" for _, path in link.answered), "it went through TLS")
    link.close()


def own_ca_in(folder):
    folder.mkdir()
    return own_ca(folder)


def main():
    bp.need("openssl")
    rng = bp.seeded()
    folder = bp.scratch()
    agent, server, link = hard(folder, rng)
    offline(agent, server, link)
    tls(folder, agent, server)
    bp.check(agent.p.stop() == 0, "the agent ends well")
    bp.check(server.p.stop() == 0, "the server ends well")
    link.close()


bp.main(main)
