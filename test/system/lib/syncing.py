"""Agents and servers for the tests of sync: started, killed and started again, and compared byte by byte."""
import hashlib
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import bp


def ask(base, method, path, body=None, expect=(200,), timeout=60):
    """@return the document; any status not expected is a failure"""
    data = json.dumps(body).encode() if body is not None else None
    req = urllib.request.Request(base + path, data=data, method=method,
                                 headers={"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(req, timeout=timeout) as r:
            status, text = r.status, r.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    if status not in expect:
        bp.fail(f"{method} {path}: {status}: {text[:300]}")
    return json.loads(text) if text[:1] in (b"{", b"[") else {}


class Daemon:
    under = ()  # words before the program's own: ("nice", "-n", "19")

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"
        self.text = ""
        self.p = None
        self.port = 0

    def _started(self, args, ready):
        if self.log.exists():
            self.text += self.log.read_text(errors="replace")
        self.p = bp.Proc(args, log=self.log, env={"ROS_LOCALHOST_ONLY": "1"}, under=self.under)
        bp.until(lambda: ready in self.p.text() or not self.p.alive(), 60, ready)
        found = re.search(r'"http":"127\.0\.0\.1:(\d+)"', self.p.text())
        if not bp.check(self.p.alive() and found, f"it starts: {self.p.text()[-800:]}"):
            raise RuntimeError("not started")
        self.port = int(found.group(1))
        self.base = f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, expect=(200,)):
        return ask(self.base, method, path, body, expect)


class Server(Daemon):
    """`bagpipe server`; the port is kept over restarts."""

    def start(self, *more):
        self._started([bp.BAGPIPE, "server", "--json", "--dir", self.folder / "data", "--set",
                       f"http.listen=127.0.0.1:{self.port}", "events.listen=127.0.0.1:0", "metrics.listen=127.0.0.1:0",
                       f"http.socket={self.folder / 's.sock'}", *more], "server is ready")
        return self

    def objects(self):
        """{sha256 by its name: path}"""
        return {p.parent.name + p.name: p for p in (self.folder / "data" / "objects").glob("??/*")}

    def sessions(self):
        return self.ask("GET", "/api/v1/sessions")["sessions"]

    def files(self, session):
        """{name: sha256} of a session as the server tells it"""
        got = self.ask("GET", f"/api/v1/sessions/{session}/segments")
        return {x["name"]: x.get("sha256") for x in got["segments"] + got["files"]}


class Agent(Daemon):
    def __init__(self, folder, domain):
        super().__init__(folder)
        self.domain = domain
        self.data = self.folder / "data"

    def start(self, *more):
        self._started([bp.BAGPIPE, "agent", "--json", "--set", f"storage.dir={self.data}",
                       f"http.socket={self.folder / 'a.sock'}", f"http.listen=127.0.0.1:{self.port}",
                       f"discovery.domains={self.domain}", "buffer.ring_size=32MiB", *more], "agent is ready")
        return self

    def sync(self):
        return self.ask("GET", "/api/v1/sync")

    def left(self):
        """Files that are not proven to be there, of all targets."""
        s = self.sync()
        return sum(s[k]["files"] for k in ("waiting", "parked", "failed"))

    def folders(self):
        return sorted(p for p in self.data.iterdir() if (p / "manifest.json").exists())


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def digests(folder):
    """{name: sha256} of a session's folder"""
    return {p.name: sha256(p) for p in sorted(folder.iterdir())
            if p.is_file() and not p.name.startswith(".") and p.name not in ("journal",)}


def session_id(folder):
    return json.loads((folder / "manifest.json").read_text())["session"]["id"]


def grown(agent, name, segments, size, timeout=900):
    """Waits until a session that runs has so many finished segments and bytes in them; the last two may be made ahead."""
    def enough():
        got = sorted((p.stat().st_mtime, p.stat().st_size) for p in (agent.data / name).glob("*.mcap"))[:-2]
        return len(got) >= segments and sum(n for _, n in got) >= size
    bp.until(enough, timeout, f"{name}: {segments} segments, {size} bytes", step=1)


def record(agent, seconds, name, rate=1, domain=None):
    """A robot drives while the agent records it."""
    s = agent.ask("POST", "/api/v1/sessions", {"name": name}, (201,))
    sim = bp.Proc([bp.BAGPIPE, "sim", "--robots", "1", "--profile", "mixed", "--rate", str(rate), "--domain",
                   str(domain or agent.domain), "--duration", f"{seconds}s"], env={"ROS_LOCALHOST_ONLY": "1"})
    return s, sim
