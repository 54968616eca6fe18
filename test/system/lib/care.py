"""An agent under test and its API, for the tests of what it does by itself."""
import json
import re
import signal
import time
import urllib.error
import urllib.request

import bp


class Agent:
    """`bagpipe agent` with a port of its own; settings are words of --set, `config` a file that is made of `content`."""

    def __init__(self, folder, domain, *settings, env=None, wait=True, ring="16MiB", config=None, content=""):
        self.data = folder / "data"
        sets = [w for s in ("http.listen=127.0.0.1:0", f"storage.dir={self.data}", f"http.socket={folder}/a.sock",
                            f"discovery.domains={domain}", f"buffer.ring_size={ring}", *settings) for w in ("--set", s)]
        if config:
            config.write_text(content)
        self.p = bp.Proc([bp.BAGPIPE, "agent", *(["--config", config] if config else []), *sets], env=env)
        if wait:
            bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 30, "the agent")
            bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")
            line = next(x for x in self.p.text().splitlines() if "agent is ready" in x)
            self.base = "http://" + json.loads(line)["http"]

    def http(self, method, path, body=None, expect=200):
        data = json.dumps(body).encode() if body is not None else None
        req = urllib.request.Request(self.base + path, data=data, method=method,
                                     headers={"Content-Type": "application/json"} if data else {})
        try:
            with urllib.request.urlopen(req, timeout=60) as r:
                status, text = r.status, r.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        bp.check(status == expect, f"{method} {path}: {status}, expected {expect}: {text[:300]}")
        return json.loads(text) if text and text[:1] in b"{[" else text.decode()

    def ask(self, path, **kw):
        return self.http("GET", path, **kw)

    def tell(self, path, body=None, expect=200):
        return self.http("POST", path, body if body is not None else {}, expect)

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.ask("/metrics"), re.M)[1])

    def timed_status(self):
        """@return (seconds it took, the status)"""
        t = time.monotonic()
        s = self.ask("/api/v1/status")
        return time.monotonic() - t, s

    def alerts(self, past=False):
        """Keys of the active ones, or of those that are over."""
        rows = self.ask("/api/v1/alerts" + ("?past=1" if past else ""))["alerts"]
        return {a["key"] for a in rows if (a["state"] == "active") != past}

    def stop(self):
        bp.check(self.p.stop(timeout=60, sig=signal.SIGTERM) == 0, f"the agent ends: {self.p.text()[-500:]}")
