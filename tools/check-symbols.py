#!/usr/bin/env python3
"""Fails when two rooms define the same function: the linker takes one for both, silently.

check-symbols.py BUILD_FOLDER
"""
import collections
import pathlib
import re
import subprocess
import sys

seen = collections.defaultdict(set)
for archive in pathlib.Path(sys.argv[1]).glob("src/*/lib*.a"):
    out = subprocess.run(["nm", "--defined-only", archive], capture_output=True, text=True).stdout
    for symbol in re.findall(r"^[0-9a-f]+ [TDRB] (\w+)$", out, re.M):
        seen[symbol].add(archive.stem[3:])
twice = {s: rooms for s, rooms in seen.items() if len(rooms) > 1}
for symbol, rooms in sorted(twice.items()):
    print(f"{symbol} is defined in {' and '.join(sorted(rooms))}")
sys.exit(1 if twice else 0)
