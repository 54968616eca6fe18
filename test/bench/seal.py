"""What sealing costs: the whole write path as fast as its ring takes messages, in the clear and sealed
to a public key, in turn, so that both meet the same machine. The median of the rounds counts.

seal.py [--quick] [--full]
"""
import json
import os
import statistics
import sys
from pathlib import Path

import bp
import machine

WRITER = bp.BUILD / "test" / "bench" / "seal-writer"
CASES = [("none", 10240), ("none", 1 << 20), ("lz4", 10240), ("zstd", 10240), ("zstd", 1 << 20)]


def once(folder, codec, size, mb, key):
    out = folder / "run"
    r = bp.run([WRITER, out, codec, str(size), str(mb), key], timeout=600)
    bp.run(["rm", "-rf", out])
    r = json.loads(r[1] if isinstance(r, tuple) else r.stdout)
    return r["bytes"] / r["seconds"] / 1e6, r["cpu"] / r["bytes"] * 1e9, r["stored_chunks"]


def rows(folder, mb, rounds, key):
    found = []
    for codec, size in CASES:
        both = {"-": [], key: []}
        for _ in range(rounds):
            for k in both:
                both[k].append(once(folder, codec, size, mb, k))
        plain, sealed = ([statistics.median(x) for x in zip(*both[k])] for k in ("-", key))
        found.append([codec, size, f"{plain[0]:.0f}", f"{sealed[0]:.0f}", f"{100 * (1 - sealed[0] / plain[0]):.0f} %",
                      f"{plain[1]:.2f}", f"{sealed[1]:.2f}", f"{plain[2]:.0f} / {sealed[2]:.0f}"])
    return machine.table(["codec", "bytes a message", "MB/s in the clear", "MB/s sealed", "cost (goal < 25 %)",
                          "CPU s/GB in the clear", "sealed", "chunks stored under load"], found)


def bench():
    quick, full = "--quick" in sys.argv, "--full" in sys.argv
    mb, rounds = (512, 3) if quick else (4096, 7) if full else (1024, 5)
    folder, memory = bp.scratch(), Path(bp.scratch("shm"))
    key = folder / "key"
    pub = folder / "pub"
    pub.write_text(bp.bagpipe("key", "new", key)[1])
    parts = [machine.describe(folder), "", "To the disk:", "", rows(folder, mb, rounds, pub), ""]
    free = os.statvfs(memory)
    if free.f_bavail * free.f_frsize > (mb << 20) * 2 + (600 << 20):
        parts += ["To tmpfs, where no disk hides the cost:", "", rows(memory, mb, rounds, pub)]
    machine.report("seal", "\n".join(parts))


if __name__ == "__main__":
    bp.main(bench)
