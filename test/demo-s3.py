"""The demo's cloud: Ceph's radosgw on this machine, with its objects in memory.

demo-s3.py serve FOLDER          prints "URL" when there is a bucket `demo`, and serves it until it is told to end
demo-s3.py table FOLDER BACK …   compares recordings with what was pulled back from the bucket; status 1 when they differ
"""
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here / "system/lib"))

import bp
import s3servers
import syncing


def make_bucket(url, key, secret):
    empty = hashlib.sha256(b"").hexdigest()
    return subprocess.run(["curl", "-sf", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{key}:{secret}", "-H",
                           f"x-amz-content-sha256: {empty}", "-X", "PUT", f"{url}/demo"]).returncode == 0


def serve(folder):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    folder.mkdir()
    ceph = s3servers.Radosgw(folder)
    try:
        key, secret = s3servers.ALICE  # of this moment and this machine: no secret
        bp.until(lambda: make_bucket(ceph.url, key, secret), 60, "a bucket", step=0.3)
        print(ceph.url, key, secret, flush=True)
        signal.pause()
    finally:
        ceph.stop()


def table(pairs):
    bad = 0
    print(f"{'robot':<8} {'files':>5} {'bytes':>12}  SHA-256 of what the bucket gave back")
    for ours, back in pairs:
        a, b = syncing.digests(ours), syncing.digests(back)
        bad += a != b
        size = sum((ours / n).stat().st_size for n in a)
        print(f"{ours.parent.name:<8} {len(a):>5} {size:>12,}  " + ("equal" if a == b else "DIFFERS"))
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    else:
        words = [Path(w) for w in sys.argv[2:]]
        sys.exit(table(zip(words[::2], words[1::2])))
