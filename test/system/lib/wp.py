"""The write path's producer and judge (test/tools), and what the files say of their ledger."""
import json
import shutil
import struct
import subprocess
from pathlib import Path

import bp

PRODUCER = bp.BUILD / "test" / "tools" / "wp-producer"
CHECK = bp.BUILD / "test" / "tools" / "wp-check"
SOURCES, ENTRIES = 16, 1 << 21


def offered(log):
    """Messages offered so far, by the log that the producer maps."""
    try:
        with open(log, "rb") as f:
            total = 0
            for i in range(SOURCES):
                f.seek(i * (8 + 16 * ENTRIES))
                total += struct.unpack("<Q", f.read(8) or b"\0" * 8)[0]
            return total
    except (FileNotFoundError, struct.error):
        return 0


def judge(folder, cut=0, durable=0, session=None):
    r = subprocess.run([CHECK, session or folder / "s", folder / "log", str(cut), str(durable)],
                       capture_output=True, text=True)
    try:
        v = json.loads(r.stdout)
    except json.JSONDecodeError:
        v = {"missing": -1, "found": -1, "accepted": -1, "broken": -1, "worst_ms": -1}
    v["rc"], v["said"] = r.returncode, r.stderr.strip()
    return v


def spans(text):
    out = []
    for part in text.split(","):
        a, _, b = part.partition("-")
        out.append((int(a), int(b or a)))
    return out


def ledger_received(session):
    """Numbers the ledgers of all files call received, each once, read with the foreign reader."""
    from mcap.reader import make_reader

    have = {}
    for path in Path(session).glob("*.mcap"):
        with open(path, "rb") as f:
            for md in make_reader(f).iter_metadata():
                if md.name != "bagpipe.ledger":
                    continue
                for key, value in md.metadata.items():
                    for line in value.splitlines():
                        word, _, rest = line.partition(" ")
                        if word == "received":
                            for a, b in spans(rest):
                                have.setdefault(key, set()).update(range(a, b + 1))
    return sum(len(v) for v in have.values())


def clear(*folders):
    for f in folders:
        shutil.rmtree(f, ignore_errors=True)
