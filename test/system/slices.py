"""Slices of recordings against a filter of the whole by pip mcap, message by message.

Recordings of sim (split, every codec, with repeated latched messages) and files that pip mcap wrote:
ids that mean something else in each file, times out of order, chunks without index, loose messages.
Then 10 s out of a long one: what is read, counted by the probe, and how long it takes.
"""
import csv
import fnmatch
import hashlib
import io
import json
import os
import signal
import subprocess
import time

from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType, IndexType, Writer

import bp
from bag import Bag

DOMAIN = 27
PROBE = bp.BUILD / "test" / "system" / "slice-probe"


def key(schema, channel, m):
    return (channel.topic, schema.name if schema else "", m.log_time, m.publish_time, m.sequence,
            hashlib.sha256(m.data).hexdigest())


def whole(files, repeats=False):
    """Every message of every file; what later segments repeat of earlier ones (the same message,
    logged at the segment's head) is there once."""
    seen, out = set(), []
    for f in files:
        here = set()
        with open(f, "rb") as fd:
            for schema, channel, m in NonSeekingReader(fd).iter_messages(log_time_order=False):
                k = key(schema, channel, m)
                if not repeats or k[:2] + k[3:] not in seen:
                    out.append(k)
                here.add(k[:2] + k[3:])
        seen |= here
    return out


def cut(files, fmt="mcap", t0=0, t1=0, topics=(), ok=True, out=None):
    with open(out or bp.SCRATCH / f"slice.{fmt}", "wb") as f:
        r = subprocess.run([str(PROBE), fmt, str(t0), str(t1), ",".join(topics), *map(str, files)], stdout=f,
                              stderr=bp.subprocess.PIPE, timeout=120)
    stats = json.loads(r.stderr.decode().split("\n")[0])
    if ok and r.returncode != 0:
        bp.fail(f"slice: {r.stderr.decode()}")
    return out or bp.SCRATCH / f"slice.{fmt}", stats


def is_in(k, t0, t1, topics):
    return k[2] >= t0 and (t1 == 0 or k[2] < t1) and (not topics or any(fnmatch.fnmatchcase(k[0], t) for t in topics))


def compare(what, files, everything, t0=0, t1=0, topics=()):
    want = sorted(k for k in everything if is_in(k, t0, t1, topics))
    out, stats = cut(files, t0=t0, t1=t1, topics=topics)
    with open(out, "rb") as f:
        reader = make_reader(f, validate_crcs=True)
        summary = reader.get_summary()
        indexed = sorted(key(s, c, m) for s, c, m in reader.iter_messages())
    with open(out, "rb") as f:
        streamed = sorted(key(s, c, m) for s, c, m in NonSeekingReader(f, validate_crcs=True).iter_messages())
    same = indexed == want
    bp.check(same, f"{what}: {len(indexed)} messages, wanted {len(want)}")
    if not same:
        bp.say(f"  missing {[k for k in want if k not in indexed][:2]}, more {[k for k in indexed if k not in want][:2]}")
    bp.check(streamed == want, f"{what}: streamed, {len(streamed)}")
    bp.check(summary.statistics.message_count == len(want) == stats["messages"], f"{what}: statistics")
    bp.check(bp.bagpipe("verify", out, ok=(0, 1))[0] == 0, f"{what}: verify")
    rows = [json.loads(line) for line in open(cut(files, "json", t0, t1, topics)[0])]
    bp.check(sorted((r["topic"], r["type"], int(r["log_time_ns"]), int(r["publish_time_ns"]), r["sequence"])
                    for r in rows) == [k[:5] for k in want], f"{what}: JSON, {len(rows)} lines")
    with open(cut(files, "csv", t0, t1, topics)[0], newline="") as f:
        table = list(csv.DictReader(f))
    bp.check(sorted((r["topic"], int(r["log_time_ns"])) for r in table) == sorted((k[0], k[2]) for k in want),
             f"{what}: CSV, {len(table)} rows")
    return stats, rows


def recorded(folder, *options):
    out = folder / ("rec" + "".join(options).replace("-", ""))
    rec = bp.record(out, "-d", "1s", *options, domain=DOMAIN)
    sim = bp.sim("--robots", 2, "--profile", "small", "--duration", "5s", domain=DOMAIN, log=folder / "sim.log")
    sim.wait(60)
    time.sleep(0.3)
    bp.check(rec.stop(timeout=20, sig=signal.SIGINT) == 0, f"{out.name}: exit status 0")
    return sorted(Bag(out).files)


def odd(path, compression, index, first, chunk=2000, chunking=True):
    """Two topics whose ids are the other way round from file to file; times jump back and forth."""
    with open(path, "wb") as f:
        w = Writer(f, chunk_size=chunk, compression=compression, index_types=index, use_chunking=chunking)
        w.start("ros2", "test")
        names = ["/a", "/b", "/c"] if first % 2 == 0 else ["/c", "/a", "/b"]
        ids = {n: w.register_channel(n, "cdr", w.register_schema(f"p/msg/{n[1:].upper()}", "ros2msg", b"int32 x")) for n in names}
        for i in range(300):
            n = "/abc"[1 + i % 3]
            w.add_message(ids["/" + n], log_time=(first * 300 + i ^ 5) * 1000, data=b"\0\1\0\0" + i.to_bytes(4, "little"),
                          publish_time=i, sequence=i)
        w.finish()
    return path


def times(everything):
    t = sorted(k[2] for k in everything)
    return t[0], t[-1]


def of_sim(folder):
    for options in ((), ("--compression-format", "zstd"), ("--compression-format", "lz4")):
        files = recorded(folder, *options)
        bp.check(len(files) >= 3, f"{len(files)} segments")
        everything = whole(files, repeats=True)
        t0, t1 = times(everything)
        a, b = t0 + (t1 - t0) // 4, t0 + (t1 - t0) * 3 // 4
        name = options[-1] if options else "none"
        topics = sorted({k[0] for k in everything})
        stats, _ = compare(f"{name}: all", files, everything)
        bp.check(stats["passed"] > 0, f"chunks went through: {stats['passed']} of {stats['passed'] + stats['cut']}")
        stats, rows = compare(f"{name}: the middle", files, everything, a, b)
        bp.check(any(r["message"] for r in rows), "messages are decoded")
        compare(f"{name}: one topic", files, everything, topics=topics[:1])
        compare(f"{name}: pattern, the middle", files, everything, a, b, ["*tf*", topics[-1]])
        compare(f"{name}: nothing", files, everything, t1 + 1, t1 + 2)
        compare(f"{name}: a moment", files, everything, t0, t0 + 1)
        compare(f"{name}: no such topic", files, everything, topics=["/nobody"])


def of_others(folder):
    kinds = [(CompressionType.NONE, IndexType.ALL), (CompressionType.ZSTD, IndexType.ALL), (CompressionType.LZ4, IndexType.ALL)]
    files = [odd(folder / f"odd_{i}.mcap", c, x, i) for i, (c, x) in enumerate(kinds)]
    everything = whole(files)
    compare("others: all", files, everything)
    compare("others: a part", files, everything, 150_000, 700_000, ["/a", "/c"])
    compare("others: one", files[:1], whole(files[:1]), 50_000, 90_001)
    torn = folder / "torn.mcap"
    torn.write_bytes(files[1].read_bytes()[:-100])
    _, stats = cut([torn], ok=False)
    bp.check(stats["code"] < 0, "without an index it is refused")
    data = bytearray(files[1].read_bytes())
    with open(files[1], "rb") as f:
        chunk = make_reader(f).get_summary().chunk_indexes[0]
    data[chunk.chunk_start_offset + 80] ^= 0xff
    torn.write_bytes(data)
    _, stats = cut([torn], t0=chunk.message_start_time + 1, t1=chunk.message_end_time, ok=False)
    bp.check(stats["code"] < 0, "a damaged chunk that must be opened is told")


def long_one(folder):
    """10 s of a long session, one segment of it after the other."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    size = bp.amount(300 << 20, 20 << 30 if free > 30 << 30 else 2 << 30)
    seconds = max(120, 7200 * size // (20 << 30))
    payload = size // seconds // 10
    files, at = [], 1_790_000_000_000_000_000
    noise = os.urandom(payload + 4096)
    per_file = max(30, seconds // 20)
    for i in range(0, seconds, per_file):
        path = folder / f"long_{i:05}.mcap"
        with open(path, "wb") as f:
            w = Writer(f, chunk_size=1 << 20, compression=CompressionType.NONE, enable_crcs=False)
            w.start("ros2", "test")
            c = w.register_channel("/camera", "cdr", w.register_schema("p/msg/P", "ros2msg", b"uint8[] x"))
            for k in range(i * 10, min(i + per_file, seconds) * 10):
                w.add_message(c, log_time=at + k * 100_000_000, data=noise[k % 4096:k % 4096 + payload], publish_time=0, sequence=k)
            w.finish()
        files.append(path)
    total = sum(f.stat().st_size for f in files)
    t0 = at + seconds // 2 * 1_000_000_000
    start = time.monotonic()
    out, stats = cut(files, t0=t0, t1=t0 + 10_000_000_000)
    took = time.monotonic() - start
    bp.say(f"10 s of {seconds} s, {total >> 20} MiB in {len(files)} files (all summaries looked at): "
           f"{stats['read'] / 1e6:.1f} MB in {stats['reads']} reads, {took:.3f} s, {stats['passed']} chunks passed, {stats['cut']} cut")
    bp.check(stats["messages"] == 100, f"{stats['messages']} messages")
    bp.check(os.path.getsize(out) > 100 * payload, "the payload is there")
    bp.check(stats["read"] < 64_000_000, "less than 64 MB read")
    bp.check(took < 5, f"{took:.2f} s (1 s on a quiet machine)")


def test():
    folder = bp.SCRATCH
    of_others(folder)
    long_one(folder)
    of_sim(folder)


if __name__ == "__main__":
    bp.SCRATCH = bp.scratch()
    bp.main(test)
