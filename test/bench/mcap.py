"""MCAP writing and reading beside the Rust `mcap` crate and pip `mcap`.

mcap.py [--quick] [--runs N]: the same messages, chunk size, codec and level, chunk CRC on, no data
section CRC; "memory" is a file on tmpfs, "disk" one that is synced at the end; runs of all programs
take turns; medians. The pip library is timed on a smaller amount.
The written files are read back by the other side and must hold the same messages.
"""
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bp
import machine

HERE = Path(__file__).resolve().parent
OURS = bp.BUILD / "test/bench/mcap-ours"
DATA = bp.REPO / "../shared/data"
SIZES = {"100 B": 100, "10 KiB": 10 << 10, "1 MiB": 1 << 20}
POOL = 32 << 20


def rust_peer():
    """Builds the peer once; None when cargo cannot."""
    target = bp.BUILD / "cargo"
    exe = target / "release/mcap-rust-peer"
    src = target / "src"
    shutil.copytree(HERE / "mcap-rust", src, dirs_exist_ok=True)
    r = subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], cwd=src, capture_output=True, text=True,
                       env={**os.environ, "CARGO_TARGET_DIR": str(target)}) if shutil.which("cargo") else None
    if r is None or r.returncode:
        print("the Rust peer could not be built:", r.stderr[-400:] if r else "no cargo", file=sys.stderr)
        return None
    return exe


def real_bytes():
    """CDR bytes of real robots, or None when the recordings are not there."""
    from mcap.reader import make_reader
    out = []
    for name in ("abitobot/rosbag2_2025_05_09-18_01_02_0.mcap", "reductstore_agent/demo.mcap"):
        if not (DATA / name).exists():
            return None
        with open(DATA / name, "rb") as f:
            out += [m.data for _, _, m in make_reader(f).iter_messages()]
    return out


def messages(kind, size, rng):
    n = max(POOL // size, 8)
    if kind == "random":
        return [rng.randbytes(size) for _ in range(n)]
    if kind == "image":  # rgb8 with noise
        row = bytes(int(128 + 100 * ((i // 3) % 640) / 640) for i in range(size))
        noise = rng.randbytes(size + n)
        base = int.from_bytes(row, "little")
        mask = int.from_bytes(b"\x03" * size, "little")
        return [(base ^ (int.from_bytes(noise[i:i + size], "little") & mask)).to_bytes(size, "little")
                for i in range(n)]
    if kind == "cloud":  # x, y, z, intensity as f32
        pts = b"".join(struct.pack("<4f", rng.gauss(5, 3), rng.gauss(0, 3), rng.gauss(0, .2), rng.randrange(256))
                       for _ in range(1 << 16))
        return [(pts * (size // len(pts) + 2))[o:o + size] for o in (rng.randrange(0, len(pts), 16) for _ in range(n))]
    pieces = real_bytes()
    if pieces is None:
        return None
    out = []
    for i in range(n):
        b = b""
        while len(b) < size:
            b += rng.choice(pieces)
        out.append(b[:size])
    return out


def run(cmd):
    r = subprocess.run([str(c) for c in cmd], capture_output=True, text=True)
    if r.returncode:
        raise SystemExit(f"{' '.join(map(str, cmd))}: {r.stderr[-500:]}")
    return json.loads(r.stdout)


def python_write(msgs, codec, total):
    from mcap.writer import CompressionType, Writer
    kinds = {"none": CompressionType.NONE, "lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD}
    with open(os.devnull, "wb") as f:
        t = time.perf_counter()
        w = Writer(f, chunk_size=1 << 20, compression=kinds[codec])
        w.start("ros2", "bench")
        s = w.register_schema("std_msgs/msg/ByteMultiArray", "ros2msg", b"byte[] data\n")
        ch = [w.register_channel(f"/topic{i}", "cdr", s) for i in range(10)]
        n = size = 0
        while size < total:
            m = msgs[n % len(msgs)]
            w.add_message(ch[n % 10], 10**9 + n * 1000, m, 10**9 + n * 1000, n)
            n += 1
            size += len(m)
        w.finish()
        return size / (time.perf_counter() - t) / 1e6


def compare(cmds, runs):
    """Takes turns; median seconds and CPU of each."""
    got = [[] for _ in cmds]
    for _ in range(runs):
        for i, c in enumerate(cmds):
            got[i].append(run(c))
    for g in got[1:]:
        assert g[0]["messages"] == got[0][0]["messages"], "not the same work"
    return [(statistics.median(x["seconds"] for x in g), statistics.median(x["cpu"] for x in g), g[0]) for g in got]


def check_equal(a, b, rust):
    """Each file read by its own and by the other reader: same count, bytes and sum of times."""
    seen = [run([OURS, "read", a]), run([OURS, "read", b])]
    if rust:
        seen += [run([rust, "read", a]), run([rust, "read", b])]
    keys = [(s["messages"], s["bytes"], s["sum"]) for s in seen]
    assert len(set(keys)) == 1, f"files differ: {keys}"


def main():
    quick = "--quick" in sys.argv
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 3 if quick else 5
    rust = rust_peer()
    rng = random.Random(1)
    cores = os.cpu_count()
    mb = 128 if quick else 512
    shm = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="bp-bench-"))
    disk = Path(tempfile.mkdtemp(dir=bp.BUILD, prefix="bench-mcap-"))
    write_rows, read_rows = [], []
    kinds = ("real", "random") if quick else ("real", "image", "cloud", "random")
    try:
        for name, size in SIZES.items():
            for kind in kinds:
                if kind in ("image", "cloud") and size < 1 << 20:
                    continue
                msgs = messages(kind, size, rng)
                if msgs is None:
                    print("../shared/data is absent: no real payload")
                    continue
                pay = shm / "payload"
                pay.write_bytes(b"".join(struct.pack("<I", len(m)) + m for m in msgs))
                for codec in ("none", "lz4", "zstd", "zstd fast"):
                    for where in ("memory", "disk"):
                        if where == "disk" and (kind != "real" or codec == "zstd fast"):
                            continue
                        to = shm if where == "memory" else disk
                        a, b = to / "ours.mcap", to / "rust.mcap"
                        codec, *preset = codec.split()
                        cmds = [[OURS, "write", pay, a, codec, mb, cores, *preset], [OURS, "write", pay, a, codec, mb, 1, *preset]]
                        if rust:
                            cmds += [[rust, "write", pay, b, codec, mb, 1]]
                            if codec == "zstd":
                                cmds += [[rust, "write", pay, b, codec, mb, cores]]
                        r = compare(cmds, runs)
                        if rust:
                            check_equal(a, b, rust)
                        speed = [mb * 1.048576 / s for s, _, _ in r]
                        py = python_write(msgs, codec, 8 << 20) if where == "memory" and not preset else None
                        best = max(speed[2:]) if rust else None
                        write_rows.append([name, kind, " ".join([codec, *preset]), where, f"{speed[0]:.0f}", f"{speed[1]:.0f}",
                                           f"{best:.0f}" if best else "-", f"{speed[0] / best:.2f}x" if best else "-",
                                           f"{speed[1] / speed[2]:.2f}x" if best else "-",
                                           f"{r[2][1] / r[0][1]:.2f}x" if best else "-",
                                           f"{speed[0] / py:.0f}x" if py else "",
                                           f"{r[2][2]['out'] / r[0][2]['out']:.2f}" if best else "-"])
                if kind == "real":
                    for codec in ("none", "zstd"):
                        f = shm / "read.mcap"
                        run([OURS, "write", pay, f, codec, mb // 2, cores])
                        n = run([OURS, "read", f])["messages"]
                        mid, span = 10**9 + n * 500, n * 10
                        for what, words in (("full scan", []), ("1 % time range", [mid, mid + span])):
                            cmds = [[OURS, "read", f, *words]] + ([[rust, "read", f, *words]] if rust else [])
                            r = compare(cmds, runs)
                            read_rows.append([name, codec, what, f"{r[0][0] * 1e3:.1f}",
                                              f"{r[1][0] * 1e3:.1f}" if rust else "-",
                                              f"{r[1][0] / r[0][0]:.2f}x" if rust else "-",
                                              f"{r[1][1] / r[0][1]:.2f}x" if rust else "-"])
                        f.unlink()
    finally:
        shutil.rmtree(shm, ignore_errors=True)
        text = [f"MCAP writer and reader, {mb} MiB a run, median of {runs}, runs interleaved; {machine.describe(disk)}", ""]
        shutil.rmtree(disk, ignore_errors=True)
    text += [machine.table(["message", "payload", "codec", "to", f"ours {cores} threads MB/s", "ours 1 thread",
                            "Rust best", "ratio", "ratio, one thread", "CPU ratio", "pip mcap", "file size Rust/ours"],
                           write_rows), "",
             machine.table(["message", "codec", "read", "ours ms", "Rust ms", "ratio", "CPU ratio"], read_rows)]
    machine.report("mcap", "\n".join(text))
    behind = [r for r in write_rows if r[7] != "-" and float(r[7][:-1]) < 1]
    if behind:
        print(f"behind the Rust crate in {len(behind)} rows", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
