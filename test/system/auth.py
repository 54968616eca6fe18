"""Who may come in: every route with every role, tokens and passwords at rest, cookies and foreign pages, guessing,
JSON Web Tokens, listening elsewhere, accounts that were lost. Tokens of the identity provider are made by PyJWT.
"""
import hashlib
import http.client
import json
import os
import pty
import re
import signal
import socket
import subprocess
import termios
import threading
import time

import bp
from serverd import Unix
import ws

DOMAIN = 141
PORT = 19690
ELSEWHERE = "10.98.7.6"
NAME = "robot.example.com"
PASSWORD = "correct horse battery"
ROLES = ("viewer", "operator", "admin")
# What anybody may ask without proving who they are; any other route that is public is a mistake.
PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/api/v1/login"), ("POST", "/api/v1/logout"),
          ("GET", "/api/v1/whoami")}
ADMINS = re.compile(r"^/api/v1/(users|tokens|secrets|keys)")


class Reply:
    def __init__(self, r, body):
        self.status, self.headers, self.body = r.status, r.headers, body

    def json(self):
        return json.loads(self.body)


def ask(method, path, body=None, token=None, cookie=None, headers=None, sock=None, host="127.0.0.1", read=True):
    c = Unix(sock) if sock else http.client.HTTPConnection(host, PORT, timeout=20)
    h = dict(headers or {})
    if token:
        h["Authorization"] = f"Bearer {token}"
    if cookie:
        h["Cookie"] = cookie
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    try:
        c.request(method, path, data, h)
        r = c.getresponse()
        return Reply(r, r.read() if read else b"")
    finally:
        c.close()


def want(status, *args, **kw):
    r = ask(*args, **kw)
    bp.check(r.status == status, f"{args} {kw}: {r.status}, expected {status}: {r.body[:200]}")
    return r


class Agent:
    def __init__(self, folder, *args, ok=True):
        self.data, self.sock = folder / "data", folder / "agent.sock"
        self.set = [f"storage.dir={self.data}", f"http.socket={self.sock}", f"http.listen=127.0.0.1:{PORT}",
                    f"discovery.domains={DOMAIN}", "buffer.ring_size=8MiB", *args]
        self.p = bp.Proc([bp.BAGPIPE, "agent", "--set", *self.set])
        if ok:
            bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
            bp.check(self.p.alive(), f"the agent runs: {self.p.text()[-600:]}")

    def stop(self):
        status = self.p.stop(timeout=20, sig=signal.SIGTERM)
        bp.check(status == 0, f"the agent ends with {status}: {self.p.text()[-2000:]}")
        return self.p.text()


def verb(agent_set, *args, stdin=None, ok=True):
    r = subprocess.run([bp.BAGPIPE, *args, "--set", *agent_set], input=stdin, capture_output=True, text=True, timeout=60)
    bp.check(not ok or r.returncode == 0, f"bagpipe {' '.join(args)}: {r.returncode}: {r.stderr}")
    return r


def login(user, password, **kw):
    """@return (reply, "name=value" of the cookie or None)"""
    r = ask("POST", "/api/v1/login", {"user": user, "password": password}, **kw)
    cookie = r.headers.get("Set-Cookie")
    return r, cookie.split(";")[0] if cookie and r.status == 200 else None


def prompt(agent):
    """Of a terminal the password is asked for twice, and not shown; whoever interrupts gets the terminal back."""
    def run(*keys):
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(bp.BAGPIPE, ["bagpipe", "user", "add", "zoe", "--set", *agent.set])
        out = b""
        for k in keys:
            prompts = out.count(b": ")
            bp.until(lambda: not termios.tcgetattr(fd)[3] & termios.ECHO, 10, "a quiet terminal")
            while out.count(b": ") == prompts:
                out += os.read(fd, 1000)
            os.write(fd, k)
        try:
            while part := os.read(fd, 1000):
                out += part
        except OSError:
            pass
        return os.waitpid(pid, 0)[1], out

    status, out = run(PASSWORD.encode() + b"\n", b"something else\n")
    bp.check(status != 0 and b"two different" in out, f"two passwords: {status} {out}")
    status, out = run(b"half a pass\x03")
    bp.check(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT, f"interrupted: {status} {out}")
    status, out = run(PASSWORD.encode() + b"\n", PASSWORD.encode() + b"\n")
    bp.check(status == 0 and PASSWORD.encode() not in out, f"asked: {status} {out}")
    bp.check(login("zoe", PASSWORD)[0].status == 200, "and taken")
    verb(agent.set, "user", "rm", "zoe")
    bp.check(login("zoe", PASSWORD)[0].status == 401, "and gone")


def no_accounts(agent):
    """This machine is admin, and nobody who says that they come through a proxy."""
    me = want(200, "GET", "/api/v1/whoami").json()
    bp.check(me["role"] == "admin" and me["by"] == "local" and "no accounts" in me["note"], f"whoami: {me}")
    want(200, "GET", "/api/v1/users")
    for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"):
        r = want(401, "GET", "/api/v1/status", headers={name: "127.0.0.1"})
        bp.check("bagpipe user add" in r.json()["detail"], f"says what to do: {r.body}")
        want(401, "GET", "/api/v1/status", headers={name: "x"}, sock=agent.sock)
        bp.check(ask("GET", "/api/v1/whoami", headers={name: "x"}).json()["user"] is None, f"{name}: nobody")
    for text, status in (("HTTP/1.1\r\nHost: 127.0.0.1", 200), ("HTTP/1.1\r\nHost: localhost", 200),
                         ("HTTP/1.0\r\nHost: 127.0.0.1", 401), ("HTTP/1.0", 401),  # nginx, not configured
                         (f"HTTP/1.1\r\nHost: {NAME}", 401)):
        with socket.create_connection(("127.0.0.1", PORT), timeout=20) as s:
            s.sendall(f"GET /api/v1/status {text}\r\nConnection: close\r\n\r\n".encode())
            got = s.recv(4096)
        bp.check(got.split(b" ")[1] == str(status).encode(), f"{text!r}: {got[:60]}, expected {status}")
    bp.check(want(200, "GET", "/api/v1/whoami", sock=agent.sock).json()["by"] == "socket", "the socket")


def routes():
    """The rows of the route table, as the source says them."""
    rows = []
    for path in sorted((bp.REPO / "src" / "agent").glob("api*.c")):
        rows += re.findall(r'\{\s*"([A-Z]+)",\s*"(/[^"]*)",\s*\w+,\s*BP_HTTP_(\w+)', path.read_text())
    return [(m, p, access.lower()) for m, p, access in rows]


def roles(tokens):
    """Each route with each role: exactly those get through that may."""
    rows = routes()
    bp.check(len(rows) > 20, f"{len(rows)} routes")
    order = ("public",) + ROLES
    for method, pattern, access in rows:
        bp.check(access != "public" or (method, pattern) in PUBLIC, f"{method} {pattern} is public")
        bp.check(access != "viewer" or method == "GET", f"{method} {pattern} changes something, viewers may not")
        bp.check(not ADMINS.match(pattern) or access == "admin", f"{method} {pattern} is for admins")
        if method == "DELETE" or (method != "GET" and pattern.startswith("/api/v1/config")):
            bp.check(access == "admin", f"{method} {pattern} is for admins")
        path = re.sub(r"[:*]\w+", "none", pattern)
        for role in (None,) + ROLES:
            r = ask(method, path, {} if method != "GET" else None, token=tokens.get(role), read=False)
            may = access == "public" or (role and order.index(role) >= order.index(access))
            refused = 403 if role else 401
            if may:
                bp.check(r.status not in (401, 403) or (method, pattern) in PUBLIC, f"{method} {path} as {role}: {r.status}")
            else:
                bp.check(r.status == refused, f"{method} {path} as {role}: {r.status}, expected {refused}")
            if method == "POST" and pattern == "/api/v1/sessions" and r.status == 201:
                time.sleep(0.2)
                want(200, "POST", "/api/v1/sessions/current/stop", {}, token=tokens["operator"])
    bp.say(f"{len(rows)} routes, {len(rows) * 4} requests")


def at_rest(agent, secrets):
    """What lets somebody in is in no file and no log; that its digest is there shows we look at the right ones."""
    found = False
    for name in os.listdir(agent.data):
        path = agent.data / name
        if not path.is_file():
            continue
        data = path.read_bytes()
        bp.check(path.stat().st_mode & 0o077 == 0 or agent.data.stat().st_mode & 0o077 == 0, f"{name} is ours alone")
        for s in secrets:
            bp.check(s.encode() not in data, f"{name} holds a secret: {s[:12]}…")
        import base64
        raw = base64.urlsafe_b64decode(next(s for s in secrets if s.startswith("bp_"))[3:] + "=")
        found |= hashlib.sha256(raw).digest() in data
        found and bp.check(raw not in data, f"{name} holds a token's bytes")
    bp.check(found, "the digest of the token is in the database")
    for s in secrets:
        bp.check(s not in agent.p.text(), "a secret in the log")


def cookies(agent, tokens):
    r, cookie = login("alice", PASSWORD)
    attrs = {a.strip() for a in r.headers["Set-Cookie"].split(";")[1:]}
    bp.check({"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=604800"} == attrs, f"attributes: {attrs}")
    r, other = login("alice", PASSWORD, headers={"X-Forwarded-Proto": "https"})
    bp.check("Secure" in r.headers["Set-Cookie"], "Secure behind TLS")
    want(200, "GET", "/api/v1/status", cookie=cookie)
    want(200, "GET", "/api/v1/status", cookie=f"a=b; {cookie}; c=d")
    want(401, "GET", "/api/v1/status", cookie=cookie[:-2] + ("AA" if cookie[-2:] != "AA" else "BA"))
    want(401, "GET", "/api/v1/status", cookie=cookie.split("=")[0] + "=")
    want(401, "GET", "/api/v1/status", token=cookie.split("=")[1])  # a cookie is no token
    want(401, "GET", "/api/v1/status", cookie=cookie.split("=")[0] + "=" + tokens["admin"])  # nor the other way round
    # but it can be changed for one, which lives as long as it does
    made = want(201, "POST", "/api/v1/tokens", {"name": "kiosk", "role": "viewer"}, sock=agent.sock).json()["token"]
    r = want(200, "POST", "/api/v1/login", {"token": made})
    kiosk = r.headers["Set-Cookie"].split(";")[0]
    bp.check((r.json()["role"], r.json()["by"], r.json()["user"]) == ("viewer", "token", "kiosk"), f"who: {r.json()}")
    bp.check("HttpOnly" in r.headers["Set-Cookie"] and "SameSite=Strict" in r.headers["Set-Cookie"], "a token's cookie")
    want(200, "GET", "/api/v1/status", cookie=kiosk)
    want(403, "POST", "/api/v1/sessions", {}, cookie=kiosk)
    want(401, "POST", "/api/v1/login", {"token": made[:-2] + ("AA" if made[-2:] != "AA" else "BA")})
    want(401, "POST", "/api/v1/login", {"token": "x" * 5000})
    want(400, "POST", "/api/v1/login", {"token": made, "user": "alice", "password": PASSWORD})
    want(204, "DELETE", "/api/v1/tokens/kiosk", sock=agent.sock)
    want(401, "GET", "/api/v1/status", cookie=kiosk)
    # foreign pages: a browser would send the cookie only from our own, yet we do not rely on it
    for headers, status in (({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
                            ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Origin": f"http://127.0.0.1:{PORT}"}, 201),
                            ({"Host": "evil.example"}, 421)):
        r = want(status, "POST", "/api/v1/sessions", {}, cookie=cookie, headers=headers)
        if r.status == 201:
            want(200, "POST", "/api/v1/sessions/current/stop", {}, cookie=cookie)
    want(403, "POST", "/api/v1/login", {"user": "alice", "password": PASSWORD}, headers={"Origin": "https://evil.example"})
    want(403, "GET", "/api/v1/status", cookie=cookie, headers={"Origin": "https://evil.example", "Upgrade": "websocket",
                                                               "Connection": "Upgrade"})
    # a login ends with logging out, here and not elsewhere
    r = want(204, "POST", "/api/v1/logout", cookie=other)
    bp.check("Max-Age=0" in r.headers["Set-Cookie"], "the cookie is taken back")
    want(401, "GET", "/api/v1/status", cookie=other)
    want(200, "GET", "/api/v1/status", cookie=cookie)
    return cookie


def changes(agent, cookie):
    """What an admin changes counts at once, also what another process writes into the catalogue."""
    admin = {"sock": agent.sock}
    want(200, "PATCH", "/api/v1/users/alice", {"role": "viewer"}, **admin)
    want(403, "POST", "/api/v1/sessions", {}, cookie=cookie)
    want(200, "GET", "/api/v1/status", cookie=cookie)
    want(200, "PATCH", "/api/v1/users/alice", {"disabled": True}, **admin)
    want(401, "GET", "/api/v1/status", cookie=cookie)
    bp.check(login("alice", PASSWORD)[0].status == 401, "disabled")
    want(200, "PATCH", "/api/v1/users/alice", {"disabled": False, "role": "operator"}, **admin)
    want(401, "GET", "/api/v1/status", cookie=cookie)  # her logins have ended
    cookie = login("alice", PASSWORD)[1]
    verb(agent.set, "user", "passwd", "alice", stdin="another password\n")
    want(401, "GET", "/api/v1/status", cookie=cookie)
    bp.check(login("alice", PASSWORD)[0].status == 401, "the old password")
    cookie = login("alice", "another password")[1]
    outside = [f"storage.dir={agent.data}", f"http.socket={agent.data}/none.sock"]
    token = verb(outside, "token", "new", "outside", "--expires", "3s").stdout.strip()
    bp.until(lambda: ask("GET", "/api/v1/status", token=token).status == 200, 4, "a token made outside", 0.1)
    bp.until(lambda: ask("GET", "/api/v1/status", token=token).status == 401, 8, "its end", 0.1)
    bp.check("expired" in ask("GET", "/api/v1/status", token=token).json()["detail"], "says why")
    want(204, "DELETE", "/api/v1/tokens/outside", **admin)
    for path, body, word in (("users", {"name": "x"}, "role"), ("users", {"name": "../x", "role": "admin", "password": PASSWORD}, "name"),
                             ("users", {"name": "x", "role": "root", "password": PASSWORD}, "root"),
                             ("users", {"name": "x", "role": "admin", "password": "short"}, "8 to 256"),
                             ("users", {"name": "x", "role": "admin", "pasword": PASSWORD}, "pasword"),
                             ("tokens", {"name": "t"}, "role"), ("tokens", {"name": "t", "role": "admin", "lifetime_s": -1}, "lifetime_s"),
                             ("tokens", {"name": "t", "role": "admin", "lifetime_s": 1e99}, "lifetime_s")):
        r = want(400, "POST", f"/api/v1/{path}", body, **admin)
        bp.check(word in r.json()["detail"], f"{body}: {r.body}")
    want(409, "POST", "/api/v1/users", {"name": "alice", "role": "admin", "password": PASSWORD}, **admin)
    want(404, "PATCH", "/api/v1/users/nobody", {"role": "admin"}, **admin)
    want(404, "DELETE", "/api/v1/tokens/nobody", **admin)
    return cookie


class Watching:
    """A WebSocket and a stream of server-sent events, open by the same right; both must end, or stay."""

    def __init__(self, name, token=None, cookie=None):
        header = f"Authorization: Bearer {token}" if token else f"Cookie: {cookie}"
        self.name = name
        self.ws = ws.WS(("127.0.0.1", PORT), "/api/v1/events", [header])
        self.sse = socket.create_connection(("127.0.0.1", PORT), timeout=20)
        self.sse.sendall(f"GET /api/v1/events?topics=sessions HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
        got = b""
        while b"event: hello" not in got:
            got += self.sse.recv(4096)
        bp.check(self.ws.recv()[0] == 1, f"{name}: a WebSocket")

    def ends(self):
        start = time.monotonic()
        opcode, data = self.ws.recv(8)
        bp.check(opcode == 8 and data[:2] == (4401).to_bytes(2, "big"), f"{self.name}: closed with {opcode} {data}")
        got = b""
        self.sse.settimeout(8)
        while not got.endswith(b"0\r\n\r\n"):  # the last chunk
            part = self.sse.recv(4096)
            if not bp.check(part, f"{self.name}: the stream is cut: {got[-40:]}"):
                break
            got += part
        took = time.monotonic() - start
        bp.check(took < 5, f"{self.name}: ended after {took:.1f} s")
        self.sse.close()

    def stays(self):
        """It still answers, and nothing but events has come."""
        self.ws.send({"id": self.name, "subscribe": ["log"]})
        bp.check(b'"ok":true' in self.ws.recv()[1], f"{self.name} stays")
        self.sse.setblocking(False)
        try:
            bp.check(self.sse.recv(4096) != b"", f"{self.name}: its stream stays")
        except BlockingIOError:
            pass
        self.ws.s.close()
        self.sse.close()


def streams(agent):
    """What is open ends when what let it in does; what has nothing to do with it stays."""
    admin = {"sock": agent.sock}
    token = lambda name, *more: verb(agent.set, "token", "new", name, *more).stdout.strip()
    other = Watching("another token", token=token("other"))
    kept = Watching("another's login", cookie=login("alice", "another password")[1])
    w = Watching("a token", token=token("revoked"))
    want(204, "DELETE", "/api/v1/tokens/revoked", **admin)
    w.ends()
    w = Watching("a token, by another process", token=token("gone"))
    verb([f"storage.dir={agent.data}", f"http.socket={agent.data}/none.sock"], "token", "rm", "gone")
    w.ends()
    w = Watching("a token that expires", token=token("short", "--expires", "2s"))
    time.sleep(2)
    w.ends()
    for what, change in (("its role", lambda: want(200, "PATCH", "/api/v1/users/carl", {"role": "viewer"}, **admin)),
                         ("logging out", None),
                         ("disabled", lambda: want(200, "PATCH", "/api/v1/users/carl", {"disabled": True}, **admin)),
                         ("deleted", lambda: want(204, "DELETE", "/api/v1/users/carl", **admin))):
        ask("DELETE", "/api/v1/users/carl", **admin)
        want(201, "POST", "/api/v1/users", {"name": "carl", "role": "operator", "password": PASSWORD}, **admin)
        cookie = login("carl", PASSWORD)[1]
        w = Watching(f"a login, {what}", cookie=cookie)
        change() if change else want(204, "POST", "/api/v1/logout", cookie=cookie)
        w.ends()
    other.stays()
    kept.stays()
    want(204, "DELETE", "/api/v1/tokens/other", **admin)


def guessing(agent):
    """Wrong passwords cost time, also those of users that do not exist, and nobody else's."""
    verb(agent.set, "user", "add", "bob", stdin=PASSWORD + "\n")

    def attempt(user, password, client):
        return login(user, password, headers={"X-Forwarded-For": client})[0]

    # the wait doubles, so it outgrows the time that a slow machine needs for each attempt
    codes = []
    while len(codes) < 15 and 429 not in codes:
        codes.append(attempt("bob", f"wrong {len(codes)}", f"192.0.2.{len(codes)}").status)
    r = attempt("bob", PASSWORD, "192.0.2.99")
    bp.check(5 <= codes.count(401) <= 10 and codes[-1] == 429, f"attempts of one user: {codes}")
    bp.check(r.status == 429 and 1 <= int(r.headers["Retry-After"]) <= 60, f"the right one must wait too: {r.status}")
    bp.check(attempt("alice", "another password", "192.0.2.99").status == 200, "others need not")
    bp.until(lambda: attempt("bob", PASSWORD, "192.0.2.99").status == 200, 70, "bob, after a while", 0.5)
    # one client, many users that do not exist
    codes = []
    while len(codes) < 20 and 429 not in codes:
        codes.append(attempt(f"user{len(codes)}", PASSWORD, "198.51.100.1").status)
    r = ask("POST", "/api/v1/login", {"user": "alice", "password": "another password"}, headers={
        "X-Forwarded-For": "198.51.100.2, 198.51.100.1"})
    bp.check(10 <= codes.count(401) <= 15 and codes[-1] == 429, f"one client: {codes}")
    bp.check(r.status == 429, f"the last address counts, the others are hearsay: {r.status}")
    bp.check(attempt("alice", "another password", "198.51.100.2").status == 200, "another client")
    # many at once: hashing takes one at a time, and others are answered meanwhile
    codes, slow = [], []
    threads = [threading.Thread(target=lambda i=i: codes.append(attempt("alice", "wrong", f"203.0.113.{i}").status))
               for i in range(12)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        start = time.monotonic()
        ask("GET", "/healthz")
        slow.append(time.monotonic() - start)
    bp.check(set(codes) <= {401, 429, 503} and codes.count(401) <= 5, f"at once: {sorted(codes)}")
    bp.check(max(slow) < 2.5, f"others wait {max(slow):.2f} s")
    for body in (b"", b"{", b"[]", b'{"user": 1, "password": "x"}', b'{"user": "a", "user": "b", "password": "x"}'):
        bp.check(ask("POST", "/api/v1/login", body).status == 400, f"{body}")
    m = ask("GET", "/metrics", sock=agent.sock).body.decode()
    counts = dict(re.findall(r'bagpipe_access_logins_total\{result="(\w+)"\} (\d+)', m))
    bp.check(int(counts["wrong"]) >= 15 and int(counts["throttled"]) >= 3 and int(counts["ok"]) >= 5, f"counted: {counts}")
    bp.say(f"logins {counts}; slowest answer meanwhile {max(slow) * 1000:.0f} ms")


def jwt_keys(path, *keys):
    tmp = path.with_suffix(".new")
    tmp.write_text(json.dumps({"keys": list(keys)}))
    tmp.chmod(0o640)
    tmp.rename(path)


def jwts(folder):
    import base64

    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def ed_jwk(key):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw))}

    secret, es, ed, ed2 = os.urandom(32), ec.generate_private_key(ec.SECP256R1()), *(
        ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    n = es.public_key().public_numbers()
    es_jwk = {"kty": "EC", "crv": "P-256", "kid": "e", "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}
    keys = folder / "jwks.json"
    jwt_keys(keys, {"kty": "oct", "k": b64(secret), "alg": "HS256"}, es_jwk, ed_jwk(ed))
    args = (f"http.jwt_keys={keys}", "http.jwt_issuer=https://id", "http.jwt_audience=robot", "http.jwt_role=bagpipe")
    keys.chmod(0o644)
    p = Agent(folder, *args, ok=False)
    p.p.wait(20)
    bp.check(p.p.p.returncode == 78 and "everybody may read it" in p.p.text(), f"a secret for all: {p.p.text()[-300:]}")
    keys.chmod(0o640)
    agent = Agent(folder, *args)
    now = int(time.time())
    good = {"sub": "carol", "iss": "https://id", "aud": "robot", "exp": now + 600, "bagpipe": "operator"}
    pem = es.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def forged(key):
        import hmac
        text = b64(b'{"alg":"HS256"}') + "." + b64(json.dumps({**good, "bagpipe": "admin"}).encode())
        return text + "." + b64(hmac.new(key, text.encode(), hashlib.sha256).digest())

    for key, alg in ((secret, "HS256"), (es, "ES256"), (ed, "EdDSA")):
        me = want(200, "GET", "/api/v1/whoami", token=jwt.encode(good, key, alg)).json()
        bp.check((me["user"], me["role"], me["by"]) == ("carol", "operator", "jwt"), f"{alg}: {me}")
    rows = (("expired", 401, {**good, "exp": now - 60}, ed, "EdDSA"), ("wrong aud", 401, {**good, "aud": "x"}, ed, "EdDSA"),
            ("wrong iss", 401, {**good, "iss": "x"}, ed, "EdDSA"), ("not yet", 401, {**good, "nbf": now + 60}, es, "ES256"),
            ("another's key", 401, good, ed2, "EdDSA"), ("none", 401, good, None, "none"), ("HS384", 401, good, secret, "HS384"),
            ("no role", 401, {k: v for k, v in good.items() if k != "bagpipe"}, ed, "EdDSA"),
            ("role root", 401, {**good, "bagpipe": "root"}, ed, "EdDSA"),
            ("roles in a list", 200, {**good, "bagpipe": ["x", "viewer"]}, ed, "EdDSA"))
    import warnings
    warnings.simplefilter("ignore")
    for name, status, claims, key, alg in rows:
        r = ask("GET", "/api/v1/status", token=jwt.encode(claims, key, alg))
        bp.check(r.status == status, f"{name}: {r.status}, expected {status}: {r.body}")
    for key in (pem, b"", pem.strip()):
        want(401, "GET", "/api/v1/status", token=forged(key))
    want(401, "GET", "/api/v1/status", token="x" * 7000)
    want(401, "GET", "/api/v1/status")  # keys are accounts: loopback is nobody
    old = jwt.encode(good, ed, "EdDSA")
    watching = Watching("a JSON Web Token", token=old)
    jwt_keys(keys, ed_jwk(ed2))  # the provider has new ones
    bp.until(lambda: ask("GET", "/api/v1/status", token=jwt.encode(good, ed2, "EdDSA")).status == 200, 5, "new keys", 0.1)
    want(401, "GET", "/api/v1/status", token=old)
    watching.ends()
    keys.write_text("{")  # a broken file changes nothing
    time.sleep(1.5)
    want(200, "GET", "/api/v1/status", token=jwt.encode(good, ed2, "EdDSA"))
    bp.check("accounts or keys could not be read" in agent.stop(), "and is told")


def elsewhere(folder, tokens, with_accounts):
    args = (f"http.listen=127.0.0.1:{PORT},{ELSEWHERE}:{PORT}",)
    if not with_accounts:
        p = Agent(folder, *args, ok=False).p
        p.wait(20)
        bp.check(p.p.returncode == 78 and "bagpipe user add" in p.text(), f"no accounts: {p.p.returncode} {p.text()[-300:]}")
        return
    p = Agent(folder, *args, "http.auth=off", ok=False).p
    p.wait(20)
    bp.check(p.p.returncode == 78 and "http.auth is off" in p.text(), f"off: {p.text()[-300:]}")
    agent = Agent(folder, *args, "http.public_metrics=true")
    want(401, "GET", "/api/v1/status", host=ELSEWHERE)
    want(200, "GET", "/api/v1/status", host=ELSEWHERE, token=tokens["viewer"])
    want(200, "GET", "/metrics", host=ELSEWHERE)
    bp.check(ask("GET", "/api/v1/whoami", host=ELSEWHERE).json()["role"] is None, "nobody from elsewhere")
    agent.stop()


def modes(folder):
    """required: nobody is let in without an account but the socket. off: whoever reaches it."""
    agent = Agent(folder, "http.auth=required")
    want(401, "GET", "/api/v1/status")
    want(200, "GET", "/api/v1/status", sock=agent.sock)
    agent.stop()
    agent = Agent(folder, "http.auth=off")
    me = want(200, "GET", "/api/v1/whoami", headers={"X-Forwarded-For": "1.2.3.4"}).json()
    bp.check(me["role"] == "admin" and "off" in me["note"], f"off: {me}")
    agent.stop()


def lost(folder):
    """A damaged catalogue does not open the door: the socket alone is let in, until there are accounts again."""
    with open(folder / "data" / "catalog.db", "r+b") as f:
        f.write(os.urandom(4096))
    for suffix in ("-wal", "-shm"):
        (folder / "data" / f"catalog.db{suffix}").unlink(missing_ok=True)
    agent = Agent(folder, f"http.listen=127.0.0.1:{PORT},{ELSEWHERE}:{PORT}")
    bp.check("users and tokens were lost" in agent.p.text(), "it says so")
    want(401, "GET", "/api/v1/status")
    want(401, "GET", "/api/v1/status", host=ELSEWHERE)
    want(201, "POST", "/api/v1/users", {"name": "alice", "role": "admin", "password": PASSWORD}, sock=agent.sock)
    bp.check(login("alice", PASSWORD)[0].status == 200, "made anew")
    agent.stop()


def test():
    folder = bp.scratch()
    subprocess.run(["ip", "addr", "add", f"{ELSEWHERE}/32", "dev", "lo"], check=True)
    modes(folder)
    elsewhere(folder, None, False)
    agent = Agent(folder, "http.trusted_proxies=127.0.0.1", f"http.hosts={NAME}")
    no_accounts(agent)
    verb(agent.set, "user", "add", "alice", "--role", "admin", stdin=PASSWORD + "\n")
    want(401, "GET", "/api/v1/status")
    tokens = {role: verb(agent.set, "token", "new", f"for-{role}", "--role", role).stdout.strip() for role in ROLES}
    roles(tokens)
    prompt(agent)
    cookie = cookies(agent, tokens)
    agent.stop()
    agent = Agent(folder, "http.trusted_proxies=127.0.0.1")
    want(200, "GET", "/api/v1/status", cookie=cookie)  # it outlives a restart
    cookie = changes(agent, cookie)
    streams(agent)
    guessing(agent)
    users = verb(agent.set, "user", "list").stdout
    bp.check("alice" in users and "operator" in users and "bob" in users, f"user list: {users}")
    at_rest(agent, [tokens["admin"], tokens["viewer"], PASSWORD, "another password", cookie.split("=")[1]])
    agent.stop()
    elsewhere(folder, tokens, True)
    jwts(folder)
    verb(agent.set, "token", "rm", "for-viewer")  # no agent runs: into the catalogue
    lost(folder)


if __name__ == "__main__":
    if not bp.own_network():
        bp.skip("listening elsewhere needs a network namespace")
    bp.main(test)
