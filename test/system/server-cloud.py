"""A chain of two servers: what is pushed to the site goes on to the next by itself, proven by digest, with the site killed
on the way; then retention deletes at the site what has arrived, and nothing that has not.
"""
import hashlib
import json
import shutil
import sqlite3
import time
import urllib.request

import bp


class Server:
    def __init__(self, folder, port, *args):
        self.base = f"http://127.0.0.1:{port}"
        self.data = folder / "data"
        self.args = [bp.BAGPIPE, "server", "--dir", self.data, "--set", f"http.socket={folder}/s.sock",
                     f"http.listen=127.0.0.1:{port}", "events.listen=127.0.0.1:0", "metrics.listen=127.0.0.1:0", *args]
        self.start()

    def start(self, *more):
        self.p = bp.Proc([*self.args, *more])
        bp.until(lambda: "server is ready" in self.p.text() or not self.p.alive(), 30, "the server")
        bp.check(self.p.alive(), self.p.text()[-500:])

    def get(self, path):
        with urllib.request.urlopen(self.base + path, timeout=20) as r:
            return json.loads(r.read())

    def sessions(self):
        return {s["id"]: s for s in self.get("/api/v1/sessions")["sessions"]}

    def objects(self):
        return {f.parent.name + f.name: hashlib.sha256(f.read_bytes()).hexdigest()
                for f in (self.data / "objects").rglob("*") if f.is_file()}


def main():
    folder = bp.scratch()
    for n in ("site", "next"):
        (folder / n).mkdir()
    upper = Server(folder / "next", 18891)
    site = Server(folder / "site", 18892, f"cloud.target={upper.base}", "retention.interval=1s")
    fixtures = [make(folder, i) for i in range(3)]
    for f in fixtures:
        status, out, err = bp.bagpipe("push", f, site.base, timeout=120, ok=None)
        bp.check(status == 0, f"push {f}: {status} {out} {err}")
    site.p.kill9()
    site.start()
    bp.until(lambda: all(s["state"] == "complete" for s in site.sessions().values()), 30, "the site has all")
    want = site.sessions()
    bp.check(len(want) == len(fixtures), f"{want}")
    bp.until(lambda: set(upper.sessions()) == set(want) and
             all(s["state"] == "complete" for s in upper.sessions().values()), 90, "the next one has all", 0.2)
    bp.until(lambda: upper.objects() == site.objects(), 60, "and every file of them", 0.2)
    here, there = site.objects(), upper.objects()
    bp.check(here == there, f"{len(here)} objects here, {len(there)} there, equal by digest")
    bp.check(all(k == v for k, v in there.items()), "every object is what its name says")
    for k in ("name", "device", "messages", "bytes"):
        bp.check({i: s[k] for i, s in want.items()} == {i: s[k] for i, s in upper.sessions().items()}, f"{k} is the same")
    bp.until(lambda: not any((site.data / "outbox").iterdir()), 30, "links go when all has arrived")
    sync = site.get("/api/v1/sync")
    bp.check(sync["waiting"]["files"] == 0 and sync["failed"]["files"] == 0, f"{sync}")
    restored(site, folder)
    # what is new and cannot arrive stays, what has arrived goes
    upper.p.stop()
    late = make(folder, 9)
    bp.bagpipe("push", late, site.base, timeout=120)
    bp.until(lambda: len(site.sessions()) == len(fixtures) + 1, 30, "the late one")
    site.p.stop()
    site.start("retention.max_size=1")
    bp.until(lambda: len(site.sessions()) == 1, 60, "retention deletes what has arrived", 0.2)
    time.sleep(3)
    left = site.sessions()
    bp.check(len(left) == 1 and not set(left) & set(want), f"what has not arrived stays: {left}")
    bp.check(any(a["key"] == "retention" for a in site.get("/api/v1/alerts")["alerts"]), "and it says so")
    entries = site.get("/api/v1/audit?who=retention")["entries"]
    bp.check({e["subject"] for e in entries} == set(want), f"each is written down: {entries}")
    site.p.stop()


def restored(site, folder):
    """The drill of docs/guides/operate-a-server.md: a copy made while it runs, databases first, is a server."""
    copy = folder / "copy" / "data"
    copy.mkdir(parents=True, mode=0o700)
    for name in ("archive.db", "audit.db", "catalog.db", "links.db"):  # the queue to the cloud is made anew
        with sqlite3.connect(site.data / name) as a, sqlite3.connect(copy / name) as b:
            a.backup(b)
    for f in site.data.iterdir():
        if f.is_dir() and f.name != "outbox":
            shutil.copytree(f, copy / f.name)
        elif f.suffix in (".key", ".accounts"):
            shutil.copy2(f, copy / f.name)
    again = Server(folder / "copy", 18893)
    bp.check(again.sessions() == site.sessions(), "the same sessions")
    bp.check(again.objects() == site.objects(), "the same objects")
    bp.check(again.get("/api/v1/audit?limit=100")["entries"] == site.get("/api/v1/audit?limit=100")["entries"], "the same log")
    again.p.stop()


def make(folder, i):
    """A short recording of a simulated robot."""
    out = folder / f"made_{i}"
    sim = bp.sim("--robots", "1", domain=143, log=folder / f"sim_{i}.log")
    rec = bp.record(out, domain=143)
    time.sleep(1.5)
    rec.stop()
    sim.stop()
    return out


bp.main(main)
