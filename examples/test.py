#!/usr/bin/env python3
"""The library as others have it: the installed headers alone, its shared object, an example that is
compiled against both and sends a folder to a disk."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

source, library, *headers = map(Path, sys.argv[1:])
with tempfile.TemporaryDirectory() as tmp:
    tmp = Path(tmp)
    for h in headers:
        to = tmp / "include" / h.parent.name
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(h, to)
    program = tmp / "sync-push"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                    f"-I{tmp}/include", str(source), str(library), f"-Wl,-rpath,{library.parent}",
                    "-o", str(program)], check=True)
    folder, disk = tmp / "run", tmp / "disk"
    folder.mkdir()
    disk.mkdir()
    for n in range(3):
        (folder / f"run_{n}.mcap").write_bytes(os.urandom(100000 + n))
    for _ in range(2):  # the second time all is there
        out = subprocess.run([str(program), str(tmp / "queue.db"), f"file://{disk}", str(folder)], check=True,
                             capture_output=True, text=True, timeout=120).stdout
    copies = list(disk.glob("sessions/run.*/run_?.mcap"))
    assert len(copies) == 3, out
    for copy in copies:
        ours = hashlib.sha256((folder / copy.name).read_bytes()).hexdigest()
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == ours, copy
    r = subprocess.run([str(program), str(tmp / "q2.db"), "gopher://x", str(folder)], capture_output=True, text=True)
    assert r.returncode == 1 and "is no target" in r.stderr, r
    names = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True,
                           text=True).stdout.split("\n")
    others = [n for n in names if " T " in n and " bp_sync_" not in n and " bp_strerror" not in n]
    assert not others, f"the library gives away {others[:5]}"
