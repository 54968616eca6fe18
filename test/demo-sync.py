"""What became of the demo's uploads.

demo-sync.py wait AGENT_URL                     until everything of this agent is on the server, proven by digest
demo-sync.py table SERVER SERVER_DIR LINK.JSON FOLDER…   compares each session with what the server has of it; status 1 unless
                                                every byte is there, and there once
"""
import hashlib
import json
import sys
import time
import urllib.request
from pathlib import Path


def get(url):
    with urllib.request.urlopen(url, timeout=20) as r:
        return json.load(r)


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def wait(url, limit=120):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        s = get(url + "/api/v1/sync")
        left = sum(s[k]["files"] for k in ("waiting", "parked", "failed"))
        if s["done"]["files"] and not left:
            return 0
        time.sleep(0.2)
    t = s["targets"][0]
    print(f"demo: {left} files did not arrive: {t['state']} {t['text'] or ''}", file=sys.stderr)
    return 1


def human(n):
    return f"{n / 1e6:.1f} MB"


def table(server, server_dir, link, folders):
    objects = {p.parent.name + p.name: p for p in Path(server_dir).glob("objects/??/*")}
    counts = json.loads(Path(link).read_text())
    total = bad = 0
    wanted = set()
    print(f"{'robot':<8} {'session':<10} {'files':>5} {'recorded':>10} {'arrived':>10}  SHA-256")
    for folder in map(Path, folders):
        ours = {p.name: p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")}
        id_ = json.loads((folder / "manifest.json").read_text())["session"]["id"]
        got = get(f"{server}/api/v1/sessions/{id_}/segments")
        theirs = {x["name"]: x["sha256"] for x in got["segments"] + got["files"]}
        size = sum(p.stat().st_size for p in ours.values())
        arrived, equal = 0, True
        for name, path in ours.items():
            digest = sha256(path)
            wanted.add(digest)
            there = theirs.get(name) == digest and digest in objects and sha256(objects[digest]) == digest
            arrived += objects[digest].stat().st_size if there else 0
            equal &= there
        total += size
        bad += not equal
        print(f"{folder.parent.name:<8} {folder.name:<10} {len(ours):>5} {human(size):>10} {human(arrived):>10}  "
              + ("equal" if equal else "DIFFERS"))
    extra = set(objects) - wanted
    again = sum(counts["parts"].values()) - total
    print(f"the link broke {len(counts['breaks'])} times; of {len(counts['parts'])} parts {human(sum(counts['parts'].values()))} "
          f"arrived whole, {human(max(again, 0))} of them again; {len(objects)} objects stored, {len(extra)} too many")
    return 1 if bad or extra or again > 0 or not counts["breaks"] or len(counts["breaks"]) < counts["due"] else 0


if sys.argv[1] == "wait":
    sys.exit(wait(sys.argv[2]))
sys.exit(table(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]))
