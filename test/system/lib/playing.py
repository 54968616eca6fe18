"""For the tests of `bagpipe play`: recordings made by pip `mcap`, so that their content is known, and
playing them into a recorder whose file is read by pip `mcap` again."""
import json
import struct

from mcap.writer import Writer

import bp
from bag import Bag

TEXT = "std_msgs/msg/String"
PLAIN = dict(history="keep_last", depth=10, reliability="reliable", durability="volatile")
LATCHED = dict(PLAIN, depth=1, durability="transient_local")
START = 1_700_000_000_000_000_000


def offered(*profiles):
    """offered_qos_profiles as rosbag2 (Jazzy) writes it."""
    never = "\n    sec: 9223372036\n    nsec: 854775807"
    return "\n".join(
        f"- history: {q['history']}\n  depth: {q['depth']}\n  reliability: {q['reliability']}\n"
        f"  durability: {q['durability']}\n  deadline:{never}\n  lifespan:{never}\n"
        f"  liveliness: automatic\n  liveliness_lease_duration:{never}\n"
        "  avoid_ros_namespace_conventions: false" for q in profiles)


def cdr_text(s):
    b = s.encode() + b"\0"
    return b"\0\1\0\0" + struct.pack("<I", len(b)) + b


def text_of(data):
    return bytes(data[8:8 + struct.unpack_from("<I", data, 4)[0] - 1]).decode()


def make(path, *topics, encoding="cdr"):
    """topics: (name, [(ns after START, text)], [profiles]) or with a type name as fourth."""
    with open(path, "wb") as f:
        w = Writer(f)
        w.start(profile="ros2", library="test")
        rows = []
        for name, messages, profiles, *type_name in topics:
            s = w.register_schema(name=type_name[0] if type_name else TEXT, encoding="ros2msg", data=b"string data\n")
            c = w.register_channel(topic=name, message_encoding=encoding, schema_id=s,
                                   metadata={"offered_qos_profiles": offered(*profiles)})
            rows += [(t, c, i, text) for i, (t, text) in enumerate(messages)]
        for t, c, i, text in sorted(rows):
            w.add_message(c, START + t, cdr_text(text), START + t - 1000, sequence=i + 1)
        w.finish()
    return path


def stream(prefix, hz, seconds, first=0):
    """Messages prefix0, prefix1, … at hz, the first one `first` ns after START."""
    return [(first + round(i * 1e9 / hz), f"{prefix}{i}") for i in range(round(hz * seconds))]


class Heard:
    """What a recorder heard: texts and stamps by topic, and the recording."""

    def __init__(self, out):
        rows = []
        self.bag = Bag(out, payload=lambda topic, data, m: rows.append((topic, data, m.publish_time)))
        self.texts, self.stamps = {}, {}
        for topic, data, stamp in rows:
            if self.bag.types[topic][0] == TEXT:
                self.texts.setdefault(topic, []).append(text_of(data))
                self.stamps.setdefault(topic, []).append(stamp)


def play(folder, name, *args, domain, wait=True, ok=(0,)):
    """Plays into a recorder. @return (what play printed as JSON, Heard)"""
    out = folder / name
    rec = bp.record(out, domain=domain)
    words = ["--wait-for-readers", "5s"] if wait else []
    status, text, err = bp.run([bp.BAGPIPE, "play", *args, "--domain", domain, "--json", *words], ok=ok)
    rec.stop(timeout=20)
    lines = [line for line in text.splitlines() if line.startswith("{")]
    return (json.loads(lines[-1]) if lines else {}), Heard(out)
