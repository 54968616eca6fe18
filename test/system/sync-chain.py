"""Robot to server to bucket, each hop through a link that drops, crawls and lies, each end killed again and again: one
SHA-256 for each file on the robot, at the site, in radosgw and, the site's target being changed, in Swift. Every content
once, nothing whole sent again without need, no upload left open after gc. The robot's hop is TLS with a CA of its own; with
another one not a byte goes.

BP_FULL: 2 GB in 200 segments, 30 kills of each end of each hop.
"""
import json
import os
import subprocess
import time

import bp
import s3servers
import syncing
from badlink import Link, own_ca
from syncing import Agent, Server

PYTHON = "/usr/bin/python3"  # Debian's, which has botocore
PARALLEL = 4
PART = 1 << 20 if bp.full() else 256 << 10  # of the robot's uploads
BUCKET_PART = 5 << 20                       # what a part of a bucket is at least
SEGMENTS, BYTES = 200, 2_000_000_000        # with BP_FULL
FAULTS = {"cut": 0.01, "stall": 0.003, "corrupt": 0.01, "error500": 0.01, "busy503": 0.004, "skew403": 0.005,
          "truncate": 0.01, "deaf": 0.01}


def boto(what, url, keys, bucket):
    want = {"url": url, "bucket": bucket, "access": keys[0], "secret": keys[1]}
    r = subprocess.run([PYTHON, bp.REPO / "test/system/lib/boto-look.py", what], input=json.dumps(want), text=True,
                       capture_output=True, env={"PATH": "/usr/bin:/bin", "AWS_EC2_METADATA_DISABLED": "true"}, timeout=900)
    if what == "make":
        return r.returncode == 0
    if r.returncode:
        raise RuntimeError(f"botocore: {r.stderr[-800:]}")
    return json.loads(r.stdout)


def rest(daemon):
    """Files that are not proven to be at its target; None before it knows of any."""
    s = daemon.sync() if isinstance(daemon, Agent) else daemon.ask("GET", "/api/v1/sync")
    left = sum(s[k]["files"] for k in ("waiting", "parked", "failed"))
    return left if left or s["done"]["files"] else None


def drained(daemon, timeout, what):
    try:
        bp.until(lambda: rest(daemon) == 0, timeout, what, step=0.3)
    except TimeoutError:
        bp.say(f"{daemon.ask('GET', '/api/v1/sync')}\n{daemon.ask('GET', '/api/v1/sync/files?limit=3')}\n{daemon.p.text()[-1500:]}")
        raise


def sent_again(link, total, kills, part, what):
    """What arrived more than once, and what went over the wire in vain."""
    arrived = sum(n for (m, p), n in link.sent.items() if m == "PUT")  # texts are small beside it
    faults = sum(link.done.values())
    limit = (2 * kills * PARALLEL + faults + 2 * PARALLEL) * part
    bp.check(arrived - total <= limit, f"{what}: arrived twice: {arrived - total} bytes, at most {limit}")
    wire = (2 * kills + faults + 2) * PARALLEL * part  # a fault that looks like the link's end stops all that is under way
    bp.check(link.body_bytes - total <= wire, f"{what}: in vain on the wire: {link.body_bytes - total} bytes, at most {wire}")
    bp.say(f"{what}: {total / 1e6:.1f} MB, {2 * kills} kills, {faults} faults {link.done}; arrived twice "
           f"{(arrived - total) / 1e6:.2f} MB, on the wire in vain {(link.body_bytes - total) / 1e6:.2f} MB")


# ---- robot to site ----

def wrong_authority(agent, link, words, wrong):
    agent.start(*words, f"sync.ca_file={wrong}")
    bp.until(lambda: "certificate" in json.dumps(agent.sync()["targets"][0]).lower(), 60, f"it says why: {agent.sync()}")
    bp.check(agent.sync()["targets"][0]["state"] == "offline" and not link.answered, "not a byte goes to a stranger")
    agent.p.kill9()


def to_the_site(folder, rng, kills):
    site = Server(folder / "site").start()
    (folder / "ca").mkdir()
    (folder / "other").mkdir()
    ca, cert = own_ca(folder / "ca")
    wrong, _ = own_ca(folder / "other")
    link = Link(("127.0.0.1", site.port), FAULTS, rng, rate=0 if bp.full() else 12e6, cert=cert, stall=4)
    robot = Agent(folder / "robot", 177)
    words = (f"sync.upstream={link.url}", f"sync.part_size={PART}", f"sync.parallel={PARALLEL}",
             f"record.segment_size={(10 if bp.full() else 12) << 20}")
    wrong_authority(robot, link, words, wrong)
    words += (f"sync.ca_file={ca}",)
    robot.start(*words)
    s, sim = syncing.record(robot, bp.amount(4, 900), "drive")
    for _ in range(kills):
        time.sleep(rng.uniform(0.3, 1.2))
        robot.p.kill9()
        robot.start(*words)
        time.sleep(rng.uniform(0.3, 1.2))
        site.p.kill9()
        site.start()
    if bp.full():
        syncing.grown(robot, "drive", SEGMENTS, BYTES)
        sim.stop()
    sim.wait(60)
    robot.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    drained(robot, 1200 if bp.full() else 120, "all arrives at the site")
    ours = syncing.digests(robot.data / "drive")
    total = sum((robot.data / "drive" / n).stat().st_size for n in ours)
    theirs = site.files(s["id"])
    bp.check(theirs == ours, f"at the site: {[k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]}")
    objects = site.objects()
    bp.check(set(objects) == set(ours.values()), f"{len(objects)} objects for {len(set(ours.values()))} contents")
    bp.check(all(syncing.sha256(p) == k for k, p in objects.items()), "each is what its name says")
    sent_again(link, total, kills, PART, "robot to site")
    bp.check(robot.p.stop() == 0, "the robot ends well")
    link.close()
    return site, s["id"], ours, total


# ---- site to bucket ----

def to_a_bucket(what, site, session, ours, total, gateway, keys, rng, kills):
    """@param gateway  a server of s3servers; its front end is what is killed"""
    bp.until(lambda: boto("make", gateway.url, keys, what), 90, f"{what}: a bucket", step=0.5)
    link = Link(("127.0.0.1", gateway.port), FAULTS, rng, rate=16e6 if bp.full() else 6e6, stall=4)
    os.environ.update(AWS_ACCESS_KEY_ID=keys[0], AWS_SECRET_ACCESS_KEY=keys[1], AWS_ENDPOINT_URL_S3=link.url)
    words = (f"cloud.target=s3://{what}", f"cloud.parallel={PARALLEL}", "cloud.part_size=1MiB")
    site.p.stop()
    site.start(*words)
    bp.until(lambda: rest(site), 60, f"{what}: the site offers all of it")
    bp.until(lambda: link.body_bytes > 0, 60, f"{what}: it begins")
    for _ in range(kills):
        time.sleep(rng.uniform(0.3, 1.0))
        site.p.kill9()
        site.start(*words)
        time.sleep(rng.uniform(0.3, 1.0))
        gateway.stop_gateway()
        gateway.start_gateway()
    bp.check(rest(site) != 0, f"{what}: something was under way at the last kill")
    link.rate = 0
    drained(site, 1200 if bp.full() else 180, f"{what}: all arrives")
    link.faults = {}
    bp.until(lambda: not any((site.folder / "data/outbox").iterdir()), 60, f"{what}: the site lets go of it")
    there = boto("look", gateway.url, keys, what)
    files = {k.rsplit("/", 1)[1]: v[1] for k, v in there["objects"].items() if k.startswith("sessions/")}
    bp.check(len({k.rsplit("/", 1)[0] for k in there["objects"] if k.startswith("sessions/")}) == 1, f"{what}: one folder")
    bp.check(files.pop("session.json", None), f"{what}: what people say of it")
    bp.check(files == ours, f"{what}: differ: {[k for k in ours.keys() | files.keys() if ours.get(k) != files.get(k)]}")
    bp.check(all(k.startswith(("sessions/", "index/sha256/")) for k in there["objects"]), f"{what}: and nothing else")
    time.sleep(2)  # uploads are dated by the second
    n = site.ask("POST", "/api/v1/sync/gc", {"min_age_s": 0})["uploads"]
    left = boto("look", gateway.url, keys, what)["uploads"] if there["uploads"] else []
    bp.check(n == len(there["uploads"]) and not left, f"{what}: gc removed {n} of {there['uploads']}, left {left}")
    sent_again(link, total, kills, BUCKET_PART, f"site to {what}")
    bp.say(f"site to {what}: orphans removed {n}; {session} is there")
    link.close()


def main():
    bp.need("openssl")
    missing = s3servers.missing(s3servers.Radosgw)
    if missing:
        bp.skip(f"{missing} is not installed")
    os.environ.update(AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true")
    rng = bp.seeded()
    folder = bp.scratch()
    kills = bp.amount(2, 30)
    site, session, ours, total = to_the_site(folder, rng, kills)
    if bp.full():
        n = sum(name.endswith(".mcap") for name in ours)
        bp.check(n >= SEGMENTS and total >= BYTES, f"{n} segments, {total} bytes")
    ceph = s3servers.Radosgw(folder, memory=8 << 30 if bp.full() else 2 << 30)
    to_a_bucket("radosgw", site, session, ours, total, ceph, s3servers.ALICE, rng, kills)
    ceph.stop()
    missing = s3servers.missing(s3servers.Swift)
    if missing:
        bp.say(f"swift: {missing} is not installed, left out")
    else:
        swift = s3servers.Swift(folder)
        to_a_bucket("swift", site, session, ours, total, swift, s3servers.Swift.keys, rng, kills)
        swift.stop()
    bp.check(site.p.stop() == 0, "the site ends well")


bp.main(main)
