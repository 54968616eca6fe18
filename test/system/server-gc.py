"""Objects that no session has: gc finds them, spares what is young, wanted, or just being taken up, and says what it did. The
race: uploads and deletions of a few contents, over and over, while gc runs without an age limit; afterwards every file that
was acknowledged is there. The truth is what this file sent, and a look into the folder.
"""
import base64
import hashlib
import json
import os
import sqlite3
import threading
import time

import bp
from serverd import Server

RNG = bp.seeded()
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DAY = 86400


def ulid():
    return "01J" + "".join(RNG.choice(ALPHABET) for _ in range(23))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def announce(s, session):
    return s.ask("PUT", f"/api/v1/ingest/sessions/{session}", {"name": "run", "device": "robot7"}).status


def send(s, session, name, data):
    """@return whether it was acknowledged"""
    r = s.ask("POST", "/api/v1/uploads", {"session": session, "file": name, "bytes": len(data), "sha256": sha(data), "kind": "other"})
    if r.status == 200:
        up = r.json()
        if up["state"] == "have":
            return True
    elif r.status != 201:
        return False
    up = r.json()
    h = {"Content-Digest": "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"}
    if s.ask("PUT", f"/api/v1/uploads/{up['id']}/parts/0", data, headers=h).status != 204:
        return False
    return s.ask("POST", f"/api/v1/uploads/{up['id']}/complete", {}).status == 200


def stray(s, data, age_s):
    """What a crash between the object and its row leaves."""
    folder = s.data / "objects" / sha(data)[:2]
    folder.mkdir(exist_ok=True)
    f = folder / sha(data)[2:]
    f.write_bytes(data)
    os.utime(f, (time.time() - age_s,) * 2)
    return f


def objects(s):
    return {f.parent.name + f.name for f in (s.data / "objects").glob("??/*")}


def gc(s, want="done", **order):
    job = s.want(202, "POST", "/api/v1/gc", order)
    where = job.headers["Location"]
    bp.until(lambda: s.want(200, "GET", where).json()["ended_ns"], 60, "gc ends", 0.02)
    job = s.want(200, "GET", where).json()
    bp.check(job["state"] == want, f"gc {order}: {job}")
    return job["result"], job["error"]


def found(s):
    """Old and new, wanted and not."""
    session, other = ulid(), ulid()
    for x in (session, other):
        bp.check(announce(s, x) == 201, "announced")
    kept = [f"wanted {i}".encode() for i in range(6)]
    for i, data in enumerate(kept):
        bp.check(send(s, session, f"f_{i}.bin", data) and send(s, other, f"g_{i}.bin", data), "sent")
    for f in objects(s):
        os.utime(s.data / "objects" / f[:2] / f[2:], (time.time() - 9 * DAY,) * 2)  # age alone is no reason
    old, young = stray(s, b"old stray", 2 * DAY), stray(s, b"young stray", 60)
    there = objects(s)
    bp.check(len(there) == 8, f"{there}")
    r, _ = gc(s, dry_run=True)
    want = {"dry_run": True, "objects": 8, "unwanted": 2, "unwanted_bytes": len(b"old stray") + len(b"young stray"), "young": 1,
            "deleted": 0, "deleted_bytes": 0, "more": False}
    bp.check(r == want and objects(s) == there, f"a dry run counts: {r}")
    r, _ = gc(s)
    bp.check((r["deleted"], r["deleted_bytes"]) == (1, len(b"old stray")) and not old.exists() and young.exists(), f"{r}")
    s.want(204, "DELETE", f"/api/v1/sessions/{session}")
    r, _ = gc(s, min_age_s=0)
    bp.check(r["deleted"] == 1 and not young.exists(), f"without an age: {r}")
    bp.check(objects(s) == {sha(d) for d in kept}, "the other session has them still")
    for i, data in enumerate(kept):
        bp.check(s.want(200, "GET", f"/api/v1/sessions/{other}/segments/g_{i}.bin").body == data, "and gives them out")
    unnamed = stray(s, b"unnamed", 9 * DAY)  # an archive made anew since then may not know whose it is
    (s.data / "reindexed").touch()
    r, _ = gc(s)
    bp.check((r["unwanted"], r["young"], r["deleted"]) == (1, 1, 0) and unnamed.exists(), f"older than the archive: {r}")
    r, _ = gc(s, force=True)
    bp.check(r["deleted"] == 1 and not unnamed.exists(), f"by force: {r}")
    (s.data / "reindexed").unlink()
    stray(s, b"found again", 9 * DAY)  # what is here is taken up, and is no stray any more
    bp.check(send(s, other, "again.bin", b"found again"), "known")
    r, _ = gc(s, min_age_s=0)
    bp.check(r["unwanted"] == 0 and sha(b"found again") in objects(s), f"{r}")


def refused(s):
    for body in ({"min_age_s": -1}, {"min_age_s": "x"}, {"dry_run": 1}, {"forse": True}, {"min_age_s": 1e12}):
        s.want(400, "POST", "/api/v1/gc", body)
    entries = s.want(200, "GET", "/api/v1/audit?action=objects.").json()["entries"]
    bp.check({e["action"] for e in entries} == {"objects.gc", "objects.deleted"}, f"{entries}")
    last = next(e for e in entries if e["action"] == "objects.deleted")
    bp.check(last["details"]["deleted"] == 1 and last["who"] == "local", f"{last}")
    text = s.want(200, "GET", "/metrics").body.decode()
    bp.check("bagpipe_gc_deleted_total 3" in text, "counted")


def lost(folder, s, where):
    """An archive that lost its rows must not cost the recordings."""
    there = objects(s)
    s.p.stop()
    for f in ("archive.db", "archive.db-wal", "archive.db-shm"):
        (s.data / f).unlink(missing_ok=True)
    s = Server(folder, "auth.rate=0")
    _, error = gc(s, "failed", min_age_s=0)
    bp.check("--reindex" in error and objects(s) == there, f"{error}")
    status, out, err = bp.bagpipe("server", "gc", "--min-age", "0", *where, ok=None)
    bp.check(status == 75 and "--reindex" in err and objects(s) == there, f"{status} {out} {err}")
    _, out, _ = bp.bagpipe("server", "gc", "--dry-run", "--min-age", "0", *where)
    bp.check(f"{len(there)} objects, {len(there)} of them in no session" in out, out)
    bp.bagpipe("server", "gc", "--force", "--min-age", "0", *where)
    bp.check(objects(s) == set(), "forced")
    return s


def race(s, seconds):
    """Sessions come and go with contents of a small pool, each file acknowledged or not; gc all the time, of any age."""
    pool = [f"content {i}".encode() * 50 for i in range(15)]
    until, lock = time.monotonic() + seconds, threading.Lock()
    acked, counts, wrong = {}, {"sent": 0, "deleted": 0, "gc": 0, "swept": 0}, []

    def robot(n):
        rng = __import__("random").Random(n)
        mine = []
        while time.monotonic() < until:
            session = "01K" + "".join(rng.choice(ALPHABET) for _ in range(23))
            announce(s, session)
            files = {}
            for i in range(rng.randint(1, 3)):
                data = rng.choice(pool)
                if send(s, session, f"f_{i}.bin", data):
                    files[f"f_{i}.bin"] = data
            for name, data in files.items():
                r = s.ask("GET", f"/api/v1/sessions/{session}/segments/{name}")
                if r.status != 200 or r.body != data:
                    wrong.append(f"{session}/{name}: {r.status}")
            with lock:
                acked[session] = files
                counts["sent"] += len(files)
            mine.append(session)
            if len(mine) > 1 or rng.random() < 0.6:
                gone = mine.pop(rng.randrange(len(mine)))
                with lock:
                    del acked[gone]
                s.want(204, "DELETE", f"/api/v1/sessions/{gone}")
                counts["deleted"] += 1

    def stray_now():
        while time.monotonic() < until:  # as if a crash had left it: the next upload takes it up, or gc deletes it
            data = RNG.choice(pool)
            with_row = sha(data) in objects(s)
            if not with_row:
                tmp = s.data / "objects" / f"tmp-{time.time_ns()}"
                tmp.write_bytes(data)
                (s.data / "objects" / sha(data)[:2]).mkdir(exist_ok=True)
                os.rename(tmp, s.data / "objects" / sha(data)[:2] / sha(data)[2:])
            time.sleep(0.01)

    threads = [threading.Thread(target=robot, args=(i,)) for i in range(3)] + [threading.Thread(target=stray_now)]
    for t in threads:
        t.start()
    while time.monotonic() < until:
        r, _ = gc(s, min_age_s=0, force=True)
        counts["gc"] += 1
        counts["swept"] += r["deleted"]
    for t in threads:
        t.join()
    bp.check(not wrong, f"files that were acknowledged are not there: {wrong[:5]}")
    files = 0
    for session, names in acked.items():
        for name, data in names.items():
            r = s.ask("GET", f"/api/v1/sessions/{session}/segments/{name}")
            bp.check(r.status == 200 and r.body == data, f"{session}/{name}: {r.status}")
            files += 1
    bp.say(f"race: {counts}, {files} files left")
    bp.check(counts["swept"] > 5 and counts["sent"] > 50 and counts["deleted"] > 20, f"there was a race: {counts}")
    gc(s, min_age_s=0, force=True)
    db = sqlite3.connect(f"file:{s.data}/archive.db?mode=ro", uri=True)
    rows = {r[0].hex() for r in db.execute("SELECT DISTINCT sha256 FROM files WHERE state <> 0")}
    db.close()
    bp.check(rows == objects(s), f"objects and rows agree: {len(rows)} and {len(objects(s))}")


def main():
    folder = bp.scratch()
    s = Server(folder, "auth.rate=0")
    where = ("--set", f"server.dir={s.data}", "--set", f"http.socket={s.sock}")
    found(s)
    refused(s)
    s = lost(folder, s, where)
    race(s, 60 if bp.full() else 10)
    out = bp.bagpipe("server", "gc", "--dry-run", "--json", *where)[1]
    bp.check(json.loads(out)["result"]["unwanted"] == 0, out)
    s.want(202, "POST", "/api/v1/gc", {"min_age_s": 0})  # one that runs does not hold up the end
    s.p.stop()
    bp.check("Sanitizer" not in s.p.text(), s.p.text()[-600:])


bp.main(main)
