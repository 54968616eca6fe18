#!/usr/bin/env python3
"""clang-tidy finds nothing. check-tidy.py BUILD-FOLDER [FILE…]

What was clean is remembered under BUILD-FOLDER/tidy by a hash of the file, everything of ours it
includes, its command and .clang-tidy, so that only changed files are looked at again. On a clean checkout
(CI) the analyzer, which takes most of the time, is left to ./run lint and ./run test --full.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tree import ROOT, finish

build = Path(sys.argv[1]).resolve()
only = {str((ROOT / f).resolve()) for f in sys.argv[2:]}
cache = build / "tidy"
cache.mkdir(exist_ok=True)


# In tests: one thread calls getopt and setenv, printing may fail, and cmocka's asserts do not tell the
# analyzer, which also takes most of the time, that they leave.
TESTS = ("--checks=-concurrency-mt-unsafe,-cert-err33-c,-clang-analyzer-*,"
         "-bugprone-not-null-terminated-result,-bugprone-implicit-widening-of-multiplication-result")


QUICK = bool(os.environ.get("CI")) and not os.environ.get("BP_FULL")


def checks(path):
    """What .clang-tidy says, less what cannot be said of this file or not now."""
    if is_test(path):
        return [TESTS]
    return ["--checks=-clang-analyzer-*"] if QUICK else []


def is_test(path):
    return "test" in path.relative_to(ROOT).parts[:1] or path.name.startswith(("test-", "fuzz-"))


def own_includes(path, seen):
    """The file and our headers it includes, however deep."""
    if path in seen or not path.exists():
        return
    seen.add(path)
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(errors="replace"), re.M):
        own_includes(ROOT / "src" / name, seen)
        own_includes(path.parent / name, seen)


def key_of(entry):
    files = set()
    own_includes(Path(entry["file"]), files)
    h = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + Path(__file__).read_bytes())
    h.update(" ".join([entry["command"], *checks(Path(entry["file"]))]).encode())
    for f in sorted(files):
        h.update(f.read_bytes())
    return cache / h.hexdigest()


def entries():
    for e in json.loads((build / "compile_commands.json").read_text()):
        e["file"] = str((Path(e["directory"]) / e["file"]).resolve())
        if e["file"].startswith(str(ROOT / "src")) or e["file"].startswith(str(ROOT / "test")):
            if e["file"].endswith(".c") and (not only or e["file"] in only):
                yield e


def check(entry):
    key = key_of(entry)
    if key.exists():
        return ""
    # gcc's options that clang does not know must not count as findings
    cmd = ["clang-tidy", "-quiet", "-p", str(build), "--extra-arg=-Wno-unknown-warning-option",
           # it does not take the comments by which uthash marks its fall-throughs either
           "--extra-arg=-Wno-implicit-fallthrough", "--extra-arg=-Wno-error",
           *checks(Path(entry["file"])), entry["file"]]
    r = subprocess.run(cmd, cwd=ROOT, capture_output=True, text=True)
    if r.returncode == 0:
        key.touch()
        return ""
    return r.stdout.replace(str(ROOT) + "/", "").strip() or r.stderr


todo = {e["file"]: e for e in entries()}
bad = 0
with ThreadPoolExecutor(int(os.environ.get("BP_TIDY_JOBS") or os.cpu_count())) as pool:
    for found in filter(None, pool.map(check, todo.values())):
        print(found, flush=True)
        bad += 1
finish([f"{bad} files with findings"] if bad else [], f"{len(todo)} files are clean")
