"""Publishers of the tests: `bagpipe sim`, and peer-pub, a plain Cyclone program with its own log."""
import json
import zlib

import bp

PEER_PUB = bp.BUILD / "test" / "bench" / "peer-pub"
PEER_HEAD = 16


def peer(domain, log, secs=60, ns=None, env=None, **options):
    """Starts peer-pub. Options as in its head comment: topics, size, hz, qos, depth, wait, prefix."""
    args = [PEER_PUB, domain, log, f"secs={secs}", *(f"{k}={v}" for k, v in options.items())]
    return bp.Proc(args, ns=ns, env=env)


def summary(p):
    """What peer-pub printed at its end."""
    return json.loads(p.text().strip().splitlines()[-1])


def peer_payload_error(data):
    """None, or what is wrong with the payload of a peer-pub sample; returns (error, seq)."""
    if len(data) < PEER_HEAD + 16:
        return None, None
    n = int.from_bytes(data[12:16], "little")
    if n != len(data) - PEER_HEAD:
        return f"length {n} in {len(data)} bytes", None
    seq = int.from_bytes(data[16:24], "little")
    crc = int.from_bytes(data[28:32], "little")
    if zlib.crc32(data[32:]) != crc:
        return f"CRC of sample {seq}", seq
    return None, seq


class PayloadCheck:
    """Callback for Bag(): the payload of peer-pub samples is whole and is that of its number."""

    def __init__(self, prefix="/peer"):
        self.prefix, self.bad, self.seen = prefix, [], 0

    def __call__(self, topic, data, message):
        if not topic.startswith(self.prefix):
            return
        error, seq = peer_payload_error(data)
        self.seen += 1
        if error:
            self.bad.append(f"{topic}: {error}")
        elif seq is not None and seq & 0xFFFFFFFF != message.sequence:
            self.bad.append(f"{topic}: payload {seq}, MCAP sequence {message.sequence}")
