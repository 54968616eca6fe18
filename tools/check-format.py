#!/usr/bin/env python3
"""clang-format has nothing to change. With --fix it changes it."""
import subprocess
import sys

from tree import ROOT, c_files, finish

files = [str(f) for f in c_files()]
if "--fix" in sys.argv:
    subprocess.run(["clang-format", "-i", *files], cwd=ROOT, check=True)
r = subprocess.run(["clang-format", "--dry-run", "-Werror", "-ferror-limit=3", *files], cwd=ROOT,
                   capture_output=True, text=True)
bad = sorted({line.split(":")[0] for line in r.stderr.splitlines() if ": error:" in line})
finish([f"{f}: not as clang-format would have it (tools/check-format.py --fix)" for f in bad]
       or ([r.stderr] if r.returncode else []), f"{len(files)} files are formatted")
