"""Disks for tests: a small ext4 on a loop device, and one that loses power (cutdisk.c)."""
import subprocess
import time
from pathlib import Path

import bp

PLUGIN = bp.BUILD / "test" / "system" / "lib" / "cutdisk.so"


def sh(*args, check=True):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if check and r.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: {r.stderr.strip()}")
    return r.stdout.strip()


class Loop:
    """An ext4 of `mb` on a loop device over a file in `folder`, mounted at .path"""

    def __init__(self, folder, mb, options="commit=600"):
        self.image, self.path = Path(folder) / "loop.img", Path(folder) / "loop"
        self.path.mkdir(exist_ok=True)
        sh("truncate", "-s", f"{mb}M", self.image)
        sh("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        bp.at_exit(self.close)
        sh("mount", "-o", f"loop,{options}", self.image, self.path)

    def close(self):
        sh("umount", "-l", self.path, check=False)


class CutDisk:
    """ext4 on a disk with a volatile write cache; .cut() takes its power away."""

    def __init__(self, folder, mb, seed, keep=50, sector=512, delay_ms=0):
        self.dir = Path(folder)
        self.image, self.path = self.dir / "disk.img", self.dir / "m"
        self.nbd, self.again = self.dir / "n", self.dir / "after"
        for d in (self.path, self.nbd, self.again):
            d.mkdir(parents=True, exist_ok=True)
        sh("truncate", "-s", f"{mb}M", self.image)
        sh("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        bp.at_exit(self.close)
        sock, pid = self.dir / "sock", self.dir / "pid"
        self.kit = bp.Proc(["nbdkit", "-f", "-U", sock, "-P", pid, PLUGIN, f"image={self.image}",
                            f"cut={self.dir / 'cut'}", f"keep={keep}", f"sector={sector}",
                            f"delay={delay_ms}", "wait=300", f"seed={seed}"])
        bp.until(lambda: sock.exists() and pid.exists() and pid.read_text().strip(), 10, "nbdkit")
        self.fuse = bp.Proc(["nbdfuse", self.nbd, "--unix", sock])
        bp.until(lambda: (self.nbd / "nbd").exists(), 10, "nbdfuse")
        self.loop = sh("losetup", "-f", "--show", "--direct-io=on", self.nbd / "nbd")
        sh("mount", "-o", "commit=600", self.loop, self.path)

    def cut(self):
        """@return (mono ns of the cut, dirty sectors, of them kept, writes, flushes)"""
        (self.dir / "cut").touch()
        done = self.dir / "cut.done"
        bp.until(done.exists, 30, "the cut")
        return tuple(int(x) for x in done.read_text().split())

    def dead(self):
        """Takes the dead disk away (every writer must be gone); mounts what survived at .again"""
        self._off()
        sh("mount", "-o", "loop", self.image, self.again)
        return self.again

    def _off(self):
        sh("umount", "-l", self.path, check=False)
        if self.loop:
            sh("losetup", "-d", self.loop, check=False)
            self.loop = None
        sh("umount", "-l", self.nbd, check=False)
        self.fuse.stop(timeout=5)
        self.kit.stop(timeout=5)

    def close(self):
        sh("umount", "-l", self.again, check=False)
        self._off()
        time.sleep(0)
