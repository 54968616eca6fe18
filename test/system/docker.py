"""deploy/docker, as far as it can be tried without a registry: its Dockerfile installs what ./run installs to build
and what the binary needs to run; its command works as the first process of a Debian 12 with its user and its
environment. The file system is build/rootfs, which the test `systemd` makes. What compose.yaml says is understood by
the program and by the container of the dashboard, whose own start is tried by the test `nginx-dashboard`.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import yaml

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
    wanted = {w.split("=")[-1] for w in words} | {"ca-certificates"}  # of npm, which ./run takes as it is
    bp.check(installed(build) == wanted, f"it builds with what ./run installs: {installed(build) ^ wanted}")
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-d", bp.BAGPIPE], capture_output=True, text=True).stdout)
    owners = set()
    for name in needed:
        r = subprocess.run(["dpkg", "-S", f"*/{name}"], capture_output=True, text=True)
        owners |= {line.split(":")[0] for line in r.stdout.splitlines() if "i386" not in line and "-cross" not in line}
    owners -= {"libc6"}
    bp.check(len(owners) > 8 and owners <= installed(run), f"what it needs is there: {owners - installed(run)}")
    # libcurl of another TLS library is another package of the same name
    bp.check(installed(run) <= owners | {"libcurl4"}, f"and no more: {installed(run) - owners}")


def web():
    """The container of the dashboard, and both together."""
    text = (DOCKERFILE.parent / "web.Dockerfile").read_text()
    bp.check(set(re.findall(r"^FROM (\S+)", text, re.M)) == {"debian:12"}, "Debian 12 is all it is made from")
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for name in source.split():
            bp.check((bp.REPO / name).exists(), f"{name} is there to be copied")
    doc = yaml.safe_load((DOCKERFILE.parent / "compose.yaml").read_text())
    for service in doc["services"].values():
        bp.check((DOCKERFILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).exists(), f"{service['build']}")
    server, site = (doc["services"][n] for n in ("server", "web"))
    env = {k: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", v) for k, v in server["environment"].items()}
    shown = yaml.safe_load(bp.run([bp.BAGPIPE, "config", "--server", "show"], env=env)[1])
    for key, value in env.items():
        section, name = key.removeprefix("BAGPIPE_SERVER_").lower().split("__")
        bp.check(shown[section][name] in (value, [value]), f"{key}={value}: {shown[section]}")
    address = site["networks"]["site"]["ipv4_address"]
    bp.check(env["BAGPIPE_SERVER_AUTH__TRUSTED_PROXIES"] == address, "the server believes the dashboard's nginx")
    bp.check(site["environment"]["API"].split(":")[0] == server["networks"]["site"]["ipv4_address"], "which passes on to it")
    known = set(re.findall(r"^#   ([A-Z_]+)  ", (DOCKERFILE.parent / "web.sh").read_text(), re.M))
    bp.check(set(site["environment"]) <= known, f"{set(site['environment'])} of {known}")


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
    web()
    starts(folder, run)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
