"""Files of a history as docs/formats/history.md tells, none of our code: frames, definitions, entries."""
import importlib.util
import struct
from collections import namedtuple
from pathlib import Path

import bp

_spec = importlib.util.spec_from_file_location("unseal", bp.REPO / "tools" / "unseal.py")
unseal = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(unseal)

HEAD = struct.Struct("<II16sQQIIQqqqII8x")
HEADER = 4096
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


def opener(data, key):
    """What opens sealed payloads of a file, or None. @param key  path of a private key"""
    if not key or data[:8] != b"\x89BPSEAL\n":
        return None
    secret = [line for line in Path(key).read_text().splitlines() if line[:1] != "#"][0].split(":")[1]
    content = unseal.content_key(data[:HEADER], data[16:32], bytes.fromhex(secret))
    return unseal.AESGCM(unseal.hkdf(content, data[16:32], "bagpipe seal frames 1"))


def frames(path, sums=True, key=None):
    """Whole frames up to the first head that is none; one whose payload does not fit its sum is left out, and so are
    sealed ones without the key."""
    data = Path(path).read_bytes()
    at, opens = HEADER if data[:8] == b"\x89BPSEAL\n" else 0, opener(data, key)
    while at + HEAD.size <= len(data):
        head = data[at:at + HEAD.size]
        magic, crc, run, number, first, count, kind, n, offset, lo, hi, payload_crc, sealed = HEAD.unpack(head)
        payload = data[at + HEAD.size:at + HEAD.size + n]
        if magic != 0x31485042 or crc != crc32c(head[8:]) or len(payload) < n:
            return
        at += HEAD.size + (n + 7) // 8 * 8
        if sealed and not opens:
            continue
        if sealed:
            payload = opens.decrypt(payload[:12], payload[32:] + payload[12:28], data[16:32] + head[8:80])
        if sealed or not sums or crc32c(payload) == payload_crc:
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


def numbers(folder, key=None):
    """{(guid, topic): [number, …]} of all messages in the files, in their order"""
    got, channels, sources = {}, {}, {}
    for path in sorted(Path(folder).glob("history-*.bph")):
        for f in frames(path, sums=False, key=key):
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
