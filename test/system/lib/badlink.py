"""A link that drops, crawls and lies: an HTTP proxy that forwards request by request to one server and spoils
some of them. TLS with a certificate of the test's own is ended here, so that a client's trust can be tried.

Faults, each a share of the requests it fits: cut (the connection ends within the body), stall (nothing moves any
more), corrupt (one byte of the body is another), error500, busy503 (with Retry-After), skew403 (as S3 says that
the clock is wrong), truncate (the answer ends early), deaf (the server got all, the answer is lost).
"""
import random
import socket
import ssl
import subprocess
import threading
import time
from email.utils import formatdate

PIECE = 64 << 10
SKEW = (b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>RequestTimeTooSkewed</Code>'
        b'<Message>The difference between the request time and the current time is too large.</Message></Error>')


class Broken(Exception):
    pass


class Stream:
    """Bytes of a socket: up to a line's end, or so many."""

    def __init__(self, sock):
        self.sock = sock
        self.kept = b""

    def more(self):
        got = self.sock.recv(PIECE)
        if not got:
            raise Broken("closed")
        return got

    def head(self):
        """@return (first line, headers in lower case, the bytes), or None when nothing more comes"""
        while b"\r\n\r\n" not in self.kept:
            got = self.sock.recv(PIECE)
            if not got:
                if self.kept:
                    raise Broken("closed in a head")
                return None
            self.kept += got
        raw, _, self.kept = self.kept.partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        return lines[0], fields, raw + b"\r\n\r\n"

    def pieces(self, n):
        """Yields n bytes as they come."""
        while n:
            if not self.kept:
                self.kept = self.more()
            take, self.kept = self.kept[:n], self.kept[n:]
            n -= len(take)
            yield take

    def chunked(self):
        """Yields the bytes of a chunked body as they are on the wire."""
        while True:
            while b"\r\n" not in self.kept:
                self.kept += self.more()
            line, _, self.kept = self.kept.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line + b"\r\n"
            yield from self.pieces(size + 2)
            if size == 0:
                return


class Link:
    """
    :param to: (host, port) of the server, or the path of its unix socket
    :param faults: {kind: share from 0 to 1}
    :param rng: where chance comes from
    :param rate: bytes a second of all bodies together, 0 = as fast as it goes
    :param cert: (certificate file, key file): clients speak TLS
    """

    def __init__(self, to, faults=None, rng=None, rate=0, cert=None, stall=8):
        self.to, self.faults, self.rng, self.rate, self.stall = to, dict(faults or {}), rng or random.Random(1), rate, stall
        self.lock = threading.Lock()
        self.up = True
        self.done = {}          # kind of fault -> how often
        self.sent = {}          # (method, path) -> bytes of request bodies that reached the server whole and true
        self.answered = {}      # (method, path) -> times that an answer below 300 went back whole
        self.body_bytes = 0     # of requests, whatever became of them
        self.conns = set()
        self.next_free = 0.0
        self.tls = None
        if cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*cert)
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listening.getsockname()[1]
        self.url = f"{'https' if cert else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what a test does ----

    def cut(self):
        """No link from now on; what is under way breaks."""
        with self.lock:
            self.up = False
            conns, self.conns = self.conns, set()
        for c in conns:
            self._reset(c)

    def restore(self):
        self.up = True

    def close(self):
        self.cut()
        self.listening.close()

    # ---- inside ----

    @staticmethod
    def _reset(c):
        try:
            c.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            c.close()
        except OSError:
            pass

    def _accept(self):
        while True:
            try:
                c, _ = self.listening.accept()
            except OSError:
                return
            if not self.up:
                self._reset(c)
                continue
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _server(self):
        if isinstance(self.to, (str, bytes)):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.to)
            return s
        s = socket.create_connection(self.to, timeout=30)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def _serve(self, c):
        server = None
        try:
            c.settimeout(120)
            if self.tls:
                c = self.tls.wrap_socket(c, server_side=True)
            else:
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.conns.add(c)
            client = Stream(c)
            while True:
                head = client.head()
                if head is None:
                    break
                if server is None:
                    server = Stream(self._server())
                if not self._request(client, server, head):
                    break
        except (OSError, Broken, ssl.SSLError, ValueError):
            pass
        finally:
            with self.lock:
                self.conns.discard(c)
            self._reset(c)
            if server:
                self._reset(server.sock)

    def _fault(self, n):
        with self.lock:
            for kind, share in self.faults.items():
                if self.rng.random() < share:
                    if kind in ("cut", "stall", "corrupt") and n == 0:
                        continue
                    self.done[kind] = self.done.get(kind, 0) + 1
                    return kind, self.rng.randrange(max(n, 1))
        return None, 0

    def _pace(self, n):
        if not self.rate:
            return
        with self.lock:
            now = time.monotonic()
            self.next_free = max(now, self.next_free) + n / self.rate
            wait = self.next_free - now
        if wait > 0:
            time.sleep(wait)

    def _refuse(self, client, fields, n, kind):
        for piece in client.pieces(n):
            self._pace(len(piece))
            with self.lock:
                self.body_bytes += len(piece)
        now = formatdate(usegmt=True)
        body, kind_of, more, status = b"", "text/plain", "", "500 Internal Server Error"
        if kind == "busy503":
            status, more = "503 Service Unavailable", "Retry-After: 1\r\n"
        elif kind == "skew403":
            status, body, kind_of = "403 Forbidden", SKEW, "application/xml"
        client.sock.sendall(f"HTTP/1.1 {status}\r\nDate: {now}\r\n{more}Content-Type: {kind_of}\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    def _request(self, client, server, head):
        line, fields, raw = head
        method, path = line.split(" ")[:2]
        n = int(fields.get("content-length", 0))
        kind, at = self._fault(n)
        if kind in ("error500", "busy503", "skew403"):
            if fields.get("expect", "").lower() == "100-continue":
                client.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            return self._refuse(client, fields, n, kind)
        server.sock.sendall(raw)
        if fields.get("expect", "").lower() == "100-continue":
            got = server.head()
            if got is None:
                raise Broken("no answer")
            client.sock.sendall(got[2])
            if " 100" not in got[0][:13]:
                return self._answer(client, server, method, path, got, kind)
        passed = 0
        for piece in client.pieces(n):
            self._pace(len(piece))
            with self.lock:
                self.body_bytes += len(piece)
            if kind in ("cut", "stall") and passed + len(piece) > at:
                server.sock.sendall(piece[:max(at - passed, 0)])
                if kind == "stall":
                    time.sleep(self.stall)
                raise Broken(kind)
            if kind == "corrupt" and passed <= at < passed + len(piece):
                k = at - passed
                piece = piece[:k] + bytes([piece[k] ^ 1]) + piece[k + 1:]
            server.sock.sendall(piece)
            passed += len(piece)
        return self._answer(client, server, method, path, server.head(), kind, n)

    def _answer(self, client, server, method, path, got, kind, n=0):
        if got is None:
            raise Broken("no answer")
        line, fields, raw = got
        while " 100" in line[:13]:
            line, fields, raw = server.head()
        status = int(line.split(" ")[1])
        if status < 300 and kind != "corrupt":
            with self.lock:
                self.sent[(method, path)] = self.sent.get((method, path), 0) + n
        if kind == "deaf":
            raise Broken("deaf")
        client.sock.sendall(raw)
        if method == "HEAD" or status in (204, 304):
            body = ()
        elif "chunked" in fields.get("transfer-encoding", "").lower():
            body = server.chunked()
        else:
            size = int(fields.get("content-length", 0))
            body = server.pieces(size // 2 if kind == "truncate" and size else size)
        for piece in body:
            self._pace(len(piece))
            client.sock.sendall(piece)
        if kind == "truncate":
            raise Broken("truncated")
        if status < 300:
            with self.lock:
                self.answered[(method, path)] = self.answered.get((method, path), 0) + 1
        return fields.get("connection", "").lower() != "close"


def own_ca(folder):
    """A CA of our own and a certificate for 127.0.0.1 by it, made with openssl's program.

    @return (CA certificate, (server certificate, its key))
    """
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    cert, key, csr = folder / "server.pem", folder / "server.key", folder / "server.csr"
    ext = folder / "server.ext"
    ext.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")

    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN=test {folder.name}", "-keyout", ca_key, "-out", ca)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1",
            "-keyout", key, "-out", csr)
    openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", ext,
            "-out", cert)
    return ca, (cert, key)
