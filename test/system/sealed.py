"""Sealed recordings from outside: what the robot's folder holds cannot be read there; whoever has the
private key reads it with our verbs and, byte for byte, with the reader of tools/unseal.py, which knows
nothing of ours but docs/formats/sealed.md; python mcap reads the result. Several recipients, another
key later on, a shared key, a passphrase. kill -9, with recovery by whoever has no key, and by whoever
has; a power cut (the ring is gone). Bytes changed, frames moved, dropped, doubled, files cut, at random
places. Signed as well: what verify says of it. No secret in any file, log, or command line.
"""
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import judge
import senders
from mcap.reader import make_reader

import bp
from bag import Bag

DOMAIN = 41
SECRET_TOPIC = "/small/t0"
UNSEAL = bp.REPO / "tools" / "unseal.py"
BLOCK = 4096


class Key:
    def __init__(self, folder, name, *args):
        self.path = folder / name
        self.public = bp.bagpipe("key", "new", self.path, *args)[1].strip()
        self.secret = [l for l in self.path.read_text().splitlines() if l[:1] != "#"][0].split(":")[1]
        bp.check(os.stat(self.path).st_mode & 0o777 == 0o600, f"{name} is ours alone")
        bp.check(self.secret not in self.public, "no secret is printed")


def foreign(path, key):
    """The file inside, by the reader that is not ours."""
    r = subprocess.run([sys.executable, UNSEAL, path, key], capture_output=True)
    return r.stdout if r.returncode == 0 else None


def segments(folder):
    return sorted(folder.glob("*.mcap.sealed"), key=lambda p: int(p.name.split("_")[-1].split(".")[0]))


# What stands in every MCAP file and journal in the clear. Long enough that tens of megabytes of ciphertext do not
# hold one by accident, as they would the four bytes of a journal frame's magic: so that with the zeros of its header.
CLEAR = re.compile(rb"MCAP0\r\n|/small/t|/big/t0|bagpipe\.s|BPCOMMIT|BPJ2.{76}\0{16}", re.DOTALL)


def in_clear(folder):
    """Does a file tell what was recorded?"""
    for p in folder.rglob("*"):
        if p.is_file() and p.name.removesuffix(".tmp") not in ("metadata.yaml", "manifest.json"):
            found = CLEAR.search(p.read_bytes())
            bp.check(not found, f"{p.name} holds {found and found[0]} in the clear")


def record(folder, rnd, args, secs=2.0, kill=False, env=None):
    """Small messages and large ones. @return (folder, log, proc, mono of the end)"""
    out = folder / "rec"
    rec = bp.record(out, *args, domain=DOMAIN, env=env)
    log = folder / "sent.log"
    pub = senders.peer(DOMAIN, log, topics=5, size=300, hz=100, prefix="/small", linger=0)
    big = senders.peer(DOMAIN, folder / "sent2.log", topics=1, size=700_000, hz=15, prefix="/big", linger=0)
    time.sleep(secs * rnd.uniform(0.8, 1.2))
    cmdline = Path(f"/proc/{rec.p.pid}/cmdline").read_bytes()
    if kill:
        t = rec.kill9()
        pub.stop(), big.stop()
    else:
        pub.stop(), big.stop()
        time.sleep(0.3)
        t = time.monotonic_ns()
        rec.stop(timeout=30, sig=signal.SIGINT)
    return out, [log, folder / "sent2.log"], rec, t, cmdline


def unsealed(out, folder, key):
    """A plain copy of the session by the foreign reader."""
    plain = folder / "plain"
    shutil.rmtree(plain, ignore_errors=True)
    plain.mkdir()
    for s in segments(out):
        data = foreign(s, key.path)
        if not bp.check(data is not None, f"the foreign reader opens {s.name}"):
            continue
        target = plain / s.name.removesuffix(".sealed")
        target.write_bytes(data)
        ours = folder / "ours.mcap"
        bp.bagpipe("unseal", s, "--key", key.path, "-o", ours)
        bp.check(ours.read_bytes() == data, f"{s.name}: both readers see the same bytes")
        bp.check(CLEAR.search(data), f"{s.name}: what in_clear() looks for is in what was sealed")
        ours.unlink()
        summary = make_reader(io.BytesIO(data)).get_summary()
        bp.check(summary is not None and summary.statistics is not None, f"python mcap reads {s.name}")
    return plain


def account(out, folder, key, logs, until):
    r = judge.account(Bag(unsealed(out, folder, key)), judge.SendLog(*logs), until_mono=until)
    for p in r.problems:
        bp.fail(p)
    return r


def recipients(rnd, folder, keys):
    """Two recipients, splits: either key opens all of it; a third opens nothing."""
    a, b, other = keys
    pub = folder / "b.pub"
    pub.write_text(b.public + "\n")
    args = ["--seal-to", a.public, pub, "-b", "4MiB", "--compression-format", rnd.choice(["none", "zstd", "lz4"])]
    out, logs, rec, t, cmdline = record(folder, rnd, args)
    bp.check(len(segments(out)) >= 2 and not list(out.glob("*.mcap")), "all segments are sealed")
    in_clear(out)
    for verb in ("info", "play"):
        code, _, err = bp.bagpipe(verb, out, ok=None)
        bp.check(code == 77 and "key id" in err and "--key" in err, f"{verb} without the key: {code} {err}")
    code, _, err = bp.bagpipe("info", out, "--key", other.path, ok=None)
    bp.check(code == 77, f"another key opens nothing: {code} {err}")
    bp.check(foreign(segments(out)[0], other.path) is None, "nor by the foreign reader")
    bp.bagpipe("verify", out)
    infos = [bp.bagpipe_json("info", "--json", out, "--key", k.path)[1] for k in (a, b)]
    bp.check(infos[0] == infos[1], "either key sees the same")
    for k in (a, b):
        bp.bagpipe("verify", out, "--key", k.path)
    bp.bagpipe("play", out, "--dry-run", "--key", a.path)
    digest = bp.bagpipe("info", "--digest", out, "--key", b.path)[1].split()[-1]
    r = account(out, folder, b, logs, t)
    plain = bp.bagpipe("info", "--digest", *sorted((folder / "plain").glob("*.mcap")))[1].split()[-1]
    bp.check(digest == plain, f"digest sealed {digest}, plain {plain}")
    bp.check(SECRET_TOPIC in (out / "metadata.yaml").read_text(), "names are readable unless hidden")
    for k in keys:
        bp.check(k.secret.encode() not in cmdline, "no secret on the command line")
    bp.say(f"recipients: {len(segments(out))} segments, {r.stored} messages, digest {digest}")
    return out, rec


def rotation(rnd, folder, keys):
    """The next recording is for the next key; the old one does not open it. Names hidden."""
    a, b, _ = keys
    out, logs, rec, t, _ = record(folder, rnd, ["--seal-to", b.public, "--hide-names"], secs=1)
    bp.check(bp.bagpipe("info", out, "--key", a.path, ok=None)[0] == 77, "the old key does not open the new recording")
    bp.bagpipe("verify", out, "--key", b.path)
    for f in ("metadata.yaml", "manifest.json"):
        bp.check("/small" not in (out / f).read_text(), f"{f} names no topic")
    bp.check(SECRET_TOPIC in bp.bagpipe("info", out, "--key", b.path)[1], "whoever has the key sees them")
    account(out, folder, b, logs, t)


def afterwards(rnd, folder, keys):
    """A plain session is sealed when it is finished, and unsealed again: the same bytes."""
    a = keys[0]
    out, logs, rec, t, _ = record(folder, rnd, ["-b", "4MiB"], secs=1)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    bp.bagpipe("seal", out, "--to", a.public)
    in_clear(out)
    bp.check(len(segments(out)) == sum(n.endswith(".mcap") for n in before), "every segment is sealed")
    bp.bagpipe("verify", out)
    bp.bagpipe("verify", out, "--key", a.path)
    account(out, folder, a, logs, t)
    bp.bagpipe("unseal", out, ok=(77,))
    bp.check(len(segments(out)) == sum(n.endswith(".mcap") for n in before), "nothing is unsealed without the key")
    bp.bagpipe("unseal", out, "--key", a.path)
    after = {p.name: p.read_bytes() for p in out.iterdir()}
    bp.check(after.keys() == before.keys(), f"files: {sorted(after)} {sorted(before)}")
    bp.check(all(after[n] == before[n] for n in before if n != "manifest.json"), "sealed and unsealed: the same bytes")
    bp.bagpipe("verify", out)


def secrets(rnd, folder, keys):
    """A shared key by file, a passphrase by the environment: one process reads what another wrote."""
    shared = Key(folder, "shared.key", "--symmetric")
    out, logs, rec, t, _ = record(folder, rnd, ["--seal-key-file", shared.path], secs=1)
    account(out, folder, shared, logs, t)
    shutil.rmtree(out)
    env = {"RECORDER_ENCRYPTION_KEY": f"correct horse {rnd.random()}"}
    out, logs, rec, t, cmdline = record(folder, rnd, [], secs=1, env=env)
    bp.check(bp.bagpipe("info", out, ok=None)[0] == 77, "without the environment's key it stays closed")
    bp.bagpipe("verify", out, env=env)
    phrase = folder / "phrase"
    phrase.write_text(env["RECORDER_ENCRYPTION_KEY"])
    shared.path = phrase
    account(out, folder, shared, logs, t)
    told = rec.text() + "".join(p.read_bytes().decode("latin1") for p in out.iterdir())
    bp.check(env["RECORDER_ENCRYPTION_KEY"] not in told, "the passphrase is told nowhere")


def kill(rnd, folder, keys, power_cut):
    """kill -9: recovery without the key keeps every message that was accepted; whoever has it makes it
    whole. After a power cut the ring is gone, and what only the journal has waits for the key."""
    a = keys[0]
    args = ["--seal-to", a.public, "--compression-format", rnd.choice(["none", "zstd"])]
    args += rnd.choice([[], ["-b", "4MiB"]])
    out, logs, rec, t, _ = record(folder, rnd, args, kill=True)
    in_clear(out)
    if power_cut:
        os.unlink(Path("/dev/shm") / (out / "ring").read_text().split()[0])
    blind = rnd.random() < 0.7 or power_cut
    session = segments(out)[0].read_bytes()[40:66].decode()
    if blind:
        bp.bagpipe("recover", out, ok=(0, 3))
        in_clear(out)
        bp.check(list(out.glob("journal.kept-*")) != [] or not power_cut, "the journal waits for the key")
        bp.check(not (out / "ring").exists() and not (out / "journal").exists(), "a closed recording")
        code, _, err = bp.bagpipe("unseal", segments(out)[0], "--key", a.path, "-o", folder / "x", ok=None)
        if rnd.random() < 0.5:
            bp.bagpipe("recover", out, ok=(0, 3))  # again: nothing changes
    bp.bagpipe("recover", out, "--key", a.path, ok=(0, 3))
    bp.check(not list(out.glob("journal*")), "nothing is left over")
    bp.bagpipe("verify", out, "--key", a.path)
    in_clear(out)
    bp.check(session in (out / "manifest.json").read_text(), "it is the session that it was")
    r = account(out, folder, a, logs, t - (400_000_000 if power_cut else 50_000_000))
    bp.check(r.stored > 0, "something was stored")
    bp.say(f"{'power cut' if power_cut else 'kill'}: sent {r.sent} stored {r.stored} lost {r.lost}{' blind first' if blind else ''}")


def resume(rnd, folder, keys):
    """The robot, which has no key that opens, goes on in the interrupted session."""
    a = keys[0]
    args = ["--seal-to", a.public]
    out, logs, rec, t, _ = record(folder, rnd, args, kill=True)
    bp.bagpipe("record", "-a", "-o", out, "--domain", DOMAIN, "--duration", "700ms", *args, ok=(0, 3))
    bp.bagpipe("recover", out, "--key", a.path, ok=(0, 3))
    bp.bagpipe("verify", out, "--key", a.path)
    account(out, folder, a, logs, t - 50_000_000)


def proof(out, pub, *args):
    """What verify says of the signature, by whoever has no key that opens. @return (status, proof, texts)"""
    status, j = bp.bagpipe_json("verify", "--json", "--signed-by", pub, *args, out, ok=(0, 1, 2))
    return status, j["proof"], [f["text"] for f in j["findings"] if f["level"] != "note"]


def signed(rnd, folder, keys):
    """Sealed and signed: that it is whole and whose it is takes no key that opens it. Unsealed, its files are no
    longer those that were signed; sealed and recovered blind after kill -9, they are signed anew."""
    a = keys[0]
    device, other = folder / "device.pem", folder / "other.pem"
    for k in (device, other):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", k], check=True, capture_output=True)
        k.chmod(0o600)
        subprocess.run(["openssl", "pkey", "-in", k, "-pubout", "-out", f"{k}.pub"], check=True, capture_output=True)
    args = ["--seal-to", a.public, "--sign-key", device, "-b", "4MiB"]
    out, logs, rec, t, _ = record(folder, rnd, args, secs=1)
    in_clear(out)
    for key in ([], ["--key", a.path]):
        r = proof(out, f"{device}.pub", *key)
        bp.check(r == (0, "signed", []), f"sealed and signed, {key or 'without a key'}: {r}")
    r = proof(out, f"{other}.pub")
    bp.check(r[0] == 1 and r[1] == "other key", f"by another device's key: {r}")
    victim = rnd.choice(segments(out))
    truth = victim.read_bytes()
    at = rnd.randrange(len(truth))
    victim.write_bytes(truth[:at] + bytes([truth[at] ^ 1 << rnd.randrange(8)]) + truth[at + 1:])
    r = proof(out, f"{device}.pub")
    bp.check(r[0] > 0 and r[1] == "broken", f"byte {at} of {victim.name} changed: {r}")
    victim.write_bytes(truth)
    bp.bagpipe("unseal", out, "--key", a.path)
    r = proof(out, f"{device}.pub")
    bp.check(r[0] == 1 and r[1] in ("unsigned", "broken"), f"unsealed, nobody has signed these files: {r}")
    bp.bagpipe("verify", out)
    bp.check((out / "manifest.sig.old").exists(), "what the device had signed is kept")
    shutil.rmtree(out)

    out, logs, rec, t, _ = record(folder, rnd, args, secs=1, kill=True)
    r = proof(out, f"{device}.pub")
    bp.check(r[1] == "signed", f"interrupted, what was signed so far: {r}")
    bp.bagpipe("recover", "--sign-key", device, out, ok=(0, 3))
    in_clear(out)
    r = proof(out, f"{device}.pub")
    bp.check(r == (0, "signed", []), f"recovered blind by the device: {r}")
    bp.bagpipe("recover", "--key", a.path, "--sign-key", device, out, ok=(0, 3))
    r = proof(out, f"{device}.pub", "--key", a.path)
    bp.check(r == (0, "signed", []), f"and once more, with the key: {r}")
    r = account(out, folder, a, logs, t - 50_000_000)
    bp.check(r.stored > 0, "something was stored")


def changes(data, rnd):
    """One way to tamper with a file: (what, the bytes). Frames begin on blocks."""
    at = [i for i in range(BLOCK, len(data), BLOCK) if data[i:i + 8] == b"BPSFRAM1"]
    kind = rnd.choice(["flip", "cut", "drop", "swap", "double", "zero"])
    if kind == "flip":
        i = rnd.randrange(len(data))
        return f"flip {i}", data[:i] + bytes([data[i] ^ 1 << rnd.randrange(8)]) + data[i + 1:]
    if kind == "cut":
        n = rnd.choice([rnd.randrange(len(data)), rnd.choice(at)])
        return f"cut {n}", data[:n]
    if kind == "zero":
        i = rnd.choice(at)
        return f"zero {i}", data[:i] + bytes(BLOCK) + data[i + BLOCK:]
    x, y = sorted(rnd.sample(range(len(at) - 1), 2))
    bounds = at + [len(data)]
    part = [data[bounds[i]:bounds[i + 1]] for i in range(len(at))]
    if kind == "drop":
        del part[x]
    elif kind == "swap":
        part[x], part[y] = part[y], part[x]
    else:
        part.insert(y, part[x])
    return f"{kind} {x} {y}", data[:BLOCK] + b"".join(part)


def tamper(rnd, folder, keys, out):
    """Every change is found: by verify with the key and without, by unseal, by the foreign reader."""
    a = keys[0]
    path = max(segments(out), key=lambda p: p.stat().st_size)
    truth, bad = path.read_bytes(), folder / "bad.mcap.sealed"
    for i in range(bp.amount(12, 200)):
        what, data = changes(truth, rnd)
        bad.write_bytes(data)
        got = foreign(bad, a.path)
        # zeros between frames mean nothing to a reader; verify looks at them, too
        bp.check(got is None or got == foreign(path, a.path), f"{what}: the foreign reader was deceived")
        bp.check(bp.bagpipe("verify", bad, "--key", a.path, ok=None)[0] in (1, 2), f"{what}: verify --key")
        bp.check(bp.bagpipe("verify", bad, ok=None)[0] in (1, 2), f"{what}: verify without a key")
    bad.unlink()


def no_secrets(folder, keys, texts):
    held = [k.path for k in keys]
    for p in folder.rglob("*"):
        if p.is_file() and p not in held and p.name not in ("shared.key", "phrase"):
            data = p.read_bytes()
            for k in keys:
                bp.check(k.secret.encode() not in data and bytes.fromhex(k.secret) not in data, f"{p} holds a secret key")
    for k in keys:
        bp.check(all(k.secret not in t for t in texts), "a log tells a secret key")


def test():
    rnd = bp.seeded()
    folder = bp.scratch()
    keys = [Key(folder, n) for n in ("a.key", "b.key", "other.key")]
    first = folder / "first"
    first.mkdir()
    out, rec = recipients(rnd, first, keys)
    tamper(rnd, folder, keys, out)
    parts = [("rotation", rotation, ()), ("secrets", secrets, ()), ("afterwards", afterwards, ()), ("resume", resume, ())]
    parts += [("signed", signed, ())]
    parts += [(f"kill{i}", kill, (i % 2 == 1,)) for i in range(bp.amount(4, 60))]
    for name, fn, more in parts:
        d = folder / name
        d.mkdir()
        fn(rnd, d, keys, *more)
        no_secrets(d, keys, [rec.text()])
        if bp.failures() > 10:
            break
        shutil.rmtree(d)
    no_secrets(first, keys, [rec.text()])


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
