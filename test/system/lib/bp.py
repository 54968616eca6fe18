"""What the system tests share: finding the program, running it, scratch folders, namespaces.

A test is a script: it prints what it did, exits 0 (passed), 1 (failed) or 77 (skipped, the reason on
the last line). How much it does is said by the environment: BP_QUICK, nothing, BP_FULL=1, BP_SLOW=1.
Random choices come from a seed that is printed; BP_SEED=N repeats them.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("BP_BUILD") or os.environ.get("MESON_BUILD_ROOT") or REPO / "build")
BAGPIPE = os.environ.get("BAGPIPE") or str(BUILD / "bagpipe")
DATA = REPO.parent / "shared" / "data"
NAME = Path(sys.argv[0]).stem

_procs = []
_at_exit = []
_failures = []


def full():
    return bool(os.environ.get("BP_FULL") or os.environ.get("BP_SLOW"))


def slow():
    return bool(os.environ.get("BP_SLOW"))


def amount(normal, many, most=None):
    """How often: by default, with BP_FULL, with BP_SLOW; BP_COUNT=N overrides."""
    if os.environ.get("BP_COUNT"):
        return int(os.environ["BP_COUNT"])
    if slow():
        return most if most is not None else many
    return many if full() else normal


def seeded():
    seed = int(os.environ.get("BP_SEED") or time.time_ns() % 1_000_000_007)
    say(f"seed {seed} (repeat with BP_SEED={seed})")
    return random.Random(seed)


def say(text):
    print(text, flush=True)


def skip(why):
    say(f"SKIP {NAME}: {why}")
    finish(77)


def fail(text):
    """Notes a failure and goes on, so that one run shows all of them."""
    say(f"FAIL {text}")
    _failures.append(text)


def check(ok, text):
    if not ok:
        fail(text)
    return bool(ok)


def failures():
    return len(_failures)


def finish(code=None):
    """Ends what was started, runs the clean-ups, leaves with the verdict."""
    for p in reversed(_procs):
        p.stop()
    for fn in reversed(_at_exit):
        try:
            fn()
        except Exception as e:  # a clean-up must not hide the verdict
            say(f"clean-up: {e}")
    if code is None:
        code = 1 if _failures else 0
        say(f"{NAME}: " + (f"{len(_failures)} failures" if _failures else "passed"))
    sys.stdout.flush()
    os._exit(code)


def at_exit(fn):
    _at_exit.append(fn)


def main(fn):
    """Runs fn() and leaves; any exception is a failure with its traceback."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    # a watchdog of our own: how long is right depends on how much is asked for
    limit = 4 * 3600 if slow() else 5400 if full() else int(os.environ.get("BP_LIMIT", 900))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"not over after {limit} s")))
    signal.alarm(limit)
    if not os.access(BAGPIPE, os.X_OK):
        skip(f"{BAGPIPE} is not built")
    try:
        fn()
    except SystemExit:
        raise
    except BaseException:
        import traceback

        traceback.print_exc()
        _failures.append("exception")
    finish()


def scratch(on="disk"):
    """A folder of our own, removed at the end (kept when BP_KEEP is set). on = disk | shm"""
    base = "/dev/shm" if on == "shm" else os.environ.get("BP_TMP") or str(BUILD / "tmp")
    os.makedirs(base, exist_ok=True)
    d = Path(tempfile.mkdtemp(prefix=f"bp-{NAME}-", dir=base))
    if os.environ.get("BP_KEEP"):
        say(f"kept: {d}")
    else:
        at_exit(lambda: shutil.rmtree(d, ignore_errors=True))
    return d


def own_network():
    """Moves this test into a network namespace of its own with only `lo`, where it may be."""
    if os.environ.get("BP_NETNS"):
        return os.environ["BP_NETNS"] == "own"
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True)
    if probe.returncode != 0:
        os.environ["BP_NETNS"] = "shared"
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
        return False
    os.environ["BP_NETNS"] = "own"
    script = "ip link set lo up && ip link set lo multicast on; exec \"$@\""
    os.execvp("unshare", ["unshare", "-n", "sh", "-c", script, "sh", sys.executable] + sys.argv)


def own_mounts():
    """Moves this test into a mount namespace of its own, so that nothing it mounts stays."""
    if os.environ.get("BP_MOUNTNS"):
        return
    if os.geteuid() != 0:
        skip("mounting needs root")
    os.environ["BP_MOUNTNS"] = "own"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable] + sys.argv)


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            skip(f"{p} is not installed")


class Proc:
    """A started program with its output in files; stopped at the end if still there."""

    def __init__(self, args, env=None, ns=None, log=None, cwd=None, under=()):
        e = dict(os.environ)
        e.update(env or {})
        args = [str(a) for a in [*under, *args]]
        if ns:
            args = ["ip", "netns", "exec", ns] + args
        self.args = args
        self.log = Path(log) if log else Path(tempfile.mkstemp(prefix="bp-log-", dir=BUILD)[1])
        if not log:
            at_exit(lambda: self.log.unlink(missing_ok=True))
        self.out = open(self.log, "wb")
        self.p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out,
                                  env=e, cwd=cwd)
        self.pid = self.p.pid
        self.usage = None
        _procs.append(self)

    def alive(self):
        return self.usage is None and self.p.returncode is None and self._poll() is None

    def _poll(self):
        if self.p.returncode is not None:
            return self.p.returncode
        pid, status, ru = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self._ended(status, ru)
        return self.p.returncode

    def _ended(self, status, ru):
        self.usage = ru
        self.p.returncode = os.waitstatus_to_exitcode(status)
        self.out.close()
        if self in _procs:
            _procs.remove(self)

    def wait(self, timeout):
        end = time.monotonic() + timeout
        while self._poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"still running after {timeout} s: {' '.join(self.args)}\n{self.text()[-2000:]}")
            time.sleep(0.005)
        return self.p.returncode

    def send(self, sig):
        if self._poll() is None:
            os.kill(self.pid, sig)

    def kill9(self):
        """@return CLOCK_MONOTONIC ns just before the signal"""
        t = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.kill(self.pid, signal.SIGKILL)
        self.wait(30)
        return t

    def stop(self, timeout=10, sig=signal.SIGINT):
        if self._poll() is None:
            os.kill(self.pid, sig)
            try:
                self.wait(timeout)
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                self.wait(10)
        return self.p.returncode

    def text(self):
        return self.log.read_text(errors="replace")

    def cpu_s(self):
        return self.usage.ru_utime + self.usage.ru_stime


def run(args, env=None, timeout=120, ns=None, ok=(0,), cwd=None):
    """Runs to the end. @return (status, stdout, stderr); a status not in `ok` is a failure."""
    e = dict(os.environ)
    e.update(env or {})
    args = [str(a) for a in args]
    if ns:
        args = ["ip", "netns", "exec", ns] + args
    r = subprocess.run(args, env=e, capture_output=True, timeout=timeout, cwd=cwd)
    out, err = r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace")
    if ok is not None and r.returncode not in ok:
        fail(f"{' '.join(args)}: status {r.returncode}: {(err or out)[-600:]}")
    return r.returncode, out, err


def bagpipe(*args, **kw):
    return run([BAGPIPE, *args], **kw)


def bagpipe_json(*args, **kw):
    """@return (status, parsed stdout or None). The last line that is JSON counts."""
    status, out, err = bagpipe(*args, **kw)
    try:
        return status, json.loads(out)
    except ValueError:
        for line in reversed(out.strip().splitlines()):
            try:
                return status, json.loads(line)
            except ValueError:
                continue
    fail(f"{' '.join(map(str, args))}: no JSON: {out[-300:]} {err[-300:]}")
    return status, None


def until(fn, timeout, what, step=0.01):
    """Waits for fn() to be true. Late is a failure of the test, not a reason to hang."""
    end = time.monotonic() + timeout
    while True:
        r = fn()
        if r:
            return r
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(step)


def record(out, *args, domain, env=None, ns=None, log=None, wait=True, under=()):
    """Starts `bagpipe record -a -o OUT …` and waits until it says that it records."""
    p = Proc([BAGPIPE, "record", "-a", "-o", out, "--domain", domain, *args], env=env, ns=ns, log=log,
             under=under)
    end = time.monotonic() + 30
    while wait and "recording" not in p.text():
        if not p.alive():
            raise RuntimeError(f"record ended with {p.p.returncode}: {p.text()[-1500:]}")
        if time.monotonic() > end:
            raise TimeoutError(f"record did not begin: {p.text()[-1500:]}")
        time.sleep(0.01)
    return p


def sim(*args, domain, log, env=None, ns=None, out=None):
    """Starts `bagpipe sim …` with its own log of what it sent."""
    return Proc([BAGPIPE, "sim", "--domain", domain, "--log", log, *args], env=env, ns=ns, log=out)


def sanitized():
    """The program under test was built with a sanitizer, so its memory is not its own."""
    return b"__asan_init" in Path(BAGPIPE).read_bytes() or b"__tsan_init" in Path(BAGPIPE).read_bytes()


def rss_kb(pid):
    """(VmRSS, RssAnon, RssShmem) in kB, zeros when gone."""
    got = {}
    try:
        for line in open(f"/proc/{pid}/status"):
            k, _, v = line.partition(":")
            if k in ("VmRSS", "RssAnon", "RssShmem", "VmHWM"):
                got[k] = int(v.split()[0])
    except OSError:
        pass
    return got


def cpu_of(pid):
    """user + system seconds of a living process."""
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
