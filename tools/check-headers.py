#!/usr/bin/env python3
"""Every header compiles on its own, and every .c file includes its own header first, or a private one
of its room that brings it."""
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tree import ROOT, c_files, finish

CC = [os.environ.get("CC", "cc"), "-fsyntax-only", "-std=gnu17", "-D_GNU_SOURCE", '-DBP_VERSION="0"',
      "-DBP_HAVE_ISAL=0", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror", f"-I{ROOT / 'src'}"]


def alone(path):
    name = str(path.relative_to("src"))
    r = subprocess.run([*CC, "-include", name, "-x", "c", "/dev/null"], capture_output=True, text=True)
    return [f"{path} does not stand alone:\n{r.stderr}"] if r.returncode else []


def own_first(path):
    header = path.with_suffix(".h")
    if not (ROOT / header).exists():
        return []
    first = re.search(r'^#\s*include\s+["<]([^">]+)', (ROOT / path).read_text(), re.M)
    want = str(header.relative_to("src"))
    return [] if first and (first[1] == want or first[1].endswith("-priv.h")) else [f"{path}: include \"{want}\" first"]


headers = [f for f in c_files("src") if f.suffix == ".h" and f.name != "banned.h"]
with ThreadPoolExecutor(os.cpu_count()) as pool:
    problems = [p for ps in pool.map(alone, headers) for p in ps]
problems += [p for f in c_files("src") 
             if f.suffix == ".c" and not f.name.startswith("test-") for p in own_first(f)]
finish(problems, f"{len(headers)} headers stand alone")
