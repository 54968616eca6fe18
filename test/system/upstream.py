"""`bagpipe agent --upstream URL` is all a robot needs: against a server that wants everybody to prove who they are the device
knocks, an admin lets it in, and its sessions arrive, signed by the key that was let in; tokens that end or are forgotten are
got anew in the middle; what is another device's is refused. With sync.selective its payload is sent when somebody fetches a
range of it.
"""
import json
import os
import time
import urllib.error
import urllib.request

import bp
import syncing
from device import Device

DOMAIN = 79


class Server(syncing.Server):
    def start(self, *more):
        return super().start("auth.mode=required", "auth.rate=1000", "auth.device_token=10s", *more)

    def admin(self, method, path, body=None, want=200):
        """By the socket, where everybody is one."""
        out = bp.run(["curl", "-s", "--unix-socket", self.folder / "s.sock", "-X", method, "-H", "Content-Type: application/json",
                      "-w", "\n%{http_code}", *(["-d", json.dumps(body)] if body is not None else []), f"http://localhost{path}"])[1]
        text, code = out.rsplit("\n", 1)
        bp.check(int(code) == want, f"{method} {path}: {code} {text[:300]}")
        return json.loads(text) if text else None

    def session(self, name):
        found = [s for s in self.admin("GET", "/api/v1/sessions")["sessions"] if s["name"] == name]
        return self.admin("GET", f"/api/v1/sessions/{found[0]['id']}") if found else None

    def as_device(self, d, method, path, body=None, token=None):
        """@return (status, JSON)"""
        req = urllib.request.Request(self.base + path, method=method, data=json.dumps(body).encode() if body else None,
                                     headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})})
        try:
            with urllib.request.urlopen(req, timeout=30) as r:
                return r.status, json.loads(r.read() or b"null")
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read() or b"null")

    def token_of(self, d):
        nonce = self.as_device(d, "POST", "/api/v1/devices/challenge", {"device": d.name})[1]["nonce"]
        status, got = self.as_device(d, "POST", "/api/v1/devices/token", d.answer(nonce, self.base[7:]))
        bp.check(status == 200, f"a token: {status} {got}")
        return got["token"]


class Agent(syncing.Agent):
    """With nothing but a server's address."""

    def start(self, url, *more):
        self._started([bp.BAGPIPE, "agent", "--json", "--upstream", url, "--set", f"storage.dir={self.data}",
                       f"http.socket={self.folder / 'a.sock'}", f"http.listen=127.0.0.1:{self.port}",
                       f"discovery.domains={self.domain}", "buffer.ring_size=16MiB", "record.segment_size=2MiB", *more], "agent is ready")
        self.device = self.ask("GET", "/api/v1/link")["device"]
        return self

    def drive(self, name, seconds):
        s, sim = syncing.record(self, seconds, name, rate=0.3)
        sim.wait(seconds + 60)
        self.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
        bp.until(lambda: (self.data / name / "manifest.json").exists(), 20, f"{name} is written")
        return s["id"]


def whole(server, agent, name, timeout=90):
    """All of a session is there, byte by byte, and signed by the device's own key."""
    bp.until(lambda: (server.session(name) or {}).get("state") in ("complete", "verified"), timeout, f"{name} arrives: {agent.sync()}")
    try:
        bp.until(lambda: server.session(name)["signed"] != "unsigned", 90, "its signature may come last")
    except TimeoutError:
        bp.say(f"{json.dumps(agent.sync())}\n{agent.p.text()[-3000:]}")
        raise
    s = server.session(name)
    got = server.admin("GET", f"/api/v1/sessions/{s['id']}/segments")
    got = {x["name"]: x["sha256"] for x in got["segments"] + got["files"]}
    want = syncing.digests(agent.data / name)
    bp.check(got == want, f"{name}: differ in {[k for k in got | want if got.get(k) != want.get(k)]}")
    bp.check(s["signed"] == "good" and s["device"] == agent.device, f"signed by the key that was let in: {s['signed']} {s['device']}")
    return s


def knocks(server, agent):
    agent.drive("first", 3)
    bp.until(lambda: "admin" in json.dumps(agent.sync()), 60, f"uploads wait to be let in: {agent.sync()}")
    bp.check(server.admin("GET", "/api/v1/sessions")["sessions"] == [], "nothing of it is taken before")
    known = [d for d in server.admin("GET", "/api/v1/devices")["devices"] if d["device"] == agent.device]
    bp.check(known and known[0]["state"] == "pending", f"it knocked: {known}")
    server.admin("PATCH", f"/api/v1/devices/{agent.device}", {"state": "accepted"})
    whole(server, agent, "first")
    bp.until(lambda: agent.ask("GET", "/api/v1/link")["state"] == "connected", 90, "the link, by the same")
    bp.say("knocked, let in, arrived, signed")


def renews(server, agent):
    """Longer than a token lives (10 s); and the server forgets all of them by a restart."""
    agent.drive("second", 1)
    whole(server, agent, "second")
    time.sleep(11)
    agent.drive("third", 1)
    whole(server, agent, "third")
    server.p.kill9()
    agent.drive("fourth", 1)
    server.start()
    whole(server, agent, "fourth", 120)
    bp.check(agent.left() == 0, f"nothing is left: {agent.sync()}")
    alerts = [a for a in agent.ask("GET", "/api/v1/alerts")["alerts"] if a["key"].startswith("sync/")]
    bp.check(not alerts, f"no alert stays: {alerts}")
    bp.say("tokens that ended or were forgotten are got anew")


def anothers(server, agent):
    s = server.session("first")
    other = Device("somebody")
    server.as_device(other, "POST", "/api/v1/devices/enroll", other.enrolment())
    server.admin("PATCH", "/api/v1/devices/somebody", {"state": "accepted"})
    up = {"session": s["id"], "file": "more_0.bin", "bytes": 5, "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "kind": "other"}
    status, got = server.as_device(other, "POST", "/api/v1/uploads", up, server.token_of(other))
    bp.check(status == 403, f"another device's token: {status} {got}")
    bp.check(server.as_device(other, "POST", "/api/v1/uploads", up)[0] == 401, "none at all")
    bp.say("another device's session is not to be written to")


def invited(server, folder):
    token = server.admin("POST", "/api/v1/enrolments", {"name": "line"}, want=201)["token"]
    (folder / "invitation").write_text(token)
    os.chmod(folder / "invitation", 0o600)
    agent = Agent(folder / "invited", DOMAIN + 1).start(server.base, f"link.enrolment=file:{folder / 'invitation'}")
    agent.drive("invited", 1)
    whole(server, agent, "invited")
    bp.check(token not in agent.p.text() + server.p.text() and "bpd_" not in agent.p.text() + server.p.text(), "tokens are in no log")
    bp.check(agent.p.stop() == 0, "the agent ends")
    bp.say("let in by a one-time token, with nobody at the server")


def on_demand(server, folder):
    """What describes a session is sent, the rest stays on the robot until somebody wants a range, at once or when it is back."""
    agent = Agent(folder / "frugal", DOMAIN + 2).start(server.base, "sync.selective=true", "record.segment_size=1MiB")
    bp.until(lambda: any(d["device"] == agent.device for d in server.admin("GET", "/api/v1/devices")["devices"]), 60, "it knocks")
    server.admin("PATCH", f"/api/v1/devices/{agent.device}", {"state": "accepted"})
    id = agent.drive("frugal", 3)
    bp.until(lambda: (server.session("frugal") or {}).get("manifest"), 90, "the manifest comes by itself")
    bp.until(lambda: agent.left() == 0, 30, "and the other descriptions")
    bp.until(lambda: server.session("frugal")["signed"] == "good", 30, "the signature among them")
    path = f"/api/v1/sessions/{id}/fetch"
    s, all_of_it = server.session("frugal"), server.admin("GET", path)
    bp.check(s["segments_here"] == 0 and s["signed"] == "good", f"no payload: {s}")
    n = len(all_of_it["segments"])
    bp.check(n >= 4 and all_of_it["missing"] == n and not all_of_it["complete"], f"what there is to fetch is known: {n}")
    one = sorted(all_of_it["segments"], key=lambda x: int(x["first_ns"]))[1]
    at = (int(one["first_ns"]) + int(one["last_ns"])) // 2
    bp.until(lambda: agent.ask("GET", "/api/v1/link")["state"] == "connected", 90, "the link")
    # a topic that is none, times that are none
    o = server.admin("POST", path, {"topics": ["/nobody"]}, 202)
    bp.until(lambda: server.admin("GET", f"{path}?command={o['command']['id']}")["command"]["state"] == "done", 30, "it answers")
    o = server.admin("GET", f"{path}?command={o['command']['id']}")
    bp.check(o["command"]["status"] == 200 and o["command"]["body"]["segments"] == 0, f"nothing of a topic it does not have: {o['command']}")
    for body in ({"from_ns": "x"}, {"from_ns": -1}, {"from_ns": "2", "to_ns": "1"}, {"within_s": 1e9}):
        server.admin("POST", path, body, 400)
    server.admin("POST", "/api/v1/sessions/01KC0000000000000000000009/fetch", {}, 404)
    # a moment: the segments over it, and no others
    want = {x["name"] for x in all_of_it["segments"] if int(x["first_ns"]) <= at <= int(x["last_ns"])}
    o = server.admin("POST", path, {"from_ns": str(at), "to_ns": str(at)}, 202)
    where = f"{path}?from_ns={at}&to_ns={at}&command={o['command']['id']}"
    bp.until(lambda: server.admin("GET", where)["complete"], 60, f"it comes: {agent.sync()}")
    o = server.admin("GET", where)
    bp.check(o["command"]["status"] == 200 and o["command"]["body"]["segments"] == len(want), f"{o['command']}")
    time.sleep(2)
    here = {x["name"] for x in server.admin("GET", path)["segments"] if x["complete"]}
    bp.check(want and here == want, f"exactly what was asked for: {here}, {want}")
    # asked for while it is away; the agent's own door works, too
    agent.p.stop()
    o = server.admin("POST", path, {}, 202)
    bp.check(o["command"]["state"] == "waiting", f"it waits for the robot: {o['command']}")
    agent.start(server.base, "sync.selective=true", "record.segment_size=1MiB")
    s = whole(server, agent, "frugal", 120)
    bp.check(s["segments_here"] == n, "all of it")
    bp.check(agent.ask("POST", "/api/v1/sync/fetch", {"session": "frugal"})["segments"] == n, "by its name")
    agent.ask("POST", "/api/v1/sync/fetch", {}, (400,))
    agent.ask("POST", "/api/v1/sync/fetch", {"session": "nobody"}, (404,))
    agent.ask("POST", "/api/v1/sync/fetch", {"session": "frugal", "topics": [1]}, (400,))
    audit = [e for e in server.admin("GET", "/api/v1/audit")["entries"] if e["action"] == "session.fetch"]
    bp.check(len(audit) == 3 and all(e["subject"] == id for e in audit), f"who fetched what is written down: {audit}")
    bp.check(agent.p.stop() == 0, "the agent ends")
    bp.say(f"on demand: {len(want)} of {n} segments for a moment, the rest when the robot is back")


def main():
    bp.own_network()
    folder = bp.scratch()
    server = Server(folder / "server").start()
    agent = Agent(folder / "robot", DOMAIN).start(server.base)
    knocks(server, agent)
    renews(server, agent)
    anothers(server, agent)
    bp.check(agent.p.stop() == 0, "the agent ends")
    invited(server, folder)
    on_demand(server, folder)
    bp.check(server.p.stop() == 0, "the server ends")


bp.main(main)
