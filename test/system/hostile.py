"""Clients that mean no good while the agent records: 1,000 idle ones and 200 hostile ones (heads that trickle, half
requests, frames that claim a terabyte, WebSockets and streams that are never read, floods of pings and
subscriptions). The recording has every message, and GET /api/v1/status stays quick.
"""
import json
import multiprocessing
import os
import random
import re
import resource
import select
import signal
import socket
import time

import bp
from bag import Bag
from ws import WS, frame

DOMAIN = 134
SLACK = 5  # the machine has other work


class Agent:
    def __init__(self, folder):
        self.data = folder / "data"
        # it begins with the usual limit of open files
        self.p = bp.Proc(["sh", "-c", 'ulimit -Sn 1024 && exec "$@"', "sh", bp.BAGPIPE, "agent", "--set", f"storage.dir={self.data}", f"http.socket={folder / 'agent.sock'}",
                          "http.listen=127.0.0.1:0", f"discovery.domains={DOMAIN}", "buffer.ring_size=64MiB",
                          "http.max_connections=2000"])
        bp.until(lambda: "agent is ready" in self.p.text() or not self.p.alive(), 20, "the agent")
        self.address = ("127.0.0.1", int(re.findall(r"127\.0\.0\.1:(\d+)", self.p.text())[-1]))

    def http(self, method, path, body=""):
        """One request on a connection of its own. @return (seconds, document or None)"""
        begin = time.monotonic()
        with socket.create_connection(self.address, timeout=20) as s:
            s.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            data = b""
            while part := s.recv(65536):
                data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        ok = head.split(b" ", 2)[1:2] in ([b"200"], [b"201"])
        return time.monotonic() - begin, json.loads(rest) if ok and rest[:1] == b"{" else rest.decode() if ok else None


class Hostile(multiprocessing.Process):
    """One process plays all of them: each is a generator that does something at each beat."""

    def __init__(self, address, rng, count):
        super().__init__(daemon=True)
        self.address, self.rng, self.clients = address, rng, []
        self.stop, self.again = multiprocessing.Event(), multiprocessing.Value("i", 0)
        kinds = [self.slowloris, self.half, self.huge, self.deaf, self.deaf_stream, self.pings, self.asks, self.trickle_frame]
        self.kinds = [kinds[i % len(kinds)] for i in range(count)]

    def connect(self):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(5)
        s.connect(self.address)
        s.setblocking(False)
        return s

    def slowloris(self):
        s = self.connect()
        s.send(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n")
        while True:
            yield s
            s.send(b"X")

    def half(self):
        s = self.connect()
        s.send(b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        while True:
            yield s

    def _ws(self):
        w = WS(self.address, "/api/v1/events", rcvbuf=4096)
        w.s.setblocking(False)
        return w.s

    def huge(self):
        s = self._ws()
        s.send(b"\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00" + os.urandom(2000))
        while True:
            yield s

    def deaf(self):
        s = self._ws()
        s.send(frame(1, json.dumps({"subscribe": ["status", "topics", "sessions", "alerts", "log"]}).encode()))
        while True:
            yield s

    def deaf_stream(self):
        s = self.connect()
        s.send(b"GET /api/v1/events?topics=status,topics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while True:
            yield s

    def pings(self):
        s = self._ws()
        while True:
            yield s
            s.send(b"".join(frame(9, b"x" * 125) for _ in range(20)))

    def asks(self):
        """Never reads the answers."""
        s = self._ws()
        while True:
            yield s
            s.send(b"".join(frame(1, self.rng.choice((b"{", b'{"subscribe":["x"]}', b"[" * 5000, b'{"id":"' + b"y" * 5000 + b'"}')))
                            for _ in range(16)))

    def trickle_frame(self):
        s = self._ws()
        s.send(b"\x81\xfe\x10\x00\x00\x00\x00\x00")
        while True:
            yield s
            s.send(b"x")

    def run(self):
        while not self.stop.is_set():
            for i, kind in enumerate(self.kinds):
                if self.stop.is_set():
                    break
                try:
                    if i >= len(self.clients):
                        self.clients.append(kind())
                    next(self.clients[i])
                except BlockingIOError:
                    pass
                except (OSError, EOFError, StopIteration):  # cut: it comes again
                    self.again.value += 1
                    self.clients[i] = kind()
                time.sleep(0.0005)


def p99(values):
    return sorted(values)[int(0.99 * (len(values) - 1))]


def measure(agent, secs):
    """Status again and again. @return list of seconds"""
    took, end = [], time.monotonic() + secs
    while time.monotonic() < end:
        t, o = agent.http("GET", "/api/v1/status")
        bp.check(o is not None and "state" in o, f"status: {o}")
        took.append(t)
        time.sleep(0.01)
    return took


def ended(s):
    """Has the server closed it?"""
    try:
        return bool(select.select([s], [], [], 0)[0]) and s.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except OSError:
        return True


def test():
    rng = bp.seeded()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    agent = Agent(folder)
    bp.until(lambda: agent.http("GET", "/api/v1/status")[1]["graph"]["topics"] > 8, 15, "topics of the robot")
    bp.check(agent.http("POST", "/api/v1/sessions", '{"name": "besieged"}')[1] is not None, "recording")
    quiet = measure(agent, 2)

    n, secs = bp.amount(1000, 1000), bp.amount(15, 120)
    idle = [WS(agent.address, "/api/v1/events") for _ in range(n // 2)]
    idle += [WS(agent.address, "/api/v1/events") for _ in range(n - n // 2)]
    hostile = Hostile(agent.address, random.Random(rng.random()), 200)
    hostile.start()
    time.sleep(2)
    memory = bp.rss_kb(agent.p.pid)
    took = measure(agent, secs)
    after = bp.rss_kb(agent.p.pid)
    hostile.stop.set()
    hostile.join(10)

    limit = 0.020 * SLACK
    bp.check(p99(took) < limit, f"p99 of status {p99(took) * 1000:.1f} ms, limit {limit * 1000:.0f}")
    left = sum(not ended(w.s) for w in idle)
    bp.check(left == n, f"{left} of {n} idle ones are still served")
    w = idle[0]
    w.json()
    bp.check(w.ask({"subscribe": ["status"]})[0].get("ok") is True and w.json(5)["topic"] == "status", "one of them wakes")
    metrics = agent.http("GET", "/metrics")[1]
    number = lambda name: int(float(re.search(rf"^{re.escape(name)} (\S+)$", metrics, re.M)[1]))
    bp.check(number('bagpipe_websocket_ended_total{reason="bad_input"}') >= 20, "terabytes were refused")
    bp.check(number('bagpipe_websocket_ended_total{reason="too_slow"}') + number('bagpipe_websocket_ended_total{reason="lost"}') > 0,
             "who did not read was cut")
    bp.check(number('bagpipe_http_cut_total{reason="slow_head"}') > 0, "trickling heads were cut")
    grown = (after["VmRSS"] - after["RssShmem"] - memory["VmRSS"] + memory["RssShmem"]) / 1024
    bp.check(grown < 64, f"memory grew by {grown:.1f} MiB in {secs} s")

    done = agent.http("POST", "/api/v1/sessions/besieged/stop", "{}")[1]
    bp.check(done and done["status"] == "finished" and done["lost"] == 0, f"the recording: {done}")
    bp.bagpipe("verify", agent.data / "besieged")
    bag = Bag(agent.data / "besieged")
    bp.check(bag.lost() == 0, f"the ledger: {bag.lost()} lost")
    seqs = sorted(bag.seqs("/robot1/imu"))
    bp.check(seqs and seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"no hole: {len(seqs)} of {seqs[-1] - seqs[0] + 1}")
    bp.check(agent.p.alive(), "the agent lives")
    begin = time.monotonic()
    status = agent.p.stop(timeout=30, sig=signal.SIGTERM)
    bp.check(status == 0, f"SIGTERM: exit status {status}")
    bp.say(f"status p99 {p99(quiet) * 1000:.1f} ms alone, {p99(took) * 1000:.1f} ms besieged ({len(took)} requests); "
           f"{hostile.again.value} came again after a cut; {bag.count} messages, 0 lost; memory {memory['VmRSS'] / 1024:.0f} → "
           f"{after['VmRSS'] / 1024:.0f} MiB; ended in {time.monotonic() - begin:.1f} s")
    robot.stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
