#!/usr/bin/env python3
"""Functions stay under 60 lines and files under 800, but for those in tools/long-functions.

That list is there to shrink: "file function lines". A function may not grow beyond its row, and a
row that is no longer needed must go. `--write` writes the list anew.
"""
import re
import sys

from tree import ROOT, c_files, finish

LINES, FILE_LINES = 60, 800
LIST = ROOT / "tools" / "long-functions"
GENERATED = {"src/wire/types-table.c"}


def functions(path):
    """(name, length) of each function: clang-format puts its braces into column 0 and line ends."""
    start = name = None
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        if start is None and re.match(r"[A-Za-z_]", line) and "=" not in line.split("(")[0]:
            m = re.search(r"\b(\w+)\(", line.split("__attribute__")[0])
            if m and not line.startswith(("struct {", "enum", "typedef", "#")):
                start, name = number, m[1]
        if start is not None and line.endswith(";") and not line.startswith((" ", "\t")):
            start = None  # a declaration
        if start is not None and line.startswith(("}", "#")) and line != "}":
            start = None  # a struct, or a macro
        if line == "}" and start is not None:
            yield name, number - start + 1
            start = None


def check():
    allowed, long = {}, {}
    for row in LIST.read_text().splitlines() if LIST.exists() else []:
        if row and not row.startswith("#"):
            file, name, lines = row.split()
            allowed[file, name] = int(lines)
    for path in c_files():
        text = (ROOT / path).read_text()
        if str(path) in GENERATED:
            continue
        if text.count("\n") > FILE_LINES:
            long[str(path), "-"] = text.count("\n")
        for name, lines in functions(path):
            if lines > LINES:
                long[str(path), name] = lines
    return allowed, long


allowed, long = check()
if "--write" in sys.argv:
    rows = [f"{f} {n} {k}" for (f, n), k in sorted(long.items())]
    LIST.write_text("# Functions over 60 lines and files (-) over 800: a list to shrink.\n" +
                    "".join(r + "\n" for r in rows))
    allowed = long
problems = [f"{f}: {n} has {k} lines (allowed {allowed.get((f, n), FILE_LINES if n == '-' else LINES)})"
            for (f, n), k in sorted(long.items()) if k > allowed.get((f, n), 0)]
problems += [f"tools/long-functions: {f} {n} is no longer too long, remove its row"
             for f, n in allowed if (f, n) not in long]
finish(problems, f"{len(allowed)} long functions left to shorten")
