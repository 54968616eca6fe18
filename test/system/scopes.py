"""Who has a scope sees and does what concerns its devices, and nothing else: every route that is about a session, a device,
an upload or an object, each with several scopes and each of three devices; lists, live events, and what changes under way.
The truth is a table of three devices in this file.
"""
import base64
import hashlib
import json
import re
import time

import bp
import jwt
from device import Device
from serverd import Server
from ws import WS

PASSWORD = "correct horse battery"
GROUPS = {"hall-1": ["lab"], "hall-2": [], "yard-1": ["lab", "out"]}
SESSION = {"hall-1": "01KC0000000000000000000011", "hall-2": "01KC0000000000000000000012", "yard-1": "01KC0000000000000000000021"}
# scope: whom it shows
SCOPES = {
    "hall-1": {"hall-1"},
    "hall-*": {"hall-1", "hall-2"},
    "group:lab": {"hall-1", "yard-1"},
    "hall-2,group:out": {"hall-2", "yard-1"},
    "*": set(GROUPS),
    "nobody group:none Hall-1": set(),
}
# what a session, a device, an upload, an object is asked for: who sees it gets one of these, who does not 404
ROUTES = [
    ("viewer", "GET", "/api/v1/sessions/{session}", None, (200,)),
    ("viewer", "GET", "/api/v1/sessions/run-{device}", None, (200,)),
    ("viewer", "GET", "/api/v1/sessions/{session}/topics", None, (200,)),
    ("viewer", "GET", "/api/v1/sessions/{session}/segments", None, (200,)),
    ("viewer", "GET", "/api/v1/sessions/{session}/segments/x_0.bin", None, (200,)),
    ("viewer", "GET", "/api/v1/sessions/{session}/data", None, (200,)),
    ("viewer", "GET", "/api/v1/sessions/{session}/fetch", None, (200,)),
    ("viewer", "GET", "/api/v1/uploads/{upload}", None, (200,)),
    ("viewer", "GET", "/api/v1/uploads/{stored}", None, (200,)),
    ("viewer", "GET", "/api/v1/objects/{sha}", None, (200,)),
    ("viewer", "HEAD", "/api/v1/objects/{sha}", None, (200,)),
    ("viewer", "GET", "/api/v1/devices/{device}", None, (200,)),
    ("viewer", "GET", "/api/v1/devices/{device}/status", None, (200,)),
    ("viewer", "GET", "/api/v1/devices/{device}/events", None, (200,)),
    ("operator", "PATCH", "/api/v1/sessions/{session}", {"notes": "seen"}, (200,)),
    ("operator", "POST", "/api/v1/sessions/{session}/marks", {"text": "here"}, (204,)),
    ("operator", "POST", "/api/v1/sessions/{session}/fetch", {"within_s": 0.1}, (202,)),
    ("operator", "POST", "/api/v1/devices/{device}/commands", {"name": "sync.now", "within_s": 0.1, "wait": False}, (202,)),
    ("operator", "POST", "/api/v1/uploads", {"session": "{session}", "file": "y_0.bin", "bytes": 3, "sha256": "ab" * 32}, (200, 201)),
    ("operator", "POST", "/api/v1/uploads/{stored}/complete", {}, (200,)),
]
# routes about one thing that the table above leaves out, and why
ELSEWHERE = {
    "GET /api/v1/sessions/{id}/overview": "needs a recording",
    "GET /api/v1/devices/{device}/topics": "needs an agent that answers",
    "GET /api/v1/devices/{device}/commands/{id}": "needs a command",
    "GET /api/v1/devices/{device}/config": "needs an agent that answers",
    "PUT /api/v1/ingest/sessions/{id}": "below",
    "DELETE /api/v1/uploads/{id}": "below",
    "PUT /api/v1/uploads/{id}/parts/{n}": "below",
    "POST /api/v1/decisions/{id}/undo": "below",
}
LISTS = {"/api/v1/sessions", "/api/v1/uploads", "/api/v1/devices", "/api/v1/robots", "/api/v1/decisions"}
FOR_ALL = LISTS | {"/api/v1/status", "/api/v1/openapi.json", "/api/v1/config/schema", "/api/v1/events"}
SITE = {"/metrics", "/api/v1/alerts", "/api/v1/alerts/{key}/acknowledge", "/api/v1/logs", "/api/v1/jobs", "/api/v1/jobs/{id}", "/api/v1/config", "/api/v1/sync",
        "/api/v1/sync/files", "/api/v1/sync/now", "/api/v1/sync/pause", "/api/v1/sync/resume", "/api/v1/sync/retry", "/api/v1/sync/gc"}


def digest(data):
    return {"Content-Digest": "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"}


def link(s, token, device, log="01M8HYWSG2FGC8Z1HYQW5BDX79"):
    w = WS(("127.0.0.1", s.port), "/api/v1/link", ["Sec-WebSocket-Protocol: bagpipe-link.1", f"Authorization: Bearer {token}"])
    w.send({"hello": {"version": "x", "device": device, "name": device, "log": log, "resume": 0, "robots": ["7"], "dropped": {}}})
    bp.check("welcome" in w.json(), f"{device} is linked")
    return w


class Fleet:
    """Three devices, each with a session, a file that is there, and one that is half there."""

    def __init__(self, s, admin):
        self.s, self.tokens, self.things, self.links = s, {}, {}, {}
        for name, groups in GROUPS.items():
            d = Device(name)
            s.want(201, "POST", "/api/v1/devices/enroll", d.enrolment())
            s.want(200, "PATCH", f"/api/v1/devices/{name}", {"state": "accepted", "groups": groups}, token=admin)
            self.tokens[name] = s.token_of(d)
            self.fill(name)
            self.links[name] = link(s, self.tokens[name], name)

    def send(self, device, file, data, finish=True):
        up = {"session": SESSION[device], "file": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "kind": "other"}
        token = self.tokens[device]
        up = self.s.want(201, "POST", "/api/v1/uploads", up, token=token).json()
        if finish:
            self.s.want(204, "PUT", f"/api/v1/uploads/{up['id']}/parts/0", data, token=token, headers=digest(data))
            self.s.want(200, "POST", f"/api/v1/uploads/{up['id']}/complete", {}, token=token)
        return up

    def fill(self, device):
        about = {"name": f"run-{device}", "device": device, "robots": ["7"], "started_ns": "1700000000000000000",
                 "mission": "of the device", "version": {device: 1}}
        self.s.want(201, "PUT", f"/api/v1/ingest/sessions/{SESSION[device]}", about, token=self.tokens[device])
        whole = self.send(device, "x_0.bin", f"of {device}".encode())
        half = self.send(device, "x_1.bin", f"half of {device}".encode(), finish=False)
        self.things[device] = {"device": device, "session": SESSION[device], "stored": whole["id"], "sha": whole["sha256"],
                               "upload": half["id"]}


def filled(what, things):
    if isinstance(what, dict):
        return {k: filled(v, things) for k, v in what.items()}
    return what.format(**things) if isinstance(what, str) else what


def routes(s, fleet, tokens):
    """Each route of the table, with each scope, of each device."""
    asked = 0
    for scope, shown in SCOPES.items():
        for device, things in fleet.things.items():
            for role, method, path, body, good in ROUTES:
                for have in ("viewer", "operator"):
                    want = (403,) if (role, have) == ("operator", "viewer") else good if device in shown else (404,)
                    r = s.ask(method, filled(path, things), filled(body, things), token=tokens[scope, have])
                    bp.check(r.status in want, f"'{scope}' as {have}: {method} {filled(path, things)}: {r.status}, expected {want}: "
                                               f"{r.body[:200]}")
                    asked += 1
    bp.say(f"{asked} requests about one thing")


def every_route(s, tokens, admin):
    """Nothing is left out: what OpenAPI has for viewers and operators is in one of the tables."""
    api = s.want(200, "GET", "/api/v1/openapi.json", token=admin).json()
    about = {(m, re.sub(r"\{[^}]*\}|run-\{device\}", "{}", p)) for _, m, p, _, _ in ROUTES}
    token = tokens["hall-1", "operator"]
    for path, methods in api["paths"].items():
        for method, op in methods.items():
            method = method.upper()
            if op["x-role"] not in ("viewer", "operator"):
                continue
            if path in SITE:
                r = s.want(403, method, path.replace("{id}", "x"), token=token)
                bp.check("concerns all devices" in r.json()["detail"], f"{method} {path}: {r.body[:200]}")
            elif path not in FOR_ALL or method != "GET":
                known = (method, re.sub(r"\{[^}]*\}", "{}", path)) in about or f"{method} {path}" in ELSEWHERE or \
                    (method, "/api/v1/sessions/{}/segments/x_0.bin") in about and path.endswith("/segments/{name}")
                bp.check(known, f"{method} {path} is in no table of this test: who has a scope, what does he get?")
                where = re.sub(r"\{device\}", "yard-1", path)
                if where.startswith(("/api/v1/devices/", "/api/v1/sessions/")):
                    where = where.replace("{id}", "yard-1" if "/devices/{" in path and "device}" not in path else SESSION["yard-1"])
                    body = None if method == "GET" else {"text": "x"} if path.endswith("/marks") else {}
                    s.want(404, method, re.sub(r"\{[^}]*\}", "x_0.bin", where), body, token=token)


def lists(s, tokens, admin):
    total = len(s.want(200, "GET", "/api/v1/sessions", token=admin).json()["sessions"])
    bp.check(total == len(GROUPS), f"without a scope everything: {total}")
    for scope, shown in SCOPES.items():
        token = tokens[scope, "viewer"]

        def of(path, key, field, token=token):
            return sorted(x[field] for x in s.want(200, "GET", path, token=token).json()[key])

        bp.check(of("/api/v1/sessions", "sessions", "device") == sorted(shown), f"'{scope}': sessions")
        bp.check(of("/api/v1/sessions?q=run&sort=-bytes", "sessions", "device") == sorted(shown), f"'{scope}': found and sorted")
        bp.check(of("/api/v1/sessions?q=device:*-1,*-2", "sessions", "device") == sorted(shown), f"'{scope}': asked for all")
        bp.check(of("/api/v1/sessions?q=-robot:9&limit=1000", "sessions", "device") == sorted(shown), f"'{scope}': the other way")
        found = s.want(200, "GET", "/api/v1/sessions?facets=9", token=token).json()
        bp.check(sorted(v["value"] for v in found["facets"].get("device", [])) == sorted(shown) and found["total"] == len(shown),
                 f"'{scope}': facets count no others: {found['facets']}")
        bp.check(of("/api/v1/devices", "devices", "device") == sorted(shown), f"'{scope}': devices")
        bp.check(of("/api/v1/robots", "robots", "device") == sorted(shown), f"'{scope}': robots")
        sessions = set(of("/api/v1/uploads", "uploads", "session"))
        bp.check(sessions == {SESSION[d] for d in shown}, f"'{scope}': uploads: {sessions}")
        decided = set(of("/api/v1/decisions", "decisions", "session"))
        bp.check(decided == ({SESSION["yard-1"]} if "yard-1" in shown else set()), f"'{scope}': decisions: {decided}")
        status = s.want(200, "GET", "/api/v1/status", token=token).json()
        bp.check(set(status) <= {"version", "name", "state", "reason", "uptime_s"}, f"'{scope}': status counts nothing: {status}")


def acts(s, fleet, tokens):
    """What changes something, and would change the table if it were in it."""
    token = tokens["hall-*", "operator"]
    new = "01KC0000000000000000000099"
    about = {"name": "pushed", "robots": [], "started_ns": "1700000000000000000"}
    s.want(403, "PUT", f"/api/v1/ingest/sessions/{new}", {**about, "device": "yard-1"}, token=token)
    s.want(403, "PUT", f"/api/v1/ingest/sessions/{new}", about, token=token)
    r = s.ask("PUT", f"/api/v1/ingest/sessions/{SESSION['yard-1']}", {**about, "device": "hall-1"}, token=token)
    bp.check(r.status == 409, f"a session of others is not taken over: {r.status} {r.body[:200]}")
    other = fleet.send("yard-1", "z_0.bin", b"three", finish=False)["id"]
    mine = fleet.send("hall-2", "z_0.bin", b"three", finish=False)["id"]
    for up, put, drop in ((other, 404, 404), (mine, 204, 204)):
        s.want(put, "PUT", f"/api/v1/uploads/{up}/parts/0", b"three", token=token, headers=digest(b"three"))
        s.want(drop, "DELETE", f"/api/v1/uploads/{up}", token=token)
    n = s.want(200, "GET", "/api/v1/decisions", token=tokens["group:lab", "viewer"]).json()["decisions"][0]["id"]
    s.want(404, "POST", f"/api/v1/decisions/{n}/undo", {}, token=token)
    s.want(204, "POST", f"/api/v1/decisions/{n}/undo", {}, token=tokens["group:lab", "operator"])
    s.want(201, "PUT", f"/api/v1/ingest/sessions/{new}", {**about, "device": "hall-2"}, token=token)


def decide(s, fleet, admin):
    """A session of yard-1 is edited here and there."""
    s.want(200, "PATCH", f"/api/v1/sessions/{SESSION['yard-1']}", {"mission": "of the site"}, token=admin)
    s.want(200, "PUT", f"/api/v1/ingest/sessions/{SESSION['yard-1']}",
           {"name": "run-yard-1", "device": "yard-1", "started_ns": "1700000000000000000", "mission": "of the device again",
            "version": {"yard-1": 2}}, token=fleet.tokens["yard-1"])
    bp.check(s.want(200, "GET", "/api/v1/decisions", token=admin).json()["decisions"], "something was decided")


def devices_in(m):
    d = m["data"]
    d = d.get("data", d) if m["topic"] == "ingest" else d
    return d["device"]["device"] if isinstance(d.get("device"), dict) else d.get("device")


def live(s, fleet, tokens, admin):
    """What happens to all three is told to each scope as far as it is theirs."""
    watch = {}
    for scope in SCOPES:
        w = WS(("127.0.0.1", s.events), "/", [f"Authorization: Bearer {tokens[scope, 'viewer']}"])
        hello = w.json()["hello"]
        bp.check({t["topic"] for t in hello["topics"]} == {"sessions", "robots", "devices", "alerts", "ingest", "device:ID/…"},
                 f"'{scope}': topics {[t['topic'] for t in hello['topics']]}")
        for topic in ("status", "log", "jobs"):
            answer, _ = w.ask({"subscribe": [topic]})
            bp.check("there is no topic" in answer.get("error", ""), f"'{scope}': {topic}: {answer}")
        for device in GROUPS:
            answer, _ = w.ask({"subscribe": [f"device:{device}/status"]})
            bp.check(answer.get("ok", False) == (device in SCOPES[scope]), f"'{scope}': device:{device}/status: {answer}")
            for what in ("log", "sample:/imu", "image:/camera", "points:/lidar"):
                answer, _ = w.ask({"subscribe": [{"topic": f"device:{device}/{what}", "policy": "latest"}]})
                bp.check(answer.get("ok", False) == (device in SCOPES[scope]), f"'{scope}': device:{device}/{what}: {answer}")
                if answer.get("ok"):
                    w.ask({"unsubscribe": [f"device:{device}/{what}"]})
        answer, _ = w.ask({"subscribe": ["sessions", "robots", "devices", "alerts", "ingest"]})
        bp.check(answer.get("ok") is True, f"{answer}")
        watch[scope] = w
    for i, name in enumerate(GROUPS):
        fleet.send(name, "w_0.bin", f"live of {name}".encode())
        s.want(200, "PATCH", f"/api/v1/devices/{name}", {"name": f"number {i}"}, token=admin)
        now = str(time.time_ns())
        fleet.links[name].send({"events": [{"seq": 1, "topic": "sessions", "time_ns": now, "data": {"event": "started"}},
                                           {"seq": 2, "topic": "alerts", "time_ns": now, "data": {"event": "raised"}}]})
        fleet.links[name].send({"status": {"state": "idle"}, "full": True})
        fleet.links[name].send({"robots": ["7", "8"]})
    for scope, w in watch.items():
        shown, got = SCOPES[scope], {}
        until = time.monotonic() + (10 if shown else 2)
        full = {(t, d) for t in ("sessions", "robots", "devices", "alerts", "ingest") for d in shown} | \
            {(f"device:{d}/status", None) for d in shown}
        while set(got) < full or (not shown and time.monotonic() < until):
            try:
                m = w.json(max(until - time.monotonic(), 0.01))
            except TimeoutError:
                break
            if "topic" in m:
                key = (m["topic"], None if m["topic"].startswith("device:") else devices_in(m))
                got[key] = got.get(key, []) + [m["seq"]]
        try:
            m = w.json(0.5)
            key = (m["topic"], None if m["topic"].startswith("device:") else devices_in(m))
            got[key] = got.get(key, []) + [m["seq"]]
        except TimeoutError:
            pass
        bp.check(set(got) == full, f"'{scope}' is told {sorted(got, key=str)}, expected {sorted(full, key=str)}")
        for topic in ("sessions", "devices", "alerts"):
            seqs = sorted(x for (t, _), v in got.items() if t == topic for x in v)
            bp.check(seqs == list(range(1, len(seqs) + 1)), f"'{scope}': {topic} has numbers of its own: {seqs}")
        w.close()


def changes(s, admin):
    """A scope that changes ends what is open; a device that changes its groups is seen, or not any more, at once."""
    body = {"name": "bob", "role": "viewer", "password": PASSWORD, "scope": "hall-1"}
    bp.check(s.want(201, "POST", "/api/v1/users", body, token=admin).json()["scope"] == "hall-1", "told")
    r = s.want(200, "POST", "/api/v1/login", {"user": "bob", "password": PASSWORD})
    cookie = r.headers["Set-Cookie"].split(";")[0]
    bp.check(r.json()["scope"] == "hall-1", f"{r.body}")
    w = WS(("127.0.0.1", s.port), "/api/v1/events", [f"Cookie: {cookie}"])
    w.json()

    def seen():
        return {x["device"] for x in s.want(200, "GET", "/api/v1/devices", headers={"Cookie": cookie}).json()["devices"]}

    bp.check(seen() == {"hall-1"}, f"{seen()}")
    s.want(200, "PATCH", "/api/v1/users/bob", {"scope": " hall-2 ,group:out"}, token=admin)
    try:
        while True:
            w.json(10)
    except EOFError as e:
        bp.check("4401" in str(e), f"the stream ends: {e}")
    me = s.want(200, "GET", "/api/v1/whoami", headers={"Cookie": cookie}).json()
    bp.check(me["scope"] == "hall-2 group:out", f"{me}")
    bp.check(seen() == {"hall-2", "yard-1"}, f"{seen()}")
    w = WS(("127.0.0.1", s.port), "/api/v1/events", [f"Cookie: {cookie}"])
    w.json()
    answer, _ = w.ask({"subscribe": ["device:yard-1/status", "device:yard-1/log"]})
    bp.check(answer.get("ok"), f"{answer}")
    s.want(200, "PATCH", "/api/v1/devices/yard-1", {"groups": []}, token=admin)
    bp.check(seen() == {"hall-2"}, f"out of the group: {seen()}")
    try:
        while True:
            w.json(10)
    except EOFError as e:
        bp.check("4401" in str(e), f"who watches it sees no more: {e}")
    s.want(200, "PATCH", "/api/v1/devices/hall-1", {"groups": ["out"]}, token=admin)
    bp.check(seen() == {"hall-2", "hall-1"}, f"into the group: {seen()}")
    bp.check({x["device"] for x in s.want(200, "GET", "/api/v1/sessions", headers={"Cookie": cookie}).json()["sessions"]} == seen(),
             "sessions, too")
    for name, groups in GROUPS.items():
        s.want(200, "PATCH", f"/api/v1/devices/{name}", {"groups": groups}, token=admin)
    s.want(200, "PATCH", "/api/v1/users/bob", {"scope": ""}, token=admin)
    bp.check(seen() == set(GROUPS), "no limit any more")
    s.want(200, "GET", "/api/v1/logs", headers={"Cookie": cookie})


def refused(s, admin):
    for body, says in (({"scope": "hall-1", "role": "admin"}, "an admin has no scope"), ({"scope": "a/b"}, "neither an id"),
                       ({"scope": "group:"}, "neither an id"), ({"scope": 7}, "must be a text"), ({"scope": "x " * 17}, "at most")):
        r = s.want(400, "POST", "/api/v1/users", {"name": "eve", "role": "viewer", "password": PASSWORD, **body}, token=admin)
        bp.check(says in r.json()["detail"], f"{body}: {r.body}")
        r = s.want(400, "POST", "/api/v1/tokens", {"name": "eve", "role": "viewer", **body}, token=admin)
        bp.check(says in r.json()["detail"], f"{body}: {r.body}")
    s.want(200, "PATCH", "/api/v1/users/bob", {"scope": "hall-1"}, token=admin)
    s.want(400, "PATCH", "/api/v1/users/bob", {"role": "admin"}, token=admin)
    s.want(200, "PATCH", "/api/v1/users/bob", {"role": "admin", "scope": ""}, token=admin)


def jwts(s, key):
    def ask(status, path="/api/v1/devices", **claims):
        claims = {"sub": "carol", "role": "viewer", "exp": int(time.time()) + 600, **claims}
        return s.want(status, "GET", path, token=jwt.encode(claims, key, "HS256"))

    for claim, shown in (("hall-*", {"hall-1", "hall-2"}), (["hall-1", "group:out"], {"hall-1", "yard-1"})):
        got = {x["device"] for x in ask(200, devices=claim).json()["devices"]}
        bp.check(got == shown, f"{claim}: {got}")
    for claims in ({}, {"devices": ""}, {"devices": []}, {"devices": "a/b"}, {"devices": 7}):
        bp.check(b"claim 'devices'" in ask(401, **claims).body, f"{claims}: who forgets it sees nothing")
    bp.check(len(ask(200, role="admin").json()["devices"]) == 3, "an admin sees everything")


def cli(s, where):
    """bagpipe user add --scope, list, scope."""
    bp.check(bp.run([bp.BAGPIPE, "token", "new", "tablet", "--server", "--scope", "group:lab", *where])[0] == 0, "token new")
    bp.check("group:lab" in bp.run([bp.BAGPIPE, "token", "list", "--server", *where])[1], "token list")
    status = bp.run([bp.BAGPIPE, "user", "scope", "bob", "--server", "--scope", "nothing", *where], ok=None)[0]
    bp.check(status != 0, f"an admin gets none: {status}")
    bp.run([bp.BAGPIPE, "user", "role", "bob", "--server", "--role", "viewer", *where])
    bp.run([bp.BAGPIPE, "user", "scope", "bob", "--server", "--scope", "yard-*", *where])
    bp.check("yard-*" in bp.run([bp.BAGPIPE, "user", "list", "--server", *where])[1], "user list")


def main():
    folder = bp.scratch()
    key = b"k" * 32
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(key).rstrip(b"=").decode()}]}))
    keys.chmod(0o600)
    sets = ("auth.rate=0", f"auth.jwt_keys={keys}", "auth.jwt_scope=devices")
    s = Server(folder, *sets)
    admin = s.want(201, "POST", "/api/v1/tokens", {"name": "root", "role": "admin"}, sock=True).json()["token"]
    tokens = {}
    for i, scope in enumerate(SCOPES):
        for role in ("viewer", "operator"):
            body = {"name": f"{role}-{i}", "role": role, "scope": scope}
            tokens[scope, role] = s.want(201, "POST", "/api/v1/tokens", body, token=admin).json()["token"]
    fleet = Fleet(s, admin)
    decide(s, fleet, admin)
    routes(s, fleet, tokens)
    every_route(s, tokens, admin)
    lists(s, tokens, admin)
    acts(s, fleet, tokens)
    live(s, fleet, tokens, admin)
    changes(s, admin)
    refused(s, admin)
    jwts(s, key)
    cli(s, ("--set", f"server.dir={s.data}", "--set", f"http.socket={s.sock}"))
    for w in fleet.links.values():
        w.close()
    s.p.stop()
    s = Server(folder, *sets)  # what was given stays, without anybody's being asked
    got = {x["device"] for x in s.want(200, "GET", "/api/v1/devices", token=tokens["group:lab", "viewer"]).json()["devices"]}
    bp.check(got == {"hall-1", "yard-1"}, f"after a restart: {got}")
    s.want(404, "GET", f"/api/v1/sessions/{SESSION['hall-2']}", token=tokens["group:lab", "viewer"])
    s.p.stop()


bp.main(main)
