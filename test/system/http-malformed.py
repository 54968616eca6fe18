"""Malformed requests, slow ones and clients that do not read, straight at the HTTP server: none
crashes it, stalls it or leaks, and what one proxy could read otherwise is refused."""
import os
import re
import select
import socket
import threading
import time

import bp

GOOD = b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
POST = b"POST /api/echo HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

# What is sent, and the status of the first answer where only one is right.
ROWS = (
    ("CL+TE", POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    ("2 CLs", POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED, 400),
    ("TE xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 501),
    ("space before colon", POST + b"Content-Length : 5\r\n\r\nhello", 400),
    ("neg CL", POST + b"Content-Length: -5\r\n\r\nhello", 400),
    ("CL +5", POST + b"Content-Length: +5\r\n\r\nhello", 400),
    ("bare LF", b"GET /api/hello HTTP/1.1\nHost: localhost\nConnection: close\n\n", 200),
    ("no Host", b"GET /api/hello HTTP/1.1\r\n\r\n", 400),
    ("2 Hosts", b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n", 400),
    ("NUL in header", b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", None),
    ("bare CR in header", b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", None),
    ("obs-fold", b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", None),
    ("chunk overflow", POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx\r\n0\r\n\r\n", None),
    ("chunk bad hex", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n", 400),
    ("header of 100 KB", b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", None),
    ("5000 headers", b"GET /api/hello HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 5000 + b"\r\n", None),
    ("URI of 70 KB", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", None),
    ("garbage", os.urandom(64).replace(b"\n", b"x") + b"\r\n\r\n", None),
    ("TLS", bytes.fromhex("16030100c6010000c20303") + os.urandom(180), None),
    ("half a head", b"GET /api/hello HTT", None),
    ("half a body", POST + b"Content-Length: 100\r\n\r\nhalf", None),
)


LEAK = 64  # bytes a request; less than the smallest thing that could be forgotten


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def statuses(data):
    return [int(m) for m in re.findall(rb"HTTP/1\.[01] (\d{3}) ", data)]


def talk(port, data, wait=1.5):
    """Sends, reads until closed or quiet for so long. -> (bytes, "closed" | "reset" | "open")"""
    got = b""
    with connect(port) as s:
        try:
            s.sendall(data)
            while select.select([s], [], [], wait)[0]:
                part = s.recv(65536)
                if not part:
                    return got, "closed"
                got += part
        except (ConnectionResetError, BrokenPipeError):
            return got, "reset"
    return got, "open"


def good(port):
    start = time.monotonic()
    got, how = talk(port, GOOD, 5)
    return statuses(got) == [200] and how == "closed", time.monotonic() - start


def metric(port, name):
    got, _ = talk(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 5)
    return sum(float(m) for m in re.findall(rb"^" + name.encode() + rb"(?:\{[^}]*\})? (\S+)$", got, re.M))


def state(pid):
    rss = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])
    return len(os.listdir(f"/proc/{pid}/fd")), rss


def quiet(port, pid, fds, what):
    """Back at rest: nothing in flight, no descriptor kept. One connection is our own question."""
    for _ in range(80):
        now = metric(port, "bagpipe_http_in_flight"), metric(port, "bagpipe_http_connections"), state(pid)[0]
        if now[0] <= 1 and now[1] <= 1 and now[2] <= fds + 1:
            return
        time.sleep(0.1)
    bp.fail(f"{what}: in flight, connections, descriptors {now}, {fds} before")


def rows(port, pid):
    fds, _ = state(pid)
    for name, data, want in ROWS:
        got, how = talk(port, data)
        codes = statuses(got)
        bp.say(f"  {name:20} {','.join(map(str, codes)) or '-':10} {how}")
        bp.check(want is None or codes[:1] == [want], f"{name}: {codes}, wanted {want}")
        bp.check(b"smuggled" not in got, f"{name}: the second request was executed")
        bp.check(all(c in (200, 400, 404, 413, 414, 421, 431, 501) for c in codes), f"{name}: {codes}")
        ok, took = good(port)
        bp.check(ok and took < 1, f"{name}: a good request afterwards took {took:.2f} s")
    quiet(port, pid, fds, "malformed requests")


def again(port, pid, rounds):
    """The rows over and over, several at once: memory comes to rest."""
    def run(n):
        for _ in range(n):
            for name, data, _ in ROWS:
                with connect(port) as s:
                    try:
                        s.sendall(data)
                        s.recv(100) if not name.startswith("half") and name != "TLS" else None
                    except OSError:
                        pass

    def rush(n):
        threads = [threading.Thread(target=run, args=(n,)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    fds, before = state(pid)
    grown = []
    # The allocator fills an arena for each thread, which takes a while; a leak grows for ever.
    while len(grown) < 8 and (not grown or grown[-1] > LEAK * rounds * 4 * len(ROWS) // 1024):
        rush(rounds)
        quiet(port, pid, fds, "again")
        grown.append(state(pid)[1] - before - sum(grown))
    bp.say(f"  bad requests, {rounds * 4 * len(ROWS)} a round: RSS from {before} KiB by {grown}")
    bp.check(len(grown) < 8, f"RSS grows with every round: by {grown} KiB")


def slowloris(port, pid, n):
    fds, _ = state(pid)
    conns = [connect(port) for _ in range(n)]
    start, ends, slowest, last = time.monotonic(), {}, 0, 0
    for s in conns:
        s.sendall(b"GET /api/hello HTTP/1.1\r\n")
        s.setblocking(False)
    while len(ends) < n and time.monotonic() < start + 20:
        for s in conns:
            if s in ends:
                continue
            try:
                s.send(b"X")  # a header that never ends
                if s.recv(1) == b"":
                    ends[s] = time.monotonic() - start
            except BlockingIOError:
                pass
            except OSError:
                ends[s] = time.monotonic() - start
        if time.monotonic() > last + 1:
            last = time.monotonic()
            ok, took = good(port)
            slowest = max(slowest, took)
            bp.check(ok, "a good request meanwhile")
        time.sleep(0.2)
    times = sorted(ends.values()) or [0]
    bp.say(f"  {len(ends)} of {n} cut after {times[0]:.1f} to {times[-1]:.1f} s, "
           f"slowest good request meanwhile {slowest * 1000:.1f} ms")
    bp.check(len(ends) == n and times[0] > 9 and times[-1] < 12, "cut after 10 s")
    bp.check(slowest < 1, f"a good request took {slowest:.2f} s")
    for s in conns:
        s.close()
    quiet(port, pid, fds, "slowloris")


def not_reading(port, pid, n):
    """Clients that ask for 64 MiB and read nothing cost neither memory nor anybody's time."""
    fds, before = state(pid)
    conns = [connect(port) for _ in range(n)]
    for s in conns:
        s.sendall(b"GET /api/big HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.5)
    took = max(good(port)[1] for _ in range(20))
    after = state(pid)[1]
    bp.say(f"  {n} clients that do not read: RSS {before} -> {after} KiB, slowest good request {took * 1000:.1f} ms")
    bp.check(took < 0.5, f"a good request took {took:.2f} s")
    # what is sent is the same 64 MiB of zeros for all
    bp.check(after - before < 65536 + n * 64, f"RSS grew by {after - before} KiB")
    for s in conns:
        s.close()
    quiet(port, pid, fds, "not reading")


def main():
    d = bp.scratch()
    probe = bp.Proc([bp.BUILD / "test" / "system" / "http-probe", "127.0.0.1:0", f"unix:{d}/http.sock"])
    for _ in range(100):
        addresses = probe.log.read_text().split()
        if len(addresses) == 2:
            break
        time.sleep(0.05)
    port = int(addresses[0].rsplit(":", 1)[1])
    bp.check(good(port)[0], "a good request")
    rows(port, probe.pid)
    again(port, probe.pid, bp.amount(40, 500))
    not_reading(port, probe.pid, 30)
    slowloris(port, probe.pid, 100)
    bp.check(probe.alive(), "the server lives")
    os.kill(probe.pid, 15)
    bp.check(probe.wait(10) == 0, f"drained: {probe.log.read_text()}")
    bp.check(not (d / "http.sock").exists(), "the unix socket is gone")


bp.main(main)
