"""Drives the S3 client of the program through build/test/system/s3-probe, one word list at a time."""
import json
import os
import subprocess

import bp

PROBE = bp.BUILD / "test" / "system" / "s3-probe"


class Probe:
    log = ""

    def __init__(self, endpoint, bucket, keys, ok=True, **more):
        """more: region, prefix, provider, style, checksum, sse, sse_c, ca, copy, profile; env = variables besides."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and not k.endswith("CA_BUNDLE")}
        env.update({"HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"})
        env.update(more.pop("env", {}))
        if keys:
            env.update(AWS_ACCESS_KEY_ID=keys[0], AWS_SECRET_ACCESS_KEY=keys[1])
        for name, value in {"endpoint": endpoint, "bucket": bucket, **more}.items():
            if value is not None:
                env[f"S3_{name.upper()}"] = str(value)
        self.p = subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env=env, text=True)
        bp.at_exit(self.stop)
        self.opened = json.loads(self.p.stdout.readline())
        if ok:
            bp.check(self.opened["r"] == 0, f"probe: {self.opened}")

    def __call__(self, *words, ok=True):
        """@return the answer; with ok a failure is noted."""
        self.p.stdin.write(json.dumps([w if isinstance(w, dict) else str(w) for w in words]) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise RuntimeError(f"{words}: the probe ended: {self.p.wait()} {self.p.stderr.read()[-2000:]}")
        answer = json.loads(line)
        if ok:
            bp.check(answer["r"] >= 0, f"{words}: {answer}")
        return answer

    def stop(self):
        """@return what it has logged"""
        if self.p.poll() is None:
            self.p.stdin.close()
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
            self.log = self.p.stderr.read()
            bp.check(self.p.returncode == 0, f"the probe ends well: {self.p.returncode} {self.log[-1500:]}")
        return self.log
