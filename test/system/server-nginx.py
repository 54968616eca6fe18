"""The shipped nginx configuration in front of a real server, over TLS with an authority of our own: a device enrols with a
one-time token, signs for the name it knows, uploads a session of 40 MiB in parts that nginx does not store; wrong
authorities and names are refused; limits see the client and not the proxy; the link is a WebSocket.
"""
import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import bp
from device import Device

HTTP, HTTPS, SERVER = 19880, 19843, 19890
NAME = "site.example.com"
HOST = f"{NAME}:{HTTPS}"


class Site(http.client.HTTPSConnection):
    """To 127.0.0.1, by the site's name."""

    def __init__(self, ca, name=NAME):
        context = ssl.create_default_context(cafile=str(ca))
        super().__init__(name, HTTPS, timeout=30, context=context)
        self.context, self.name = context, name

    def connect(self):
        self.sock = self.context.wrap_socket(socket.create_connection(("127.0.0.1", HTTPS), timeout=30),
                                             server_hostname=self.name)


def certificates(folder, ca="ca", name=NAME):
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    (folder / "san").write_text(f"subjectAltName=DNS:{name}")
    for args in (["req", "-x509", *curve, "-days", "30", "-subj", f"/CN=our {ca}", "-addext",
                  "basicConstraints=critical,CA:TRUE", "-keyout", folder / f"{ca}.key", "-out", folder / f"{ca}.crt"],
                 ["req", *curve, "-subj", f"/CN={name}", "-keyout", folder / "site.key", "-out", folder / "site.csr"],
                 ["x509", "-req", "-in", folder / "site.csr", "-CA", folder / f"{ca}.crt", "-CAkey", folder / f"{ca}.key",
                  "-CAcreateserial", "-days", "30", "-out", folder / "site.crt", "-extfile", folder / "san"]):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def front(folder):
    text = (bp.REPO / "deploy" / "nginx" / "bagpipe-server.conf").read_text()
    for old, new, times in (("listen 80", f"listen 127.0.0.1:{HTTP}", 2), ("listen 443", f"listen 127.0.0.1:{HTTPS}", 2),
                            ("/etc/ssl/bagpipe/", f"{folder}/", 2), ("127.0.0.1:8080", f"127.0.0.1:{SERVER}", 1)):
        bp.check(text.count(old) == times, f"'{old}' stands {text.count(old)} times in the configuration")
        text = text.replace(old, new)
    (folder / "bagpipe.conf").write_text(text)
    (folder / "nginx.conf").write_text(f"""
        user root; worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log notice;
        events {{ worker_connections 2048; }}
        http {{
            access_log {folder}/access.log;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            include {folder}/bagpipe.conf;
        }}""")
    p = bp.Proc([NGINX, "-e", folder / "error.log", "-c", folder / "nginx.conf", "-p", folder])

    def answers():
        try:
            socket.create_connection(("127.0.0.1", HTTPS), timeout=1).close()
            return True
        except OSError:
            return not p.alive()

    bp.until(answers, 20, "nginx", 0.05)
    bp.check(p.alive(), f"nginx runs: {p.text()}")
    return p


def ask(folder, method, path, body=None, token=None, headers=None, ca="ca.crt"):
    c = Site(folder / ca)
    h = {"Host": HOST, **(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    c.request(method, path, data, h)
    r = c.getresponse()
    text = r.read()
    c.close()
    try:
        return r.status, json.loads(text)
    except ValueError:
        return r.status, text


def upload(folder, token, data):
    """As docs/api/uploads.md says."""
    session, sha = "01KC0000000000000000000000", hashlib.sha256(data).hexdigest()
    status, got = ask(folder, "PUT", f"/api/v1/ingest/sessions/{session}",
                      {"name": "run", "device": "robot_1", "robots": ["robot_1"], "started_ns": "1700000000000000000"}, token)
    bp.check(status in (200, 201), f"session: {status} {got}")
    status, up = ask(folder, "POST", "/api/v1/uploads", {"session": session, "file": "run_0.bin", "bytes": len(data),
                                                         "sha256": sha, "kind": "other"}, token)
    bp.check(status == 201, f"upload: {status} {up}")
    size = up["part_bytes"]
    for n in range((len(data) + size - 1) // size):
        part = data[n * size:(n + 1) * size]
        digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
        status, got = ask(folder, "PUT", f"/api/v1/uploads/{up['id']}/parts/{n}", part, token,
                          {"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/octet-stream"})
        bp.check(status == 204, f"part {n}: {status} {got}")
    status, got = ask(folder, "POST", f"/api/v1/uploads/{up['id']}/complete", {}, token)
    bp.check(status == 200 and got["state"] == "stored", f"complete: {status} {got}")
    stored = sum(f.stat().st_size for f in (folder / "body").rglob("*") if f.is_file())
    bp.check(stored == 0 and "a client request body is buffered" not in (folder / "error.log").read_text(),
             f"nginx stored nothing of it: {stored}")
    c = Site(folder / "ca.crt")
    c.request("GET", f"/api/v1/objects/{sha}", headers={"Host": HOST, "Authorization": f"Bearer {token}"})
    back = c.getresponse().read()
    bp.check(back == data, f"{len(back)} bytes came back")


def refused(folder):
    certificates(folder / "other")
    for ca, name in ((folder / "other" / "ca.crt", NAME), (folder / "ca.crt", "evil.example.com")):
        try:
            c = Site(ca, name)
            c.request("GET", "/healthz", headers={"Host": HOST})
            bp.fail(f"{ca.parent.name} {name} is believed")
        except ssl.SSLError as e:
            bp.check("VERIFY" in str(e).upper() or "ALERT" in str(e).upper() or "UNRECOGNIZED" in str(e).upper(), f"{e}")


def link(folder, token):
    s = ssl.create_default_context(cafile=str(folder / "ca.crt")).wrap_socket(
        socket.create_connection(("127.0.0.1", HTTPS), timeout=20), server_hostname=NAME)
    s.sendall((f"GET /api/v1/link HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               f"Sec-WebSocket-Protocol: bagpipe-link.1\r\nAuthorization: Bearer {token}\r\n\r\n").encode())
    head = s.recv(4096)
    bp.check(b" 101 " in head.split(b"\r\n")[0], f"the link through nginx: {head[:300]}")
    s.close()


def main():
    folder = bp.scratch()
    (folder / "other").mkdir()
    certificates(folder)
    p = bp.Proc([bp.BAGPIPE, "server", "--dir", folder / "data", "--set", f"http.socket={folder}/s.sock",
                 f"http.listen=127.0.0.1:{SERVER}", "events.listen=127.0.0.1:0", "metrics.listen=127.0.0.1:0",
                 f"server.url=https://{HOST}", f"http.hosts={NAME}", "auth.mode=required", "auth.trusted_proxies=127.0.0.1",
                 "auth.rate=5", "auth.burst=60"])
    bp.until(lambda: "server is ready" in p.text() or not p.alive(), 30, "the server")
    bp.check(p.alive(), p.text()[-500:])
    nginx = front(folder)
    once = None
    out = subprocess.run(["curl", "-sS", "--unix-socket", f"{folder}/s.sock", "-d", '{"name": "one"}', "-H",
                          "Content-Type: application/json", "http://localhost/api/v1/enrolments"], capture_output=True,
                         text=True, check=False, timeout=20)
    once = json.loads(out.stdout)["token"]
    bp.check(ask(folder, "GET", "/api/v1/status")[0] == 401, "nobody is let in through the proxy unproved")
    d = Device("robot_1")
    status, got = ask(folder, "POST", "/api/v1/devices/enroll", d.enrolment(once))
    bp.check(status == 201 and got["state"] == "accepted", f"enrolled: {status} {got}")
    nonce = ask(folder, "POST", "/api/v1/devices/challenge", {"device": "robot_1"})[1]["nonce"]
    bp.check(ask(folder, "POST", "/api/v1/devices/token", d.answer(nonce, f"127.0.0.1:{SERVER}"))[0] == 401,
             "an answer for another name is no answer")
    status, got = ask(folder, "POST", "/api/v1/devices/token", d.answer(nonce, HOST))
    bp.check(status == 200, f"token: {status} {got}")
    token = got["token"]
    upload(folder, token, os.urandom(40 << 20))
    link(folder, token)
    refused(folder)
    codes = [ask(folder, "GET", "/api/v1/alerts", token="bp_" + "C" * 43, headers={"X-Forwarded-For": f"192.0.2.{i}"})[0]
             for i in range(80)]
    bp.check(codes[-1] == 429, f"one client that makes up addresses is one client: {codes}")
    bp.check(ask(folder, "GET", "/api/v1/status", token=token)[0] == 200, "the device is not concerned")
    nginx.stop(sig=signal.SIGTERM)
    p.stop(sig=signal.SIGTERM)


NGINX = "/usr/sbin/nginx"
if not os.access(NGINX, os.X_OK):
    bp.skip(f"{NGINX} is not installed")
bp.need("openssl", "curl")
bp.main(main)
