"""What a killed recorder left in its ring file: everything accepted that is not yet durable.

Read by the layout of docs/formats/journal.md, so that the tests know what had been accepted.
"""
import struct
from pathlib import Path

MAGIC = b"BPRING02"
MESSAGE, CHANNEL = 0x05, 0x04
DEF_CHANNEL = 2


def channels(buf, at, n):
    out, end = {}, at + n
    while at + 16 <= end:
        size, kind, _, _ = struct.unpack_from("<IIII", buf, at)
        rec = buf[at + 16:at + 16 + size]
        if kind == DEF_CHANNEL and len(rec) > 13 and rec[0] == CHANNEL:
            cid, _, length = struct.unpack_from("<HHI", rec, 9)
            out[cid] = rec[17:17 + length].decode()
        at += 16 + size
    return out


def messages(folder):
    """[(topic, sequence, log_time)] of the one ring in `folder`; [] when there is none."""
    rings = list(Path(folder).glob("*.ring"))
    if not rings:
        return []
    buf = rings[0].read_bytes()
    if buf[:8] != MAGIC:
        raise ValueError(f"not a ring of this version: {buf[:8]}")
    nslots = struct.unpack_from("<I", buf, 12)[0]
    data_off, data_size = struct.unpack_from("<QQ", buf, 72)
    defs = struct.unpack_from("<Q", buf, 104)[0]
    head, = struct.unpack_from("<Q", buf, 128)
    tail, = struct.unpack_from("<Q", buf, 192)
    topics = channels(buf, data_off + data_size, defs)
    out = []
    for no in range(tail, head):
        start, _, _, committed = struct.unpack_from("<QQQQ", buf, 4096 + 64 * (no % nslots))
        at = data_off + start + 49
        end = at + committed
        while at < end:
            op, n = struct.unpack_from("<BQ", buf, at)
            if op == MESSAGE:
                cid, seq, log = struct.unpack_from("<HIQ", buf, at + 9)
                out.append((topics.get(cid, f"?{cid}"), seq, log))
            at += 9 + n
    return out
