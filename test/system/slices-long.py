"""10 s out of a session of two hours and 20 GB (BP_FULL; by default, and where less than 30 GB are free, a tenth of both), out of
a server's store of files, cold: in less than 1 s, with less than 64 MB read, also while another session comes in. The
kernel counts what the server reads for a slice, a proxy what `play` has it read. What comes is what pip mcap finds in the segments.
"""
import json
import os
import shutil
import subprocess
import sys
import threading
import time

from mcap.reader import make_reader

import bp
from counted import Link

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import slices  # noqa: E402

DOMAIN = 34
WRITER = bp.BUILD / "test" / "tools" / "session-writer"
BEGIN = 1_790_000_000 * 10**9
GB = 1 << 30
LENGTH, BYTES = 7200, 20 * GB
SPAN, SPANS = 10 * 10**9, 5
MESSAGES = 10 * (10 + 100)
LIMIT = 64_000_000


def amounts(folder):
    """@return (seconds, bytes) of the session"""
    free = shutil.disk_usage(folder).free
    size = BYTES if bp.full() and free >= 30 * GB else min(BYTES // 10, free // 4)
    bp.say(f"{size / GB:.1f} of {BYTES // GB} GB" + (f": only {free / GB:.0f} GB are free" if bp.full() and size < BYTES else ""))
    return max(LENGTH * size // BYTES, 60), size


def write(folder, name, seconds, size, begin):
    """@return (folder, id) of a session in about twenty segments"""
    out = folder / name
    _, session, _ = bp.run([WRITER, out, seconds, size, max(size // 20, 16 << 20), begin], timeout=900)
    return out, session.strip()


def found(path, spans, wanted):
    with open(path, "rb") as f:
        reader = make_reader(f)
        for (a, b), messages in zip(spans, wanted):
            messages += [slices.key(*m) for m in reader.iter_messages(starting_at=a, ending_before=b)]


def bring(s, out, session, spans=(), wanted=()):
    """To the server, segment by segment; each goes from here then: the disk is not for two of them."""
    status, got, _ = s.ask("PUT", f"/ingest/sessions/{session}", {"name": out.name, "device": "robot7"})
    bp.check(status in (200, 201), f"announce: {status} {got}")
    for f in sorted(out.glob("*.mcap")):
        found(f, spans, wanted)
        s.upload(session, f, "segment")
        f.unlink()
    s.upload(session, out / "manifest.json", "manifest")


def forget(folder):
    """The kernel keeps nothing of what is stored in memory."""
    for path in (folder / "data" / "objects").glob("??/*"):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def read_by(s):
    """Bytes that the server has asked the kernel to read from files."""
    return int(next(x for x in open(f"/proc/{s.p.pid}/io") if x.startswith("rchar")).split()[1])


def cut(s, session, span, want):
    """@return seconds"""
    out = bp.SCRATCH / "slice.mcap"
    url = f"http://127.0.0.1:{s.port}/api/v1/sessions/{session}/data?from={span[0]}&to={span[1]}"
    r = subprocess.run(["curl", "-sS", "--noproxy", "*", "-o", out, "-w", "%{http_code} %{time_total}", url], capture_output=True,
                       text=True, timeout=120)
    bp.check(r.returncode == 0 and r.stdout.startswith("200 "), f"curl: {r.returncode} {r.stdout} {r.stderr}")
    with open(out, "rb") as f:
        got = [slices.key(*m) for m in make_reader(f, validate_crcs=True).iter_messages()]
    bp.check(sorted(got) == sorted(want) and len(want) == MESSAGES, f"{len(got)} messages, {len(want)} by pip mcap")
    return float(r.stdout.split()[1])


def alone(s, folder, session, spans, wanted):
    took, read = [], []
    for span, want in zip(spans, wanted):
        forget(folder)
        before = read_by(s)
        took.append(cut(s, session, span, want))
        read.append(read_by(s) - before)
    bp.say(f"10 s, cold, alone: {max(took):.3f} s at most, {max(read) / 1e6:.1f} MB read at most, as the kernel counts it")
    bp.check(max(read) < LIMIT, "less than 64 MB read")
    bp.check(max(took) < (1 if bp.full() else 5), f"{max(took):.3f} s")


def beside(s, folder, session, spans, wanted, seconds, size):
    """While another session comes in."""
    other, second = write(folder, "other", seconds // 4, size // 4, BEGIN + 10**15)
    total = sum(f.stat().st_size for f in other.glob("*.mcap"))
    coming = threading.Thread(target=bring, args=(s, other, second))
    forget(folder)
    before, begin = s.metric("bagpipe_slice_read_bytes_total"), time.monotonic()
    coming.start()
    bp.until(lambda: s.get(f"/sessions/{second}/segments")[1].get("segments"), 60, "its first segment")
    took = [cut(s, session, span, want) for span, want in zip(spans, wanted)]
    bp.check(coming.is_alive(), "it came in all the time")
    read = (s.metric("bagpipe_slice_read_bytes_total") - before) / len(spans)
    coming.join()
    bp.say(f"10 s, cold, beside an ingest of {total / 1e6 / (time.monotonic() - begin):.0f} MB/s: {max(took):.3f} s at most, "
           f"{read / 1e6:.1f} MB read each, as the server counts it")
    bp.check(read < LIMIT, "less than 64 MB read")
    bp.check(max(took) < (1 if bp.full() else 5), f"{max(took):.3f} s")


def played(s, folder, session, seconds):
    """By ranges of segments, counted on the way."""
    link = Link(s.port)
    forget(folder)
    status, text, err = bp.bagpipe("play", f"{link.url}/sessions/{session}", "--start-offset", f"{seconds // 2}s", "--duration",
                                   "10s", "--rate", "20", "--domain", DOMAIN, "--json")
    n = json.loads(text)["messages"] if status == 0 else 0
    bp.say(f"play: {n} messages, {link.bytes / 1e6:.1f} MB through the proxy")
    bp.check(abs(n - MESSAGES) <= 2, f"{n} messages: {err}")
    bp.check(link.bytes < LIMIT, "less than 64 MB through the proxy")


def test():
    bp.need("curl")
    folder = bp.SCRATCH
    seconds, size = amounts(folder)
    out, session = write(folder, "long", seconds, size, BEGIN)
    files = sorted(out.glob("*.mcap"))
    spans = [(a, a + SPAN) for a in (BEGIN + (2 * i + 1) * seconds * 10**9 // (2 * SPANS) + 123_456_789 for i in range(SPANS))]
    wanted = [[] for _ in spans]
    bp.say(f"{seconds} s, {sum(f.stat().st_size for f in files) / 1e9:.2f} GB in {len(files)} segments")
    s = slices.Server(folder)
    begin = time.monotonic()
    bring(s, out, session, spans, wanted)
    bp.say(f"ingested with {size / 1e6 / (time.monotonic() - begin):.0f} MB/s")
    bp.until(lambda: all(f["state"] == "verified" for f in s.get(f"/sessions/{session}/segments")[1]["segments"]), 600,
             "each segment is verified", step=0.2)
    alone(s, folder, session, spans, wanted)
    played(s, folder, session, seconds)
    beside(s, folder, session, spans, wanted, seconds, size)
    bp.check(s.p.stop() == 0, "the server ends well")


if __name__ == "__main__":
    bp.SCRATCH = bp.scratch()
    bp.main(test)
