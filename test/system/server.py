"""bagpipe server: starts with nothing, answers at every door, lets in whom it should. Devices enrol, sign challenges with
an independent Ed25519, and what is forged, replayed, expired or another's is refused with the right status. Rates,
the log of changes, a full disk's answer, a clean end while a request runs, memory.
"""
import base64
import hashlib
import http.client
import json
import re
import signal
import sqlite3
import subprocess
import threading
import time

import bp
from device import Device
from serverd import Server
from ws import WS, Refused

PASSWORD = "correct horse battery"
PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/api/v1/login"), ("POST", "/api/v1/logout"),
          ("GET", "/api/v1/whoami"), ("POST", "/api/v1/devices/enroll"), ("POST", "/api/v1/devices/challenge"),
          ("POST", "/api/v1/devices/token")}


def doors(s):
    for port in (s.port, s.metrics):
        s.want(200, "GET", "/healthz", port=port)
        s.want(200, "GET", "/readyz", port=port)
        bp.check(b"process_resident_memory_bytes" in s.want(200, "GET", "/metrics", port=port).body, "metrics")
    s.want(404, "GET", "/api/v1/status", port=s.metrics)
    who = s.want(200, "GET", "/api/v1/whoami").json()
    bp.check(who["role"] == "admin" and who["by"] == "local", f"loopback is open, and it says so: {who}")
    st = s.want(200, "GET", "/api/v1/status").json()
    bp.check(st["state"] == "ready" and st["storage"]["dir"] == str(s.data), f"status: {st}")
    api = s.want(200, "GET", "/api/v1/openapi.json").json()
    bp.check(api["openapi"].startswith("3.1") and "/api/v1/devices/enroll" in api["paths"], "openapi")
    for path in ("/", "/anything/at/all", "/api/v1/events"):
        w = WS(("127.0.0.1", s.events), path)
        hello = w.json()["hello"]
        bp.check({"status", "sessions", "devices"} <= {t["topic"] for t in hello["topics"]}, f"{path}: {hello}")
        w.send({"subscribe": ["status"]})
        bp.check(w.json()["ok"] is True, f"{path}: subscribes")
        w.close()
    out = subprocess.run(["curl", "-sS", "--unix-socket", s.sock, "http://localhost/api/v1/status"], capture_output=True,
                         text=True, timeout=20, check=False)
    bp.check(json.loads(out.stdout)["version"], f"curl by the socket: {out}")
    mode = s.data.stat().st_mode & 0o777
    bp.check(mode == 0o700, f"the folder is its own: {mode:o}")


def open_devices(s):
    """Without accounts a device is in at first contact."""
    d = Device("robot_1")
    r = s.want(201, "POST", "/api/v1/devices/enroll", d.enrolment(kind="robot", name="first")).json()
    bp.check(r["state"] == "accepted" and r["approved_by"] == "first contact", f"{r}")
    bp.check(s.want(200, "POST", "/api/v1/devices/enroll", d.enrolment()).json()["state"] == "accepted", "again")
    who = s.want(200, "GET", "/api/v1/whoami", token=s.token_of(d)).json()
    bp.check(who == {"user": "robot_1", "role": "device", "by": "device", "public_key": d.public}, f"{who}")
    other = Device("robot_1")
    s.want(409, "POST", "/api/v1/devices/enroll", other.enrolment())
    return d


BAD_NAMES = ["", "../x", "a/b", "x" * 57, "x" * 4096, "\U0001f916", ".hidden", "-x", "a b", "a\nb"]


def hostile_bodies(s):
    d = Device("ok")
    for name in BAD_NAMES:
        r = s.ask("POST", "/api/v1/devices/enroll", {**d.enrolment(), "device": name})
        bp.check(r.status == 400 and "detail" in r.json(), f"{name[:20]!r}: {r.status} {r.body[:100]}")
    s.want(400, "POST", "/api/v1/devices/enroll", b'{"device": "a\\u0000b", "public_key": "x"}')
    for key in ("", "zz", "00" * 31, "ed25519:" + "00" * 33, 7, None, ["x"]):
        s.want(400, "POST", "/api/v1/devices/enroll", {"device": "ok", "public_key": key})
    for body in (b"", b"[]", b"{", b'{"device":1}', b"\xff\xfe", b'{"device":"a","device":"b"}'):
        s.want(400, "POST", "/api/v1/devices/token", body)
    s.want(413, "POST", "/api/v1/devices/enroll", headers={"Content-Length": "3000000"})


def forged(s, d, second):
    """What a signature is worth: one use, one minute, one device, one server, one clock."""
    good = d.answer(s.nonce(d.name), s.audience())
    token = s.want(200, "POST", "/api/v1/devices/token", good).json()["token"]
    bp.check("answered already" in s.want(401, "POST", "/api/v1/devices/token", good).json()["detail"], "replayed")

    def refused(status, answer, says):
        r = s.want(status, "POST", "/api/v1/devices/token", answer)
        bp.check(says in r.json()["detail"], f"{says}: {r.body}")

    n = s.nonce(d.name)
    refused(401, {**d.answer(n, s.audience()), "signature": "00" * 64}, "signature")
    refused(401, {**d.answer(n, s.audience()), "signature": "zz"}, "64 bytes")
    refused(401, d.answer(n, s.audience(), key=second.key), "not by the key")
    refused(401, d.answer(n, "evil.example.com"), "signed for")
    refused(401, second.answer(n, s.audience()), "none of this server's")  # another device's challenge
    refused(401, d.answer(n[:-1] + ("A" if n[-1] != "A" else "Q"), s.audience()), "none of this server's")
    refused(401, d.answer("AAAA", s.audience()), "none of this server's")
    changed = d.answer(n, s.audience())
    refused(401, {**changed, "time_ns": str(int(changed["time_ns"]) + 1)}, "not by the key")
    year = 365 * 86400 * 10**9
    for off, says in ((year, "ahead of"), (-year, "behind")):
        refused(409, d.answer(n, s.audience(), time.time_ns() + off), says)
    for odd in ("-1", "0", "x", "99999999999999999999", ""):
        refused(400, {**d.answer(n, s.audience()), "time_ns": odd}, "time_ns")
    refused(401, Device("nobody").answer(s.nonce("nobody"), s.audience()), "not by the key")  # tells not who is known
    s.want(200, "POST", "/api/v1/devices/token", d.answer(n, s.audience()))  # all that did not use the challenge up
    return token


def roles(s):
    """Every route with nothing, a bad token, and a device's; then accounts exist, so loopback is shut."""
    out = subprocess.run([bp.BAGPIPE, "user", "add", "ann", "--role", "admin", "--server", "--set", f"server.dir={s.data}",
                          f"http.socket={s.sock}"], input=PASSWORD + "\n", capture_output=True, text=True, timeout=30,
                         check=False)
    bp.check(out.returncode == 0, f"user add: {out}")
    bp.until(lambda: s.ask("GET", "/api/v1/status").status == 401, 10, "loopback is shut once there is an account")
    admin = s.want(201, "POST", "/api/v1/tokens", {"name": "root", "role": "admin"}, sock=True).json()["token"]
    viewer = s.want(201, "POST", "/api/v1/tokens", {"name": "eye", "role": "viewer"}, sock=True).json()["token"]
    d = Device("robot_1b")
    s.want(201, "POST", "/api/v1/devices/enroll", d.enrolment())
    s.want(200, "PATCH", "/api/v1/devices/robot_1b", {"state": "accepted"}, token=admin)
    device = s.token_of(d)
    api = s.want(200, "GET", "/api/v1/openapi.json", token=admin).json()
    for path, methods in api["paths"].items():
        for method, op in methods.items():
            method, where = method.upper(), re.sub(r"\{[^}]*\}", "zzz", path)
            if where == "/api/v1/link":
                continue
            is_public = (method, path) in PUBLIC
            bp.check(is_public == (op["x-role"] == "public"), f"{method} {path} is {op['x-role']}")
            if is_public:
                continue
            s.want(401, method, where)
            s.want(401, method, where, token="bp_" + "A" * 43)
            s.want(401, method, where, token="bpd_" + "A" * 43)
            if op["x-role"] == "admin":
                s.want(403, method, where, token=viewer)
            if not re.match(r"/api/v1/(ingest/|uploads|objects/|link|status)", path):
                r = s.want(403, method, where, token=device)
                bp.check(b"is a device" in r.body, f"{method} {path}: {r.body}")
    s.want(200, "GET", "/api/v1/status", token=device)
    for port, path in ((s.events, "/x"), (s.metrics, "/metrics")):
        s.want(401, "GET", path, port=port)
    try:
        WS(("127.0.0.1", s.events), "/")
        bp.fail("the events door lets nobody in without a token")
    except Refused as e:
        bp.check("401" in str(e), f"{e}")
    return admin, viewer, d


def enrolment(s, admin, viewer):
    """With accounts: a one-time token, once, or an admin; refused and removed ones are out at once."""
    waits = Device("robot_2")
    bp.check(s.want(201, "POST", "/api/v1/devices/enroll", waits.enrolment()).json()["state"] == "pending", "waits")
    r = s.want(403, "POST", "/api/v1/devices/token", waits.answer(s.nonce("robot_2"), s.audience()))
    bp.check("waits for an admin" in r.json()["detail"], f"{r.body}")
    s.want(403, "PATCH", "/api/v1/devices/robot_2", {"state": "accepted"}, token=viewer)
    got = s.want(200, "PATCH", "/api/v1/devices/robot_2", {"state": "accepted", "groups": ["lab"], "name": "Two"},
                 token=admin).json()
    bp.check(got["state"] == "accepted" and got["groups"] == ["lab"] and got["approved_by"] == "root", f"{got}")
    token = s.token_of(waits)

    once = s.want(201, "POST", "/api/v1/enrolments", {"name": "for-3", "groups": ["hall"]}, token=admin).json()["token"]
    bp.check("for-3" in s.want(200, "GET", "/api/v1/enrolments", token=admin).body.decode(), "listed")
    third = Device("robot_3")
    s.want(403, "POST", "/api/v1/devices/enroll", third.enrolment("bp_" + "B" * 43))
    got = s.want(201, "POST", "/api/v1/devices/enroll", third.enrolment(once)).json()
    bp.check(got["state"] == "accepted" and got["groups"] == ["hall"] and got["approved_by"] == "token:for-3", f"{got}")
    r = s.want(403, "POST", "/api/v1/devices/enroll", Device("robot_4").enrolment(once))
    bp.check("was used" in r.json()["detail"], f"{r.body}")
    short = s.want(201, "POST", "/api/v1/enrolments", {"name": "short", "lifetime_s": 1}, token=admin).json()["token"]
    time.sleep(1.2)
    s.want(410, "POST", "/api/v1/devices/enroll", Device("robot_5").enrolment(short))
    raced(s, admin)

    third_token = s.token_of(third)
    s.want(200, "GET", "/api/v1/status", token=third_token)
    s.want(200, "PATCH", "/api/v1/devices/robot_3", {"state": "refused"}, token=admin)
    s.want(401, "GET", "/api/v1/status", token=third_token)
    s.want(403, "POST", "/api/v1/devices/token", third.answer(s.nonce("robot_3"), s.audience()))
    s.want(403, "POST", "/api/v1/devices/enroll", third.enrolment())
    s.want(204, "DELETE", "/api/v1/devices/robot_2", token=admin)
    s.want(401, "GET", "/api/v1/status", token=token)
    s.want(404, "GET", "/api/v1/devices/robot_2", token=admin)


def anothers(s, admin):
    """A device writes what is its own, and nothing of another's."""
    a, b = Device("owner_a"), Device("owner_b")
    for d in (a, b):
        s.want(201, "POST", "/api/v1/devices/enroll", d.enrolment())
        s.want(200, "PATCH", f"/api/v1/devices/{d.name}", {"state": "accepted"}, token=admin)
    ta, tb = s.token_of(a), s.token_of(b)
    session = "01KC0000000000000000000001"
    about = {"name": "run", "device": "owner_a", "robots": [], "started_ns": "1700000000000000000"}
    s.want(201, "PUT", f"/api/v1/ingest/sessions/{session}", about, token=ta)
    up = {"session": session, "file": "x_0.bin", "bytes": 5, "sha256": hashlib.sha256(b"hello").hexdigest(), "kind": "other"}
    mine = s.want(201, "POST", "/api/v1/uploads", up, token=ta).json()["id"]
    for method, path, body in (("PUT", f"/api/v1/ingest/sessions/{session}", about),
                               ("PUT", f"/api/v1/ingest/sessions/{session}", {**about, "device": "owner_b"}),
                               ("POST", "/api/v1/uploads", {**up, "file": "y_0.bin"}),
                               ("GET", f"/api/v1/uploads/{mine}", None), ("DELETE", f"/api/v1/uploads/{mine}", None),
                               ("POST", f"/api/v1/uploads/{mine}/complete", {})):
        r = s.ask(method, path, body, token=tb)
        bp.check(r.status in (403, 404, 409), f"{method} {path} by another device: {r.status} {r.body[:200]}")
    s.want(200, "GET", f"/api/v1/uploads/{mine}", token=ta)
    bp.check([u["id"] for u in s.want(200, "GET", "/api/v1/uploads", token=ta).json()["uploads"]] == [mine], "its own")
    bp.check(s.want(200, "GET", "/api/v1/uploads", token=tb).json()["uploads"] == [], "and nobody else's")
    anothers_object(s, ta, tb, mine, up, about)
    r = s.ask("PUT", f"/api/v1/ingest/sessions/{session[:-1]}2", {**about, "device": "owner_a"}, token=tb)
    bp.check(r.status in (403, 409), f"a session in another's name: {r.status} {r.body[:200]}")


def anothers_object(s, ta, tb, mine, up, about):
    """Bytes are for the device whose session has them; what is here already is not sent again by anybody."""
    digest = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
    path = f"/api/v1/objects/{up['sha256']}"
    s.want(404, "GET", path, token=ta)
    s.want(204, "PUT", f"/api/v1/uploads/{mine}/parts/0", b"hello", token=ta,
           headers={"Content-Digest": f"sha-256=:{digest}:"})
    s.want(200, "POST", f"/api/v1/uploads/{mine}/complete", {}, token=ta)
    bp.check(s.want(200, "GET", path, token=ta).body == b"hello", "its own object")
    s.want(200, "HEAD", path, token=ta)
    nowhere = s.want(404, "GET", f"/api/v1/objects/{'ab' * 32}", token=tb)
    r = s.want(404, "GET", path, token=tb)
    bp.check(r.json()["detail"] == nowhere.json()["detail"], f"another's object is as one that is not here: {r.body}")
    s.want(404, "HEAD", path, token=tb)
    other = "01KC0000000000000000000009"
    s.want(201, "PUT", f"/api/v1/ingest/sessions/{other}", {**about, "device": "owner_b"}, token=tb)
    r = s.want(200, "POST", "/api/v1/uploads", {**up, "session": other}, token=tb).json()
    bp.check(r["state"] == "have", f"what is here is not sent again: {r}")
    bp.check(s.want(200, "GET", path, token=tb).body == b"hello", "then it is that session's, too")


def raced(s, admin):
    """Eight at once with one token: one is in."""
    once = s.want(201, "POST", "/api/v1/enrolments", {"name": "race"}, token=admin).json()["token"]
    states, go = [], threading.Barrier(8)

    def enter(i):
        d = Device(f"racer_{i}")
        go.wait()
        states.append(s.ask("POST", "/api/v1/devices/enroll", d.enrolment(once)).status)

    threads = [threading.Thread(target=enter, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    bp.check(sorted(states) == [201] + [403] * 7, f"one of eight gets in: {states}")


def audit(s, admin):
    entries = s.want(200, "GET", "/api/v1/audit?limit=500", token=admin).json()["entries"]
    done = {(e["who"], e["action"], e["subject"]) for e in entries}
    for one in (("root", "device.edit", "robot_2"), ("root", "device.remove", "robot_2"),
                ("socket", "token.POST", ""), ("root", "enrolment.new", "for-3"), ("nobody", "device.enroll", "robot_3")):
        bp.check(one in done, f"{one} is written down: {sorted(done)}")
    text = json.dumps(entries)
    bp.check(PASSWORD not in text and "bp_" not in text and "bpd_" not in text, "no secret is written down")
    bp.check([e["number"] for e in entries] == sorted((e["number"] for e in entries), reverse=True), "newest first")
    bp.check(s.want(200, "POST", "/api/v1/audit/verify", token=admin).json()["good"] is True, "the chain is whole")
    log = s.p.text()
    bp.check(PASSWORD not in log and "bp_" not in log and "bpd_" not in log, "no secret is in the log")


def changed_behind(folder, admin, *args):
    """A log that somebody changed says so."""
    with sqlite3.connect(folder / "data" / "audit.db") as db:
        table = db.execute("SELECT name FROM sqlite_schema WHERE type='table' AND sql LIKE '%subject%'").fetchone()[0]
        db.execute(f"DROP TRIGGER IF EXISTS {table}_no_update")
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute(f"UPDATE {table} SET subject = 'robot_9' WHERE subject = 'robot_2'")
    db.close()
    s = Server(folder, *args)
    r = s.want(200, "POST", "/api/v1/audit/verify", token=admin).json()
    bp.check(r["good"] is False and r["error"], f"what was changed shows: {r}")
    return s


def rates(s, viewer):
    """A person's rate, a guesser's, and a device that is not concerned by either."""
    codes = [s.ask("GET", "/api/v1/alerts", token=viewer).status for _ in range(40)]
    bp.check(codes[0] == 200 and 429 in codes, f"a person's rate: {codes}")
    r = next(r for r in (s.ask("GET", "/api/v1/alerts", token=viewer) for _ in range(40)) if r.status == 429)
    bp.check(1 <= int(r.headers["Retry-After"]) <= 60, f"Retry-After: {r.headers['Retry-After']}")
    guesses = [s.ask("GET", "/api/v1/alerts", token="bp_" + "C" * 43, headers={"X-Forwarded-For": "192.0.2.9"}).status
               for _ in range(60)]
    bp.check(guesses[0] == 401 and guesses[-1] == 429, f"a guesser's rate: {guesses}")
    elsewhere = s.ask("GET", "/api/v1/alerts", token="bp_" + "C" * 43, headers={"X-Forwarded-For": "192.0.2.10"})
    bp.check(elsewhere.status == 401, f"the next client of the same proxy is another: {elsewhere.status}")
    # the socket is for those who are on the machine
    bp.check(all(s.ask("GET", "/api/v1/alerts", sock=True).status == 200 for _ in range(60)), "the socket has no rate")


def shut(folder):
    """What must not start, does not, and says why."""
    for args, says in ((["http.listen=0.0.0.0:0"], "nobody has an account yet"),
                       (["events.listen=0.0.0.0:0"], "nobody has an account yet"),
                       (["metrics.listen=0.0.0.0:0"], "nobody has an account yet"),
                       (["http.listen=0.0.0.0:0", "auth.mode=off"], "auth.mode is off"),
                       (["http.workers=0"], "http.workers"), (["http.wrokers=2"], "http.workers"),
                       (["storage.backend=s3"], "storage.s3.bucket")):
        s = Server(folder / "shut", *args, ok=False)
        bp.check(not s.p.alive() and says in s.p.text(), f"{args}: {s.p.text()[-300:]}")
    (folder / "shut" / "data").mkdir(parents=True, exist_ok=True)
    (folder / "shut" / "data" / "catalog.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    s = Server(folder / "shut")
    bp.check("set aside" in s.p.text(), f"a damaged database is set aside: {s.p.text()[-400:]}")
    s.p.stop()
    s = Server(folder / "shut", "storage.min_free=60TiB")
    r = s.want(503, "GET", "/readyz")
    bp.check("disk is full" in r.json()["detail"], f"{r.body}")
    bp.check(s.want(200, "GET", "/api/v1/status").json()["state"] == "not_ready", "status says so, too")
    s.p.stop()


def ending(s, admin):
    """A request that runs is served to the end, streams are ended, and the status is 0."""
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
    c.request("GET", "/api/v1/events?topics=log", headers={"Authorization": f"Bearer {admin}"})
    stream = c.getresponse()
    bp.check(stream.status == 200, "a stream of events")
    s.p.send(signal.SIGTERM)
    bp.check(s.p.wait(20) == 0, "it ends with 0")
    stream.read()
    bp.check(not s.sock.exists(), "the socket is gone")
    bp.check("server is ending" in s.p.text() and "Sanitizer" not in s.p.text(), s.p.text()[-500:])


def linked(s, device):
    w = WS(("127.0.0.1", s.port), "/api/v1/link", ["Sec-WebSocket-Protocol: bagpipe-link.1"])
    w.send({"hello": {"version": "x", "device": device, "name": device, "log": "01M8HYWSG2FGC8Z1HYQW5BDX79", "resume": 0, "robots": [],
                      "dropped": {}}})
    bp.check("welcome" in w.json(), f"{device} is linked")
    w.send({"events": [{"seq": 1, "topic": "log", "time_ns": str(time.time_ns()), "data": {"text": "hello"}}]})
    bp.check(w.json()["ack"] == 1, f"{device}: its event is on the disk")
    return w


def forgotten(folder):
    """links.db holds who is here, who was here lately, and nobody whom an admin has removed."""
    s = Server(folder, "retention.silent_devices=0")

    def rows(table):
        db = sqlite3.connect(f"file:{s.data}/links.db?mode=ro", uri=True)
        try:
            return {r[0] for r in db.execute(f"SELECT device FROM {table}")}
        finally:
            db.close()

    def robots():
        return {x["device"]: x["state"] for x in s.want(200, "GET", "/api/v1/robots").json()["robots"]}

    for name in ("here", "away", "removed"):
        s.want(201, "POST", "/api/v1/devices/enroll", Device(name).enrolment())
    here, away, removed = (linked(s, name) for name in ("here", "away", "removed"))
    away.close()
    s.want(204, "DELETE", "/api/v1/devices/removed")
    try:
        while True:
            removed.json()
    except EOFError as e:
        bp.check("4003" in str(e), f"its link ends: {e}")
    bp.until(lambda: robots() == {"here": "online", "away": "offline"}, 10, f"who was removed is not known any more: {robots()}", 0.1)
    bp.until(lambda: rows("devices") == rows("events") == {"here", "away"}, 10, f"nor in links.db: {rows('devices')} {rows('events')}", 0.1)
    here.close()
    s.p.stop()
    time.sleep(3.5)
    s = Server(folder, "retention.silent_devices=3s")  # both were silent for longer, and one comes back
    here = linked(s, "here")
    bp.until(lambda: rows("devices") == {"here"} and "away" not in rows("events"), 15, f"who is silent goes: {rows('devices')}", 0.1)
    time.sleep(4)  # connected and without news for longer than that: stays
    bp.check(robots() == {"here": "online"} and rows("devices") == {"here"}, f"{robots()} {rows('devices')}")
    bp.check(s.want(200, "GET", "/api/v1/devices/away").json()["state"] == "accepted", "it may come in as before")
    away = linked(s, "away")
    bp.check(set(robots()) == {"here", "away"}, f"and does: {robots()}")
    away.close()
    here.close()
    s.p.stop()


def config(folder):
    f = folder / "server.yaml"
    f.write_text("server:\n  name: site-7\nqueue:\n  workers: 3\ncloud:\n  target: \"\"\ntelemetry:\n  interval: 2s\n")
    out = bp.bagpipe("config", "--server", "check", f)
    bp.check("ok" in out[1], f"{out}")
    _, show = bp.bagpipe_json("config", "--server", "show", "--json", "--config", f)
    bp.check(show["server.name"] == {"value": "site-7", "source": "file"}, f"{show['server.name']}")
    env = {"BAGPIPE_SERVER_HTTP__WORKERS": "9", "BAGPIPE_HTTP__WORKERS": "5"}
    _, show = bp.bagpipe_json("config", "--server", "show", "--json", env=env)
    bp.check(show["http.workers"]["value"] == 9, "its own variables, and only those")
    _, show = bp.bagpipe_json("config", "show", "--json", env=env)
    bp.check(show["http.workers"]["value"] == 5, "the agent's")
    f.write_text("server:\n  nmae: x\n")
    _, _, err = bp.bagpipe("config", "--server", "check", f, ok=(2,))
    bp.check("server.name" in err and "line 2" in err, err)


def main():
    folder = bp.scratch()
    config(folder)
    shut(folder)
    (folder / "links").mkdir()
    forgotten(folder / "links")
    first = folder / "open"
    first.mkdir()
    s = Server(first, "auth.burst=10000")  # every route is asked in vain
    doors(s)
    idle = bp.rss_kb(s.p.pid)["VmRSS"]
    d = open_devices(s)
    hostile_bodies(s)
    second = Device("robot_9")
    s.want(201, "POST", "/api/v1/devices/enroll", second.enrolment())
    forged(s, d, second)
    admin, viewer, _ = roles(s)
    enrolment(s, admin, viewer)
    anothers(s, admin)
    audit(s, admin)
    if not bp.sanitized():
        bp.check(idle < 40000, f"it is small: {idle} kB")
    bp.say(f"RSS: {idle} kB idle, {bp.rss_kb(s.p.pid)['VmRSS']} kB after all")
    ending(s, admin)
    args = ("auth.rate=1", "auth.burst=20", "auth.trusted_proxies=127.0.0.1")
    s = changed_behind(first, admin, *args)
    rates(s, viewer)
    s.p.stop()


bp.main(main)
