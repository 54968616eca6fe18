"""`bagpipe top` in a terminal: what it shows, what its keys do (asked of the agent), other sizes, no colour, ASCII,
an agent that dies, hangs and comes back, and a terminal that is as it was afterwards; --once.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import threading
import time
import urllib.request

import bp
import pyte

DOMAIN = 133
PORT = 19633
BASE = f"http://127.0.0.1:{PORT}"


def get(path):
    with urllib.request.urlopen(BASE + path, timeout=20) as r:
        return json.load(r)


def running():
    return [s for status in ("recording", "paused") for s in get(f"/api/v1/sessions?status={status}")["sessions"]]


def agent(folder):
    p = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={folder / 'data'}", f"http.socket={folder / 'agent.sock'}",
                 f"http.listen=127.0.0.1:{PORT}", f"discovery.domains={DOMAIN}", "buffer.ring_size=32MiB",
                 "snapshot.enabled=true", "snapshot.after=1s", "snapshot.max_bytes=16MiB"])
    bp.until(lambda: "agent is ready" in p.text() or not p.alive(), 30, "the agent")
    bp.check(p.alive(), f"the agent runs: {p.text()[-600:]}")
    return p


class Terminal:
    """The program on a terminal of its own; a thread feeds what it writes to an emulator."""

    def __init__(self, *args, width=80, height=24, env=None):
        self.screen = pyte.Screen(width, height)
        self.stream = pyte.ByteStream(self.screen)
        self.lock = threading.Lock()
        self.raw = b""
        self.term = (env or {}).get("TERM")
        plain = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        e = {**plain, "TERM": "linux", "LC_ALL": "C.UTF-8", **(env or {})}
        self.master, slave = pty.openpty()
        self.size(width, height, tell=False)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in (0, 1, 2):
                os.dup2(slave, fd)
            os.closerange(3, 256)
            os.execve(bp.BAGPIPE, [bp.BAGPIPE, "top", *map(str, args)], e)
        self.status = None
        threading.Thread(target=self._read, daemon=True).start()
        bp.at_exit(self.kill)

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self.lock:
                self.raw += data
                self.stream.feed(data)

    def size(self, width, height, tell=True):
        with self.lock:  # what is drawn for the new size comes to a screen that has it
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
            if tell:
                self.screen.resize(height, width)

    def text(self):
        with self.lock:
            return "\n".join(self.screen.display)

    def keys(self, text):
        os.write(self.master, text.encode())

    def sees(self, *words, timeout=20, without=()):
        ok = False
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            now = self.text()
            ok = all(w in now for w in words) and not any(w in now for w in without)
            if ok:
                break
            time.sleep(0.1)
        return bp.check(ok, f"the screen shows {words} and not {without}:\n{self.text()}")

    def ended(self, timeout=10):
        end = time.monotonic() + timeout
        while self.status is None and time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        return self.status

    def restored(self, how):
        """Ended with 0, the terminal's modes as before, the screen and the cursor given back."""
        bp.check(self.ended() == 0, f"{how}: exit status {self.status}")
        bp.check(termios.tcgetattr(self.slave) == self.before, f"{how}: modes are as before")
        time.sleep(0.3)
        with self.lock:
            if b"\x1b[?1049" in self.raw or self.term == "xterm-256color":
                bp.check(self.raw.count(b"\x1b[?1049h") == self.raw.count(b"\x1b[?1049l") == 1, f"{how}: alternate screen")
            bp.check(self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l"), f"{how}: the cursor is back")

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def act(t):
    """Keys start, mark, pause, resume, snapshot and stop; the agent says that they did."""
    t.sees("IDLE", "/robot1/imu", "no upstream", "nothing is recorded")
    t.keys("x")
    t.sees("nothing is recorded")
    t.keys("s")
    t.sees("RECORDING", "started: robot1", "record robot1")
    s = running()
    bp.check(len(s) == 1 and s[0]["status"] == "recording", f"one runs: {s}")
    sid = s[0]["id"]
    t.sees("\u2581", "msg/s")  # a sparkline
    t.keys("mhit the shelf \u00fc\u007f\u00f6\r")
    t.sees("marked")
    marks = [m["text"] for m in get(f"/api/v1/sessions/{sid}")["marks"]]
    bp.check(marks == ["hit the shelf \u00f6"], f"marks: {marks}")
    t.keys("p")
    t.sees("PAUSED", "paused robot1")
    bp.check(running()[0]["status"] == "paused", "paused")
    t.keys("p")
    t.sees("RECORDING", "record robot1")
    bp.check(running()[0]["status"] == "recording", "resumed")
    t.keys("S")
    t.sees("snapshot: snapshot_")
    t.keys("x")
    t.sees("stop '", "? y/n")
    t.keys("n")
    t.sees("nothing was done")
    bp.check(any(x["id"] == sid for x in running()), "it still runs")
    t.keys("x")
    t.sees("stop '")
    t.keys("y")
    t.sees("stopped")
    bp.check(get(f"/api/v1/sessions/{sid}")["status"] == "finished", "it was finished")


def look(t):
    """Sorting, filtering, help, sizes."""
    t.keys("s")
    t.sees("RECORDING", "B/s")
    t.keys("b")
    t.sees("B/s v")
    time.sleep(6)
    rows = [r for r in t.text().split("\n") if r.startswith("/")]
    bp.check(rows and rows[0].startswith("/robot1/camera/image_raw "), f"the largest first: {rows[:2]}")
    t.keys("/IMU\r")
    t.sees("/robot1/imu", "with 'IMU'", without=("/robot1/odom",))
    t.keys("/\x1b")
    t.sees("/robot1/odom", without=("with 'IMU'",))
    t.keys("h")
    t.sees("Tab  choose a session")
    t.keys("h")
    t.sees("/robot1/odom", without=("Tab  choose",))
    for width, height in ((120, 40), (50, 12), (40, 10), (30, 8), (200, 60), (80, 24)):
        t.size(width, height)
        if width < 40:
            t.sees("too small", "need 40x10", without=("/robot1",))
        else:
            t.sees("/robot1/", "RECORDING", without=("too small",))
        bp.check(len(t.text().split("\n")) == height, "rows")


def dies(folder, p, t):
    """The agent is killed and comes back: said so, and the session goes on."""
    p.kill9()
    t.sees("agent is gone, trying again", "NO ANSWER")
    p = agent(folder)
    t.sees("RECORDING", "record robot1", without=("agent is gone",), timeout=30)
    os.kill(p.pid, signal.SIGSTOP)
    try:
        t.keys("h")
        t.sees("Tab  choose a session", timeout=10)  # keys do not wait for an agent that hangs
        t.keys("h")
        t.sees("agent is gone", timeout=30)
        start = time.monotonic()
        t.keys("q")
        t.restored("q while the agent hangs")
        bp.check(time.monotonic() - start < 4, f"ended after {time.monotonic() - start:.1f} s")
    finally:
        os.kill(p.pid, signal.SIGCONT)
    return p


def others(folder):
    """Ctrl-C, SIGTERM, plain terminals, --once."""
    sock = f"unix:{folder / 'agent.sock'}"
    t = Terminal(BASE, env={"NO_COLOR": "1", "TERM": "xterm-256color"})
    t.sees("RECORDING", "/robot1/imu")
    t.keys("\x03")
    t.restored("Ctrl-C")
    colours = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|9[0-7]|4[0-8])[;m]")
    bp.check(not colours.search(t.raw), f"no colours with NO_COLOR: {colours.search(t.raw)}")
    t = Terminal(BASE, env={"TERM": "xterm-256color"})
    t.sees("RECORDING")
    t.keys("q")
    t.restored("q")
    bp.check(colours.search(t.raw), "but colours without")
    t = Terminal("--url", sock, "--interval", "200ms", env={"LC_ALL": "C", "TERM": "vt100"})
    t.sees("RECORDING", "/robot1/imu")
    time.sleep(1)
    bp.check(all(b < 0x80 for b in t.raw), "ASCII without UTF-8")
    os.kill(t.pid, signal.SIGTERM)
    bp.check(t.ended() == 0 and termios.tcgetattr(t.slave) == t.before, f"SIGTERM: {t.status}")
    t = Terminal(sock, env={"TERM": "dumb"})
    bp.check(t.ended() == 0 and b"\x1b" not in t.raw and b"state    recording" in t.raw, f"dumb: {t.raw[:300]}")
    out = bp.bagpipe("top", "--once", sock)[1]
    for word in ("state    recording", "sync     no upstream", "robot    robot1", "sessions 1", "/robot1/imu"):
        bp.check(word in out, f"--once tells '{word}': {out[:600]}")
    doc = json.loads(bp.bagpipe("top", "--once", "--json", sock)[1])
    bp.check(doc["status"]["state"] == "recording" and doc["topics"]["topics"] and doc["host"], f"--json: {list(doc)}")
    bp.bagpipe("top", "--json", sock, ok=(2,))
    status, _, err = bp.bagpipe("top", "--once", f"unix:{folder / 'none.sock'}", ok=range(256))
    bp.check(status not in (0, 1) and "running" in err, f"no agent: {status} {err}")


def test():
    folder = bp.scratch()
    robot = bp.sim("--robots", 1, "--profile", "mixed", domain=DOMAIN, log=folder / "sim.log")
    p = agent(folder)
    t = Terminal(f"unix:{folder / 'agent.sock'}")
    act(t)
    look(t)
    p = dies(folder, p, t)
    others(folder)
    robot.stop()
    p.stop(timeout=30)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
