"""Files of a history as docs/formats/history.md tells, none of our code: frames, definitions, entries."""
import struct
from collections import namedtuple
from pathlib import Path

HEAD = struct.Struct("<II16sQQIIQqqqII8x")
ENTRY = struct.Struct("<IIHHIQqQ")
Frame = namedtuple("Frame", "run number first count kind offset min_log max_log payload")
Entry = namedtuple("Entry", "source kind why latched seq log_ns publish_ns last data")

_table = []
for _i in range(256):
    for _ in range(8):
        _i = _i >> 1 ^ (0x82F63B78 if _i & 1 else 0)
    _table.append(_i)


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ _table[(c ^ b) & 255]
    return c ^ 0xFFFFFFFF


def frames(path, sums=True):
    """Whole frames up to the first head that is none; one whose payload does not fit its sum is left out."""
    data, at = Path(path).read_bytes(), 0
    while at + HEAD.size <= len(data):
        head = data[at:at + HEAD.size]
        magic, crc, run, number, first, count, kind, n, offset, lo, hi, payload_crc, _ = HEAD.unpack(head)
        payload = data[at + HEAD.size:at + HEAD.size + n]
        if magic != 0x31485042 or crc != crc32c(head[8:]) or len(payload) < n:
            return
        at += HEAD.size + (n + 7) // 8 * 8
        if not sums or crc32c(payload) == payload_crc:
            yield Frame(run, number, first, count, kind, offset, lo, hi, payload)


def text(b, at):
    n = struct.unpack_from("<I", b, at)[0]
    return b[at + 4:at + 4 + n].decode(), at + 5 + n


def definitions(payload):
    """@yield ("channel", id, {topic, type, …}) or ("source", id, {channel, guid, node})"""
    at = 0
    while at < len(payload):
        n, kind, ident, _ = struct.unpack_from("<IIII", payload, at)
        b = payload[at + 16:at + 16 + n]
        at += 16 + (n + 7) // 8 * 8
        if kind == 1:
            d, p = {}, 16
            d["domain"], d["keyed"], d["latched_depth"], d["priority"] = struct.unpack_from("<IIII", b)
            for key in ("topic", "type", "encoding", "hash", "qos", "robot", "namespace", "original", "schema"):
                d[key], p = text(b, p)
            yield "channel", ident, d
        else:
            yield "source", ident, {"channel": struct.unpack_from("<I", b)[0], "guid": b[8:24].hex(),
                                    "node": text(b, 24)[0]}


def entries(payload):
    at = 0
    while at < len(payload):
        n, source, kind, why, flags, seq, log, end = ENTRY.unpack_from(payload, at)
        at += ENTRY.size
        yield Entry(source, kind, why, flags & 1, seq, log, end, end, payload[at:at + n])
        at += (n + 7) // 8 * 8


def numbers(folder):
    """{(guid, topic): [number, …]} of all messages in the files, in their order"""
    got, channels, sources = {}, {}, {}
    for path in sorted(Path(folder).glob("history-*.bph")):
        for f in frames(path, sums=False):
            if f.kind == 1:
                for what, ident, d in definitions(f.payload):
                    (channels if what == "channel" else sources)[(f.run, ident)] = d
            elif f.kind == 2:
                for e in entries(f.payload):
                    s = sources[(f.run, e.source)]
                    if e.kind == 0:
                        topic = channels[(f.run, s["channel"])]["topic"]
                        got.setdefault((s["guid"], topic), []).append(e.seq)
    return got
