"""What `bagpipe record` selects, thins out, names, splits and says; judged with pip `mcap`."""
import json
import os
import re
import signal
import sys
import time

import bp
from bag import Bag

DOMAIN = 100


def topics(bag):
    return set(bag.messages)


def once(folder, name, *args, secs=1.5, sim=("--topics", "3", "--size", "200", "--hz", "50"), domain=DOMAIN,
         expect=(0,)):
    """Records a running simulation; @return (Bag, parsed --json result)."""
    out = folder / name
    status, text, err = bp.run([bp.BAGPIPE, "record", "-o", out, "--domain", domain, "--duration", f"{secs}s", "--json",
                                *args], ok=expect)
    return Bag(out), json.loads(text), out


def result(folder):
    """What --json says of the files is what is there."""
    s = bp.sim("--topics", "2", "--size", "10000", "--hz", "100", domain=DOMAIN, log=folder / "files.log")
    bag, res, out = once(folder, "files", "-b", "1MiB", secs=2.5)
    s.stop()
    files = list(out.glob("*.mcap"))
    bp.check(len(files) > 1 and res["segments"] == len(files) and res["file_bytes"] == sum(f.stat().st_size for f in files),
             f"{res['segments']} segments, {res['file_bytes']} bytes; there are {len(files)}")
    bp.check(res["message_count"] == bag.count, f"{res['message_count']} messages, the files have {bag.count}")


def names(folder):
    """A name that was made and is taken gets a number; -o is taken literally, missing parents are made."""
    bp.bagpipe("record", "-o", folder / "some" / "more" / "deep", "--duration", "100ms", "--domain", DOMAIN + 7)
    bp.check((folder / "some" / "more" / "deep" / "metadata.yaml").exists(), "parents of -o are made")
    (folder / "names").mkdir()
    for want in ("same", "same-2", "same-3"):
        _, out, _ = bp.bagpipe("record", "--dir", folder / "names", "--name", "same", "--duration", "100ms", "--domain",
                               DOMAIN + 7)
        bp.check(out.strip().endswith("/" + want), f"{want}: {out}")
    bp.bagpipe("record", "-o", folder / "names/same", "--duration", "100ms", "--domain", DOMAIN + 7, ok=(73,))


def no_begin(folder):
    """A recording that cannot begin leaves no folder, and none that was there is removed."""
    (folder / "there").mkdir()
    for name in ("new", "there"):
        bp.bagpipe("record", "-o", folder / name, "--min-free", "1000TB", "--domain", DOMAIN + 7, ok=(78,))
        left = sorted(p.name for p in (folder / name).iterdir()) if (folder / name).exists() else None
        bp.check(left == (None if name == "new" else []), f"{name}: {left}")


def custom(folder):
    """--custom-data in metadata.yaml and in the file, however many."""
    for n in (1, 2, 3, 8):
        words = [f"key{i}=value-{i}" for i in range(n)]
        out = folder / f"custom{n}"
        bp.bagpipe("record", "-o", out, "--duration", "200ms", "--domain", DOMAIN + 7, "--custom-data", *words)
        text = (out / "metadata.yaml").read_text()
        bp.check(all(f"key{i}: value-{i}\n" in text for i in range(n)), f"{n} words of --custom-data: {text[-300:]}")


def selection(folder):
    s = bp.sim("--robots", "2", "--profile", "small", domain=DOMAIN, log=folder / "sel.log")
    bp.until(lambda: (folder / "sel.log").exists() and (folder / "sel.log").stat().st_size > 0, 20, "sim sends")
    cases = [
        ("plain", ["/robot1/imu"], lambda t: t == {"/robot1/imu"}),
        ("topics", ["--topics", "/robot1/imu", "robot2/odom"], lambda t: t == {"/robot1/imu", "/robot2/odom"}),
        ("star", ["--topics", "/robot2/*"], lambda t: t and all(x.startswith("/robot2/") for x in t)),
        ("regex", ["-e", r"robot\d/(imu|odom)$"], lambda t: t == {f"/robot{i}/{x}" for i in (1, 2) for x in ("imu", "odom")}),
        ("exclude", ["-a", "--exclude-regex", "robot2", "--exclude-topics", "/robot1/imu"],
         lambda t: t and "/robot1/imu" not in t and not any("robot2" in x for x in t)),
        ("types", ["--topic-types", "sensor_msgs/msg/Imu"], lambda t: t == {"/robot1/imu", "/robot2/imu"}),
        ("not-types", ["-a", "--exclude-topic-types", "sensor_msgs/msg/Imu"], lambda t: t and "/robot1/imu" not in t),
    ]
    for name, args, right in cases:
        bag, res, _ = once(folder, name, *args)
        bp.check(right(topics(bag)), f"{name}: recorded {sorted(topics(bag))}")
        bp.check(bag.count == res["message_count"], f"{name}: file holds {bag.count}, result says {res['message_count']}")
    bag, res, _ = once(folder, "max-topics", "-a", "--max-topics", "4")
    bp.check(len(topics(bag)) <= 4, f"max-topics: {sorted(topics(bag))}")

    bag, _, _ = once(folder, "all", "-a")
    robots = {t.split("/")[1]: c["bagpipe.robot"] for t, c in bag.channels.items() if t.startswith("/robot")}
    bp.check(robots == {"robot1": "robot1", "robot2": "robot2"}, f"robots told apart: {robots}")
    bp.check(all(t[2] > 0 for t in bag.types.values()), f"a type without definition: {bag.types}")
    latched = bag.messages.get("/robot1/tf_static", [])
    bp.check(len(latched) == 1, f"tf_static, sent before the start: {len(latched)}")
    s.stop()


def thinning(folder):
    s = bp.sim("--topics", "2", "--size", "100", "--hz", "100", domain=DOMAIN + 1, log=folder / "thin.log")
    bp.until(lambda: (folder / "thin.log").exists() and (folder / "thin.log").stat().st_size > 0, 20, "sim sends")
    bag, res, _ = once(folder, "thin", "-a", "--max-rate", "*t0=10", "--keep-every", "*t1=4", secs=3, domain=DOMAIN + 1)
    t0, t1 = (bag.messages[f"/robot1/load/t{i}"] for i in (0, 1))
    bp.check(20 <= len(t0) <= 34, f"--max-rate 10 Hz for 3 s kept {len(t0)}")
    steps = {b[0] - a[0] for a, b in zip(t1, t1[1:])}
    bp.check(len(t1) > 40 and steps == {4}, f"--keep-every 4 kept {len(t1)} in steps of {steps}")
    bp.check(res["lost_total"] == 0 and res["lost"]["rate"] > 300, f"thinned out is no loss: {res['lost']}")
    for (guid, topic), src in bag.ledger.items():
        kept = {m[0] for m in bag.messages[topic]}
        said = {x for a, b in src.received for x in range(a, b + 1)}
        bp.check(kept == said, f"ledger of {topic} says {len(said)} received, the file holds {len(kept)}")
    s.stop()


def control(folder):
    """Pause, split, stop by signals; names; exit status."""
    s = bp.sim("--topics", "1", "--size", "100", "--hz", "100", domain=DOMAIN + 2, log=folder / "ctl.log")
    r = bp.record(folder / "ctl", "--json", domain=DOMAIN + 2)
    time.sleep(0.7)
    r.send(signal.SIGUSR1)
    time.sleep(0.7)
    t = time.monotonic()
    r.send(signal.SIGTERM)
    bp.check(r.wait(30) == 0, f"status after SIGTERM: {r.p.returncode}: {r.text()[-300:]}")
    bp.check(time.monotonic() - t < 10, f"SIGTERM took {time.monotonic() - t:.1f} s (goal 2)")
    files = sorted(f.name for f in (folder / "ctl").glob("*.mcap"))
    bp.check(files == ["ctl_0.mcap", "ctl_1.mcap"], f"SIGUSR1 splits: {files}")
    bp.check(not (folder / "ctl/journal").exists(), "the journal is gone after a clean end")

    status, _, err = bp.run([bp.BAGPIPE, "record", "-o", folder / "ctl", "--domain", DOMAIN + 2, "--duration", "1s"],
                            ok=None)
    bp.check(status not in (0, 3) and "ctl" in err, f"-o on a finished session: status {status}, {err}")

    named = folder / "named"
    named.mkdir()
    bp.bagpipe("record", "--dir", named, "--domain", DOMAIN + 2, "--duration", "300ms")
    bp.bagpipe("record", "--dir", named, "--domain", DOMAIN + 2, "--duration", "300ms", "--name", "run_{mission}_{domain}",
               "--mission", "a/b")
    names = sorted(p.name for p in named.iterdir())
    bp.check(len(names) == 2 and re.fullmatch(r"rosbag2_\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d", names[0]) and
             names[1] == f"run_a_b_{DOMAIN + 2}", f"session names {names}")
    for p in named.iterdir():
        bp.check((p / f"{p.name}_0.mcap").exists() and (p / "metadata.yaml").exists(), f"{p} is a rosbag2 folder")

    bag, res, _ = once(folder, "paused", "-a", "--start-paused", domain=DOMAIN + 2)
    bp.check(bag.count == 0 and res["lost"]["paused"] > 0, f"--start-paused recorded {bag.count}, {res['lost']}")
    s.stop()


def usage(folder):
    cases = [(["--max-rate", "x"], "TOPIC=HZ"), (["--regex", "a("], "--regex"), (["--domain", "999"], "--domain"),
             (["--frobnicate"], "frobnicate"), (["--name", "{what}"], "{what}"), (["-b", "12parsec"], "12parsec"),
             (["--qos-profile-overrides-path", "/nonexistent"], "/nonexistent"), (["--priority", "/a=urgent"], "TOPIC=low|normal|high")]
    for args, word in cases:
        status, out, err = bp.run([bp.BAGPIPE, "record", "--duration", "1s", "--dir", folder, *args], ok=None)
        bp.check(status in (2, 66, 78) and word in err and not out, f"{args}: status {status}, said '{err.strip()}'")
        bp.check(err.count("\n") <= 2, f"{args}: one sentence, not {err.count(chr(10))} lines")


def domains(folder):
    """Two robots with the same names on two domains: one recording, told apart."""
    a = bp.sim("--topics", "1", "--hz", "50", "--size", "64", domain=DOMAIN + 3, log=folder / "da.log")
    b = bp.sim("--topics", "1", "--hz", "50", "--size", "64", domain=DOMAIN + 4, log=folder / "db.log")
    bp.until(lambda: all((folder / f).exists() and (folder / f).stat().st_size for f in ("da.log", "db.log")), 20, "sims send")
    bag, res, _ = once(folder, "domains", "-a", secs=2, domain=f"{DOMAIN + 3},{DOMAIN + 4}")
    got = topics(bag)
    bp.check(len(got) == 2 and "/robot1/load/t0" in got, f"topics of two domains: {got}")
    other = next((t for t in got if t != "/robot1/load/t0"), "")
    bp.check(re.fullmatch(r"/domain\d+/robot1/load/t0", other), f"the later one gets its robot's name: {other}")
    bp.check(bag.channels.get(other, {}).get("bagpipe.original_topic") == "/robot1/load/t0", "its own name is kept beside")
    counts = [len(bag.messages[t]) for t in got]
    bp.check(min(counts, default=0) > 50, f"both were recorded: {counts}")
    a.stop()
    b.stop()


def overrides(folder):
    """A forced best-effort reader must not hold a reliable writer back, and records it all the same."""
    f = folder / "qos.yaml"
    f.write_text("/robot1/load/t0:\n  reliability: best_effort\n  history: keep_last\n  depth: 5\n")
    s = bp.sim("--topics", "1", "--hz", "50", "--size", "64", domain=DOMAIN + 5, log=folder / "qos.log")
    bp.until(lambda: (folder / "qos.log").exists() and (folder / "qos.log").stat().st_size, 20, "sim sends")
    bag, _, _ = once(folder, "qos", "-a", "--qos-profile-overrides-path", f, domain=DOMAIN + 5)
    bp.check(len(bag.messages["/robot1/load/t0"]) > 30, f"recorded {bag.count} with overridden QoS")
    s.stop()


def definitions(folder):
    """A type nobody knows is recorded all the same, and completed later."""
    peer = bp.BUILD / "test/interop/peers/cyclone-peer"
    if not peer.exists():
        bp.fail(f"{peer} is not built")
        return
    p = bp.Proc([peer, "--domain", DOMAIN + 6, "--topic", "rt/thing", "--type", "my_msgs::msg::dds_::Thing_", "--rate", "50",
                 "--for", "60", "--log", folder / "thing.log"])
    bag, res, out = once(folder, "unknown", "-a", domain=DOMAIN + 6)
    defs = folder / "idl/share/my_msgs/msg"
    defs.mkdir(parents=True)
    (defs / "Thing.idl").write_text("module my_msgs { module msg { struct Thing { string data; }; }; };\n")
    known, res_idl, _ = once(folder, "known", "-a", "--definitions", folder / "idl", domain=DOMAIN + 6)
    bp.check(known.types["/thing"][2] == len("string data\n") and res_idl["topics"][0]["has_definition"],
             f"a definition from an .idl file: {known.types}")
    p.stop()
    before = sorted(bag.messages["/thing"])
    bp.check(len(before) > 30 and bag.types["/thing"][2] == 0, f"unknown type: {len(before)} messages, {bag.types}")
    bp.check(not res["topics"][0]["has_definition"], "the result says that the definition is unknown")
    msg = folder / "defs/my_msgs/msg"
    msg.mkdir(parents=True)
    (msg / "Thing.msg").write_text("string data\n")
    bp.bagpipe("recover", "--definitions", folder / "defs", out)
    bag = Bag(out)
    bp.check(bag.types["/thing"][2] > 0, f"completed: {bag.types}")
    bp.check(sorted(bag.messages["/thing"]) == before, "messages stay as they are")
    bp.bagpipe("verify", out)


def main():
    folder = bp.scratch()
    for part in (usage, result, names, no_begin, custom, selection, thinning, control, domains, overrides, definitions):
        t = time.monotonic()
        part(folder)
        bp.say(f"{part.__name__}: {time.monotonic() - t:.1f} s")


bp.own_network()
bp.main(main)
