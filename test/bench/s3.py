"""`bagpipe push` to a bucket beside rclone: Ceph's radosgw with an OSD in memory, the same file, parts of 16 MiB, 4 at once,
in turn, in the same run. What lies in the bucket is compared by SHA-256.

s3.py [--quick] [--runs N]: the median of N runs (5).
"""
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time

import bp
import machine
import s3servers

sys.path.append(str(bp.REPO / "test/bench"))
import upload

KEY, SECRET = s3servers.ALICE
ENV = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


class Bucket:
    def __init__(self, folder, memory):
        self.gateway = s3servers.Radosgw(folder, memory=memory)
        self.number = itertools.count()
        self.env = {**ENV, "RCLONE_CONFIG": str(folder / "rclone.conf"), "RCLONE_CONFIG_B_TYPE": "s3",
                    "RCLONE_CONFIG_B_PROVIDER": "Ceph", "RCLONE_CONFIG_B_ENV_AUTH": "true",
                    "RCLONE_CONFIG_B_ENDPOINT": self.gateway.url, "RCLONE_S3_CHUNK_SIZE": "16M", "RCLONE_S3_UPLOAD_CONCURRENCY": "4"}
        (folder / "rclone.conf").touch()
        bp.until(lambda: self.rclone("mkdir", "b:bench", ok=False) is not None, 60, "a bucket", step=0.3)

    def rclone(self, *words, ok=True):
        r = subprocess.run(["rclone", *words], env={**os.environ, **self.env}, capture_output=True, text=True, timeout=600)
        if r.returncode and ok:
            bp.fail(f"rclone {words}: {r.stderr[-500:]}")
        return None if r.returncode else r.stdout

    def check(self, prefix, sha, who):
        """Whatever lies below the prefix and is large is the file; then it is deleted."""
        keys = [k for k in (self.rclone("lsf", "-R", "--files-only", f"b:bench/{prefix}") or "").splitlines()
                if k.endswith("file.bin")]
        bp.check(len(keys) == 1, f"{who}: one object: {keys}")
        h = hashlib.sha256()
        with subprocess.Popen(["rclone", "cat", f"b:bench/{prefix}/{keys[0]}"], env={**os.environ, **self.env},
                              stdout=subprocess.PIPE) as p:
            while piece := p.stdout.read(1 << 20):
                h.update(piece)
        bp.check(h.hexdigest() == sha, f"{who}: the bucket has the same bytes")
        self.rclone("delete", f"b:bench/{prefix}")
        self.gateway.admin("gc", "process", "--include-all") # memory: what is deleted stays for hours else

    def ours(self, folder, path, sha):
        prefix = f"ours-{next(self.number)}"
        took, cpu = upload.push(folder, path, f"s3://bench/{prefix}", "--option", f"endpoint={self.gateway.url}", "--option",
                                "dedup=off", env=ENV)
        self.check(prefix, sha, "bagpipe")
        return took, cpu, None

    def theirs(self, folder, path, sha):
        prefix = f"theirs-{next(self.number)}"
        began = time.monotonic()
        p = bp.Proc(["rclone", "copyto", "--s3-no-check-bucket", path, f"b:bench/{prefix}/file.bin"], env=self.env)
        bp.check(p.wait(600) == 0, f"rclone: {p.text()[-500:]}")
        took = time.monotonic() - began
        self.check(prefix, sha, "rclone")
        return took, p.cpu_s(), None


def bench():
    bp.need("rclone", *s3servers.Radosgw.programs)
    for name in [k for k in os.environ if k.startswith("AWS_")]: # both see what is said here, and nothing else
        del os.environ[name]
    quick = "--quick" in sys.argv
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 1 if quick else 5
    size = (128 if quick else 1024) << 20
    folder = bp.scratch()
    path = folder / "file.bin"
    sha = upload.make_file(path, size)
    b = Bucket(folder, 8 << 30)
    version = lambda *words: subprocess.run(words, capture_output=True, text=True).stdout.splitlines()[0]
    got = upload.turns(runs, {"bagpipe": b.ours, "rclone": b.theirs}, folder, path, sha)
    machine.report("s3", "\n".join([
        machine.describe(folder), f"{version('rclone', 'version')}, {version('radosgw', '--version')}", "",
        f"{size >> 20} MiB in parts of 16 MiB, 4 at once, median of {runs}; both with the start of the process", "",
        machine.table(upload.HEAD[:-1], [r[:-1] for r in upload.rows(got, size, "bagpipe")])]))


if __name__ == "__main__":
    bp.main(bench)
