"""Power cuts under the server's folder: the disk has a volatile cache of which each unflushed sector survives with half a
chance (lib/cutdisk.c); flushes are stretched to 40 ms in every second cut.

Whatever was acknowledged before the cut is there afterwards: sessions that were announced, parts, whole files, byte by byte.
What the catalogue names is an object and has its digest, and each object is named. Every upload goes on with what is missing
of it and is finished; `bagpipe push` of a recording, broken off by the cut, goes on from its queue. Negative control: with
syncs that do nothing the same judge must object within a few cuts.
"""
import base64
import hashlib
import http.client
import json
import sqlite3
import subprocess
import threading
import time

import bp
import disk
from serverd import numbers

PRODUCER = bp.BUILD / "test/tools/wp-producer"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KIB = 1 << 10
WORKERS, DISK_MB, MOST_BYTES = 3, 192, 60 << 20
NO_SYNC = "op=datasync,skip;op=sync,skip;op=sync_dir,skip"


def digest(data):
    return "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"


class NotStarted(Exception):
    pass


class Server:
    def __init__(self, folder):
        self.folder, self.port = folder, 0

    def start(self, data, env=None):
        self.data = data
        self.p = bp.Proc([bp.BAGPIPE, "server", "--json", "--set", f"server.dir={data}", f"http.socket={self.folder}/s.sock",
                          f"http.listen=127.0.0.1:{self.port}", "events.listen=", "metrics.listen=", "storage.min_free=0",
                          "auth.rate=0"], env=env)
        bp.until(lambda: "server is ready" in self.p.text() or not self.p.alive(), 30, "the server")
        if not self.p.alive():
            raise NotStarted(f"the server does not start: {self.p.text()[-800:]}")
        line = next(x for x in self.p.text().splitlines() if "server is ready" in x)
        self.port = int(json.loads(line)["http"].rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def ask(self, method, path, body=None, headers=None):
        """@return (status, document or bytes)"""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            c.request(method, "/api/v1" + path, body=json.dumps(body) if isinstance(body, dict) else body, headers=headers or {})
            r = c.getresponse()
            text = r.read()
            return r.status, json.loads(text) if "json" in (r.headers.get_content_type() or "") and text else text
        finally:
            c.close()

    def rows(self, sql):
        db = sqlite3.connect(f"file:{self.data}/archive.db?mode=ro", uri=True)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def objects(self):
        """{sha256 by its name: path}"""
        return {p.parent.name + p.name: p for p in (self.data / "objects").glob("??/*")}


class Upload:
    """What its sender knows: times are when an answer had come, CLOCK_MONOTONIC ns."""

    def __init__(self, session, name, data, part):
        self.session, self.name, self.data, self.part = session, name, data, part
        self.acked, self.stored, self.again = {}, None, 0

    def begin(self, server):
        return server.ask("POST", "/uploads", {"session": self.session, "file": self.name, "bytes": len(self.data),
                                               "sha256": hashlib.sha256(self.data).hexdigest(), "kind": "other",
                                               "part_bytes": self.part})

    def send(self, server, up, rnd=None):
        """Parts that are missing, in any order, then the end. @return has all of it gone well?"""
        todo = sorted(set(range(up["part_count"])) - numbers(up["parts"]))
        if rnd:
            rnd.shuffle(todo)
        for n in todo:
            piece = self.data[n * up["part_bytes"]:(n + 1) * up["part_bytes"]]
            if server.ask("PUT", f"/uploads/{up['id']}/parts/{n}", piece, {"Content-Digest": digest(piece)})[0] != 204:
                return False
            self.acked.setdefault(n, time.monotonic_ns())
            self.again += 1
        if server.ask("POST", f"/uploads/{up['id']}/complete")[0] != 200:
            return False
        self.stored = self.stored or time.monotonic_ns()
        return True


class Senders:
    """Threads that send files of chance until the disk is dead."""

    def __init__(self, server, rnd):
        self.server, self.over, self.sum = server, threading.Event(), 0
        self.announced, self.uploads = {}, []  # session -> when; every upload that was begun or tried
        self.threads = [threading.Thread(target=self._work, args=(type(rnd)(rnd.random()),)) for _ in range(WORKERS)]
        for t in self.threads:
            t.start()

    def _work(self, rnd):
        while not self.over.is_set() and self.sum < MOST_BYTES:
            try:
                self._session(rnd)
            except (OSError, http.client.HTTPException, KeyError, TypeError, ValueError):
                time.sleep(0.02)  # the disk or the server is gone

    def _session(self, rnd):
        session = "01J" + "".join(rnd.choice(ALPHABET) for _ in range(23))
        if self.server.ask("PUT", f"/ingest/sessions/{session}", {"name": session, "device": "robot7"})[0] not in (200, 201):
            return
        self.announced[session] = time.monotonic_ns()
        for i in range(rnd.randint(1, 3)):
            u = Upload(session, f"{i}.bin", rnd.randbytes(rnd.randint(1, 1200 * KIB)), rnd.choice([64, 64, 256]) * KIB)
            self.sum += len(u.data)
            self.uploads.append(u)
            status, up = u.begin(self.server)
            if status not in (200, 201) or not u.send(self.server, up, rnd):
                return

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(60)


def recording(folder):
    """A session of some MB, made once."""
    out = folder / "rec"
    subprocess.run([PRODUCER, out, folder / "rec.log", "split=1", "size=3000", "mbps=8", "secs=1.5", "ringdir=/dev/shm"],
                   check=True, capture_output=True)
    return out


def push(server, rec, queue):
    return [bp.BAGPIPE, "push", rec, server.url, "--queue", queue, "--patience", "20s"]


class Cut:
    def __init__(self, rnd, rec, delay_ms, env=None, seconds=(0.6, 2.5)):
        self.folder = bp.scratch("shm")
        self.disk = disk.CutDisk(self.folder / "disk", DISK_MB, rnd.randint(1, 1 << 30), sector=rnd.choice([512, 4096]),
                                 delay_ms=delay_ms)
        self.rec, self.broken = rec, None
        self.server = Server(self.folder).start(self.disk.path / "data", env)
        self.senders = Senders(self.server, rnd)
        p = bp.Proc(push(self.server, rec, self.folder / "push.db"))
        bp.until(lambda: any(u.acked for u in self.senders.uploads), 30, "a part that is acknowledged")
        time.sleep(rnd.uniform(*seconds))
        self.at, self.dirty, self.kept, _, self.flushes = self.disk.cut()
        self.server.p.kill9()
        if p.alive():
            p.kill9()
        self.senders.stop()
        self.uploads = self.senders.uploads
        try:
            self.server.start(self.disk.dead() / "data")
        except NotStarted as e:
            self.broken = str(e)

    def promised(self, u):
        return {n for n, t in u.acked.items() if t < self.at}

    def kept_promises(self):
        """@return what is wrong with what was acknowledged before the cut"""
        if self.broken:
            return [self.broken]
        bad = []
        for session, t in self.senders.announced.items():
            if t < self.at and self.server.ask("GET", f"/sessions/{session}")[0] != 200:
                bad.append(f"session {session} was announced {(self.at - t) / 1e6:.1f} ms before the cut and is not known")
        for u in self.uploads:
            promised, stored = self.promised(u), u.stored is not None and u.stored < self.at
            if not promised and not stored:
                continue
            status, up = u.begin(self.server)
            state = up.get("state") if isinstance(up, dict) else None
            if status not in (200, 201) or state not in ("have", "stored", "open", "finishing"):
                bad.append(f"{u.session}/{u.name}: {status} {up}")
            elif state in ("have", "stored"):
                got = self.server.ask("GET", f"/objects/{hashlib.sha256(u.data).hexdigest()}")
                if got != (200, u.data):
                    bad.append(f"{u.session}/{u.name} is told as there, and is not: {got[0]}")
            elif stored:
                bad.append(f"{u.session}/{u.name} was stored and is {state}, parts {up['parts']}")
            elif state == "open" and promised - numbers(up["parts"]):
                bad.append(f"{u.session}/{u.name}: acknowledged parts are gone: {sorted(promised - numbers(up['parts']))}")
        return bad

    def named_are_there(self):
        """What the catalogue names is an object with its digest."""
        objects, bad = self.server.objects(), []
        for name, sha in self.server.rows("SELECT file, sha256 FROM files WHERE state > 0"):
            p = objects.get(sha.hex())
            if not p or hashlib.sha256(p.read_bytes()).hexdigest() != sha.hex():
                bad.append(f"the catalogue names {name}, {sha.hex()[:12]}: {'another content' if p else 'no such object'}")
        return bad

    def go_on(self):
        """Every upload is finished, and then the disk holds these files and nothing else."""
        bad = []
        for u in self.uploads:
            u.again = 0
            if u.session not in self.senders.announced:
                continue
            self.server.ask("PUT", f"/ingest/sessions/{u.session}", {"name": u.session, "device": "robot7"})
            bp.until(lambda: u.begin(self.server)[1].get("state") != "finishing", 20, "the end of finishing")
            status, up = u.begin(self.server)
            if up.get("state") == "open" and not u.send(self.server, up):
                bad.append(f"{u.session}/{u.name} does not go on: {up}")
            if self.server.ask("GET", f"/objects/{hashlib.sha256(u.data).hexdigest()}") != (200, u.data):
                bad.append(f"{u.session}/{u.name} is not what was sent")
        status, out, err = bp.bagpipe(*push(self.server, self.rec, self.folder / "push.db")[1:], ok=None)
        session = json.loads((self.rec / "manifest.json").read_text())["session"]["id"]
        if status != 0 or self.server.ask("GET", f"/sessions/{session}")[1].get("manifest") is not True:
            bad.append(f"push does not go on: {status} {out[-300:]} {err[-300:]}")
        files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in self.rec.iterdir() if p.is_file()
                 and not p.name.startswith(".")}
        told = self.server.ask("GET", f"/sessions/{session}/segments")[1]
        told = {x["name"]: x["sha256"] for x in told["segments"] + told["files"]}
        if told != files:
            bad.append(f"the recording differs: {[k for k in files.keys() | told.keys() if files.get(k) != told.get(k)]}")
        named = {sha.hex() for sha, in self.server.rows("SELECT sha256 FROM files WHERE state > 0")}
        if named != set(self.server.objects()):
            bad.append(f"objects that nobody names: {sorted(set(self.server.objects()) - named)[:3]}, or the other way round")
        left = [p.name for p in (self.server.data / "uploads").iterdir()]
        return bad + ([f"uploads are left over: {left[:3]}"] if left else [])

    def sound(self):
        """Databases are whole, and none was set aside."""
        bad = [f"set aside: {p.name}" for p in self.server.data.glob("*damaged*")]
        if self.server.p.stop() != 0:
            bad.append(f"the server does not end well: {self.server.p.text()[-500:]}")
        for p in self.server.data.glob("*.db"):
            db = sqlite3.connect(p)
            said = db.execute("PRAGMA integrity_check").fetchone()[0]
            db.close()
            if said != "ok":
                bad.append(f"{p.name}: {said}")
        return bad

    def close(self):
        self.server.p.stop()
        self.disk.close()
        bp.run(["rm", "-rf", "--one-file-system", self.folder])


def one(i, rnd, rec):
    delay = 40 if i % 2 else 0
    c = Cut(rnd, rec, delay)
    promised = sum(len(c.promised(u)) for u in c.uploads)
    stored = sum(u.stored is not None and u.stored < c.at for u in c.uploads)
    what = f"cut {i}: flush {delay} ms, {c.dirty} sectors unflushed, {c.kept} kept"
    again, bad = 0, c.kept_promises()
    if not c.broken:
        bad += c.named_are_there() + c.go_on()
        again = sum(u.again for u in c.uploads)
        bad += c.named_are_there() + c.sound()
    for b in bad[:5]:
        bp.fail(f"{what}: {b}")
    bp.check(promised, f"{what}: something was acknowledged before")
    bp.say(f"{what}: {promised} parts of {len(c.uploads)} uploads acknowledged, {stored} files stored; {again} parts sent "
           f"afterwards {'BAD' if bad else 'ok'}")
    c.close()


def negative_control(rnd, rec):
    """Syncs of parts, maps and objects that do nothing: a promise must break within a few cuts."""
    for i in range(6):
        c = Cut(rnd, rec, 0, env={"BAGPIPE_FAULT": NO_SYNC}, seconds=(1.0, 2.0))
        bad = c.kept_promises()
        c.close()
        if bad:
            bp.say(f"negative control: cut {i}: the judge objects to {len(bad)} things, as it should: {bad[0]}")
            return
    bp.fail("negative control: six cuts with syncs skipped and the judge never objected")


def test():
    rnd = bp.seeded()
    rec = recording(bp.scratch())
    n = bp.amount(3, 20)
    for i in range(n):
        one(i, rnd, rec)
        if bp.failures() > 10:
            break
    negative_control(rnd, rec)
    bp.say(f"{n} cuts")


if __name__ == "__main__":
    if not disk.PLUGIN.exists():
        bp.skip("nbdkit's plugin header is missing, cutdisk.so was not built")
    bp.need("nbdkit", "nbdfuse", "losetup", "mkfs.ext4")
    bp.own_mounts()
    bp.own_network()
    bp.main(test)
