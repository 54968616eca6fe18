"""Uploads in parts, from outside: every wrong request has its status and loses nothing, parts in any order, at once and
twice, 64 uploads in bounded memory, kill -9 while they run, recordings that are checked after they have arrived, and
the examples of docs/api/uploads.md.
"""
import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
import time

import bp
from serverd import numbers

PRODUCER = bp.BUILD / "test/tools/wp-producer"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KIB, MIB = 1 << 10, 1 << 20
RNG = bp.seeded()


def ulid():
    return "01J" + "".join(RNG.choice(ALPHABET) for _ in range(23))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def digest(data):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"


class Server:
    def __init__(self, folder, *sets, env=None):
        self.data, self.sets, self.env, self.starts = folder / "data", sets, env, 0
        self.sock = folder / "server.sock"
        self.start()

    def start(self):
        self.starts += 1
        self.p = bp.Proc([bp.BAGPIPE, "server", "--json", "--set", f"server.dir={self.data}", f"http.socket={self.sock}",
                          "http.listen=127.0.0.1:0", "events.listen=", "metrics.listen=", "storage.min_free=0",
                          "auth.rate=0", *self.sets], env=self.env)
        bp.until(lambda: "server is ready" in self.p.text() or not self.p.alive(), 30, "the server")
        bp.check(self.p.alive(), f"the server runs: {self.p.text()[-600:]}")
        line = [x for x in self.p.text().splitlines() if "server is ready" in x][-1]
        self.address = json.loads(line)["http"].rsplit(":", 1)
        self.port = int(self.address[1])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, headers=None, conn=None):
        """@return (status, document or text, headers)"""
        c = conn or self.connect()
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        c.request(method, "/api/v1" + path, body=data, headers=headers or {})
        r = c.getresponse()
        text = r.read()
        if not conn:
            c.close()
        if text and r.headers.get_content_type() in ("application/json", "application/problem+json"):
            text = json.loads(text)
        return r.status, text, r.headers

    def rows(self, sql, *args):
        db = sqlite3.connect(f"file:{self.data}/archive.db?mode=ro", uri=True)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()

    def state(self, session):
        r = self.rows("SELECT state, signature FROM sessions WHERE id = ?", session)
        return r[0] if r else None

    def metric(self, name):
        c = self.connect()
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
        c.close()
        return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith(name + " "))


def expect(got, status, what, sentence=None):
    ok = bp.check(got[0] == status, f"{what}: {got[0]}, expected {status}: {str(got[1])[:300]}")
    if status >= 400:
        detail = got[1].get("detail", "") if isinstance(got[1], dict) else ""
        ok &= bp.check(bool(detail) and (not sentence or sentence in detail),
                       f"{what}: the sentence is '{detail}'" + (f", '{sentence}' expected" if sentence else ""))
    return got[1]


def announce(s, session=None, **more):
    session = session or ulid()
    got = s.ask("PUT", f"/ingest/sessions/{session}", {"name": "hall", "device": "robot7", **more})
    bp.check(got[0] in (200, 201), f"announce: {got}")
    return session


def begin(s, session, name, data, part=None, kind="other", conn=None):
    body = {"session": session, "file": name, "bytes": len(data), "sha256": sha(data), "kind": kind}
    if part:
        body["part_bytes"] = part
    return s.ask("POST", "/uploads", body, conn=conn)


def put(s, up, n, data, conn=None, headers=None):
    size = up["part_bytes"]
    piece = data[n * size:(n + 1) * size]
    return s.ask("PUT", f"/uploads/{up['id']}/parts/{n}", piece, headers or {"Content-Digest": digest(piece)}, conn)


def upload(s, session, name, data, part=None, kind="other", order=None):
    status, up, _ = begin(s, session, name, data, part, kind)
    if up.get("state") == "have":
        return up
    bp.check(status in (200, 201), f"begin {name}: {status} {up}")
    c = s.connect()
    for n in order or range(up["part_count"]):
        got = put(s, up, n, data, c)
        bp.check(got[0] == 204, f"part {n} of {name}: {got[:2]}")
    return expect(s.ask("POST", f"/uploads/{up['id']}/complete", conn=c), 200, f"complete {name}")


def check_object(s, data, what):
    got = s.ask("GET", f"/objects/{sha(data)}")
    bp.check(got[0] == 200 and got[1] == data, f"{what}: the object is what was sent ({got[0]})")


# ---- what is right, and what is wrong ----

def the_way(s):
    session = announce(s)
    data = RNG.randbytes(5 * 64 * KIB + 77)
    status, up, _ = begin(s, session, "a.bin", data, 64 * KIB)
    bp.check(status == 201 and up["state"] == "open" and up["parts"] == "" and up["part_count"] == 6, f"begun: {up}")
    for n in (5, 1, 2):
        expect(put(s, up, n, data), 204, f"part {n}")
    again = expect(begin(s, session, "a.bin", data), 200, "begin again")
    bp.check(again["id"] == up["id"] and again["parts"] == "1-2,5", f"goes on: {again}")
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 409, "complete too early", "3 of 6 parts are missing")
    for n in (0, 3, 4):
        expect(put(s, up, n, data), 204, f"part {n}")
    for _ in range(3):
        done = expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "complete")
        bp.check(done["state"] == "stored" and done["sha256"] == sha(data) and done["bytes"] == len(data), f"done: {done}")
    bp.check(expect(s.ask("GET", f"/uploads/{up['id']}"), 200, "get")["state"] == "stored", "it is told as stored")
    check_object(s, data, "the way")
    have = expect(begin(s, announce(s), "b.bin", data), 200, "known")
    bp.check(have["state"] == "have", f"known: {have}")
    bp.check(expect(s.ask("POST", f"/uploads/{have['id']}/complete"), 200, "complete of a known one")["state"] == "stored",
             "a known one is stored")
    status, _, h = s.ask("HEAD", f"/objects/{sha(data)}")
    bp.check(status == 200 and int(h["Content-Length"]) == len(data) and h["Repr-Digest"] == digest(data), f"head: {h}")
    status, piece, h = s.ask("GET", f"/objects/{sha(data)}", headers={"Range": "bytes=100-199"})
    bp.check(status == 206 and piece == data[100:200], "a range")
    expect(upload_empty(s, session), 200, "an empty file")


def upload_empty(s, session):
    status, up, _ = begin(s, session, "empty", b"")
    expect(put(s, up, 0, b""), 204, "the empty part")
    return s.ask("POST", f"/uploads/{up['id']}/complete")


def wrong_announcements(s):
    expect(s.ask("PUT", "/ingest/sessions/nonsense", {"name": "a"}), 400, "an id that is none", "no id of a session")
    expect(s.ask("PUT", f"/ingest/sessions/{ulid()}", b"{"), 400, "no JSON", "line 1")
    expect(s.ask("PUT", f"/ingest/sessions/{ulid()}", []), 400, "no object")
    expect(s.ask("PUT", f"/ingest/sessions/{ulid()}", {"name": 5}), 400, "a name that is none", "'name'")
    session = announce(s, device="robot7")
    expect(s.ask("PUT", f"/ingest/sessions/{session}", {"name": "a", "device": "robot8"}), 409, "another device's session")


def wrong_beginnings(s):
    session = announce(s)
    good = {"session": session, "file": "a", "bytes": 5, "sha256": sha(b"hello")}
    expect(s.ask("POST", "/uploads", {**good, "session": ulid()}), 404, "a session nobody announced", "announced")
    for name in ("../a", "..", "/etc/passwd", "a/b", "a\\b", "", ".x", "x" * 256, "x" * 4096, "a\n", "\x7f"):
        expect(s.ask("POST", "/uploads", {**good, "file": name}), 400, f"the name {name[:20]!r}", "the name of a file")
    raw = json.dumps({**good, "file": "N"})
    expect(s.ask("POST", "/uploads", raw.replace('"N"', '"a\\u0000b"').encode()), 400, "NUL in a name")
    expect(s.ask("POST", "/uploads", raw.replace('"N"', '"\\ud800"').encode()), 400, "half a surrogate")
    expect(s.ask("POST", "/uploads", raw.encode().replace(b'"N"', b'"\xff"')), 400, "no UTF-8")
    for change, sentence in (({"bytes": -1}, "'bytes'"), ({"bytes": "5"}, "'bytes'"), ({"bytes": None}, "'bytes'"),
                             ({"sha256": "00"}, "64 hex"), ({"sha256": 5}, "'sha256'"), ({"kind": "virus"}, "no kind"),
                             ({"part_bytes": 65537}, "power of two"), ({"part_bytes": 1024}, "power of two"),
                             ({"part_bytes": 65536, "bytes": 65536 * 10000 + 1}, "at most 10000 parts")):
        expect(s.ask("POST", "/uploads", {**good, **change}), 400, f"{change}", sentence)
    expect(s.ask("POST", "/uploads", {**good, "bytes": (8 << 40) + 1}), 413, "a file that is too long", "a file may have")
    expect(s.ask("POST", "/uploads", {**good, "bytes": 7 << 40}), 507, "a file that the disk has no room for", "no room")
    robot = "\U0001F916 \u65e5\u672c.bin"
    expect(upload(s, session, robot, b"hello") and (200, {}), 200, "emoji")
    bp.check(s.rows("SELECT 1 FROM files WHERE file = ?", robot), "the emoji is in the archive")
    expect(s.ask("POST", "/uploads", {**good, "bytes": 6}), 400, "a digest of another size", "5 bytes, not 6")


def raw_request(s, text, body=b"", wait=10):
    """@return the answer's first line"""
    with socket.create_connection(("127.0.0.1", s.port), timeout=wait) as c:
        c.sendall(text.encode() + body)
        return c.recv(4096).decode(errors="replace").split("\r\n", 1)[0]


def wrong_parts(s):
    session = announce(s)
    data = RNG.randbytes(3 * 64 * KIB + 5)
    up = begin(s, session, "p.bin", data, 64 * KIB)[1]
    url = f"/uploads/{up['id']}/parts/"
    piece = data[:64 * KIB]
    d = {"Content-Digest": digest(piece)}
    expect(s.ask("PUT", url + "0", piece), 400, "no digest", "Content-Digest")
    expect(s.ask("PUT", url + "0", piece, {"Content-Digest": "sha-512=:AAAA:"}), 400, "another digest only", "sha-256")
    expect(s.ask("PUT", url + "0", piece, {"Content-Digest": "sha-256=:AAAA:"}), 400, "a short digest", "32 bytes")
    expect(s.ask("PUT", url + "0", piece, {"Content-Digest": digest(b"x")}), 422, "a wrong digest", "digest of part 0")
    expect(s.ask("PUT", url + "0", piece[:-1], d), 400, "too short", "has 65536 bytes, not 65535")
    expect(s.ask("PUT", url + "0", b"", d), 400, "0 bytes", "has 65536 bytes, not 0")
    expect(s.ask("PUT", url + "3", piece, d), 400, "the last one is shorter", "has 5 bytes")
    expect(s.ask("PUT", url + "4", piece, d), 400, "beyond the end", "only 0 to 3")
    for n in ("-1", "x", "01", "99999999999999999999", "1e3"):
        expect(s.ask("PUT", url + n, piece, d), 400, f"part {n}", "number")
    expect(s.ask("PUT", "/uploads/../../etc/parts/0", piece, d), 400, "up the path")
    expect(s.ask("PUT", "/uploads/nobody/parts/0", piece, d), 404, "no such upload", "no upload")
    expect(s.ask("PUT", "/uploads/..%2f..%2fetc/parts/0", piece, d), 400, "a path as an id")
    head = f"PUT /api/v1{url}0 HTTP/1.1\r\nHost: localhost\r\nContent-Digest: {d['Content-Digest']}\r\n"
    got = raw_request(s, head + f"Content-Length: {6 << 30}\r\n\r\n")
    bp.check(" 413 " in got, f"6 GB: {got}")
    got = raw_request(s, head + f"Content-Length: {6 << 30}\r\nExpect: 100-continue\r\n\r\n")
    bp.check(" 413 " in got, f"6 GB, asked first: {got}")
    got = raw_request(s, head + "Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n0\r\n\r\n")
    bp.check(" 411 " in got, f"chunks: {got}")
    got = raw_request(s, head + "Expect: 100-continue\r\nContent-Length: 65536\r\n\r\n")
    bp.check(" 100 " in got, f"asked first: {got}")
    got = raw_request(s, head.replace("parts/0", "parts/9") + "Expect: 100-continue\r\nContent-Length: 65536\r\n\r\n")
    bp.check(" 400 " in got, f"asked first and refused: {got}")
    bp.check(s.ask("GET", f"/uploads/{up['id']}")[1]["parts"] == "", "nothing of it is there")

    expect(put(s, up, 0, data), 204, "part 0")
    expect(put(s, up, 0, data), 204, "the same again")
    other = RNG.randbytes(64 * KIB)
    expect(s.ask("PUT", url + "0", other, {"Content-Digest": digest(other)}), 409, "another content", "another digest")
    expect(s.ask("PUT", url + "0", other, d), 422, "garbage under the right digest")
    # broken off in the middle
    with socket.create_connection(("127.0.0.1", s.port)) as c:
        c.sendall((head.replace("parts/0", "parts/1") + "Content-Length: 65536\r\n\r\n").encode() + piece[:30000])
    for n in range(1, 4):
        expect(put(s, up, n, data), 204, f"part {n}")
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "complete")
    check_object(s, data, "after all that was wrong")
    expect(put(s, up, 1, data), 409, "a part of a stored one", "stored already")
    expect(s.ask("DELETE", f"/uploads/{up['id']}"), 409, "giving up a stored one")
    up = begin(s, session, "q.bin", data[:-1], 64 * KIB)[1]
    expect(s.ask("DELETE", f"/uploads/{up['id']}"), 204, "giving up")
    expect(s.ask("DELETE", f"/uploads/{up['id']}"), 404, "giving up twice")
    expect(put(s, up, 0, data), 404, "a part of one that was given up")
    lie = bytearray(data)
    lie[100] ^= 1
    status, up, _ = s.ask("POST", "/uploads", {"session": session, "file": "l", "bytes": len(data), "sha256": sha(lie),
                                               "part_bytes": 64 * KIB})
    for n in range(4):
        expect(put(s, up, n, data), 204, f"part {n} of a lie")
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 422, "a wrong whole", "begin anew")
    expect(s.ask("GET", f"/uploads/{up['id']}"), 404, "the lie is forgotten")


def many_parts(s):
    """As many parts as there may be, in no order, by several at once; each of them twice by somebody."""
    count = bp.amount(1000, 10000)
    data = (RNG.randbytes(MIB) * (count // 16))[:-7]
    up = begin(s, announce(s), "many.bin", data, 64 * KIB)[1]
    order = list(range(up["part_count"]))
    RNG.shuffle(order)
    wrong = []

    def work(mine):
        c = s.connect()
        for n in mine:
            got = put(s, up, n, data, c)
            if got[0] not in (204, 409):  # somebody was later with the same
                wrong.append((n, got[:2]))
        c.close()

    t = [threading.Thread(target=work, args=(order[i::4] + order[i:40:7],)) for i in range(4)]
    [x.start() for x in t]
    [x.join() for x in t]
    bp.check(not wrong, f"parts out of order: {wrong[:3]}")
    have = s.ask("GET", f"/uploads/{up['id']}")[1]
    bp.check(have["parts"] == f"0-{up['part_count'] - 1}", f"all are there: {have['parts'][:60]}")
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "complete of many")
    check_object(s, data, "many parts")
    bp.say(f"{up['part_count']} parts in no order")


def superseded(s):
    """A request that hangs does not keep its successor out."""
    data = RNG.randbytes(256 * KIB)
    up = begin(s, announce(s), "hang.bin", data, 256 * KIB)[1]
    head = (f"PUT /api/v1/uploads/{up['id']}/parts/0 HTTP/1.1\r\nHost: localhost\r\nContent-Digest: {digest(data)}\r\n"
            f"Content-Length: {len(data)}\r\n\r\n")
    with socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:
        c.sendall(head.encode() + data[:200 * KIB])
        time.sleep(0.3)
        expect(put(s, up, 0, data), 204, "the newer one")
        c.sendall(data[200 * KIB:])
        got = c.recv(4096).decode()
        bp.check(" 409 " in got.split("\r\n")[0] or " 204 " in got.split("\r\n")[0], f"the older one: {got[:200]}")
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "complete")
    check_object(s, data, "superseded")


def shared(s):
    """An object goes with the last session that has it, and comes again when it is sent again."""
    a, b, data = announce(s), announce(s), RNG.randbytes(70_000)
    upload(s, a, "a.bin", data)
    bp.check(begin(s, b, "b.bin", data)[1]["state"] == "have", "the second has it, too")
    expect(s.ask("DELETE", f"/sessions/{a}"), 204, "the first session goes")
    check_object(s, data, "one session has it still")
    expect(s.ask("DELETE", f"/sessions/{b}"), 204, "the second session goes")
    bp.check(s.ask("HEAD", f"/objects/{sha(data)}")[0] == 404, "nobody wants it")
    expect(begin(s, a, "c.bin", data), 404, "a deleted session takes nothing", "deleted")
    upload(s, announce(s), "d.bin", data)
    check_object(s, data, "sent again")


# ---- memory, crashes, disks ----

def peak_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])


def sixty_four(folder):
    """64 uploads at once, of which none is fast: the server's memory stays small."""
    s = Server(folder, "queue.verify=false")
    count, size = 64, bp.amount(2, 16) * MIB
    block = RNG.randbytes(MIB)
    sessions = announce(s)
    wrong = []
    gate = threading.Barrier(count)

    def work(i):
        data = i.to_bytes(4, "big") + block * (size // MIB)
        up = begin(s, sessions, f"m{i}.bin", data, 32 * MIB if size > 4 * MIB else 4 * MIB)[1]
        c = socket.create_connection(("127.0.0.1", s.port), timeout=120)
        c.sendall((f"PUT /api/v1/uploads/{up['id']}/parts/0 HTTP/1.1\r\nHost: localhost\r\nContent-Digest: "
                   f"{digest(data)}\r\nContent-Length: {len(data)}\r\n\r\n").encode())
        c.sendall(data[:200 * KIB])
        gate.wait(120)
        c.sendall(data[200 * KIB:])
        got = c.recv(4096).decode().split("\r\n")[0]
        c.close()
        if " 204 " not in got or s.ask("POST", f"/uploads/{up['id']}/complete")[0] != 200:
            wrong.append(got)

    start = time.monotonic()
    t = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    [x.start() for x in t]
    [x.join() for x in t]
    took = time.monotonic() - start
    peak = peak_kb(s.p.pid)
    bp.check(not wrong, f"64 at once: {wrong[:3]}")
    bp.say(f"64 uploads of {size // MIB} MiB at once: {took:.1f} s, peak RSS {peak / 1024:.1f} MiB")
    if not bp.sanitized():
        bp.check(peak < 100 * 1024, f"64 uploads take {peak / 1024:.1f} MiB")
    s.p.stop()


def killed(folder):
    """kill -9 while parts come: what was acknowledged is there; then every file arrives."""
    s = Server(folder)
    session = announce(s)
    acked, stored, broken, ending = {}, {}, [], threading.Event()

    def one(name, data):
        while name not in stored:
            try:
                status, up, _ = begin(s, session, name, data, 64 * KIB)
                if up["state"] in ("have", "stored"):
                    stored[name] = data
                    return
                have = numbers(up["parts"])
                if acked[name] - have:
                    broken.append((name, sorted(acked[name] - have)))
                c = s.connect()
                for n in range(up["part_count"]):
                    if n not in have and put(s, up, n, data, c)[0] == 204:
                        acked[name].add(n)
                if s.ask("POST", f"/uploads/{up['id']}/complete", conn=c)[0] == 200:
                    stored[name] = data
            except (OSError, http.client.HTTPException, KeyError):
                time.sleep(0.02)

    def work(i):
        for j in range(1000):
            if ending.is_set():
                return
            name = f"k{i}-{j}.bin"
            acked[name] = set()
            one(name, os.urandom(20 * 64 * KIB + i))

    t = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [x.start() for x in t]
    for i in range(10):
        time.sleep(RNG.uniform(0.05, 0.6))
        s.p.kill9()
        s.start()
    ending.set()
    [x.join(60) for x in t]
    bp.check(not broken, f"acknowledged parts are gone: {broken[:3]}")
    bp.check(len(stored) == len(acked) >= 4, f"all files arrive: {len(stored)} of {len(acked)}")
    for name, data in stored.items():
        check_object(s, data, name)
        bp.check(s.rows("SELECT 1 FROM files WHERE file = ? AND sha256 = ?", name, hashlib.sha256(data).digest()),
                 f"{name} is in the archive")
    left = list((s.data / "uploads").iterdir())
    bp.check(not left, f"nothing is left behind: {left}")
    objects = sum(len(f) for _, _, f in os.walk(s.data / "objects"))
    bp.check(objects == len(stored), f"{objects} objects for {len(stored)} files")
    bp.say(f"10 kills, {len(stored)} files, {sum(len(a) for a in acked.values())} parts acknowledged")
    s.p.stop()


def full_disk(folder):
    """The disk fills in the middle: 507, and what was there stays; then there is room again."""
    env = {**os.environ, "BAGPIPE_FAULT": "op=pwrite,path=*.data,from=4,to=9,errno=ENOSPC,half"}
    s = Server(folder, env=env)
    data = RNG.randbytes(6 * 128 * KIB)
    up = begin(s, announce(s), "f.bin", data, 128 * KIB)[1]
    seen = []
    for _ in range(4):
        for n in range(6):
            if n not in numbers(s.ask("GET", f"/uploads/{up['id']}")[1]["parts"]):
                seen.append(put(s, up, n, data)[0])
    bp.check(507 in seen and set(seen) <= {204, 507}, f"statuses: {seen}")
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "complete after a full disk")
    check_object(s, data, "after a full disk")
    s.p.stop()


def quotas(folder):
    s = Server(folder, "queue.max_bytes=3MiB", "queue.device_bytes=2MiB", "queue.expiry=1min")
    a, b = announce(s), announce(s, device="robot8")
    data = RNG.randbytes(1536 * KIB)
    up = begin(s, a, "a", data, 64 * KIB)[1]
    got = begin(s, a, "b", data[1:])
    expect(got, 429, "a device's quota", "robot7")
    bp.check(got[2]["Retry-After"], "it says when to come again")
    expect(begin(s, b, "b", RNG.randbytes(1700 * KIB)), 507, "the quota of all", "together")
    expect(s.ask("DELETE", f"/uploads/{up['id']}"), 204, "giving up makes room")
    expect(begin(s, a, "b", data[1:]), 201, "there is room again")
    s.p.stop()


# ---- recordings ----

def send_session(s, folder, device="robot7"):
    """A whole session folder, manifest first. @return its id"""
    manifest = json.loads((folder / "manifest.json").read_text())
    session = manifest["session"]["id"]
    announce(s, session, name=folder.name, device=device)
    kinds = {"manifest.json": "manifest", "manifest.sig": "signature", "metadata.yaml": "metadata"}
    for f in sorted(folder.iterdir(), key=lambda f: f.name not in kinds):
        if f.is_file() and not f.name.startswith("."):
            upload(s, session, f.name, f.read_bytes(), kind=kinds.get(f.name, "segment"))
    return session


def recordings(s, folder):
    """A session is complete when everything its manifest lists is here; each is looked into afterwards."""
    key = folder / "device.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    out = folder / "rec"
    subprocess.run([PRODUCER, out, folder / "rec.log", "split=1", "size=3000", "mbps=8", "secs=0.6", "ringdir=/dev/shm",
                    f"sign={key}"], check=True, capture_output=True)
    session = send_session(s, out)
    bp.check(s.state(session)[0] == 1, f"it is complete: {s.state(session)}")
    bp.until(lambda: not s.rows("SELECT 1 FROM files WHERE kind = 0 AND state < 2"), 60, "the checks")
    bad = s.rows("SELECT file, text FROM files WHERE state = 3")
    bp.check(not bad, f"none is damaged: {bad}")
    again = send_session(s, out)  # all of it is known
    bp.check(again == session and s.state(session)[0] == 1, "sent twice, it is the same")

    # another content under a name of the manifest is kept beside it, and does not make it complete
    victim = sorted(f for f in out.iterdir() if f.suffix == ".mcap")[0]
    data = victim.read_bytes()
    data = data[:5000] + bytes([data[5000] ^ 0xff]) + data[5001:]
    other = folder / "bad"
    shutil.copytree(out, other)
    (other / victim.name).write_bytes(data)
    text = (out / "manifest.json").read_text().replace(session, ulid())
    (other / "manifest.json").write_text(text)
    half = send_session(s, other)
    bp.check(s.state(half) == (0, 2), f"the listed one is missing, the signature is another's: {s.state(half)}")

    # damaged before its digest was taken: it arrives as it was sent, and is told
    text = text.replace(half, ulid()).replace(sha(victim.read_bytes()), sha(data))
    (other / "manifest.json").write_text(text)
    bad_id = send_session(s, other)
    bp.until(lambda: s.rows("SELECT 1 FROM files WHERE state = 3"), 60, "the damage to be seen")
    named = s.rows("SELECT file, text FROM files JOIN sessions ON num = session WHERE id = ? AND files.state = 3", bad_id)
    bp.check([n[0] for n in named] == [victim.name] and named[0][1], f"the damaged one is named: {named}")
    bp.check(s.state(bad_id)[0] == 2, f"its session is damaged: {s.state(bad_id)}")
    bp.check(s.metric("bagpipe_ingest_damaged_total") >= 1, "it is counted")

    junk = announce(s)
    upload(s, junk, "manifest.json", b"{ not a manifest", kind="manifest")
    bp.check(s.rows("SELECT 1 FROM files JOIN sessions ON num = session WHERE id = ? AND files.state = 3", junk),
             "a manifest that is none is told")


def bucket(folder):
    """Objects in a bucket of radosgw: whole files, files in parts, what is known, checks, reading back."""
    import s3servers

    if s3servers.missing(s3servers.Radosgw):
        bp.say(f"bucket: {s3servers.missing(s3servers.Radosgw)} is not installed, left out")
        return
    gateway = s3servers.Radosgw(folder)
    key, secret = s3servers.ALICE
    env = {**os.environ, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    subprocess.run(["curl", "-fsS", "-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{key}:{secret}",
                    "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", f"{gateway.url}/robots"], check=True, timeout=30)
    s = Server(folder, "storage.backend=s3", f"storage.s3.endpoint={gateway.url}", "storage.s3.bucket=robots",
               "storage.s3.prefix=site/", "storage.s3.path_style=true", env=env)
    session = announce(s)
    small, large = RNG.randbytes(100_000), RNG.randbytes(40 * MIB + 3)
    for name, data in (("small", small), ("large", large), ("none", b"")):
        bp.check(upload(s, session, name, data)["state"] == "stored", f"{name} is stored")
        status, _, h = s.ask("HEAD", f"/objects/{sha(data)}")
        bp.check(status == 200 and int(h["Content-Length"]) == len(data) and h["Repr-Digest"] == digest(data),
                 f"head of {name}: {status} {h}")
        got = subprocess.run(["curl", "-fsSL", f"http://127.0.0.1:{s.port}/api/v1/objects/{sha(data)}"], capture_output=True)
        bp.check(got.stdout == data, f"{name} is read back where it lies: {got.stderr[-200:]}")
    bp.check(expect(begin(s, announce(s), "again", large), 200, "known")["state"] == "have", "known in the bucket")
    out = folder / "rec"
    subprocess.run([PRODUCER, out, folder / "rec.log", "split=1", "size=3000", "mbps=4", "secs=0.3", "ringdir=/dev/shm"],
                   check=True, capture_output=True)
    session = send_session(s, out)
    bp.check(s.state(session)[0] == 1, f"a session in the bucket is complete: {s.state(session)}")
    bp.until(lambda: not s.rows("SELECT 1 FROM files WHERE kind = 0 AND state < 2"), 60, "the checks")
    bp.check(not s.rows("SELECT 1 FROM files WHERE state = 3"), "none is damaged")
    left = [str(f) for d in ("uploads", "checks", "objects") for f in (s.data / d).glob("*")]
    bp.check(not left, f"nothing stays on the disk: {left}")
    # the bucket goes away in the middle: refused for now, nothing lost, then it goes on
    data = RNG.randbytes(200_000)
    up = begin(s, session, "away.bin", data, 64 * KIB)[1]
    gateway.stop_gateway()
    for n in range(up["part_count"]):
        expect(put(s, up, n, data), 204, f"part {n} without a bucket")
    got = s.ask("POST", f"/uploads/{up['id']}/complete")
    bp.check(got[0] >= 500, f"complete without a bucket: {got[:2]}")
    gateway.start_gateway()
    expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "complete with the bucket back")
    s.p.stop()


# segments and the manifest that lists them: what --reindex finds again
FILES_OF = "SELECT file, files.bytes, kind FROM files JOIN sessions ON num = session WHERE id = ? AND kind < 2"


def damaged_archive(s, folder):
    """Pages of the archive's database are overwritten: it is set aside, objects and unfinished uploads are what they
    were, and it is made anew from them."""
    sessions = s.rows("SELECT id FROM sessions WHERE state = 1 AND manifest ORDER BY id")
    files = {i: sorted(s.rows(FILES_OF, i))
             for (i,) in sessions}
    session, data = sessions[0][0], RNG.randbytes(300_000)
    up = begin(s, session, "goes-on.bin", data, 64 * KIB)[1]
    expect(put(s, up, 0, data), 204, "a part before")
    bp.check(s.p.stop() == 0, "it ends well")
    path = s.data / "archive.db"
    with open(path, "r+b") as f:
        for at in range(8192, path.stat().st_size - 2048, 16384):
            f.seek(at)
            f.write(b"\xa5" * 2048)
    s.start()
    bp.check("set aside" in s.p.text() and "--reindex" in s.p.text(), f"it says so: {s.p.text()[-600:]}")
    bp.check(len(list(s.data.glob("archive.db.damaged-*Z"))) == 1, "what was damaged is kept")
    got = expect(s.ask("GET", f"/uploads/{up['id']}"), 200, "the unfinished one")
    bp.check(got["parts"] == "0", f"with its part: {got}")
    bp.check(s.p.stop() == 0, "it ends well once more")
    bp.bagpipe("server", "--reindex", "--set", f"server.dir={s.data}", "storage.min_free=0")
    s.start()
    now = {i: sorted(s.rows(FILES_OF, i))
           for (i,) in s.rows("SELECT id FROM sessions WHERE state = 1 AND manifest")}
    missing = {i: set(files[i]) ^ set(now.get(i, [])) for i in files if now.get(i) != files[i]}
    bp.check(files and not missing, f"made anew: {missing}")
    for n in range(1, up["part_count"]):
        expect(put(s, up, n, data), 204, f"part {n} after")
    bp.check(expect(s.ask("POST", f"/uploads/{up['id']}/complete"), 200, "whole")["state"] == "stored", "it is stored")
    check_object(s, data, "goes-on.bin")


def the_page(s, folder):
    """The examples of the page, as they stand there."""
    page = (bp.REPO / "docs/api/uploads.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", page, re.S)
    bp.check(blocks, "the page has examples")
    for i, block in enumerate(blocks):
        d = folder / f"page{i}"
        d.mkdir()
        script = block.replace("http://localhost:8080", f"http://127.0.0.1:{s.port}")
        r = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=d, capture_output=True, text=True, timeout=60)
        bp.check(r.returncode == 0, f"example {i}: {r.stdout[-500:]} {r.stderr[-500:]}")
        bp.check('"state":"stored"' in r.stdout, f"example {i} stores: {r.stdout[-300:]}")


def main():
    bp.need("curl", "openssl")
    folder = bp.scratch()
    for d in ("main", "sixty-four", "killed", "full", "quotas", "bucket"):
        (folder / d).mkdir()
    s = Server(folder / "main")
    for step in (the_way, wrong_announcements, wrong_beginnings, wrong_parts, superseded, shared, many_parts):
        start = time.monotonic()
        step(s)
        bp.say(f"{step.__name__}: {time.monotonic() - start:.1f} s")
    recordings(s, folder)
    the_page(s, folder)
    damaged_archive(s, folder)
    bp.check(s.p.alive(), "the server is still there")
    s.p.stop()
    for step, d in ((quotas, "quotas"), (full_disk, "full"), (killed, "killed"), (sixty_four, "sixty-four"),
                    (bucket, "bucket")):
        start = time.monotonic()
        step(folder / d)
        bp.say(f"{step.__name__}: {time.monotonic() - start:.1f} s")


bp.main(main)
