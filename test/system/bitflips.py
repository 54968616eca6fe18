"""Bit flips, overwritten bytes, zeroed sectors and truncations over recordings of ours.

For each: `verify` must find it (every byte of a closed segment is covered), and `recover` must end by itself,
leave a folder that verifies, and give back only messages that were recorded - judged by pip mcap with CRCs
checked, against what it read from the undamaged recording. 1,000 by default, 10,000 with BP_FULL.
BP_SESSIONS=DIR:DIR takes finished sessions instead of recording some; BP_VERIFY_ONLY leaves recover out.
"""
import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import bp

DOMAIN = 97
SECTOR = 512
TRUTHS = {}  # by session; the workers inherit it


def record_all(folder):
    """Small sessions of each kind: stored, zstd, lz4, several segments with latched topics repeated."""
    made = []
    for name, args in (("stored", ()), ("zstd", ("--compression-format", "zstd")), ("lz4", ("--compression-format", "lz4")),
                       ("split", ("--max-bag-size", "1048576"))):
        out = folder / name
        rec = bp.record(out, *args, domain=DOMAIN)
        profile = "mixed" if name == "split" else "small"
        s = bp.sim("--robots", 1, "--profile", profile, "--duration", "3s", domain=DOMAIN, log=folder / f"{name}.log")
        s.wait(60)
        rec.stop(timeout=20)
        made.append(out)
    return made


def messages(folder):
    """Every message as pip mcap reads it, CRCs checked: (topic, sequence, times, digest of the payload)."""
    from mcap.records import Channel, Message
    from mcap.stream_reader import StreamReader

    got = Counter()
    for f in sorted(Path(folder).glob("*.mcap")):
        channels = {}
        with open(f, "rb") as fd:
            for r in StreamReader(fd, validate_crcs=True).records:
                if isinstance(r, Channel):
                    channels[r.id] = r.topic
                elif isinstance(r, Message):
                    got[(channels[r.channel_id], r.sequence, r.log_time, r.publish_time,
                         hashlib.blake2b(r.data, digest_size=12).digest())] += 1
    return got


def damage(rng, path):
    """Changes the file; @return what was done."""
    size = path.stat().st_size
    kind = rng.choices(("flip", "byte", "sector", "cut"), (70, 10, 10, 10))[0]
    if kind == "cut":
        n = rng.randrange(size)
        os.truncate(path, n)
        return f"cut to {n} of {size}"
    with open(path, "r+b") as f:
        while True:
            at = rng.randrange(size)
            if kind == "sector":
                at -= at % SECTOR
            f.seek(at)
            old = f.read(SECTOR if kind == "sector" else 1)
            if kind == "flip":
                new = bytes([old[0] ^ 1 << rng.randrange(8)])
            elif kind == "byte":
                new = bytes([rng.randrange(256)])
            else:
                new = bytes(len(old))
            if new != old:
                f.seek(at)
                f.write(new)
                return f"{kind} at {at} of {size}"


def ran(args):
    """@return (status, output); a signal is a negative status"""
    r = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return r.returncode, (r.stdout + r.stderr).decode(errors="replace")


def trial(job):
    """One damage. @return (what, [failures], messages kept, messages recorded, verdict)"""
    session, seed, scratch = job
    truth = TRUTHS[session]
    import random

    rng = random.Random(seed)
    top = Path(scratch) / str(seed)
    # a renamed folder must do as well as one that is called as when it was recorded
    d = top / (session.name if rng.random() < 0.8 else "renamed")
    shutil.copytree(session, d)
    wrong = []
    try:
        victim = rng.choice(sorted(d.glob("*.mcap")))
        what = f"{session.name}/{victim.name}, {damage(rng, victim)} (trial {seed})"
        status, out = ran([bp.BAGPIPE, "verify", d])
        if status not in (1, 2):
            wrong.append(f"verify: status {status}: {out[-300:]}")
        verdict = status
        kept = 0
        if os.environ.get("BP_VERIFY_ONLY"):
            return what, wrong, kept, len(truth), verdict
        status, out = ran([bp.BAGPIPE, "recover", d])
        if status < 0:
            wrong.append(f"recover: signal {-status}")
        elif status not in (0, 3):
            if verdict == 1:
                wrong.append(f"verify says the rest can be saved, recover ends with {status}: {out[-300:]}")
        else:
            try:
                got = messages(d)
            except Exception as e:  # what a foreign reader cannot read is not recovered
                wrong.append(f"pip mcap cannot read what was recovered: {e!r}")
                got = Counter()
            strange = got - truth
            # one latched message may be repeated once more, at the head of a segment
            strange = Counter({k: v for k, v in strange.items() if k not in truth})
            if strange:
                wrong.append(f"{len(strange)} messages that were never recorded, e.g. {list(strange)[0]}")
            kept = len(got)
            after, out2 = ran([bp.BAGPIPE, "verify", d])
            if after != 0:
                wrong.append(f"recover ended with {status}, but verify then with {after}: {out2[-300:]}")
        return what, wrong, kept, len(truth), verdict
    finally:
        shutil.rmtree(top, ignore_errors=True)


def test():
    rng = bp.seeded()
    folder = bp.scratch("shm")
    if os.environ.get("BP_SESSIONS"):
        sessions = [Path(p) for p in os.environ["BP_SESSIONS"].split(":")]
    else:
        bp.own_network()
        sessions = record_all(folder)
    for s in sessions:
        status, out, _ = bp.bagpipe("verify", "--json", s, ok=(0,))
        TRUTHS[s] = messages(s)
        bp.check(status == 0 and json.loads(out)["message_count"] == sum(TRUTHS[s].values()),
                 f"{s.name}: whole before, {sum(TRUTHS[s].values())} messages")
    count = bp.amount(1000, 10000)
    jobs = ((s, rng.randrange(1 << 40), str(folder)) for s in (sessions[i % len(sessions)] for i in range(count)))
    kept = recorded = unusable = n = 0
    with concurrent.futures.ProcessPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for what, wrong, k, r, verdict in pool.map(trial, jobs, chunksize=8):
            n += 1
            kept += k
            recorded += r
            unusable += verdict == 2
            for w in wrong:
                bp.fail(f"{what}: {w}")
            if bp.failures() > 20:
                bp.say("more than 20 failures, giving up")
                break
    bp.say(f"{n} damages over {len(sessions)} sessions: found by verify; {unusable} left nothing usable; "
           f"recover kept {100 * kept / max(recorded, 1):.1f} % of all messages, none of them wrong")


if __name__ == "__main__":
    bp.main(test)
