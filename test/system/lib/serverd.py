"""`bagpipe server` in a folder, and requests to it by TCP and by its socket."""
import http.client
import json
import socket

import bp


def numbers(text):
    """The parts that a server has, as it tells them: "0-2,5" is {0, 1, 2, 5}."""
    out = set()
    for r in filter(None, text.split(",")):
        a, _, b = r.partition("-")
        out |= set(range(int(a), int(b or a) + 1))
    return out


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, r):
        self.status, self.headers, self.body = r.status, r.headers, r.read()

    def json(self):
        return json.loads(self.body)


class Server:
    def __init__(self, folder, *args, ok=True, env=None):
        self.data, self.sock = folder / "data", folder / "server.sock"
        self.p = bp.Proc([bp.BAGPIPE, "server", "--json", "--dir", self.data, "--set", f"http.socket={self.sock}",
                          "http.listen=127.0.0.1:0", "events.listen=127.0.0.1:0", "metrics.listen=127.0.0.1:0", *args],
                         env=env)
        bp.until(lambda: "server is ready" in self.p.text() or not self.p.alive(), 30, "the server")
        if ok:
            bp.check(self.p.alive(), f"the server runs: {self.p.text()[-600:]}")
            line = next(json.loads(t) for t in self.p.text().splitlines() if "server is ready" in t)
            self.port, self.events, self.metrics = (int(line[k].rsplit(":", 1)[1]) for k in ("http", "events", "metrics"))

    def ask(self, method, path, body=None, token=None, sock=False, port=None, headers=None):
        c = Unix(self.sock) if sock else http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=20)
        h = dict(headers or {})
        if token:
            h["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        try:
            c.request(method, path, data, h)
            return Reply(c.getresponse())
        finally:
            c.close()

    def want(self, status, *args, **kw):
        r = self.ask(*args, **kw)
        bp.check(r.status == status, f"{args} {kw}: {r.status}, expected {status}: {r.body[:300]}")
        return r

    def audience(self):
        return f"127.0.0.1:{self.port}"

    def nonce(self, device):
        return self.want(200, "POST", "/api/v1/devices/challenge", {"device": device}).json()["nonce"]

    def token_of(self, device):
        r = self.want(200, "POST", "/api/v1/devices/token", device.answer(self.nonce(device.name), self.audience()))
        return r.json()["token"]
