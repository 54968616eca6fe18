"""A recording as a foreign reader sees it: pip `mcap` alone, none of our code.

Loads a session folder (or files): messages by topic, ledger (docs/formats/ledger.md), metadata.
"""
import hashlib
import zlib
from collections import defaultdict
from pathlib import Path

from mcap.records import Channel, Header, Message, Metadata, Schema
from mcap.stream_reader import StreamReader

import spans

LOSSES = ("transport", "ring", "budget", "disk", "rate", "paused", "bad", "control", "degraded")


class Source:
    """One DDS writer on one topic, as the ledger tells it."""

    def __init__(self):
        self.received, self.late, self.duplicates, self.vendor, self.node = [], [], 0, 0, ""
        self.lost = {c: [] for c in LOSSES}

    def heard(self):
        """Numbers the ledger has a fate for."""
        return spans.normal(self.received + self.late + sum(self.lost.values(), []))


class Bag:
    def __init__(self, *paths, payload=None, strict=True):
        """payload(topic, data, message) is called for each message; strict = CRCs must be right."""
        self.files = []
        for p in map(Path, paths):
            self.files += sorted(p.glob("*.mcap"), key=_number) if p.is_dir() else [p]
        self.messages = defaultdict(list)  # topic -> [(seq32, log_time, publish_time, size)]
        self.ledger = defaultdict(Source)  # (guid, topic)
        self.metadata = []  # (file, name, dict)
        self.types = {}  # topic -> (type, schema encoding, schema text length)
        self.channels = {}  # topic -> channel metadata
        self.count = 0
        self.bytes = 0
        self.digest = hashlib.sha256()
        for f in self.files:
            self._load(f, payload, strict)

    def _load(self, path, payload, strict):
        schemas, channels = {}, {}
        with open(path, "rb") as f:
            for r in StreamReader(f, validate_crcs=strict).records:
                if isinstance(r, Message):
                    c = channels[r.channel_id]
                    self.count += 1
                    self.bytes += len(r.data)
                    self.messages[c.topic].append((r.sequence, r.log_time, r.publish_time, len(r.data)))
                    if payload:
                        payload(c.topic, r.data, r)
                elif isinstance(r, Schema):
                    schemas[r.id] = r
                elif isinstance(r, Channel):
                    channels[r.id] = r
                    s = schemas.get(r.schema_id)
                    self.types[r.topic] = (s.name, s.encoding, len(s.data)) if s else ("", "", 0)
                    self.channels[r.topic] = r.metadata
                elif isinstance(r, Metadata):
                    self.metadata.append((path.name, r.name, r.metadata))
                    if r.name == "bagpipe.ledger":
                        self._ledger(r.metadata)
                elif isinstance(r, Header):
                    self.header = r

    def _ledger(self, m):
        for key, value in m.items():
            guid, _, topic = key.partition(" ")
            s = self.ledger[(guid, topic)]
            for line in value.splitlines():
                word, _, rest = line.partition(" ")
                if word == "received":
                    s.received = spans.normal(s.received + spans.parse(rest))
                elif word == "late":
                    s.late = spans.normal(s.late + spans.parse(rest))
                elif word in s.lost:
                    s.lost[word] = spans.normal(s.lost[word] + spans.parse(rest))
                elif word == "duplicates":
                    s.duplicates += int(rest)
                elif word == "vendor":
                    s.vendor = int(rest)
                elif word == "node":
                    s.node = rest

    def seqs(self, topic):
        return [m[0] for m in self.messages[topic]]

    def lost(self, *causes):
        return sum(spans.count(s.lost[c]) for s in self.ledger.values() for c in causes or LOSSES
                   if causes or c not in ("rate", "paused"))


def _number(p):
    stem = p.stem.rsplit("_", 1)
    return (int(stem[1]), p.name) if len(stem) == 2 and stem[1].isdigit() else (0, p.name)


def crc32(data):
    return zlib.crc32(data)
