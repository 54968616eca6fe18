"""Compares what was sent, recorded and recorded again. demo-compare.py SENT.LOG FIRST SECOND

Reads uncompressed MCAP (mcap.dev/spec) by itself and needs nothing but Python, so that the demo runs
where nothing was installed, and shares no code with what it judges. Payloads count, not times: per
topic the sum of their SHA-256, in which order does not matter. Prints `recorded N`, `lost N` and
`replay equal` or what differs; status 1 when something was lost or differs.
"""
import hashlib
import mmap
import struct
import sys
from collections import defaultdict
from pathlib import Path

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK, METADATA, FOOTER = 0x03, 0x04, 0x05, 0x06, 0x0C, 0x02


class Topic:
    def __init__(self):
        self.count, self.sum = 0, 0

    def add(self, data):
        self.count += 1
        self.sum = (self.sum + int.from_bytes(hashlib.sha256(data).digest(), "little")) % (1 << 256)

    def __eq__(self, other):
        return (self.count, self.sum) == (other.count, other.sum)


def records(b, at, end):
    while at + 9 <= end:
        op, n = struct.unpack_from("<BQ", b, at)
        yield op, at + 9, at + 9 + n
        at += 9 + n


def text(b, at):
    (n,) = struct.unpack_from("<I", b, at)
    return bytes(b[at + 4:at + 4 + n]).decode(), at + 4 + n


def take(b, records_of, channels, topics, skip):
    for op, at, end in records_of:
        if op == CHANNEL:
            channels[struct.unpack_from("<H", b, at)[0]] = text(b, at + 4)[0]
        elif op == MESSAGE and not skip:
            topics[channels[struct.unpack_from("<H", b, at)[0]]].add(b[at + 22:end])


def load_file(path, topics):
    channels, repeated = {}, False
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as whole, memoryview(whole) as b:
        if b[:8] != MAGIC or b[-8:] != MAGIC:
            raise SystemExit(f"{path}: not a whole MCAP file")
        for op, at, end in records(b, 8, len(b) - 8):
            if op == CHUNK:
                compression, at = text(b, at + 28)
                if compression:
                    raise SystemExit(f"{path}: compressed")
                # latched messages that a later segment repeats for those who open it alone
                take(b, records(b, at + 8, end), channels, topics, repeated)
            elif op != METADATA:
                take(b, [(op, at, end)], channels, topics, False)
            repeated = op == METADATA and text(b, at)[0] == "bagpipe.repeated"


def load(folder):
    topics = defaultdict(Topic)
    for path in sorted(Path(folder).glob("*.mcap")):
        load_file(path, topics)
    return topics


def main():
    sent = sum(line.endswith("\n") for line in open(sys.argv[1], encoding="utf-8"))
    first, second = load(sys.argv[2]), load(sys.argv[3])
    recorded = sum(t.count for t in first.values())
    differ = [name for name in sorted(first.keys() | second.keys())
              if name not in first or name not in second or first[name] != second[name]]
    for name in differ:
        print(f"  {name}: {first[name].count} recorded, {second[name].count} replayed")
    print(f"recorded {recorded}")
    print(f"lost {sent - recorded}")
    print("replay differs on " + ", ".join(differ) if differ else "replay equal")
    return 1 if differ or sent != recorded or not recorded else 0


if __name__ == "__main__":
    sys.exit(main())
