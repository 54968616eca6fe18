"""A bagpipe agent with a port of the kernel's choosing, and its API."""
import json
import urllib.error
import urllib.request

import bp


class Agent:
    def __init__(self, folder, *args, domain):
        self.data, self.config = folder / "data", folder / "agent.yaml"
        if not self.config.exists():
            self.config.write_text("session:\n  mission: one\n")
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--config", self.config, "--set", f"storage.dir={self.data}",
                          f"http.socket={folder / 'agent.sock'}", "http.listen=127.0.0.1:0",
                          f"discovery.domains={domain}", "buffer.ring_size=32MiB", *args])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 30, "the agent")
        bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")
        ready = [json.loads(x) for x in self.p.text().splitlines() if "agent is ready" in x][-1]
        self.base = f"http://{ready['http']}"

    def raw(self, method, path, body=None, headers=None, expect=200):
        """@return (headers, bytes)"""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        req = urllib.request.Request(self.base + path, data=data, method=method, headers={
            **({"Content-Type": "application/json"} if data is not None else {}), **(headers or {})})
        try:
            with urllib.request.urlopen(req, timeout=30) as r:
                status, head, text = r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            status, head, text = e.code, e.headers, e.read()
        wanted = expect if isinstance(expect, tuple) else (expect,)
        bp.check(status in wanted, f"{method} {path}: {status}, expected {wanted}: {text[:300]}")
        if status >= 400:
            bp.check(head["Content-Type"] == "application/problem+json", f"{method} {path}: {head['Content-Type']}")
        return head, text

    def json(self, method, path, body=None, expect=200):
        text = self.raw(method, path, body, expect=expect)[1]
        return json.loads(text) if text else None

    def get(self, path):
        return self.json("GET", path)
