"""Signed recordings: what a device has signed is checked by OpenSSL and a few lines of Python, not by us; every
tampering of a table is found and named, at random places; nothing is signed that should not be.

The table is run with BP_COUNT places a row (3 by default, 40 with BP_FULL). Whoever tampers is granted everything
but the key: he may mend checksums, metadata.yaml and manifest.json, and sign with a key of his own.
"""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import unquote

import bp

PRODUCER = bp.BUILD / "test/tools/wp-producer"


def new_key(path):
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-out", f"{path}.pub"], check=True, capture_output=True)
    return path


def produce(folder, name, key=None, *args, wait=True):
    """A session of several small segments, by the write path itself."""
    out = folder / name
    cmd = [PRODUCER, out, folder / f"{name}.log", "split=1", "size=3000", "mbps=12", "secs=0.6", "ringdir=/dev/shm",
           *([f"sign={key}"] if key else []), *args]
    if not wait:
        return out, bp.Proc(cmd)
    subprocess.run(cmd, check=True, capture_output=True)
    return out


def proof_of(folder):
    """manifest.sig as docs/formats/signature.md says: (fields, segments, signed bytes, signature)."""
    raw = (folder / "manifest.sig").read_bytes()
    at = raw.index(b"\nsignature ") + 1
    fields, segments = {}, []
    for line in raw[:at].decode().splitlines()[1:]:
        key, rest = line.split(" ", 1)
        if key == "segment":
            no, size, sha, chain, name = rest.split(" ")
            segments.append({"no": int(no), "bytes": int(size), "sha256": sha, "chain": chain, "file": unquote(name),
                             "name": name})
        else:
            fields[key] = rest
    return fields, segments, raw[:at], bytes.fromhex(raw[at:].decode().split(" ")[1].strip())


def judge(folder, pub, closed=True):
    """The recipe of the format page, without us. @return what is wrong, or ''"""
    fields, segments, signed, sig = proof_of(folder)
    tmp = folder.parent / "judge"
    tmp.mkdir(exist_ok=True)
    (tmp / "signed").write_bytes(signed)
    (tmp / "sig").write_bytes(sig)
    r = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pub, "-rawin", "-in", tmp / "signed",
                        "-sigfile", tmp / "sig"], capture_output=True, text=True)
    if r.returncode != 0:
        return f"openssl: {r.stdout} {r.stderr}"
    first, before = fields["from"].split(" ")
    chain = before
    for i, s in enumerate(segments):
        if s["no"] != int(first) + i:
            return f"number of {s}"
        text = f"bagpipe.chain/1 {fields['session']} {s['no']} {chain} {s['bytes']} {s['sha256']} {s['name']}\n"
        chain = hashlib.sha256(text.encode()).hexdigest()
        if chain != s["chain"]:
            return f"chain at {s}"
        data = (folder / s["file"]).read_bytes()
        if len(data) != s["bytes"] or hashlib.sha256(data).hexdigest() != s["sha256"]:
            return f"digest of {s}"
    if closed != (fields["state"] == "closed"):
        return f"state {fields['state']}"
    if closed and hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() != fields["manifest"]:
        return "digest of manifest.json"
    if closed and {s["file"] for s in segments} != {p.name for p in folder.glob("*.mcap")}:
        return "files"
    return ""


def verify(folder, key=None):
    status, j = bp.bagpipe_json("verify", "--json", *(["--signed-by", key] if key else []), folder, ok=(0, 1, 2))
    return status, j


def findings(j):
    return [(os.path.basename(f["path"]), f["text"]) for f in j["findings"] if f["level"] == "proof"]


# ---- tampering: each changes the folder and says which finding must name what ----

def some(rng, folder):
    return rng.choice(sorted(folder.glob("*.mcap")))


def changed(rng, folder, w):
    """One bit of a segment."""
    f = some(rng, folder)
    data = bytearray(f.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    f.write_bytes(data)
    return f"{f.name} byte {at}", f.name, "changed after it was signed"


def recorded_anew(rng, folder, w):
    """A whole segment that is in itself right: of another recording of the same length."""
    f = some(rng, folder)
    other = w.plain / f"plain_{f.stem.split('_')[1]}.mcap"
    if not other.exists():
        other = sorted(w.plain.glob("*.mcap"))[0]
    f.write_bytes(other.read_bytes())
    return f.name, f.name, "changed after it was signed|cut short|appended"


def dropped(rng, folder, w):
    f = some(rng, folder)
    f.unlink()
    return f.name, folder.name, f"'{f.name}', was signed and is missing"


def dropped_last(rng, folder, w):
    """The session is made shorter, and manifest.json and metadata.yaml agree."""
    j = json.loads((folder / "manifest.json").read_text())
    last = j["segments"].pop()
    (folder / last["file"]).unlink()
    (folder / "manifest.json").write_text(json.dumps(j, indent=1) + "\n")
    (folder / "metadata.yaml").unlink()
    bp.bagpipe("recover", folder, ok=(0, 3))
    return last["file"], folder.name, f"'{last['file']}', was signed and is missing"


def added(rng, folder, w):
    f = sorted(w.plain.glob("*.mcap"))[0]
    name = f"signed_{rng.choice([90, 1000])}.mcap"
    shutil.copy(f, folder / name)
    return name, name, "added: of the segments that were signed"


def exchanged(rng, folder, w):
    a, b = rng.sample(sorted(folder.glob("*.mcap")), 2)
    a.rename(folder / "x")
    b.rename(a)
    (folder / "x").rename(b)
    return f"{a.name} {b.name}", a.name, f"exchanged: it holds what was signed as '{b.name}'"


def renamed(rng, folder, w):
    f = some(rng, folder)
    to = folder / f"{folder.name}_{rng.choice([77, 1234])}.mcap"
    f.rename(to)
    return f"{f.name} -> {to.name}", to.name, f"was renamed: it was signed as segment .*'{f.name}'"


def cut(rng, folder, w):
    f = some(rng, folder)
    n = rng.randrange(1, f.stat().st_size)
    with open(f, "r+b") as fd:
        fd.truncate(f.stat().st_size - n)
    return f"{f.name} by {n}", f.name, "cut short"


def appended(rng, folder, w):
    f = some(rng, folder)
    with open(f, "ab") as fd:
        fd.write(rng.randbytes(rng.randrange(1, 5000)))
    return f.name, f.name, "something was appended"


def manifest_number(rng, folder, w):
    """A number or a text of manifest.json that is none of the segments' size or digest."""
    p = folder / "manifest.json"
    text = p.read_text()
    places = [m for m in re.finditer(r'"(messages|received|name|created_ns|first_log_ns|tool|topic)": "?(\w)', text)]
    m = rng.choice(places)
    c = "8" if m[2] != "8" else "7"
    p.write_text(text[:m.start(2)] + c + text[m.end(2):])
    return m[0], "manifest.json", "changed after it was signed"


def manifest_digest(rng, folder, w):
    """A segment is changed, and the manifest gets its new digest."""
    f = some(rng, folder)
    data = bytearray(f.read_bytes())
    data[rng.randrange(len(data))] ^= 0x55
    f.write_bytes(data)
    p = folder / "manifest.json"
    j = json.loads(p.read_text())
    for s in j["segments"]:
        if s["file"] == f.name:
            s["sha256"] = hashlib.sha256(data).hexdigest()
    p.write_text(json.dumps(j, indent=1))
    return f.name, "manifest.json", f"size or SHA-256 of segment '{f.name}'"


def manifest_order(rng, folder, w):
    p = folder / "manifest.json"
    j = json.loads(p.read_text())
    a, b = rng.sample(range(len(j["segments"])), 2)
    j["segments"][a], j["segments"][b] = j["segments"][b], j["segments"][a]
    p.write_text(json.dumps(j, indent=1))
    return f"{a} {b}", "manifest.json", "is at another place"


def manifest_gone(rng, folder, w):
    (folder / "manifest.json").unlink()
    return "", "manifest.json", "missing, and it was signed"


def signature_gone(rng, folder, w):
    (folder / "manifest.sig").unlink()
    return "", folder.name, "manifest.sig is missing"


def all_traces_gone(rng, folder, w):
    """The signature, and that there ever was one: then it is a recording of nobody."""
    (folder / "manifest.sig").unlink()
    p = folder / "manifest.json"
    j = json.loads(p.read_text())
    del j["signed_by"]
    p.write_text(json.dumps(j, indent=1))
    return "", folder.name, "unsigned"


def signature_byte(rng, folder, w):
    p = folder / "manifest.sig"
    data = bytearray(p.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    p.write_bytes(data)
    return f"byte {at}", "manifest.sig", "signature does not hold|is not as it must be|it is no signature"


def signature_digit(rng, folder, w):
    """A digit of it becomes another one: the form stays right."""
    p = folder / "manifest.sig"
    text = p.read_text()
    places = [i for i, c in enumerate(text) if c in "0123456789abcdef" and text[i - 1] in "0123456789abcdef"
              and text[i + 1] in "0123456789abcdef"]
    at = rng.choice(places)
    p.write_text(text[:at] + ("5" if text[at] != "5" else "6") + text[at + 1:])
    return f"digit {at}", "manifest.sig", "signature does not hold|is not as it must be|it is no signature"


def other_key(rng, folder, w):
    """All is made anew and signed with a key of the tamperer's."""
    shutil.rmtree(folder)
    shutil.copytree(w.other, folder)
    return "", "manifest.sig", "signed by ed25519:[0-9a-f]{64}, not by ed25519:"


def other_session(rng, folder, w):
    """A signature that the right key has made, for another session."""
    shutil.copy(w.second / "manifest.sig", folder / "manifest.sig")
    return "", "manifest.sig", "signature of another session"


def other_sessions_papers(rng, folder, w):
    """Signature and manifest of another session."""
    for name in ("manifest.sig", "manifest.json"):
        shutil.copy(w.second / name, folder / name)
    return "", None, "was signed and is missing"


TABLE = (changed, recorded_anew, dropped, dropped_last, added, exchanged, renamed, cut, appended, manifest_number,
         manifest_digest, manifest_order, manifest_gone, signature_gone, all_traces_gone, signature_byte,
         signature_digit, other_key, other_session, other_sessions_papers)


class World:
    pass


def tamper(folder, rng, w):
    work = folder / "work"
    places = bp.amount(3, 40, 200)
    total = 0
    for row in TABLE:
        for _ in range(places):
            target = work / "signed"
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(w.signed, target)
            what, path, pattern = row(rng, target, w)
            status, j = verify(target, f"{w.key}.pub")
            got = findings(j) if j else []
            ok = status in (1, 2) and any(re.search(pattern, t) and (path is None or p == path) for p, t in got)
            bp.check(ok, f"{row.__name__} {what}: status {status}, {path}: {pattern} not in {got}")
            total += ok
            if row is not other_key:
                status, j = verify(target)
                said = bool(j and findings(j))
                bp.check(said != (row is all_traces_gone), f"{row.__name__} {what} without a key: {j and findings(j)}")
    bp.say(f"{total} tamperings of {len(TABLE)} kinds were found and named")


def whole(folder, w):
    """As it was signed: by us, by OpenSSL and hashlib, by whatever way the key is given; renamed, too."""
    bp.check(judge(w.signed, f"{w.key}.pub") == "", f"judged: {judge(w.signed, f'{w.key}.pub')}")
    raw = subprocess.run(["openssl", "pkey", "-pubin", "-in", f"{w.key}.pub", "-outform", "DER"], check=True,
                         capture_output=True).stdout[-32:]
    for key in (f"{w.key}.pub", w.key, raw.hex(), raw.hex().upper(), f"ed25519:{raw.hex()}",
                base64.b64encode(raw).decode(), None):
        status, j = verify(w.signed, key)
        bp.check(status == 0 and j["proof"] == "signed" and j["signed_by"] == f"ed25519:{raw.hex()}" and
                 not j["findings"], f"verify with {key}: {status} {j}")
    moved = folder / "moved"
    shutil.copytree(w.signed, moved)
    status, j = verify(moved, f"{w.key}.pub")
    bp.check(status == 0, f"a folder of another name: {j}")
    status, j = verify(w.plain)
    bp.check(status == 0 and j["proof"] == "unsigned" and not j["findings"], f"unsigned, nobody asked: {j}")
    status, j = verify(w.plain, f"{w.key}.pub")
    bp.check(status == 1 and j["proof"] == "unsigned" and j["verdict"] == "whole", f"unsigned, but a key is asked for: {j}")
    status, j = verify(sorted(w.signed.glob("*.mcap"))[0], f"{w.key}.pub")
    bp.check(status == 1 and j["proof"] == "none" and "a file alone" in findings(j)[0][1], f"one file: {j}")
    bp.bagpipe("verify", "--signed-by", "nonsense", w.signed, ok=(2,))
    manifest = json.loads((w.signed / "manifest.json").read_text())
    _, segments, _, _ = proof_of(w.signed)
    bp.check([s["chain"] for s in manifest["segments"]] == [s["chain"] for s in segments], "the manifest has the chain")


def shared(w):
    """Recordings of others: unsigned, and nothing else is said of them."""
    data = Path(__file__).resolve().parents[3] / "shared/data"
    n = 0
    for f in sorted({p.parent for p in data.rglob("*") if p.suffix in (".mcap", ".db3")}) if data.exists() else ():
        for key in (f"{w.key}.pub", None):
            status, j = verify(f, key)
            if not j:
                continue
            n += 1
            told = [t for _, t in findings(j)]
            want = {"unsigned: nothing tells who recorded it"} if key else set()
            bp.check(set(told) == want and j["proof"] == "unsigned", f"{f} with {key}: {told} {j['proof']}")
    bp.check(n > 0 or not data.exists(), "there are recordings of others")
    bp.say(f"{n} looks at recordings of others: no false alarm")


def killed(folder, rng, w):
    """kill -9: the chain so far can be proven; recovery with the key signs the whole, without it says so; nobody
    gets a segment signed that he has changed meanwhile; what was not signed is never signed afterwards."""
    out, p = produce(folder, "killed", w.key, "secs=30", wait=False)
    bp.until(lambda: (out / "manifest.sig").exists() and len(proof_of(out)[1]) >= 3, 20, "three signed segments")
    p.kill9()
    bp.check(judge(out, f"{w.key}.pub", closed=False) == "", f"the chain so far: {judge(out, f'{w.key}.pub', False)}")
    n = len(proof_of(out)[1])

    status, j = verify(out, f"{w.key}.pub")
    bp.check(not findings(j) and j["proof"] == "signed", f"interrupted: {j}")
    def copy(name):
        to = folder / name
        shutil.copytree(out, to)
        return to

    without = copy("without")
    bp.bagpipe("recover", without, ok=(0, 3))
    status, j = verify(without, f"{w.key}.pub")
    bp.check(status == 1 and j["proof"] == "broken" and any("without the key" in t for _, t in findings(j)),
             f"recovered without the key: {j}")

    forged = copy("forged")
    victim = sorted(forged.glob("*.mcap"), key=lambda p: int(p.stem.split("_")[1]))[rng.randrange(n)]
    data = bytearray(victim.read_bytes())
    data[rng.randrange(len(data))] ^= 1
    victim.write_bytes(data)
    bp.bagpipe("recover", "--sign-key", w.key, forged, ok=(0, 3))
    status, j = verify(forged, f"{w.key}.pub")
    bp.check(status == 1 and any(p == victim.name for p, _ in findings(j)), f"changed before recovery, {victim}: {j}")

    bp.bagpipe("recover", "--sign-key", w.key, out, ok=(0, 3))
    bp.check(judge(out, f"{w.key}.pub") == "", f"recovered: {judge(out, f'{w.key}.pub')}")
    status, j = verify(out, f"{w.key}.pub")
    bp.check(status == 0 and j["proof"] == "signed", f"recovered with the key: {j}")
    bp.check(len(proof_of(out)[1]) > n, "the rest is signed, too")

    plain, p = produce(folder, "unsigned", None, "secs=30", wait=False)
    bp.until(lambda: len(list(plain.glob("*.mcap"))) >= 3, 20, "three segments")
    p.kill9()
    bp.bagpipe("recover", "--sign-key", w.key, plain, ok=(0, 3))
    bp.check(not (plain / "manifest.sig").exists(), "what was not signed while it was recorded stays unsigned")


def killed_any_time(folder, rng, w):
    """kill -9 at a random moment, recovery killed at a random moment, too: in the end all is signed."""
    for i in range(bp.amount(4, 60)):
        out, p = produce(folder, f"any{i}", w.key, "secs=30", wait=False)
        bp.until(lambda: (out / "manifest.sig").exists() or not p.alive(), 20, "the first signature")
        time.sleep(rng.random() * rng.choice((0, 1)))  # often before there is anything in it
        p.kill9()
        r = bp.Proc([bp.BAGPIPE, "recover", "--sign-key", w.key, out])
        time.sleep(rng.random() * 0.05)
        r.kill9()
        bp.bagpipe("recover", "--sign-key", w.key, out, ok=(0, 3))
        bad = judge(out, f"{w.key}.pub")
        status, j = verify(out, f"{w.key}.pub")
        bp.check(not bad and status == 0 and j["proof"] == "signed", f"kill {i}: {bad} {j}")
        shutil.rmtree(out)


def resumed(folder, w):
    """Killed, then gone on with: one chain over both parts."""
    out, p = produce(folder, "resumed", w.key, "secs=30", wait=False)
    bp.until(lambda: (out / "manifest.sig").exists() and len(proof_of(out)[1]) >= 2, 20, "two signed segments")
    p.kill9()
    before = [s["chain"] for s in proof_of(out)[1]]
    session = proof_of(out)[0]["session"]
    produce(folder, "resumed", w.key, "resume=1")
    fields, segments, _, _ = proof_of(out)
    bp.check(judge(out, f"{w.key}.pub") == "", f"resumed: {judge(out, f'{w.key}.pub')}")
    bp.check([s["chain"] for s in segments][:len(before)] == before and fields["session"] == session,
             "the chain goes on from where it was")
    status, j = verify(out, f"{w.key}.pub")
    bp.check(status == 0 and j["proof"] == "signed", f"resumed: {j}")


def odd_names(folder, w):
    """Spaces, signs and letters of any script in the session's name."""
    out = produce(folder, "fäß run 100% ✓", w.key)
    bp.check(judge(out, f"{w.key}.pub") == "", f"odd name: {judge(out, f'{w.key}.pub')}")
    status, j = verify(out, f"{w.key}.pub")
    bp.check(status == 0 and j["proof"] == "signed", f"odd name: {j}")


def by_agent(folder):
    """An agent makes its key, shows it, signs; the key is its owner's alone."""
    data, sock = folder / "data", folder / "agent.sock"
    a = bp.Proc([bp.BAGPIPE, "agent", "--set", f"storage.dir={data}", f"http.socket={sock}", "http.listen=127.0.0.1:0",
                 "discovery.domains=133", "buffer.ring_size=8MiB"])
    bp.until(lambda: "agent is ready" in a.text() or not a.alive(), 20, "the agent")
    bp.check(a.alive(), f"the agent runs: {a.text()[-600:]}")
    s = bp.sim("--robots", 1, "--profile", "small", "--duration", "2s", domain=133, log=folder / "sim.log")
    bp.bagpipe("session", "start", "--name", "one", "--url", f"unix:{sock}")
    s.wait(30)
    bp.bagpipe("session", "stop", "one", "--url", f"unix:{sock}")
    out = bp.bagpipe("status", "--url", f"unix:{sock}")[1]
    m = re.search(r"ed25519:[0-9a-f]{64}", out)
    bp.check(m is not None, f"status shows the key: {out}")
    key = data / "device.key"
    bp.check(key.stat().st_mode & 0o777 == 0o600, f"mode of the key: {oct(key.stat().st_mode)}")
    bp.check(judge(data / "one", f"{key}.pub") == "", f"the agent's: {judge(data / 'one', f'{key}.pub')}")
    status, j = verify(data / "one", m[0] if m else "")
    bp.check(status == 0 and j["proof"] == "signed", f"the agent's: {j}")
    before = key.read_bytes()
    a.stop(sig=signal.SIGTERM)
    bp.check(key.read_bytes() == before, "the key stays")


def main():
    bp.need("openssl")
    rng = bp.seeded()
    folder = bp.scratch()
    w = World()
    w.key = new_key(folder / "device.pem")
    w.signed = produce(folder, "signed", w.key)
    w.plain = produce(folder, "plain")
    w.second = produce(folder, "second", w.key, "seed=5")
    (folder / "o").mkdir()
    w.other = produce(folder / "o", "signed", new_key(folder / "other.pem"))
    began = time.monotonic()
    for fn, args in ((whole, (folder, w)), (tamper, (folder, rng, w)), (shared, (w,)), (killed, (folder, rng, w)),
                     (killed_any_time, (folder, rng, w)), (resumed, (folder, w)), (odd_names, (folder, w)),
                     (by_agent, (folder,))):
        fn(*args)
        bp.say(f"{fn.__name__}: {time.monotonic() - began:.1f} s")


bp.main(main)
