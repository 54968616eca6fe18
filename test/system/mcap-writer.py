"""The MCAP file writer: what others read in its files, and how many instructions a message costs it.

Files of every codec are read by pip mcap (by index and streaming, CRCs checked) and npm @mcap/core; the
payload must be the one that was given. Instructions are counted by callgrind: they do not depend on
load, so this is the gate of the writer's speed (docs/benchmarks.md has the times).
"""
import json
import os
import re
import shutil
import struct
import subprocess

import bp

OURS = bp.BUILD / "test/bench/mcap-ours"

# codec, message size -> instructions per message that may not be exceeded. Measured when set: 203,
# 820, 1295, 15929 (both CRCs in the form that callgrind's CPU, without AVX-512, gets). An ordinary
# change stays below; raising a row needs a reason in the commit.
GATE = {("none", 100): 235, ("lz4", 100): 950, ("zstd", 100): 1500, ("none", 10240): 17500}


def payload(path, size, total):
    """Messages like a robot's: doubles that change a little. Returns them."""
    out, x = [], 1.0
    for i in range(total // size):
        v = []
        for k in range(size // 8 + 1):
            x = (x * 1.0000001 + k * 1e-9) % 1000
            v.append(round(x, 4) if k % 3 else float(k))
        out.append(struct.pack(f"<{len(v)}d", *v)[:size])
    path.write_bytes(b"".join(struct.pack("<I", len(m)) + m for m in out))
    return out


def write(pay, out, codec, mb, threads):
    r = subprocess.run([str(w) for w in (OURS, "write", pay, out, codec, mb, threads)], capture_output=True, text=True)
    bp.check(r.returncode == 0, f"mcap-ours write {codec}: {r.stderr}")
    return json.loads(r.stdout)["messages"]


def by_pip_mcap(path, msgs, n):
    from mcap.reader import NonSeekingReader, SeekingReader

    for kind in (SeekingReader, NonSeekingReader):
        with open(path, "rb") as f:
            i = 0
            for _, c, m in kind(f, validate_crcs=True).iter_messages():
                if (m.data, m.sequence, c.topic) != (msgs[i % len(msgs)], i & 0xffffffff, f"/topic{i % 10}"):
                    bp.fail(f"{path.name}: {kind.__name__}: message {i} is not the one that was given")
                    return
                i += 1
            bp.check(i == n, f"{path.name}: {kind.__name__} read {i} of {n}")
    with open(path, "rb") as f:
        s = SeekingReader(f, validate_crcs=True).get_summary()
        bp.check(s.statistics.message_count == n and s.statistics.chunk_count == len(s.chunk_indexes),
                 f"{path.name}: statistics")


def by_node(npm, path, n):
    r = subprocess.run(["node", "info.mjs", str(path)], cwd=npm, capture_output=True, text=True, timeout=300)
    bp.check(re.search(r"dur=[\d.]+s $", r.stdout.split("\n")[0]), f"{path.name}: info.mjs: {r.stdout[:300]}{r.stderr[-300:]}")
    bp.check(f'"Message":{n},' in r.stdout, f"{path.name}: @mcap/core does not see {n} messages")


def foreign_readers(folder):
    npm = bp.BUILD / "npm"
    if shutil.which("node") and (npm / "node_modules/@mcap/core").exists() and (bp.DATA / "tools/info.mjs").exists():
        shutil.copy(bp.DATA / "tools" / "info.mjs", npm / "info.mjs")
    else:
        npm = None
        bp.say("without @mcap/core: no node, no npm packages, or no ../shared/data/tools")
    files = 0
    for size in (100, 10240, 700_000):
        pay = folder / f"payload-{size}"
        msgs = payload(pay, size, 2_000_000)
        for codec in ("none", "lz4", "zstd"):
            for threads in (1, 2):
                path = folder / f"{codec}-{size}-{threads}.mcap"
                n = write(pay, path, codec, 4, threads)
                by_pip_mcap(path, msgs, n)
                if npm and threads == 2:
                    by_node(npm, path, n)
                path.unlink()
                files += 1
    bp.say(f"{files} files read alike by pip mcap" + (" and @mcap/core" if npm else ""))


def instructions(folder):
    if not shutil.which("valgrind"):
        bp.say("instructions are not counted: no valgrind")
        return
    env = {k: v for k, v in os.environ.items() if k != "MALLOC_PERTURB_"}  # fills memory: not ours to count
    for (codec, size), most in GATE.items():
        pay = folder / f"gate-{size}"
        payload(pay, size, 4_000_000)
        r = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind",
                            "--toggle-collect=bp_filewriter_append", str(OURS), "write", str(pay), "-", codec, "8", "1"],
                           capture_output=True, text=True, env=env)
        m = re.search(r"Collected : (\d+)", r.stderr)
        if not bp.check(m, f"callgrind: {r.stderr[-300:]}"):
            continue
        per = int(m[1]) / json.loads(r.stdout)["messages"]
        bp.check(per <= most, f"{codec}, {size} bytes: {per:.0f} instructions per message, more than {most}")
        bp.say(f"{codec}, {size} bytes: {per:.0f} instructions per message (at most {most})")


def test():
    folder = bp.scratch()
    foreign_readers(folder)
    instructions(folder)


if __name__ == "__main__":
    bp.main(test)
