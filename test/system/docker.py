"""deploy/docker/Dockerfile, as far as it can be tried without a registry: it installs what ./run installs to build
and what the binary needs to run; and its command works as the first process of a Debian 12 with its user and its
environment. The file system is build/rootfs, which the test `systemd` makes.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import bp
import children

DOCKERFILE = bp.REPO / "deploy/docker/Dockerfile"
DOMAIN = 149


def stages():
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    build, run = re.split(r"^FROM debian:12\n", text, maxsplit=1, flags=re.M)
    bp.check(re.findall(r"^FROM (\S+)", text, re.M) == ["debian:12", "debian:12"], "Debian 12 is all it is made from")
    return build, run


def installed(stage):
    found = re.search(r"apt-get install -y --no-install-recommends ([^&\n]*)", stage)
    return set(found[1].split())


def packages(build, run):
    script = (bp.REPO / "tools/install.sh").read_text()
    words = re.search(r"\[build\]='([^']*)'", script)[1].split()
    bp.check(installed(build) == {w.split("=")[-1] for w in words}, "it builds with what ./run installs: "
             f"{installed(build) ^ {w.split('=')[-1] for w in words}}")
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-d", bp.BAGPIPE], capture_output=True, text=True).stdout)
    owners = set()
    for name in needed:
        r = subprocess.run(["dpkg", "-S", f"*/{name}"], capture_output=True, text=True)
        owners |= {line.split(":")[0] for line in r.stdout.splitlines() if "i386" not in line and "-cross" not in line}
    owners -= {"libc6"}
    bp.check(len(owners) > 8 and owners <= installed(run), f"what it needs is there: {owners - installed(run)}")
    # libcurl of another TLS library is another package of the same name
    bp.check(installed(run) <= owners | {"libcurl4"}, f"and no more: {installed(run) - owners}")


def starts(folder, run):
    root = bp.BUILD / "rootfs"
    if not (root / "usr").exists() or os.geteuid() != 0:
        bp.say("no build/rootfs (the test systemd makes it): its command was not tried")
        return
    for d in ("up", "wk", "root"):
        (folder / d).mkdir()
    (folder / "up/usr/bin").mkdir(parents=True)
    shutil.copy(bp.BAGPIPE, folder / "up/usr/bin/bagpipe")
    useradd = re.search(r"RUN (useradd .*)", run)[1]
    env = dict(re.findall(r"^ENV (\w+)=(\S+)", run, re.M))
    user = re.search(r"^USER (\w+)", run, re.M)[1]
    command = json.loads(re.search(r"^ENTRYPOINT (.*)", run, re.M)[1]) + json.loads(re.search(r"^CMD (.*)", run, re.M)[1])
    r = folder / "root"
    mount = (f"mount -t overlay o -o lowerdir={root},upperdir={folder}/up,workdir={folder}/wk {r} && "
             f"mount -t proc p {r}/proc && mount -t tmpfs s {r}/dev && mkdir {r}/dev/shm && chmod 1777 {r}/dev/shm && "
             f"mknod -m 666 {r}/dev/null c 1 3 && mknod -m 666 {r}/dev/urandom c 1 9 && "
             f"(chroot {r} {useradd} || chroot {r} id {user}) && mkdir -p {r}{env['STATE_DIRECTORY']} && "
             f"chroot {r} chown {user} {env['STATE_DIRECTORY']} && exec setpriv --no-new-privs chroot --userspec={user} {r} "
             f"env -i ROS_LOCALHOST_ONLY=1 ROS_DOMAIN_ID={DOMAIN} {' '.join(f'{k}={v}' for k, v in env.items())} {' '.join(command)} "
             "--sim 1 --set http.listen=127.0.0.1:0 --set session.auto_start=true --set buffer.ring_size=8MiB")
    p = bp.Proc(["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", mount])
    bp.until(lambda: "agent is ready" in p.text() or not p.alive(), 40, "the agent")
    if not bp.check(p.alive(), f"it starts: {p.text()[-800:]}"):
        return
    base = "http://" + re.search(r'127\.0\.0\.1:\d+', p.text())[0]
    status = lambda: json.loads(urllib.request.urlopen(base + "/api/v1/status", timeout=20).read())
    bp.until(lambda: status()["sessions"]["messages"] > 50, 40, "messages")
    first = children.of(p.pid)[0]
    inside = dict(line.split(":", 1) for line in open(f"/proc/{first}/status").read().splitlines() if ":" in line)
    bp.check(inside["NSpid"].split()[-1] == "1" and inside["Uid"].split()[0] != "0", f"pid 1, not root: {inside['Uid']}")
    bp.run(["nsenter", "-t", str(first), "-p", "sh", "-c", "(sleep 0.3 &) ; true"])
    time.sleep(1)
    bp.check(not [c for c in children.of(first) if not children.alive(c)], "no zombie stays")
    t = time.monotonic()
    os.kill(first, signal.SIGTERM)
    p.wait(30)
    bp.check(p.p.returncode == 0, f"SIGTERM ends it: {p.p.returncode} {p.text()[-300:]}")
    state = folder / "up" / env["STATE_DIRECTORY"].lstrip("/")
    sessions = [d for d in state.iterdir() if (d / "metadata.yaml").exists()]
    bp.check(len(sessions) == 1, f"its recording is in the volume: {list(state.iterdir())}")
    bp.bagpipe("verify", sessions[0])
    bp.say(f"as pid 1 of the image's file system: ended in {time.monotonic() - t:.2f} s, one whole session")


def test():
    folder = bp.scratch()
    build, run = stages()
    packages(build, run)
    starts(folder, run)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
