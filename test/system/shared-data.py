"""Recordings made by others (../shared/data): each opens, counts and digests are right.

Judged by readers that are not ours: Python's sqlite3, pip mcap, PyYAML, ruamel, the digests of the data's own
README and npm @mcap/core. Reading must leave every folder as it was.
"""
import json
import re
import shutil
import sqlite3
import subprocess

import yaml

import bp

# data/README.md: digests by `node tools/dec.mjs`
DIGESTS = {
    "abitobot/rosbag2_2025_05_09-18_01_02_0.mcap": (6578, "c8a683abd87076ed"),
    "reductstore_agent/demo.mcap": (3513, "7be3d3d5b2bbcf77"),
    "rosbag2/rosbag2_py/test/resources/mcap/talker/talker.mcap": (20, "21f90c5e7a25a3c5"),
}
# no decodable definitions inside, or no message is cdr: their digest says nothing
UNDECODABLE = {"configuration.mcap", "configuration_type.mcap", "ros2_talker.mcap"}


def state(folder):
    """What reading must not change."""
    return sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*"))


def count_db3(path):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    rows = db.execute("SELECT t.name, count(m.id) FROM topics t LEFT JOIN messages m ON m.topic_id = t.id "
                      "GROUP BY t.id").fetchall()
    db.close()
    return dict(rows)


def count_mcap(path):
    from mcap.reader import NonSeekingReader

    counts = {}
    with open(path, "rb") as f:
        for _, channel, _ in NonSeekingReader(f).iter_messages():
            counts[channel.topic] = counts.get(channel.topic, 0) + 1
    return counts


def info(path, *args):
    status, j = bp.bagpipe_json("info", "--json", *args, path)
    bp.check(status == 0 and j is not None, f"info {path}: status {status}")
    return j or {"message_count": -1, "topics": []}


def check_counts(what, j, want):
    """Our topic counts against a foreign reader's."""
    got = {t["topic"]: t["message_count"] for t in j["topics"] if t["message_count"]}
    want = {k: v for k, v in want.items() if v}
    bp.check(got == want, f"{what}: {got} instead of {want}")
    bp.check(j["message_count"] == sum(want.values()), f"{what}: {j['message_count']} messages in all")


def folders():
    n = 0
    for y in sorted(bp.DATA.rglob("metadata.yaml")):
        meta = yaml.safe_load(y.read_text())["rosbag2_bagfile_information"]
        want = {t["topic_metadata"]["name"]: t["message_count"] for t in meta["topics_with_message_count"]}
        j = info(y.parent)
        check_counts(y.parent, j, want)
        bp.check(j["message_count"] == meta["message_count"], f"{y.parent}: message_count")
        status, out, _ = bp.bagpipe("verify", y.parent, ok=None)
        bp.check(status == 0, f"verify {y.parent}: status {status}: {out[-400:]}")
        n += 1
    bp.say(f"{n} folders of metadata v2-v9: counts as in their metadata.yaml, all verify")


def files():
    n = 0
    for f in sorted(list(bp.DATA.rglob("*.db3")) + list(bp.DATA.rglob("*.mcap"))):
        check_counts(f, info(f), count_db3(f) if f.suffix == ".db3" else count_mcap(f))
        n += 1
    bp.say(f"{n} files: counts per topic as Python's sqlite3 and pip mcap count them")


def digest_of(path):
    d = info(path, "--digest").get("digest") or {}
    return d.get("decoded"), (d.get("sha256") or "")[:16]


def node_tools():
    d = bp.BUILD / "npm"
    if not shutil.which("node") or not (d / "node_modules" / "@mcap" / "core").exists():
        return None
    shutil.copy(bp.DATA / "tools" / "dec.mjs", d / "dec.mjs")
    return d


def digests():
    for f, want in DIGESTS.items():
        got = digest_of(bp.DATA / f)
        bp.check(got == want, f"{f}: digest {got} instead of {want}")
    npm = node_tools()
    n = 0
    for f in sorted(bp.DATA.rglob("*.mcap")) if npm else []:
        if f.name in UNDECODABLE or "msgzstd" in f.name:
            continue
        r = subprocess.run(["node", "dec.mjs", str(f)], cwd=npm, capture_output=True, text=True, timeout=120)
        m = re.search(r"decoded (\d+) failed 0 +([0-9a-f]{16})", r.stdout)
        if not m:
            continue  # dec.mjs cannot decode service events
        want = (int(m.group(1)), m.group(2))
        got = digest_of(f)
        bp.check(got == want, f"{f}: digest {got}, dec.mjs says {want}")
        n += 1
    bp.say(f"{len(DIGESTS)} digests of the README, {n} of dec.mjs" + ("" if npm else " (no node: not compared)"))


def same_in_either_storage():
    """rosbag2's converted pairs: the same messages from sqlite3 and from MCAP."""
    base = bp.DATA / "rosbag2" / "rosbag2_py" / "test" / "resources"
    for name in ("convert_a", "convert_b", "wbag", "talker"):
        a, b = info(base / "mcap" / name), info(base / "sqlite3" / name)
        for k in ("message_count", "start_ns", "end_ns"):
            bp.check(a.get(k) == b.get(k), f"{name}: {k} {a.get(k)} in mcap, {b.get(k)} in sqlite3")


WORDS = ["a", "B", "0", "1", "9", "_", ".", "-", ":", " ", "#", "/", "\n", '"', "'", "\\", "é", "机", "\u2028", "\x7f",
         "\x01", "y", "No", "null", "~", "e", "x", "+", "=", "<<", "true", "&", "*", "!", "%", "@", "`", "|", ">", ",",
         "[", "]", "{", "}", "😀", "\ufeff", "\u0085", "1:30", "2026-11-21", ".nan", ".inf", "0o7", "0b1", "?", "---", "..."]


def quoting():
    """Names made of everything YAML stumbles over, read back by four foreign readers."""
    from ruamel.yaml import YAML

    rng = bp.seeded()
    n = 0
    for _ in range(bp.amount(6, 60)):
        names = sorted({"".join(rng.choice(WORDS) for _ in range(rng.randint(1, 6))) for _ in range(50)} | set(WORDS))
        text = subprocess.run([bp.BUILD / "test" / "system" / "metadata-odd", *names], capture_output=True,
                              check=True).stdout.decode()
        loaded = {"PyYAML": yaml.safe_load(text), "ruamel": YAML(typ="safe").load(text),
                  "ruamel, pure": YAML(typ="safe", pure=True).load(text)}
        if hasattr(yaml, "CSafeLoader"):
            loaded["libyaml"] = yaml.load(text, yaml.CSafeLoader)
        for who, top in loaded.items():
            m = top["rosbag2_bagfile_information"]
            bp.check(list(m["custom_data"].items()) == [(x, x) for x in names], f"{who}: custom_data differs")
            bp.check([t["topic_metadata"]["name"] for t in m["topics_with_message_count"]] == names,
                     f"{who}: topics differ")
            bp.check(m["relative_file_paths"] == names, f"{who}: paths differ")
        n += len(names)
    bp.say(f"{n} odd names written, read back by {len(loaded)} YAML readers")


def test():
    quoting()
    if not bp.DATA.is_dir():
        if bp.failures():
            bp.finish()
        bp.skip(f"{bp.DATA} is not there; only the quoting was tested")
    before = state(bp.DATA)
    folders()
    files()
    same_in_either_storage()
    digests()
    bp.check(state(bp.DATA) == before, "reading changed something in ../shared/data")


bp.main(test)
