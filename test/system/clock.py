"""Wall clocks that jump a year ahead and back: of a server while uploads come and over its restarts, of an agent while
it records and sends. Nothing expires, nothing is lost, nothing is refused.
"""
import base64
import hashlib
import os
import random
import struct
import time
import urllib.request
from email.utils import parsedate_to_datetime

import bp
import syncing
from badlink import Link
from syncing import Agent, Server

YEAR = 365 * 86400
PART = 64 << 10
SHIM = bp.BUILD / "test" / "system" / "libwall-jump.so"
RNG = random.Random(5)


class Jumping:
    """A daemon whose wall clock the test moves."""

    def __init__(self, file, daemon):
        self.file, self.daemon = file, daemon
        self.to(0)

    def to(self, seconds):
        fd = os.open(self.file, os.O_CREAT | os.O_WRONLY)  # in place: it is mapped
        os.pwrite(fd, struct.pack("=q", seconds), 0)
        os.close(fd)
        self.seconds = seconds

    def start(self, *args):
        env = {"LD_PRELOAD": str(SHIM), "WALL_JUMP": str(self.file),
               "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        old = {k: os.environ.get(k) for k in env}
        os.environ.update(env)
        try:
            self.daemon.start(*args)
        finally:
            for k, v in old.items():
                os.environ.pop(k)
                if v is not None:
                    os.environ[k] = v

    def check(self):
        """It sees the time that it should: else this test would prove nothing."""
        with urllib.request.urlopen(self.daemon.base + "/healthz", timeout=20) as r:
            off = parsedate_to_datetime(r.headers["Date"]).timestamp() - time.time()
        bp.check(abs(off - self.seconds) < 5, f"its clock is {off:.0f} s off, {self.seconds} wanted")


def put(server, up, n, data):
    piece = data[n * PART:(n + 1) * PART]
    digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
    req = urllib.request.Request(f"{server.base}/api/v1/uploads/{up['id']}/parts/{n}", data=piece, method="PUT",
                                 headers={"Content-Digest": f"sha-256=:{digest}:"})
    with urllib.request.urlopen(req, timeout=20) as r:
        bp.check(r.status == 204, f"part {n}: {r.status}")


def of_a_server(folder):
    server = Server(folder / "server")
    clock = Jumping(folder / "server.jump", server)
    clock.start()
    session, data = "01J8ZQ4K5T7Y9N3M2B6C8D0E1F", RNG.randbytes(5 * PART)
    server.ask("PUT", f"/api/v1/ingest/sessions/{session}", {"name": "hall", "device": "robot7"}, (201,))
    up = server.ask("POST", "/api/v1/uploads", {"session": session, "file": "a.bin", "kind": "other", "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(), "part_bytes": PART}, (201,))
    for n, seconds in enumerate((YEAR, -YEAR, YEAR, 0)):
        clock.to(seconds)
        clock.check()
        put(server, up, n, data)
        time.sleep(1.2)  # its own look at what has expired comes each second
        got = server.ask("GET", f"/api/v1/uploads/{up['id']}")
        bp.check(got["state"] == "open" and got["parts"] == f"0-{n}".removesuffix("-0"), f"at {seconds} s: {got}")
        left = int(got["expires_ns"]) / 1e9 - time.time() - seconds
        bp.check(86400 < left < 8 * 86400, f"at {seconds} s it expires in {left:.0f} s by the server's clock")
    for seconds in (YEAR, -YEAR):
        clock.to(seconds)
        server.p.kill9()
        clock.start()
        clock.check()
        got = server.ask("GET", f"/api/v1/uploads/{up['id']}")
        bp.check(got["parts"] == "0-3", f"after a restart at {seconds} s: {got}")
        bp.check(server.ask("GET", f"/api/v1/sessions/{session}")["name"] == "hall", "the session is there")
    put(server, up, 4, data)
    got = server.ask("POST", f"/api/v1/uploads/{up['id']}/complete", {})
    bp.check(got["state"] == "stored", f"it is stored: {got}")
    bp.check(server.files(session) == {"a.bin": hashlib.sha256(data).hexdigest()}, f"its file: {server.files(session)}")
    bp.check(server.ask("GET", "/api/v1/status")["state"] == "ready", "the server is well")
    bp.check(server.p.stop() == 0, "it ends well")
    bp.say("a server's clock jumped 6 times")


def of_an_agent(folder):
    server = Server(folder / "site").start()
    link = Link(("127.0.0.1", server.port), rate=3e6)
    agent = Agent(folder / "robot", 175)
    clock = Jumping(folder / "agent.jump", agent)
    clock.start(f"sync.upstream={link.url}", "sync.part_size=262144", "record.segment_size=2MiB")
    s, sim = syncing.record(agent, 5, "jumps")
    jumps = 0
    while sim.alive():
        clock.to(RNG.choice((YEAR, -YEAR, 0)))
        clock.check()
        jumps += 1
        time.sleep(0.7)
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})

    def sent():
        nonlocal jumps
        clock.to((YEAR, 0, -YEAR)[jumps % 3])
        jumps += 1
        return agent.left() == 0 and server.sessions() and server.sessions()[0].get("state") == "complete"
    bp.until(sent, 90, "all of it arrives", step=0.3)
    agent.p.kill9()  # and in another life, at another time
    clock.to(-YEAR)
    link.rate = 0
    clock.start(f"sync.upstream={link.url}", "sync.part_size=262144", "record.segment_size=2MiB")
    clock.check()
    s, sim = syncing.record(agent, 1, "earlier")
    sim.wait(60)
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    clock.to(YEAR)
    bp.until(lambda: agent.left() == 0 and len(server.sessions()) == 2 and
             all(x["state"] == "complete" for x in server.sessions()), 60, "the second one", step=0.3)
    for one in agent.folders():
        bp.bagpipe("verify", one)
        ours, theirs = syncing.digests(one), server.files(syncing.session_id(one))
        bp.check(ours == {k: theirs.get(k) for k in ours}, f"{one.name} is over there as it is here")
    bp.check(len(agent.folders()) == 2, f"both are here: {agent.folders()}")
    bp.check(not agent.sync()["failed"]["files"], f"nothing failed: {agent.sync()}")
    bp.check(agent.p.stop() == 0, "the agent ends well")
    bp.check(server.p.stop() == 0, "the server ends well")
    link.close()
    bp.say(f"an agent's clock jumped {jumps} times")


def main():
    folder = bp.scratch()
    of_a_server(folder)
    of_an_agent(folder)


bp.main(main)
