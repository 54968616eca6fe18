"""The dashboard from nginx alone, by deploy/nginx/bagpipe-dashboard.conf, with a real agent behind it: every file of
web/dist as it is, the page with a nonce of its own, the policy on every answer, paths that are not there, a sub-path
that another nginx strips, other places of API and events by config.json, logins, events. A real Chromium opens it
below the sub-path, and shows a page of the app without a breach of the policy.
"""
import gzip
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import bp
from care import Agent

DOMAIN = 143
PORT, OUTER = 19930, 19931
DIST = bp.REPO / "web" / "dist"
PASSWORD = "correct horse battery"
OUTER_CONF = """
    server {
        listen 127.0.0.1:%d;
        location /robots/ {
            proxy_pass http://127.0.0.1:%d/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $bagpipe_dashboard_connection;
            proxy_set_header X-Forwarded-Prefix /robots;
        }
    }""" % (OUTER, PORT)


class Front:
    def __init__(self, folder, api):
        self.folder = folder / "nginx"
        self.folder.mkdir()
        shutil.copytree(DIST, self.folder / "web")
        for f in (self.folder / "web" / "assets").iterdir():
            (f.parent / (f.name + ".gz")).write_bytes(gzip.compress(f.read_bytes()))
        text = (bp.REPO / "deploy" / "nginx" / "bagpipe-dashboard.conf").read_text()
        for old, new in (("listen 3000", f"listen 127.0.0.1:{PORT}"), ("127.0.0.1:8080;", f"{api};"),
                         ("/usr/share/bagpipe/web", f"{self.folder}/web")):
            bp.check(text.count(old) == 1, f"'{old}' stands {text.count(old)} times in the configuration")
            text = text.replace(old, new)
        (self.folder / "dashboard.conf").write_text(text)
        (self.folder / "nginx.conf").write_text(f"""
            user root; worker_processes 1; daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/error.log notice;
            events {{ worker_connections 512; }}
            http {{
                access_log {self.folder}/access.log;
                client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                include {self.folder}/dashboard.conf;
                {OUTER_CONF}
            }}""")
        self.p = bp.Proc(["nginx", "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf", "-p", self.folder])
        bp.until(lambda: listens(PORT) or not self.p.alive(), 20, "nginx", 0.05)
        bp.check(self.p.alive(), f"nginx runs: {self.p.text()}")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def ask(path, headers=None, method="GET", body=None, port=PORT):
    """-> (status, headers in lower case, bytes)"""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    data = None if body is None else json.dumps(body).encode()
    c.request(method, path, data, {"Content-Type": "application/json", **(headers or {})} if data else headers or {})
    r = c.getresponse()
    got = r.read()
    c.close()
    return r.status, {k.lower(): v for k, v in r.getheaders()}, got


PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def page(path="/", headers=None, port=PORT):
    """-> (base, nonce) of the page; everything that must hold for each of them is looked at."""
    status, head, body = ask(path, {**PAGE, **(headers or {})}, port=port)
    text = body.decode()
    policy = head.get("content-security-policy", "")
    nonce = re.search(r"style-src 'self' 'nonce-([0-9a-f]{32})'", policy)
    if not bp.check(status == 200 and nonce, f"{path}: {status} {head}"):
        return "", ""
    bp.check("__NONCE__" not in text and f'nonce="{nonce[1]}"' in text, f"{path}: its nonce is in it")
    bp.check("unsafe" not in policy and "frame-ancestors 'none'" in policy, f"{path}: {policy}")
    bp.check(head["cache-control"] == "no-store" and "etag" not in head and "last-modified" not in head, f"{path}: {head}")
    return re.search(r'<base href="([^"]*)"', text)[1], nonce[1]


def files():
    """Each as it is, of its kind; kept as long as its name allows; with the policy."""
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json"}
    n = 0
    for f in sorted(p for p in DIST.rglob("*") if p.is_file() and p.name not in ("index.html", "config.json")):
        path = "/" + str(f.relative_to(DIST))
        status, head, body = ask(path)
        bp.check(status == 200 and body == f.read_bytes(), f"{path}: {status}, {len(body)} bytes")
        if f.suffix in kinds:
            bp.check(head["content-type"].split(";")[0] == kinds[f.suffix], f"{path}: {head['content-type']}")
        bp.check("default-src 'self'" in head.get("content-security-policy", ""), f"{path}: {head}")
        if path.startswith("/assets/"):
            bp.check("immutable" in head["cache-control"], f"{path}: {head['cache-control']}")
            zipped = ask(path, {"Accept-Encoding": "gzip"})
            bp.check(zipped[1].get("content-encoding") == "gzip" and gzip.decompress(zipped[2]) == body, f"{path} by gzip")
        else:
            bp.check(ask(path, {"If-None-Match": head["etag"]})[0] == 304, f"{path} is not sent again")
        n += 1
    bp.check(n > 10, f"{n} files")


def places():
    (base, one), (_, other) = page(), page()
    bp.check(base == "/" and one != other, f"two pages, two nonces: {base} {one} {other}")
    for path in ("/topics", "/live?layout=a", "/sessions/01KC0000000000000000000000", "/index.html"):
        page(path)
    for path, headers in (("/topics", {"Accept": "*/*"}), ("/assets/index-none.js", PAGE), ("/assets/", PAGE), ("/none.js", {}),
                          ("/404", {})):
        status, head, _ = ask(path, headers)
        bp.check(status in (404, 403) and "content-security-policy" in head, f"{path}: {status} {head}")
    bp.check(ask("/..%2fdashboard.conf")[0] in (400, 404), "no file beside the folder")


def prefixes():
    for said, want in (("/robots", "/robots/"), ("/a/b", "/a/b/"), ("//evil.example", "/"), ("/a\"><script>", "/"),
                       ("https://evil.example", "/"), ("/a//b", "/")):
        got, _ = page(headers={"X-Forwarded-Prefix": said})
        bp.check(got == want, f"X-Forwarded-Prefix {said}: {got}")
    got, _ = page("/robots/topics", port=OUTER)
    bp.check(got == "/robots/", f"below a path: {got}")


def api():
    """The agent behind it knows that these come through a proxy."""
    bp.check(ask("/api/v1/status")[0] == 401, "nobody gets in without a login")
    bp.check(ask("/api/v1/status", {"X-Forwarded-For": "127.0.0.1"})[0] == 401, "a made-up address")
    status, head, _ = ask("/api/v1/login", method="POST", body={"user": "alice", "password": PASSWORD})
    bp.check(status == 200 and "HttpOnly" in head.get("set-cookie", ""), f"login: {status} {head}")
    cookie = {"Cookie": head["set-cookie"].split(";")[0]}
    bp.check(json.loads(ask("/api/v1/whoami", cookie)[2])["user"] == "alice", "whoami")
    for port, path in ((PORT, ""), (OUTER, "/robots")):
        bp.check(ask(f"{path}/api/v1/topics", cookie, port=port)[0] == 200, f"topics{path}")
        for origin, want in ((f"http://127.0.0.1:{port}", 404), ("http://evil.example", 403)):
            got = ask(f"{path}/api/v1/sessions/none/stop", {**cookie, "Origin": origin}, "POST", {}, port)[0]
            bp.check(got == want, f"a page of {origin}: {got}")
        bp.check(events(port, path, cookie) == 101, f"events{path}")
    for path in ("/metrics", "/healthz"):
        bp.check(ask(path)[0] == 404, f"{path} is not passed on")


def events(port, path, cookie):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(f"GET {path}/api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie['Cookie']}\r\n"
                  f"Origin: http://127.0.0.1:{port}\r\n\r\n".encode())
        got = b""
        while b"hello" not in got and (part := s.recv(4096)):
            got += part
        return int(got.split()[1]) if b"hello" in got else got


class Container:
    """What the container of the dashboard starts, on this machine: web.sh, told by its environment alone."""

    def __init__(self, folder, **env):
        paths = {"CONF": bp.REPO / "deploy/nginx/bagpipe-dashboard.conf", "FILES": DIST, "RUN": folder / "web"}
        self.p = bp.Proc([bp.REPO / "deploy/docker/web.sh"],
                         env={**{k: str(v) for k, v in paths.items()}, "LISTEN": f"127.0.0.1:{PORT}", **env})
        bp.until(lambda: listens(PORT) or not self.p.alive(), 20, "nginx of web.sh", 0.05)


def config(folder, api_at):
    """Other places of API and events, as browsers reach them."""
    urls = {"BACKEND_URL": "https://site.example.com/base", "WS_URL": "wss://site.example.com:8765/"}
    web = Container(folder, API=api_at, **urls)
    bp.check(web.p.alive(), f"web.sh: {web.p.text()}")
    status, head, body = ask("/config.json")
    bp.check(status == 200 and head["cache-control"] == "no-store" and
             json.loads(body) == {k.lower(): v for k, v in urls.items()}, f"config.json: {body}")
    for path in ("/", "/boot.js"):
        policy = ask(path, PAGE)[1]["content-security-policy"]
        bp.check("connect-src 'self' https://site.example.com wss://site.example.com wss://site.example.com:8765;" in policy, f"{path}: {policy}")
    page()
    bp.check(ask("/api/v1/status")[0] == 401, "API goes where it was told")
    web.p.stop(sig=signal.SIGQUIT)
    for name, value in (("API", "127.0.0.1:80; evil"), ("BACKEND_URL", 'https://a"; add_header X y'), ("WS_URL", "javascript:0"),
                        ("BACKEND_URL", "https://a\nb"), ("LISTEN", "3000 default")):
        web = Container(folder, **{name: value})
        bp.check(not web.p.alive() and web.p.p.returncode == 78 and name in web.p.text(), f"{name}={value!r}: {web.p.text()}")


def drawn(folder, url):
    """What Chromium makes of it: the sign-in, drawn by scripts that were all allowed."""
    if not shutil.which("chromium"):
        bp.say("no chromium: the page was not opened in one")
        return
    r = subprocess.run(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/chromium",
                        "--enable-logging=stderr", "--virtual-time-budget=15000", "--dump-dom",
                        url], capture_output=True, text=True, timeout=90)
    bp.check('type="password"' in r.stdout, f"it asks for a password: {r.stdout[-400:]} {r.stderr[-400:]}")
    said = [line for line in r.stderr.splitlines() if "CONSOLE" in line and url.rsplit("/", 1)[0] in line]
    bad = [line for line in said if "401" not in line and "no valid credentials" not in line]
    bp.check(not bad, f"its console is quiet: {bad[:3]}")


def elsewhere(folder, agent):
    """The API at its own origin: scripts of a page from ours may read it, since the agent was told of us; others not."""
    web = Container(folder, BACKEND_URL=agent.base)
    for origin, want in ((f"http://127.0.0.1:{PORT}", True), ("http://evil.example", False)):
        req = urllib.request.Request(agent.base + "/healthz", headers={"Origin": origin})
        allowed = urllib.request.urlopen(req, timeout=20).headers["Access-Control-Allow-Origin"]
        bp.check(allowed == (origin if want else None), f"{origin}: {allowed}")
    drawn(folder, f"http://127.0.0.1:{PORT}/topics")
    web.p.stop(sig=signal.SIGQUIT)


def test():
    bp.need("nginx")
    if not (DIST / "index.html").exists():
        bp.skip("web/dist is not there: built without the dashboard")
    folder = bp.scratch()
    agent = Agent(folder, DOMAIN, "http.trusted_proxies=127.0.0.1", f"http.origins=http://127.0.0.1:{PORT}")
    agent.tell("/api/v1/users", {"name": "alice", "role": "admin", "password": PASSWORD}, 201)
    at = agent.base.removeprefix("http://")
    front = Front(folder, at)
    began = time.monotonic()
    files()
    places()
    prefixes()
    api()
    drawn(folder, f"http://127.0.0.1:{OUTER}/robots/topics")
    doc = json.loads(ask("/config.json")[2])
    bp.check(doc == {"backend_url": "", "ws_url": ""}, f"config.json: {doc}")
    front.p.stop()
    config(folder, at)
    elsewhere(folder, agent)
    bp.say(f"{time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
