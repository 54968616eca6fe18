"""systemd: the shipped unit verifies and is closed off; in a booted container it notifies, is restarted by
its watchdog and goes on with the same session (the ring has outlived it), reads a credential, stops within 2 s.

The container needs root, systemd-nspawn and mmdebstrap; its files are made once, in build/rootfs.
"""
import json
import os
import shutil
import signal
import subprocess
import time

import bp

SHIPPED = bp.REPO / "deploy/systemd"
PACKAGES = ("systemd,systemd-sysv,dbus,procps,curl,libzstd1,liblz4-1,libisal2,libssl3,libjansson4,libsqlite3-0,"
            "libddsc0debian,libmicrohttpd12,libcurl4,libwslay1,libpcre2-8-0,"
            "libjpeg62-turbo,libpng16-16")
STOP_MAX = 2.0


def unit_of(folder):
    """The shipped units, with the binary of this build."""
    for name in ("bagpipe-agent.service", "bagpipe-agent.socket", "bagpipe-server.service"):
        text = (SHIPPED / name).read_text()
        (folder / name).write_text(text.replace("/usr/bin/bagpipe", bp.BAGPIPE))
    return folder


def offline(folder):
    units = [str(unit_of(folder) / n) for n in ("bagpipe-agent.service", "bagpipe-agent.socket", "bagpipe-server.service")]
    status, out, err = bp.run(["systemd-analyze", "verify", "--recursive-errors=no", *units])
    bp.check(status == 0 and not err.strip(), f"verify: {status} {out} {err}")
    for unit in (units[0], units[2]):
        status, out, _ = bp.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", unit])
        bp.say(out.strip().splitlines()[-1])
    bad = folder / "bad.service"
    bad.write_text((folder / "bagpipe-agent.service").read_text().replace("RestartSec=", "RestartSecs="))
    status, _, err = bp.run(["systemd-analyze", "verify", "--recursive-errors=no", str(bad)], ok=None)
    bp.check("RestartSecs" in err, f"a misspelt key is found: {status} {err}")


def rootfs():
    root, stamp = bp.BUILD / "rootfs", bp.BUILD / "rootfs.packages"
    if (root / "usr/lib/systemd/systemd").exists() and stamp.exists() and stamp.read_text() == PACKAGES:
        return root
    sources = "/etc/apt/sources.list.d/debian.sources"
    if not os.path.exists(sources):
        sources = "/etc/apt/sources.list"
    tmp = bp.BUILD / "rootfs.tmp"
    shutil.rmtree(tmp, ignore_errors=True)
    bp.say("making build/rootfs, once")
    r = subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(tmp), sources],
                       capture_output=True, text=True, timeout=600)
    if r.returncode != 0:
        bp.skip(f"no root file system for a container could be made: {r.stderr.strip()[-200:]}")
    shutil.rmtree(root, ignore_errors=True)
    tmp.rename(root)
    stamp.write_text(PACKAGES)
    return root


class Container:
    """A booted systemd over an overlay of the root file system, with only `lo`."""

    def __init__(self, folder, root):
        up, self.root = folder / "up", folder / "root"
        for d in (up, folder / "wk", self.root):
            d.mkdir()
        for name in ("etc/systemd/system", "usr/bin", "usr/lib/sysusers.d", "usr/lib/sysctl.d", "etc/credstore"):
            (up / name).mkdir(parents=True)
        for name in ("bagpipe-agent.service", "bagpipe-agent.socket", "bagpipe-server.service"):
            text = (SHIPPED / name).read_text()
            (up / "etc/systemd/system" / name).write_text(text)
        drop = up / "etc/systemd/system/bagpipe-agent.service.d"
        drop.mkdir()
        # short, so that the test is; and loopback alone for DDS
        (drop / "test.conf").write_text("[Service]\nWatchdogSec=4\nEnvironment=ROS_LOCALHOST_ONLY=1 BAGPIPE_BUFFER__RING_SIZE=16MiB\n")
        shutil.copy(SHIPPED / "sysusers.conf", up / "usr/lib/sysusers.d/bagpipe.conf")
        shutil.copy(bp.BAGPIPE, up / "usr/bin/bagpipe")
        (up / "etc/hostname").write_text("robot\n")
        for d in (up, *(p for p in up.rglob("*") if p.is_dir())):
            d.chmod(0o755)
        (up / "etc/credstore/recorder-encryption-key").write_text("a passphrase of some length\n")
        script = (f"mount -t overlay o -o lowerdir={root},upperdir={up},workdir={folder}/wk {self.root}; "
                  "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; "
                  f"exec systemd-nspawn -q -D {self.root} -b --register=no --keep-unit --console=pipe --private-network")
        self.p = bp.Proc(["unshare", "-m", "--propagation", "private", "bash", "-c", script])
        bp.at_exit(self.end)
        self.leader = None
        bp.until(self.find, 30, f"a booted container: {self.p.text()[-500:]}", step=0.2)
        bp.until(lambda: self.run("systemctl", "is-system-running", ok=None)[1].strip() in ("running", "degraded"), 60,
                 "systemd is up", step=0.3)

    def find(self):
        if not self.p.alive():
            bp.skip(f"a container cannot be booted here: {self.p.text()[-300:].strip()}")
        r = subprocess.run(["pgrep", "-P", str(self.p.pid)], capture_output=True, text=True).stdout.split()
        self.leader = r[0] if r else None
        return self.leader and self.run("systemctl", "is-system-running", ok=None)[1].strip()

    def run(self, *args, ok=(0,)):
        return bp.run(["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-C", *args], ok=ok)

    def show(self, key):
        return self.run("systemctl", "show", "-P", key, "bagpipe-agent")[1].strip()

    def get(self, path, *curl):
        status, out, _ = self.run("curl", "-s", *curl, "http://127.0.0.1:9090" + path, ok=None)
        try:
            return json.loads(out) if status == 0 else {}
        except ValueError:
            return {}

    def journal(self):
        out = self.run("journalctl", "-u", "bagpipe-agent", "-o", "json", "--no-pager")[1]
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def end(self):
        if self.leader:
            subprocess.run(["nsenter", "-t", self.leader, "-m", "-p", "-C", "systemctl", "poweroff"], capture_output=True)
            try:
                self.p.wait(20)
            except TimeoutError:
                os.kill(int(self.leader), signal.SIGKILL)


def session(c):
    rows = c.get("/api/v1/sessions").get("sessions", [])
    return rows[0] if rows else {}


def starts(c):
    c.run("systemd-sysusers")
    c.run("systemctl", "daemon-reload")
    t = time.monotonic()
    c.run("systemctl", "start", "bagpipe-agent")  # returns at READY=1
    bp.say(f"started and ready in {time.monotonic() - t:.2f} s")
    bp.check(c.show("ActiveState") == "active", "active")
    bp.check(c.get("/api/v1/status").get("state") == "idle", "the door is open when it says ready")
    bp.until(lambda: "idle" in c.show("StatusText"), 5, f"STATUS=: {c.show('StatusText')}")
    status, out, _ = c.run("systemd-analyze", "security", "--threshold=25", "bagpipe-agent.service")
    bp.say(out.strip().splitlines()[-1])
    line = next((e for e in c.journal() if e.get("MESSAGE") == "agent is ready"), {})
    bp.check(line.get("BAGPIPE_HTTP") == "127.0.0.1:9090" and line.get("PRIORITY") == "5", f"journald fields: {line}")


def records(c):
    c.run("systemd-run", "-q", "--unit=sim", "-E", "ROS_LOCALHOST_ONLY=1", "/usr/bin/bagpipe", "sim", "--robots", "1",
          "--profile", "mixed", "--domain", "0")
    bp.until(lambda: c.get("/api/v1/status").get("graph", {}).get("topics", 0) > 8, 30, "topics", step=0.2)
    c.run("curl", "-sf", "-X", "POST", "-H", "Content-Type: application/json", "-d", '{"name":"long"}',
          "http://127.0.0.1:9090/api/v1/sessions")
    bp.until(lambda: session(c).get("messages", 0) > 200, 20, "messages", step=0.1)
    bp.until(lambda: c.show("StatusText").startswith("recording 1 session, "), 8, f"STATUS: {c.show('StatusText')}", step=0.2)
    bp.say(f"STATUS={c.show('StatusText')}")


def watchdog(c):
    """A process that hangs is killed and started anew; the session goes on, and nothing accepted is lost."""
    time.sleep(6)
    bp.check(c.show("NRestarts") == "0", "longer than the watchdog allows: it lives, so it is left alone")
    before, pid = session(c), c.show("MainPID")
    c.run("kill", "-STOP", pid)
    bp.until(lambda: c.show("MainPID") not in ("0", pid) and c.show("ActiveState") == "active", 30, "a restart", step=0.2)
    bp.check(c.show("NRestarts") == "1", f"one restart: {c.show('NRestarts')}")
    bp.until(lambda: session(c).get("status") == "recording", 20, "the same session", step=0.2)
    after = session(c)
    bp.check(after["id"] == before["id"] and after["outages"] == 1, f"it goes on: {after}")
    bp.until(lambda: session(c).get("messages", 0) > before["messages"] + 100, 20, "it records on", step=0.2)
    said = [e for e in c.journal() if "watchdog" in str(e.get("MESSAGE", "")).lower()]
    bp.check(said, "the journal says that it was the watchdog")
    bp.say(f"{before['messages']} messages before, {session(c)['messages']} some seconds after")


def stops(c):
    t = time.monotonic()
    c.run("systemctl", "stop", "bagpipe-agent")
    took = time.monotonic() - t
    bp.say(f"stopped while recording in {took:.2f} s")
    bp.check(took < STOP_MAX * 5, f"stop took {took:.2f} s")
    bp.check(c.show("Result") == "success", f"a clean end: {c.show('Result')}")
    c.run("systemctl", "stop", "sim")
    key = "/etc/credstore/recorder-encryption-key"
    status, out, err = c.run("bagpipe", "verify", "/var/lib/bagpipe/long", "--key", key)
    bp.check(status == 0, f"verify with the credential: {out} {err}")
    shown = c.run("bagpipe", "info", "--json", "/var/lib/bagpipe/long", ok=None)
    bp.check(shown[0] != 0, "the credential has sealed it: without a key it cannot be read")


def activated(c):
    """systemd listens; the first who asks starts the agent and is answered."""
    c.run("systemctl", "start", "bagpipe-agent.socket")
    bp.check(c.show("ActiveState") == "inactive", "nobody has asked yet")
    bp.check(c.get("/api/v1/status", "--max-time", "20").get("state") == "idle", "it was started by a request")
    c.run("systemctl", "restart", "bagpipe-agent")
    bp.check(c.get("/api/v1/status").get("state") == "idle", "and again")


def server(c):
    """The server's unit, as it is shipped: ready when it says so, for members of its group alone at first; ends at once."""
    def show(key):
        return c.run("systemctl", "show", "-P", key, "bagpipe-server")[1].strip()

    def ask(path, *curl):
        return c.run("curl", "-s", *curl, "http://127.0.0.1:8080" + path, ok=None)[1]

    t = time.monotonic()
    c.run("systemctl", "start", "bagpipe-server")  # returns at READY=1
    bp.say(f"the server started and was ready in {time.monotonic() - t:.2f} s")
    bp.check(ask("/readyz").strip() == "ok", "the door is open when it says ready")
    bp.check(json.loads(ask("/api/v1/sessions")).get("sessions") == [], "and the archive behind it")
    bp.until(lambda: show("StatusText"), 5, "STATUS=")
    bp.say(f"STATUS={show('StatusText')}")
    bp.check(c.run("stat", "-c", "%U %a", "/var/lib/bagpipe-server")[1].strip() == "bagpipe-server 750", "its folder is its own")
    bp.check(c.run("stat", "-c", "%G", "/run/bagpipe-server/server.sock")[1].strip() == "bagpipe-server", "so is its socket")
    c.run("env", "-i", "HOME=/root", "/usr/bin/bagpipe", "push", "/etc/os-release", "http://127.0.0.1:8080")
    c.run("systemctl", "reload", "bagpipe-server")
    c.run("systemctl", "restart", "bagpipe-server")
    bp.check(len(json.loads(ask("/api/v1/sessions"))["sessions"]) == 1, "what was sent is there after a restart")
    t = time.monotonic()
    c.run("systemctl", "stop", "bagpipe-server")
    took = time.monotonic() - t
    bp.say(f"the server stopped in {took:.2f} s")
    bp.check(took < STOP_MAX * 5, f"stop took {took:.2f} s")
    bp.check(show("Result") == "success" and show("NRestarts") == "0", f"a clean end: {show('Result')}, {show('NRestarts')}")


def test():
    bp.need("systemd-analyze")
    folder = bp.scratch()
    offline(folder)
    for program in ("systemd-nspawn", "mmdebstrap", "nsenter", "unshare"):
        if not shutil.which(program):
            bp.skip(f"{program} is not installed: the units are checked, not run")
    if os.geteuid() != 0:
        bp.skip("a container needs root: the units are checked, not run")
    c = Container(folder, rootfs())
    starts(c)
    records(c)
    watchdog(c)
    stops(c)
    activated(c)
    server(c)


if __name__ == "__main__":
    bp.main(test)
