"""Our recordings read by others: pip mcap, pip rosbags, npm @mcap/core.

Each must read every message without complaint, agree on the counts, and decode to the same digest as
`bagpipe info --digest`. Recordings of sim: stored, lz4, zstd, split, recovered after kill -9.
"""
import os
import re
import shutil
import signal
import subprocess
import time
import warnings
from pathlib import Path

import bp
from bag import Bag

DOMAIN = 21
NPM = ["@mcap/core", "@mcap/support", "@foxglove/rosmsg", "@foxglove/rosmsg2-serialization"]


def node_tools(install):
    """Folder with the independent Node readers and their packages; None when that cannot be had."""
    if not shutil.which("node") or not (bp.DATA / "tools" / "dec.mjs").exists():
        return None
    d = Path(os.environ.get("BP_NPM") or bp.BUILD / "npm")
    d.mkdir(parents=True, exist_ok=True)
    if not (d / "node_modules" / "@mcap" / "core").exists():
        if not install:
            return None
        r = subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(d), *NPM],
                           capture_output=True, text=True, timeout=180)
        if r.returncode != 0:
            bp.say(f"npm install failed: {r.stderr[-300:]}")
            return None
    for f in ("dec.mjs", "info.mjs"):
        shutil.copy(bp.DATA / "tools" / f, d / f)
    return d


def make(folder, name, *args, kill=False, pictures=False):
    out = folder / name
    rec = bp.record(out, *args, domain=DOMAIN)
    procs = [bp.sim("--robots", 2, "--profile", "small", "--duration", "3s", domain=DOMAIN, log=folder / f"{name}.log")]
    if pictures:  # few: the Node reader turns every byte of them into text
        procs.append(bp.sim("--profile", "mixed", "--start-index", 3, "--duration", "300ms", domain=DOMAIN,
                            log=folder / f"{name}-pictures.log"))
    if kill:
        time.sleep(2)
        rec.kill9()
    for p in procs:
        p.wait(60)
    time.sleep(0.3)
    if kill:
        bp.bagpipe("recover", out, ok=(0, 3))
    else:
        bp.check(rec.stop(timeout=20, sig=signal.SIGINT) == 0, f"{name}: exit status 0")
    return out


def by_mcap(out):
    """pip mcap, streaming with CRCs and indexed; both counts must agree."""
    from mcap.reader import make_reader

    bag = Bag(out)
    indexed = 0
    for f in bag.files:
        with open(f, "rb") as fd:
            reader = make_reader(fd, validate_crcs=True)
            s = reader.get_summary().statistics
            n = sum(1 for _ in reader.iter_messages())
            bp.check(n == s.message_count, f"{f.name}: statistics say {s.message_count}, read {n}")
            indexed += n
    bp.check(indexed == bag.count, f"{out.name}: mcap streaming {bag.count}, indexed {indexed}")
    return bag


def by_rosbags(out):
    """pip rosbags, through metadata.yaml, with every message decoded by the schemas in the file."""
    from rosbags.highlevel import AnyReader

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with AnyReader([Path(out)]) as reader:
            n = 0
            for c, _, raw in reader.messages():
                reader.deserialize(raw, c.msgtype)
                n += 1
            bp.check(n == reader.message_count, f"{out.name}: rosbags read {n}, metadata.yaml says {reader.message_count}")
            return n


def by_node(tools, out, digest):
    for f in Bag(out).files:
        r = subprocess.run(["node", "info.mjs", str(f)], cwd=tools, capture_output=True, text=True)
        first = r.stdout.splitlines()[0] if r.stdout else r.stderr
        bp.check(r.returncode == 0 and re.search(r"dur=[\d.]+s $", first), f"{f.name}: info.mjs: {first[-200:]}")
        r = subprocess.run(["node", "dec.mjs", str(f)], cwd=tools, capture_output=True, text=True)
        m = re.search(r"decoded (\d+) failed (\d+) .*?([0-9a-f]{16})$", r.stdout.strip())
        if not bp.check(m and m[2] == "0", f"{f.name}: dec.mjs: {r.stdout[-200:]} {r.stderr[-200:]}"):
            continue
        ours = digest(f)
        bp.check(ours == (int(m[1]), 0, m[3]), f"{f.name}: dec.mjs {m[1]} {m[3]}, ours {ours}")


def our_digest(path):
    _, info = bp.bagpipe_json("info", "--json", "--digest", path)
    if not info:
        return None
    d = info["files"][0]["digest"]
    return d["decoded"], d["failed"], d["sha256"][:16]


def test():
    folder = bp.scratch()
    tools = node_tools(install=False)
    if not tools:
        bp.say("without @mcap/core: no node, no npm packages, or no ../shared/data/tools")
    cases = [("plain", []), ("zstd", ["--compression-format", "zstd"]), ("lz4", ["--compression-format", "lz4"]),
             ("split", ["-d", "1s"]), ("killed", [])]
    for name, args in cases:
        out = make(folder, name, *args, kill=name == "killed", pictures=name == "plain")
        bag = by_mcap(out)
        _, info = bp.bagpipe_json("info", "--json", out)
        bp.check(info and info["message_count"] == bag.count, f"{name}: info {info and info['message_count']}, mcap {bag.count}")
        n = by_rosbags(out)
        bp.check(n == bag.count, f"{name}: rosbags {n}, mcap {bag.count}")
        if tools:
            by_node(tools, out, our_digest)
        bp.check(len(bag.files) > 1 or name != "split", f"{name}: was split")
        bp.say(f"{name}: {bag.count} messages, {len(bag.messages)} topics, {len(bag.files)} files read alike by all")


if __name__ == "__main__":
    if not os.environ.get("BP_NETNS"):
        node_tools(install=True)  # while there still is a network
    bp.own_network()
    bp.main(test)
