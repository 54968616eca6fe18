#!/usr/bin/env python3
"""shellcheck is content with every script."""
import shutil
import subprocess

from tree import ROOT, finish, tracked


def is_shell(path):
    with open(ROOT / path, "rb") as f:
        first = f.readline(80)
    return path.suffix == ".sh" or (first.startswith(b"#!") and b"sh" in first.split(b"/")[-1])


if not shutil.which("shellcheck"):
    print("SKIP: no shellcheck")
    raise SystemExit(77)
files = [str(f) for f in tracked() if f.suffix in ("", ".sh") and is_shell(f)]
r = subprocess.run(["shellcheck", "-S", "warning", "-x", "-P", "SCRIPTDIR", *files], cwd=ROOT, capture_output=True, text=True)
finish([r.stdout + r.stderr] if r.returncode else [], f"{len(files)} scripts are clean")
