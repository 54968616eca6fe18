"""The machine a bench ran on, and tables."""
import os
import platform
import subprocess
from pathlib import Path

import bp


def describe(folder):
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    mem = int(next(l for l in open("/proc/meminfo") if l.startswith("MemTotal")).split()[1])
    dev, fs = subprocess.run(["df", "--output=source,fstype", folder], capture_output=True,
                             text=True).stdout.splitlines()[-1].split()
    rmem = Path("/proc/sys/net/core/rmem_max").read_text().strip()
    commit = subprocess.run(["git", "-C", bp.REPO, "rev-parse", "--short", "HEAD"], capture_output=True,
                            text=True).stdout.strip()
    return (f"{cpu}, {os.cpu_count()} cores, {mem / 2**20:.0f} GiB, kernel {platform.release()}, {fs} on {dev}, "
            f"net.core.rmem_max {rmem}, load {os.getloadavg()[0]:.1f}, commit {commit}")


def raise_rmem(want=64 << 20):
    """Raises net.core.rmem_max where that is allowed (before own_network()); says what it is."""
    path = Path("/proc/sys/net/core/rmem_max")
    now = int(path.read_text())
    if now < want and not os.environ.get("BP_NETNS"):
        try:
            path.write_text(str(want))
        except OSError:
            pass
    return int(path.read_text())


def table(head, rows):
    width = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    line = lambda r: "| " + " | ".join(str(c).ljust(w) for c, w in zip(r, width)) + " |"
    return "\n".join([line(head), "|" + "|".join("-" * (w + 2) for w in width) + "|", *map(line, rows)])


def report(name, text):
    """Prints the result, and leaves it as build/bench/NAME.md for docs/benchmarks.md."""
    out = bp.BUILD / "bench"
    out.mkdir(exist_ok=True)
    (out / f"{name}.md").write_text(text + "\n")
    print(text, flush=True)
