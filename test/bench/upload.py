"""Uploads to `bagpipe server` beside npm @tus/server and tus-js-client: the same file, the same size of parts, each
part on the disk before it is acknowledged, SHA-256 on both sides; in turn, in the same run, over loopback. What
arrived is compared by SHA-256. Then what sending 100 Mbit/s costs.

upload.py [--quick] [--runs N]: the median of N runs (5).
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import bp
import machine
import syncing
from syncing import Server

PEER = bp.REPO / "test/bench/tus-peer.mjs"
MODULES = bp.BUILD / "npm-bench/node_modules"
PART = 16 << 20


def make_file(path, size):
    """Bytes that nothing can press together. @return their SHA-256"""
    with open(path, "wb") as f:
        for _ in range(size >> 20):
            f.write(os.urandom(1 << 20))
        os.fsync(f.fileno())
    return syncing.sha256(path)


def push(folder, path, url, *more, env=None):
    """@return (seconds, CPU seconds) of the whole process"""
    began = time.monotonic()
    p = bp.Proc([bp.BAGPIPE, "push", path, url, "--queue", folder / "queue.db", "--quiet", *more], env=env)
    status = p.wait(600)
    took = time.monotonic() - began
    bp.check(status == 0, f"push: {status}: {p.text()[-500:]}")
    return took, p.cpu_s()


def ours(folder, path, sha):
    s = Server(folder / "server").start()
    before = bp.cpu_of(s.p.pid)
    took, cpu = push(folder, path, s.base)
    cpu_server = bp.cpu_of(s.p.pid) - before
    there = s.objects().get(sha)
    bp.check(there and syncing.sha256(there) == sha, "the server has the same bytes")
    s.p.stop()
    return took, cpu, cpu_server


def peer(mode):
    def once(folder, path, sha):
        d = folder / "tus"
        d.mkdir()
        p = bp.Proc(["node", PEER, MODULES, "server", d])
        bp.until(lambda: p.text().strip().isdigit() or not p.alive(), 20, "the peer")
        before = bp.cpu_of(p.pid)
        c = bp.Proc(["node", PEER, MODULES, "client", p.text().strip(), path, str(PART), mode])
        bp.check(c.wait(600) == 0, f"tus-js-client: {c.text()[-500:]}")
        got = json.loads(c.text().splitlines()[-1])
        cpu_server = bp.cpu_of(p.pid) - before
        bp.check(syncing.sha256(d / got["id"]) == sha, "the peer has the same bytes")
        p.stop()
        return got["s"], c.cpu_s(), cpu_server
    return once


def turns(runs, sides, folder, path, sha):
    """@return {side: [(seconds, CPU of who sends, CPU of who receives)]}, in turn"""
    got = {name: [] for name in sides}
    for _ in range(runs):
        for name, once in sides.items():
            d = folder / "run"
            d.mkdir()
            got[name].append(once(d, path, sha))
            shutil.rmtree(d)
    return got


def rows(got, size, first):
    rate = {name: size / 1e6 / statistics.median(r[0] for r in runs) for name, runs in got.items()}
    return [[name, f"{rate[name]:.0f}", "" if name == first else f"{rate[first] / rate[name]:.2f}",
             f"{min(size / 1e6 / r[0] for r in runs):.0f}-{max(size / 1e6 / r[0] for r in runs):.0f}",
             *(f"{1e9 * statistics.median(r[i] for r in runs) / size:.2f}" if runs[0][i] is not None else "" for i in (1, 2))]
            for name, runs in got.items()]


HEAD = ["side", "MB/s", "ours / it", "from-to", "sender CPU s/GB", "receiver CPU s/GB"]


def steady(folder, path, secs):
    """@return the row of 100 Mbit/s for a while"""
    part = folder / "slow.bin"
    with open(path, "rb") as f, open(part, "wb") as out:
        out.write(f.read(int(12.5e6 * secs)))
    s = Server(folder / "slow-server").start()
    before = bp.cpu_of(s.p.pid)
    took, cpu = push(folder, part, s.base, "--bandwidth", "100Mbit")
    cpu_server = bp.cpu_of(s.p.pid) - before
    s.p.stop()
    return [f"{part.stat().st_size * 8 / 1e6 / took:.0f}", f"{took:.1f}", f"{100 * cpu / took:.1f}", f"{100 * cpu_server / took:.1f}"]


def versions():
    def of(name):
        return json.loads((MODULES / name / "package.json").read_text())["version"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    return f"@tus/server {of('@tus/server')}, @tus/file-store {of('@tus/file-store')}, tus-js-client {of('tus-js-client')}, node {node}"


def bench():
    if not (MODULES / "tus-js-client").exists():
        bp.fail("npm's tus is not there: ./run bench installs it")
        bp.finish()
    quick = "--quick" in sys.argv
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 1 if quick else 5
    size = (128 if quick else 1024) << 20
    folder = bp.scratch()
    path = folder / "file.bin"
    sha = make_file(path, size)
    got = turns(runs, {"bagpipe": ours, "tus, with digests": peer("digest"), "tus, none": peer("plain")}, folder, path, sha)
    machine.report("upload", "\n".join([
        machine.describe(folder), versions(), "",
        f"{size >> 20} MiB in parts of {PART >> 20} MiB, median of {runs}; ours with the start of the process, node without", "",
        machine.table(HEAD, rows(got, size, "bagpipe")), "", "Sending at 100 Mbit/s:", "",
        machine.table(["Mbit/s", "s", "push: % of a core", "server: % of a core"], [steady(folder, path, 5 if quick else 30)])]))


if __name__ == "__main__":
    bp.main(bench)
