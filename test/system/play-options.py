"""Every option of `bagpipe play`, on recordings of known content, heard by a recorder."""
import json
import os
import pty
import signal
import time

import bp
import playing
from bag import Bag
from playing import LATCHED, PLAIN, START, make, play, stream

DOMAIN = 41


def texts(prefix, first, last):
    return [f"{prefix}{i}" for i in range(first, last)]


def plain(d):
    bag = make(d / "a.mcap", ("/a", stream("a", 100, 2), [PLAIN]), ("/b", stream("b", 10, 2, 5_000_000), [PLAIN]),
               ("/map", [(0, "map")], [LATCHED]))
    j, h = play(d, "plain", bag, domain=DOMAIN)
    bp.check(h.texts.get("/a") == texts("a", 0, 200) and h.texts.get("/b") == texts("b", 0, 20), "all, in order")
    bp.check(h.texts.get("/map") == ["map"], "latched message")
    bp.check(j["messages"] == 221 and j["failed"] == 0 and j["all_acknowledged"], f"counts: {j}")
    took = (h.stamps["/a"][-1] - h.stamps["/a"][0]) / 1e9
    bp.check(1.9 < took < 2.2, f"two seconds last {took}")
    qos = h.bag.channels["/map"]["offered_qos_profiles"]
    bp.check("durability: transient_local" in qos and "depth: 1\n" in qos, f"latched stays latched: {qos}")
    bp.check("durability: volatile" in h.bag.channels["/a"]["offered_qos_profiles"], "volatile stays volatile")
    hashes = json.load(open(bp.DATA / "rihs01-jazzy.json")) if bp.DATA.exists() else {}
    want = hashes.get("std_msgs/msg/String")
    bp.check(not want or h.bag.channels["/a"].get("topic_type_hash") == want, "type hash is announced")
    return bag


def times(d, bag):
    _, h = play(d, "rate", bag, "--rate", "2", domain=DOMAIN)
    took = (h.stamps["/a"][-1] - h.stamps["/a"][0]) / 1e9
    bp.check(len(h.texts["/a"]) == 200 and 0.95 < took < 1.15, f"--rate 2: {took} s")
    _, h = play(d, "part", bag, "--start-offset", "500ms", "--duration", "500ms", domain=DOMAIN)
    bp.check(h.texts["/a"] == texts("a", 50, 100), f"a part of it: {h.texts['/a'][:1]} {h.texts['/a'][-1:]}")
    bp.check(h.texts.get("/map") == ["map"], "what was latched before goes first")
    _, h = play(d, "until", bag, "--until", "0.3", domain=DOMAIN)
    bp.check(h.texts["/a"] == texts("a", 0, 30), "--until")
    _, h = play(d, "stamps", bag, "--keep-stamps", "--until", "0.1", domain=DOMAIN)
    bp.check(h.stamps["/a"] == [START + i * 10_000_000 - 1000 for i in range(10)], "--keep-stamps")
    status, _, err = bp.bagpipe("play", bag, "--start-offset", "1h", "--domain", DOMAIN, ok=(2,))
    bp.check("empty" in err, f"an empty part is refused: {err}")


def names(d, bag):
    _, h = play(d, "pick", bag, "--topics", "/a", "/b", "--exclude-topics", "/b", "--until", "0.2", domain=DOMAIN)
    bp.check(set(h.texts) == {"/a"}, f"--topics, --exclude-topics: {set(h.texts)}")
    _, h = play(d, "regex", bag, "-e", "^/m", "--until", "0.2", domain=DOMAIN)
    bp.check(set(h.texts) == {"/map"}, f"--regex: {set(h.texts)}")
    _, h = play(d, "remap", bag, "--remap", "/a:=/deep/z", "--prefix", "bot/", "--until", "0.2", domain=DOMAIN)
    bp.check(set(h.texts) == {"/bot/deep/z", "/bot/b", "/bot/map"}, f"--remap, --prefix: {set(h.texts)}")
    for words in (["--remap", "/a"], ["--prefix", "/x", "/y"], ["--prefix", "r="], ["--rate", "0"], ["--wait-for-readers", "x"]):
        bp.bagpipe("play", bag, *words, "--domain", DOMAIN, ok=(2,))


def several(d):
    one = make(d / "one.mcap", ("/a", stream("a", 50, 1), [PLAIN]), ("/map", [(0, "one")], [LATCHED]))
    two = make(d / "two.mcap", ("/a", stream("b", 50, 1, 500_000_000), [PLAIN]),
               ("/map", [(500_000_000, "two")], [LATCHED]))
    _, h = play(d, "merged", one, two, domain=DOMAIN)
    want = [s for _, s in sorted(stream("a", 50, 1) + stream("b", 50, 1, 500_000_000))]
    bp.check(h.texts["/a"] == want, "two recordings merged by time")
    bp.check("depth: 2\n" in h.bag.channels["/map"]["offered_qos_profiles"], "two latched writers: depth 2")
    late = make(d / "late.mcap", ("/a", stream("c", 50, 1, 3600 * 10**9), [PLAIN]))
    j, h = play(d, "aligned", one, late, "--align", "--prefix", "/x", "/y", domain=DOMAIN)
    bp.check(h.texts["/x/a"] == texts("a", 0, 50) and h.texts["/y/a"] == texts("c", 0, 50), "--align, two prefixes")
    bp.check(abs(h.stamps["/x/a"][0] - h.stamps["/y/a"][0]) < 50e6, "they begin together")


def offers(d):
    best = dict(PLAIN, reliability="best_effort", depth=5)
    bag = make(d / "qos.mcap", ("/mixed", stream("m", 10, 0.5), [best, PLAIN, LATCHED]),
               ("/best", stream("m", 10, 0.5), [best]), ("/odd", stream("o", 10, 0.5), [PLAIN]))
    _, h = play(d, "qos", bag, domain=DOMAIN)
    mixed, only = (h.bag.channels[t]["offered_qos_profiles"] for t in ("/mixed", "/best"))
    bp.check("reliability: reliable" in mixed and "transient_local" in mixed, f"the strongest offer: {mixed}")
    bp.check("reliability: best_effort" in only and "volatile" in only, f"best effort stays so: {only}")
    rules = d / "qos.yaml"
    rules.write_text("/best:\n  reliability: reliable\n  durability: transient_local\n  depth: 7\n")
    _, h = play(d, "override", bag, "--qos-profile-overrides-path", rules, domain=DOMAIN)
    only = h.bag.channels["/best"]["offered_qos_profiles"]
    bp.check("reliability: reliable" in only and "transient_local" in only and "depth: 7\n" in only,
             f"overrides: {only}")
    j, h = play(d, "odd", make(d / "srv.mcap", ("/add/_service_event", stream("s", 10, 0.5), [PLAIN],
                                                "example_interfaces/srv/AddTwoInts_Event"),
                               ("/a", stream("a", 10, 0.5), [PLAIN])), domain=DOMAIN)
    bp.check(set(h.texts) == {"/a"}, f"services are never played: {set(h.texts)}")
    bp.bagpipe("play", make(d / "json.mcap", ("/a", stream("a", 10, 0.5), [PLAIN]), encoding="json"),
               "--domain", DOMAIN, ok=(66, 2))


def loops(d):
    bag = make(d / "loop.mcap", ("/a", stream("a", 50, 0.4), [PLAIN]), ("/map", [(0, "map")], [LATCHED]))
    rec = bp.record(d / "loop", domain=DOMAIN)
    p = bp.Proc([bp.BAGPIPE, "play", "--loop", bag, "--domain", DOMAIN, "--wait-for-readers", "5s"])
    time.sleep(2.5)
    bp.check(p.stop(sig=signal.SIGTERM) == 0, f"ends by a signal: {p.text()}")
    rec.stop()
    h = playing.Heard(d / "loop")
    got = h.texts["/a"]
    bp.check(len(got) > 50 and got == [f"a{i % 20}" for i in range(len(got))], f"rounds: {len(got)}")
    bp.check(len(h.texts["/map"]) >= len(got) // 20, "latched again in each round")
    gaps = [b - a for a, b in zip(h.stamps["/a"], h.stamps["/a"][1:])]
    bp.check(sum(g > 60e6 for g in gaps) < 3, "no pause between rounds")


def bursts(d, bag):
    many = make(d / "many.mcap", ("/a", stream("a", 1000, 20), [PLAIN]))
    begin = time.monotonic()
    j, h = play(d, "burst", many, "--burst", "0", domain=DOMAIN)
    bp.check(h.texts["/a"] == texts("a", 0, 20000), f"--burst 0: {len(h.texts['/a'])} of 20000")
    bp.check(j["elapsed_ns"] < 8e9, f"20 s of recording in {j['elapsed_ns'] / 1e9} s ({time.monotonic() - begin})")
    j, h = play(d, "burst5", many, "--burst", "5", domain=DOMAIN)
    bp.check(h.texts["/a"] == texts("a", 0, 5), "--burst 5")


def clock(d, bag):
    out = d / "clock"
    rec = bp.record(out, domain=DOMAIN)
    bp.bagpipe("play", bag, "--clock", "50", "--domain", DOMAIN, "--wait-for-readers", "5s", "--topics", "/a")
    rec.stop()
    ticks = []
    Bag(out, payload=lambda t, data, m: ticks.append(int.from_bytes(data[4:8], "little") * 10**9 +
                                                     int.from_bytes(data[8:12], "little")) if t == "/clock" else None)
    bp.check(70 < len(ticks) < 130 and ticks == sorted(ticks), f"--clock 50 for 2 s: {len(ticks)} ticks")
    bp.check(ticks and START - 1 <= ticks[0] < START + 10**9 and ticks[-1] <= START + 2 * 10**9, "recorded time")


def dry(d, bag):
    status, text, _ = bp.bagpipe("play", "--dry-run", bag)
    bp.check("/map" in text and "transient_local" in text and "3 topics" in text, f"--dry-run: {text}")
    _, j = bp.bagpipe_json("play", "--dry-run", "--json", bag)
    bp.check({t["topic"]: t["messages"] for t in j["topics"]} == {"/a": 200, "/b": 20, "/map": 1}, "dry run as JSON")


def waits(d, bag):
    status, _, err = bp.bagpipe("play", bag, "--domain", DOMAIN, "--wait-for-readers", "/a=1", "--wait-timeout",
                                "300ms", ok=None)
    bp.check(status not in (0, 2, 3) and "readers" in err, f"nobody listens: {status} {err}")
    p = bp.Proc([bp.BAGPIPE, "play", bag, "--domain", DOMAIN, "--wait-for-readers", "/a=1", "/b=1"])
    time.sleep(1)
    rec = bp.record(d / "awaited", domain=DOMAIN)
    bp.check(p.wait(20) == 0, f"play: {p.text()}")
    rec.stop()
    h = playing.Heard(d / "awaited")
    bp.check(h.texts["/a"] == texts("a", 0, 200), "waited for the reader, lost nothing")


def late_join(d, bag):
    p = bp.Proc([bp.BAGPIPE, "play", bag, "--domain", DOMAIN])
    time.sleep(1.2)
    rec = bp.record(d / "late", domain=DOMAIN)
    p.wait(20)
    rec.stop()
    h = playing.Heard(d / "late")
    bp.check(h.texts.get("/map") == ["map"], f"who comes late gets what is latched: {h.texts.get('/map')}")


def keys(d, bag):
    rec = bp.record(d / "keys", domain=DOMAIN)
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(bp.BAGPIPE, [bp.BAGPIPE, "play", str(bag), "--topics", "/a", "--domain", str(DOMAIN),
                              "--start-paused", "--wait-for-readers", "5s"])
    screen = bytearray()

    def watch(seconds, until=None):
        end = time.monotonic() + seconds
        os.set_blocking(fd, False)
        while time.monotonic() < end and not (until and until in screen):
            try:
                screen.extend(os.read(fd, 65536))
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                return

    watch(5, b"paused   0.00")
    bp.check(b"paused   0.00" in screen, f"starts paused: {bytes(screen)[-200:]}")
    os.write(fd, b"s")
    watch(0.3)
    os.write(fd, b"s\x1b[C")
    watch(5, b"3 messages")
    bp.check(b"3 messages" in screen, f"three steps: {bytes(screen)[-200:]}")
    os.write(fd, b"\x1b[A\x1b[A\x1b[B")
    watch(5, b"speed 1.10")
    bp.check(b"speed 1.10" in screen, f"arrows change the speed: {bytes(screen)[-200:]}")
    os.write(fd, b" ")
    watch(20, b"published 200 messages")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    rec.stop()
    h = playing.Heard(d / "keys")
    bp.check(status == 0 and h.texts["/a"] == texts("a", 0, 200), f"goes on after the space: {status}")


def segments(d):
    """A session of several segments repeats latched messages at each head; play must not."""
    log = d / "sent.log"
    rec = bp.record(d / "split", "-b", "1MiB", domain=DOMAIN)
    s = bp.sim("--profile", "small", "--topics", "1", "--size", "50kB", "--hz", "40", "--duration", "3s",
               "--wait-for-readers", "1", domain=DOMAIN, log=log)
    bp.check(s.wait(30) == 0, s.text())
    rec.stop()
    files = sorted((d / "split").glob("*.mcap"), key=lambda p: int(p.stem.rsplit("_", 1)[1]))
    bp.check(len(files) > 3, f"{len(files)} segments")
    j, h = play(d, "whole", d / "split", "--topics", "/robot1/tf_static", "/rosout", domain=DOMAIN)
    bp.check(len(h.bag.messages["/robot1/tf_static"]) == 1 and j["skipped_repeated"] >= len(files) - 1,
             f"latched once: {len(h.bag.messages['/robot1/tf_static'])}, {j['skipped_repeated']} skipped")
    j, h = play(d, "tail", files[-2], domain=DOMAIN)
    bp.check(len(h.bag.messages["/robot1/tf_static"]) == 1, "a segment alone brings what was latched")
    j, h = play(d, "tails", *files[-3:], "--align", domain=DOMAIN)
    bp.check(len(h.bag.messages["/robot1/tf_static"]) == 1, "three segments, named one by one")
    _, j = bp.bagpipe_json("play", "--dry-run", "--json", d / "split", "--prefix", "robot1=/lab", "/rest")
    names = {t["topic"] for t in j["topics"]}
    bp.check("/lab/robot1/imu" in names and "/rest/rosout" in names, f"prefix of a robot: {names}")


def damage(d, bag):
    bad = d / "bad.mcap"
    b = bytearray(bag.read_bytes())
    b[len(b) // 3] ^= 0x10
    bad.write_bytes(b)
    status, _, err = bp.bagpipe("play", bad, "--domain", DOMAIN, "--burst", "0", ok=None)
    bp.check(status == 65 and "bad.mcap" in err, f"damage is told: {status} {err}")
    bp.bagpipe("play", d / "nothing.mcap", ok=(66, 2))


def test():
    d = bp.scratch()
    bag = plain(d)
    times(d, bag)
    names(d, bag)
    several(d)
    offers(d)
    loops(d)
    bursts(d, bag)
    clock(d, bag)
    dry(d, bag)
    waits(d, bag)
    late_join(d, bag)
    keys(d, bag)
    segments(d)
    damage(d, bag)


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
