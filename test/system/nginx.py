"""The shipped nginx configuration in front of a real agent, over TLS: malformed requests are refused as
reference and README say and a smuggled second request is never carried out; logins, cookies, foreign pages,
made-up addresses; slow heads; WebSockets and downloads without a store.
"""
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import time

import bp

DOMAIN = 142
HTTP, HTTPS, AGENT = 19780, 19743, 19790
NAME = "robot.example.com"
HOST = f"{NAME}:{HTTPS}".encode()
PASSWORD = "correct horse battery"


def rows(token):
    """-> (name, bytes, status of the first answer): the nginx column of the table of malformed requests."""
    get = b"GET /healthz HTTP/1.1\r\n"
    head = get + b"Host: " + HOST + b"\r\n"
    post = b"POST /api/v1/login HTTP/1.1\r\nHost: " + HOST + b"\r\n"
    evil = smuggled(token)
    return (
        ("CL+TE", post + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, 400),
        ("TE+CL", post + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n" % (5 + len(evil)) + evil, 400),
        ("2 CLs", post + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(evil) + evil, 400),
        ("TE xchunked", post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + evil, 501),
        ("2 TEs", post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + evil, 400),
        ("space before colon", post + b"Content-Length : 5\r\n\r\nhello", 400),
        ("neg CL", post + b"Content-Length: -5\r\n\r\nhello", 400),
        ("CL +5", post + b"Content-Length: +5\r\n\r\nhello", 400),
        ("bare LF", head.replace(b"\r\n", b"\n") + b"Connection: close\n\n", 200),
        ("no Host", get + b"\r\n", 400),
        ("2 Hosts", head + b"Host: evil.com\r\n\r\n", 400),
        ("NUL in header", head + b"X: a\0b\r\n\r\n", 400),
        ("bare CR in header", head + b"X: a\rb\r\n\r\n", 400),
        ("obs-fold", head + b"X: a\r\n b\r\n\r\n", 400),
        ("chunk overflow", post + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx\r\n0\r\n\r\n" + evil, 400),
        ("chunk bad hex", post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n" + evil, 400),
        ("header of 100 KB", head + b"X: " + b"a" * 100_000 + b"\r\n\r\n", 400),
        ("5000 headers", head + b"X: a\r\n" * 5000 + b"\r\n", 400),
        ("URI of 70 KB", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n", 414),
        ("garbage", os.urandom(64).replace(b"\n", b"x").replace(b"\r", b"x") + b"\r\n\r\n", 400),
        ("body of 2 MiB", post + b"Content-Length: 2097152\r\n\r\n", 413),
    )


def smuggled(token):
    return (b"POST /api/v1/sessions HTTP/1.1\r\nHost: " + HOST + b"\r\nAuthorization: Bearer " + token.encode() +
            b"\r\nContent-Length: 2\r\n\r\n{}")


def statuses(data):
    return [int(m) for m in re.findall(rb"HTTP/1\.[01] (\d{3}) ", data)]


class Front:
    """nginx with the shipped configuration: ports, certificate and agent's address are exchanged, nothing else."""

    def __init__(self, folder, agent_port):
        self.folder = folder
        self.make_certificates()
        self.write(agent_port)
        (folder / "nginx.conf").write_text(f"""
            user root; worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log notice;
            events {{ worker_connections 2048; }}
            http {{
                access_log {folder}/access.log;
                client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
                uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                include {folder}/bagpipe.conf;
            }}""")
        self.p = bp.Proc([NGINX, "-e", folder / "error.log", "-c", folder / "nginx.conf", "-p", folder])
        bp.until(lambda: self.answers() or not self.p.alive(), 20, "nginx", 0.05)
        bp.check(self.p.alive(), f"nginx runs: {self.p.text()}")

    def write(self, agent_port):
        text = (bp.REPO / "deploy" / "nginx" / "bagpipe.conf").read_text()
        for old, new, times in (("listen 80", f"listen 127.0.0.1:{HTTP}", 2), ("listen 443", f"listen 127.0.0.1:{HTTPS}", 2),
                                ("/etc/ssl/bagpipe/", f"{self.folder}/", 2), ("127.0.0.1:9090", f"127.0.0.1:{agent_port}", 1)):
            bp.check(text.count(old) == times, f"'{old}' stands {text.count(old)} times in the configuration")
            text = text.replace(old, new)
        (self.folder / "bagpipe.conf").write_text(text)

    def reload(self, agent_port):
        self.write(agent_port)
        self.p.send(signal.SIGHUP)
        time.sleep(1)

    def make_certificates(self):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        f = self.folder
        (f / "san").write_text(f"subjectAltName=DNS:{NAME}")
        for args in (["req", "-x509", *curve, "-days", "30", "-subj", "/CN=our robots", "-addext",
                      "basicConstraints=critical,CA:TRUE", "-keyout", f / "ca.key", "-out", f / "ca.crt"],
                     ["req", *curve, "-subj", f"/CN={NAME}", "-keyout", f / "robot.key", "-out", f / "robot.csr"],
                     ["x509", "-req", "-in", f / "robot.csr", "-CA", f / "ca.crt", "-CAkey", f / "ca.key",
                      "-CAcreateserial", "-days", "30", "-out", f / "robot.crt", "-extfile", f / "san"]):
            subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    def connect(self, name=NAME):
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        raw = socket.create_connection(("127.0.0.1", HTTPS), timeout=10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return context.wrap_socket(raw, server_hostname=name)
        except Exception:
            raw.close()
            raise

    def answers(self):
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def talk(self, data, wait=8):
        """Sends, reads until closed or quiet for so long. -> (bytes, "closed" | "open")"""
        got = b""
        with self.connect() as s:
            try:
                for at in range(0, len(data), 4096):
                    s.sendall(data[at:at + 4096])
                    if len(data) > 4096 and select.select([s], [], [], 0.005)[0]:
                        break  # it answers already: what is sent after that would cut its answer off
                while s.pending() or select.select([s], [], [], wait)[0]:
                    part = s.recv(65536)
                    if not part:
                        return got, "closed"
                    got += part
            except (ConnectionError, ssl.SSLError):
                return got, "closed"
        return got, "open"

    def ask(self, method, path, body=None, headers=None):
        """-> (status, headers as text, document)"""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {NAME}:{HTTPS}", "Connection: close", f"Content-Length: {len(data)}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        got, _ = self.talk("\r\n".join(lines).encode() + b"\r\n\r\n" + data, 20)
        head, _, rest = got.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            rest = b"".join(re.findall(rb"^[{\[].*", rest, re.M))
        return (statuses(head) or [0])[0], head.decode(), json.loads(rest) if rest[:1] in (b"{", b"[") else rest


def plain(data):
    with socket.create_connection(("127.0.0.1", HTTP), timeout=10) as s:
        s.sendall(data)
        got = b""
        while part := s.recv(65536):
            got += part
    return got


def start_agent(folder):
    set_ = [f"storage.dir={folder}/data", f"http.socket={folder}/agent.sock", f"http.listen=127.0.0.1:{AGENT}",
            f"discovery.domains={DOMAIN}", "buffer.ring_size=8MiB", f"http.hosts={NAME}", "http.trusted_proxies=127.0.0.1"]
    p = bp.Proc([bp.BAGPIPE, "agent", "--set", *set_])
    bp.until(lambda: "agent is ready" in p.text() or not p.alive(), 20, "the agent")
    bp.check(p.alive(), f"the agent runs: {p.text()[-500:]}")
    return p, set_


def malformed(front, agent, token):
    sessions = {"Authorization": f"Bearer {token}"}
    for name, data, want in rows(token):
        got, how = front.talk(data)
        codes = statuses(got)
        bp.say(f"  {name:20} {','.join(map(str, codes)) or '-':10} {how}")
        bp.check(codes == [want], f"{name}: {codes}, expected [{want}]")
        bp.check(how == "closed", f"{name}: the connection is {how}")
        start = time.monotonic()
        bp.check(front.ask("GET", "/healthz")[0] == 200, f"{name}: a good request afterwards")
        bp.check(time.monotonic() - start < 2.5, f"{name}: it took {time.monotonic() - start:.2f} s")
    bp.check(agent.alive(), "the agent lives")
    listed = front.ask("GET", "/api/v1/sessions", headers=sessions)[2]
    bp.check(listed["sessions"] == [], f"a smuggled request was carried out: {listed}")
    log = (front.folder / "access.log").read_text()
    bp.check("POST /api/v1/sessions" not in log, "nginx has seen no second request")
    # the smuggled bytes are good ones: on their own they do what they say
    bp.check(statuses(front.talk(smuggled(token), 1)[0]) == [201], "the same request, not smuggled")
    bp.check(len(front.ask("GET", "/api/v1/sessions", headers=sessions)[2]["sessions"]) == 1, "is carried out")
    front.ask("POST", "/api/v1/sessions/current/stop", headers=sessions)


def names(front):
    """Plain HTTP leads to HTTPS; other names get nothing."""
    got = plain(b"GET /a?b=c HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nConnection: close\r\n\r\n")
    bp.check(statuses(got) == [308] and f"Location: https://{NAME}/a?b=c\r\n".encode() in got, f"redirect: {got[:200]}")
    bp.check(plain(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n") == b"", "another name over HTTP")
    try:
        front.connect("evil.example")
        bp.fail("another SNI is served")
    except ssl.SSLError as e:
        bp.check("UNRECOGNIZED_NAME" in str(e).upper() or "ALERT" in str(e).upper(), f"another SNI: {e}")
    got, how = front.talk(b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    bp.check(got == b"" and how == "closed", f"another Host with our SNI: {got[:100]}")
    status, head, _ = front.ask("GET", "/healthz")
    bp.check("Strict-Transport-Security: max-age=31536000" in head and "nginx/" not in head, f"headers: {head}")


def events(front, cookie):
    """The events WebSocket through nginx: with the cookie, from our own page only."""
    def shake(**headers):
        lines = ["GET /api/v1/events HTTP/1.1", f"Host: {NAME}:{HTTPS}", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        lines += [f"{k}: {v}" for k, v in headers.items()]
        s = front.connect()
        s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got and (part := s.recv(4096)):
            got += part
        return s, statuses(got), got

    own = f"https://{NAME}:{HTTPS}"
    for headers, want in (({"Origin": own}, 401), ({"Cookie": cookie, "Origin": "https://evil.example"}, 403),
                          ({"Cookie": cookie, "Origin": own}, 101)):
        s, codes, got = shake(**headers)
        with s:
            bp.check(codes == [want], f"events with {headers}: {codes}, expected {want}")
            if want == 101:
                bp.check(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in got, f"the answer to the key (RFC 6455): {got[:300]}")
                frames = got.partition(b"\r\n\r\n")[2]
                while b"hello" not in frames:
                    part = s.recv(4096)
                    if not part:
                        break
                    frames += part
                bp.check(frames[:1] == b"\x81" and b"hello" in frames, f"its hello: {frames[:200]}")


def logins(front):
    """A cookie over TLS; what clients make up about themselves does not count."""
    spoofed = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    bp.check(front.ask("GET", "/api/v1/status", headers=spoofed)[0] == 401, "a made-up address")
    status, head, me = front.ask("POST", "/api/v1/login", {"user": "alice", "password": PASSWORD})
    cookie = re.search(r"Set-Cookie: (\S+?);(.*)", head)
    bp.check(status == 200 and cookie, f"login: {status} {head}")
    for flag in ("HttpOnly", "SameSite=Strict", "Secure", "Path=/"):
        bp.check(flag in cookie[2], f"{flag} of the cookie: {cookie[2]}")
    mine = {"Cookie": cookie[1]}
    me = front.ask("GET", "/api/v1/whoami", headers=mine)[2]
    bp.check((me["user"], me["role"], me["by"]) == ("alice", "admin", "login"), f"whoami: {me}")
    for origin, want in ((f"https://{NAME}:{HTTPS}", 404), (f"https://evil.example", 403), (f"https://{NAME}", 403)):
        status = front.ask("POST", "/api/v1/sessions/none/stop", {}, headers={**mine, "Origin": origin})[0]
        bp.check(status == want, f"a page of {origin}: {status}, expected {want}")
    events(front, cookie[1])
    codes = [front.ask("POST", "/api/v1/login", {"user": f"guess{i}", "password": PASSWORD},
                       headers={"X-Forwarded-For": f"192.0.2.{i}"}) for i in range(14)]
    bp.check(any(c[0] == 429 and "too many attempts" in c[2]["detail"] for c in codes if isinstance(c[2], dict)),
             f"one client with many made-up addresses is slowed down: {[c[0] for c in codes]}")
    bp.check(front.ask("POST", "/api/v1/logout", headers=mine)[0] == 204, "logout")
    bp.check(front.ask("GET", "/api/v1/status", headers=mine)[0] == 401, "has logged out")


def slowloris(front, n):
    """Heads that trickle are cut after 10 s, and others are served meanwhile."""
    conns = [front.connect() for _ in range(n)]
    start, ends, slowest, last = time.monotonic(), {}, 0, 0
    for s in conns:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: " + HOST + b"\r\n")
        s.setblocking(False)
    while len(ends) < n and time.monotonic() < start + 50:
        for s in conns:
            if s in ends:
                continue
            try:
                s.send(b"X")  # a header that never ends
                if s.recv(1) == b"":
                    ends[s] = time.monotonic() - start
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except OSError:
                ends[s] = time.monotonic() - start
        if time.monotonic() > last + 1:
            last = time.monotonic()
            bp.check(front.ask("GET", "/healthz")[0] == 200, "a good request meanwhile")
            slowest = max(slowest, time.monotonic() - last)
        time.sleep(0.2)
    times = sorted(ends.values()) or [0]
    bp.say(f"  {len(ends)} of {n} cut after {times[0]:.1f} to {times[-1]:.1f} s; slowest good request {slowest * 1000:.0f} ms")
    bp.check(len(ends) == n and times[0] > 8 and times[-1] < 50, "all are cut after 10 s")
    bp.check(slowest < 2.5, f"a good request took {slowest:.2f} s")
    for s in conns:
        s.close()


def streams(front):
    """WebSockets and downloads, with a server whose handlers do nothing else."""
    probe = bp.Proc([bp.BUILD / "test" / "system" / "http-probe", "127.0.0.1:0"])
    address = bp.until(lambda: probe.log.read_text().strip(), 10, "the probe")
    front.reload(int(address.rsplit(":", 1)[1]))
    with front.connect() as s:
        s.sendall(b"GET /api/upgrade HTTP/1.1\r\nHost: " + HOST + b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        got = s.recv(4096)
        bp.check(statuses(got) == [101], f"upgrade: {got[:200]}")
        for size in (1, 1000, 100_000):
            data, back = os.urandom(size), b""
            s.sendall(data)
            while len(back) < size:
                back += s.recv(65536)
            bp.check(back == data, f"{size} bytes there and back")
    bp.check(statuses(front.talk(b"GET /api/upgrade HTTP/1.1\r\nHost: " + HOST + b"\r\nConnection: Upgrade\r\n"
                                 b"Upgrade: h2c\r\n\r\n", 1)[0]) == [426], "no other protocol is passed on")
    with front.connect() as s:  # asks for 64 MiB and reads nothing of it
        s.sendall(b"GET /api/big HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n")
        time.sleep(1)
        stored = sum(f.stat().st_size for f in (front.folder / "proxy").rglob("*") if f.is_file())
        bp.check(stored == 0, f"nginx has stored {stored} bytes")
        got = 0
        while got < 64 << 20:
            part = s.recv(1 << 20)
            if not part:
                break
            got += len(part)
        bp.check(got >= 64 << 20, f"the download came whole: {got}")
    probe.stop(sig=signal.SIGTERM)


def test():
    folder = bp.scratch()
    agent, set_ = start_agent(folder)
    front = Front(folder, AGENT)
    # nobody has an account: nginx on this machine does not make the world admin
    status, _, problem = front.ask("GET", "/api/v1/status")
    bp.check(status == 401 and "bagpipe user add" in problem["detail"], f"no account: {status} {problem}")
    bp.check(front.ask("POST", "/api/v1/users", {"name": "eve", "role": "admin", "password": PASSWORD})[0] == 401, "nor let it make one")
    subprocess.run([bp.BAGPIPE, "user", "add", "alice", "--role", "admin", "--set", *set_], input=PASSWORD, text=True, check=True, timeout=60)
    token = bp.bagpipe("token", "new", "op", "--role", "operator", "--set", *set_)[1].strip()
    malformed(front, agent, token)
    names(front)
    logins(front)
    slowloris(front, bp.amount(50, 200))
    streams(front)
    bp.check(agent.stop(timeout=20, sig=signal.SIGTERM) == 0, f"the agent ends: {agent.text()[-2000:]}")
    bp.check(front.p.stop(sig=signal.SIGTERM) == 0, f"nginx ends: {front.p.text()}")
    errors = (folder / "error.log").read_text()
    bp.check("[emerg]" not in errors and "[alert]" not in errors and "[crit]" not in errors, f"nginx complains: {errors[-500:]}")


NGINX = "/usr/sbin/nginx"
if __name__ == "__main__":
    if not os.path.exists(NGINX):
        bp.skip("nginx is not installed")
    bp.need("openssl")
    bp.own_network()
    bp.main(test)
