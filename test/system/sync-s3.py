"""Agent to a bucket of radosgw through a link that drops, crawls and lies, both killed: what is fetched back is what was
recorded, nothing is stored twice, and after gc no upload is left open.
"""
import os
import re
import shutil
import subprocess
import time

import bp
import s3servers
import syncing
from badlink import Link
from syncing import Agent

FAULTS = {"cut": 0.02, "stall": 0.003, "corrupt": 0.01, "error500": 0.02, "busy503": 0.005, "skew403": 0.01,
          "truncate": 0.01, "deaf": 0.01}
PART = 1 << 20
MIN_PART = 5 << 20  # what a part of a bucket is at least
PARALLEL = 4
SEGMENTS, BYTES = 200, 2_000_000_000  # with BP_FULL


def curl(r, path, *words):
    key = ":".join(s3servers.ALICE)
    out = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *words,
                          "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", key, r.url + path], capture_output=True,
                         timeout=60, text=True).stdout
    body, _, status = out.rpartition("\n")
    return int(status or 0), body


def keys(r):
    return set(re.findall("<Key>(.*?)</Key>", curl(r, "/robots?list-type=2&prefix=sessions%2F")[1]))


def open_uploads(r):
    return re.findall("<UploadId>(.*?)</UploadId>", curl(r, "/robots?uploads=")[1])


def main():
    missing = [p for p in (*s3servers.Radosgw.programs, "curl") if not shutil.which(p)]
    if missing:
        bp.skip(f"{missing[0]} is not installed")
    rng = bp.seeded()
    folder = bp.scratch()
    r = s3servers.Radosgw(folder, min_part=1 << 20, memory=8 << 30 if bp.full() else 2 << 30)
    bp.until(lambda: curl(r, "/robots", "-X", "PUT")[0] == 200, 60, "a bucket", step=0.3)
    link = Link(("127.0.0.1", r.port), FAULTS, rng, rate=0 if bp.full() else 12e6, stall=4)
    env = {"AWS_ACCESS_KEY_ID": s3servers.ALICE[0], "AWS_SECRET_ACCESS_KEY": s3servers.ALICE[1],
           "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_S3": link.url}
    os.environ.update(env)
    agent = Agent(folder / "robot", 174)
    words = ("sync.upstream=s3://robots", f"sync.part_size={PART}", f"sync.parallel={PARALLEL}",
             f"record.segment_size={(10 if bp.full() else 16) << 20}")
    agent.start(*words)
    kills = bp.amount(2, 30)
    s, sim = syncing.record(agent, bp.amount(4, 900), "drive")
    for _ in range(kills):
        time.sleep(rng.uniform(0.5, 1.5))
        agent.p.kill9()
        agent.start(*words)
        time.sleep(rng.uniform(0.5, 1.5))
        r.stop_gateway()
        r.start_gateway()
    if bp.full():
        syncing.grown(agent, "drive", SEGMENTS, BYTES)
        sim.stop()
    sim.wait(60)
    agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    bp.check(not any(k.endswith("/manifest.json") for k in keys(r)) or not agent.left(), "the manifest goes last")
    try:
        bp.until(lambda: not agent.left() and agent.sync()["done"]["files"], 1800 if bp.full() else 150, "all arrives", step=0.3)
    except TimeoutError:
        bp.say(f"{agent.ask('GET', '/api/v1/sync/files?state=failed')} {agent.sync()}")
        raise
    local = folder / "robot/data/drive"
    total = sum(p.stat().st_size for p in local.iterdir() if p.is_file() and not p.name.startswith("."))
    if bp.full():
        n = len(list(local.glob("*.mcap")))
        bp.check(n >= SEGMENTS and total >= BYTES, f"{n} segments, {total} bytes")
    reached = sum(n for (m, p), n in link.sent.items() if m == "PUT")
    faults = sum(link.done.values())
    limit = (2 * kills * PARALLEL + faults + PARALLEL) * MIN_PART
    bp.check(reached - total <= limit, f"sent again {reached - total}, at most {limit}")
    link.faults, link.rate = {}, 0
    names = {k.rsplit("/", 1)[1] for k in keys(r)}
    bp.check(len({k.rsplit("/", 1)[0] for k in keys(r)}) == 1, f"one folder has it all: {keys(r)}")
    ours = syncing.digests(local)
    bp.check(set(ours) | {"session.json"} == names, f"objects: {names} for {set(ours)}")
    status, out, err = bp.bagpipe("pull", "s3://robots/drive", folder / "back")
    bp.check(status == 0, f"pull: {status} {out[-300:]} {err[-600:]}")
    bp.check(syncing.digests(folder / "back/drive") == ours, "what comes back is what was recorded")
    bp.bagpipe("verify", folder / "back/drive")
    before = len(open_uploads(r))
    n = agent.ask("POST", "/api/v1/sync/gc", {"min_age_s": 0})["uploads"]
    bp.check(n == before and not open_uploads(r), f"gc: {n} of {before}, left {open_uploads(r)}")
    bp.say(f"{total / 1e6:.1f} MB in {len(ours)} files through {faults} faults {link.done} and {2 * kills} kills; sent again "
           f"{max(reached - total, 0) / 1e6:.1f} MB, orphans removed {n}")
    bp.check(agent.p.stop() == 0, "the agent ends well")
    link.close()
    r.stop()


bp.main(main)
