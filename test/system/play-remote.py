"""A session on a server is played without being downloaded: what comes is what was recorded, also over a link
that breaks again and again, and of a part only a part is read."""
import json
import os
import sys
import threading
import time

import bp
import playing
from counted import Link
from playing import LATCHED, PLAIN, make, stream

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import slices  # noqa: E402

DOMAIN = 44


def test():
    d = bp.SCRATCH
    out = d / "drive"
    out.mkdir()
    for i in range(3):
        make(out / f"drive_{i}.mcap", ("/a", stream(f"a{i}_", 50, 1, i * 10**9), [PLAIN]),
             ("/big", [(t, n + os.urandom(10000).hex()) for t, n in stream(f"b{i}_", 50, 1, i * 10**9)], [PLAIN]),
             *([("/map", [(0, "the map")], [LATCHED])] if i == 0 else []))
    total = sum(f.stat().st_size for f in out.glob("*.mcap"))
    s = slices.Server(d)
    session = "01JDRJ6WQGXN6Q8Z3V5T7Y9B1C"
    slices.push(s, out, session, manifest=False)

    _, local = playing.play(d, "local", out, domain=DOMAIN)
    bp.check(len(local.texts["/a"]) == 150 and len(local.texts["/big"]) == 150, "the recording itself")
    link = Link(s.port, cut=150_000)
    _, h = playing.play(d, "remote", f"{link.url}/sessions/drive", domain=DOMAIN)
    bp.check(h.texts == local.texts, f"replay equals the recording: { {k: len(v) for k, v in h.texts.items()} }")
    bp.check(link.cuts > 5, f"the link broke {link.cuts} times")
    bp.check(link.bytes < 2 * total + 2_000_000, f"{link.bytes} of {total} bytes: nothing was begun anew")
    bp.say(f"{link.cuts} breaks, {link.bytes} bytes for {total}")

    whole = Link(s.port)
    _, h = playing.play(d, "part", f"{whole.url}/api/v1/sessions/{session}", "--topics", "/a", "--start-offset", "2100ms",
                        domain=DOMAIN)
    bp.check(h.texts["/a"] == [f"a2_{i}" for i in range(5, 50)], f"a part: {h.texts['/a'][:3]}")
    status, text, _ = bp.bagpipe("info", f"{whole.url}/sessions/drive")
    bp.check("/big" in text and "301" in text, f"info: {text}")
    said = bp.bagpipe("echo", "/a", f"{whole.url}/sessions/drive", "--json")[1]
    bp.check([json.loads(x)["message"]["data"] for x in said.splitlines()] == local.texts["/a"], f"echo: {said[:300]}")
    said = bp.bagpipe("echo", "/a", out, "--field", "data", "--for", "1s")[1]
    bp.check(said.splitlines()[::2] == [f"a0_{i}" for i in range(50)], f"echo of a file's field: {said[:100]}")
    said = bp.bagpipe("echo", "/ma*", out, "--once")[1]
    bp.check("the map" in said, f"echo by a pattern: {said}")
    status, _, err = bp.bagpipe("echo", "/none", out, ok=None)
    bp.check(status != 0 and "/none" in err, f"no such topic: {status} {err}")

    status, _, err = bp.bagpipe("info", f"{link.url}/sessions/nobody", ok=None)
    bp.check(status != 0 and "404" in err, f"no such session: {err}")
    bp.check(bp.bagpipe("info", f"{link.url}/elsewhere", ok=None)[0] != 0, "no session")

    def away():
        bp.until(lambda: link.bytes > before + 500_000, 40, "half of it")
        link.down = True
        time.sleep(2)
        link.down = False
    before = link.bytes
    threading.Thread(target=away, daemon=True).start()
    _, h = playing.play(d, "gone", f"{link.url}/sessions/drive", "--read-ahead", "64KiB", domain=DOMAIN)
    bp.check(not link.down and h.texts == local.texts, "away for two seconds")
    left = [f for f in os.listdir(d) if "sessions" in f]
    bp.check(not left, f"nothing is kept: {left}")
    bp.check(s.p.stop() == 0, "the server ends well")


if __name__ == "__main__":
    bp.SCRATCH = bp.scratch()
    bp.main(test)
