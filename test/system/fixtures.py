"""Recordings made by earlier versions are read as on the day they were made (test/fixtures)."""
import json

import bp
from bag import Bag

FIXTURES = bp.REPO / "test" / "fixtures"


def one(folder, want):
    what = f"{folder.parent.name}/{folder.name}"
    b = Bag(folder)
    bp.check(b.count == want["messages"] and b.bytes == want["bytes"], f"{what}: mcap reads {b.count} messages")
    status, info = bp.bagpipe_json("info", "--json", "--digest", folder)
    if not bp.check(info, f"{what}: info gives no JSON"):
        return
    bp.check(info["message_count"] == want["messages"], f"{what}: info counts {info['message_count']}, was {want['messages']}")
    got = {t["topic"]: t["message_count"] for t in info["topics"]}
    bp.check(got == {t: v["messages"] for t, v in want["topics"].items()}, f"{what}: by topic {got}")
    digest = [f["digest"]["sha256"] for f in info["files"]]
    bp.check(digest == want["digest"], f"{what}: digest {digest}, was {want['digest']}")
    bp.bagpipe("verify", folder)
    bp.say(f"{what}: {b.count} messages, {len(b.files)} files, lost {b.lost()}")


def test():
    versions = sorted(p for p in FIXTURES.iterdir() if (p / "expected.json").exists())
    bp.check(versions, "there are fixtures")
    for v in versions:
        for name, want in json.loads((v / "expected.json").read_text())["recordings"].items():
            one(v / name, want)


if __name__ == "__main__":
    bp.main(test)
