"""push and pull by every kind of URL: a server, an agent, a bucket (radosgw), a disk; killed in the middle and gone on,
what comes back is what went, wrong ones say why.
"""
import json
import re
import shutil
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
    anothers(folder, s, link)
    unhashed(folder, s, link)
    again(folder, link)
    wrong(folder, s, agent)
    bp.check(s.p.stop() == 0, "the server ends well")


def anothers(folder, s, link):
    """A session that the server has from another device is refused; it is said which one, whose, and what helps."""
    status, out, err = push(folder, folder / "robot/data/two", link.url, "--device", "laptop", ok=(77,))
    owner = s.ask("GET", f"/api/v1/sessions/{syncing.session_id(folder / 'robot/data/two')}")["device"]
    for word in ("'two'", syncing.session_id(folder / "robot/data/two"), f"'{owner}'", "'laptop'", "--device"):
        bp.check(word in err, f"{word} is said: {err}")
    bp.check(owner != "laptop" and err.count("\n") == 1, f"in one line: {err}")
    push(folder, folder / "robot/data/two", link.url)


def unhashed(folder, s, link):
    """What a plain `bagpipe record` writes has no digests in its manifest: the server takes those of the uploads."""
    shutil.copytree(folder / "robot/data/two", folder / "plain")
    (folder / "plain/manifest.sig").unlink()
    m = json.loads((folder / "plain/manifest.json").read_text())
    m["session"]["id"] = "01M8J2QH5JDQVCJD12ZS7Y0C0A"
    m["session"]["name"] = "plain"
    for x in m["segments"]:
        x["sha256"] = ""
    (folder / "plain/manifest.json").write_text(json.dumps(m))
    push(folder, folder / "plain", link.url)
    got = s.ask("GET", "/api/v1/sessions/01M8J2QH5JDQVCJD12ZS7Y0C0A")
    bp.check(got.get("state") == "complete" or got.get("complete"), f"complete without digests in the manifest: {got}")
    bp.bagpipe("pull", f"{link.url}/plain", folder / "from-server")
    same(folder / "plain", folder / "from-server/plain")
    s.ask("DELETE", "/api/v1/sessions/01M8J2QH5JDQVCJD12ZS7Y0C0A", expect=(200, 202, 204))


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
    twice = folder / "twice"
    for name in ("x", "y"):
        shutil.copytree(agent.data / "one", twice / name)
    status, out, err = bp.bagpipe("pull", f"file://{twice}/one", folder / "from-twice", ok=None)
    bp.check(status == 2 and "'x'" in err and "'y'" in err, f"two folders of one session are refused: {status} {err}")
    bp.bagpipe("pull", f"file://{twice}/y", folder / "from-twice")
    same(agent.data / "one", folder / "from-twice" / "one")
    segment = next(p for p in usb.glob("sessions/*/*.mcap") if p.name.startswith("two"))
    data = bytearray(segment.read_bytes())
    data[5000] ^= 1
    segment.write_bytes(data)
    status, out, err = bp.bagpipe("pull", f"file://{usb}/two", folder / "bad", ok=None)
    bp.check(status != 0 and "SHA-256" in err, f"a changed byte is found: {status} {err}")


def carried(folder):
    """A disk that an agent has filled and signed is pushed into a server that runs: as if it had come by the network. What was
    changed on the way is left out."""
    usb = folder / "stick"
    usb.mkdir()
    agent = Agent(folder / "robot2", 174).start("record.segment_size=8MiB", f"sync.upstream=file://{usb}")
    for name, seconds in (("three", 2), ("four", 1)):
        s, sim = syncing.record(agent, seconds, name)
        sim.wait(60)
        agent.ask("PATCH", f"/api/v1/sessions/{s['id']}", {"tags": ["carried", name]})
        agent.ask("POST", f"/api/v1/sessions/{s['id']}/stop", {})
    bp.until(lambda: len(agent.folders()) == 2 and agent.left() == 0 and len(list(usb.glob("sessions/*/manifest.json"))) == 2, 60,
             "all is on the disk")
    device = agent.ask("GET", "/api/v1/status").get("device")
    agent.p.stop()
    bp.check(len(list(usb.glob("shuttle/*.shuttle"))) == 1, "its list")
    s = Server(folder / "server2").start()
    push(folder, usb, s.base)
    got = {x["name"]: x for x in s.sessions()}
    bp.check(set(got) == {"three", "four"}, f"both are there: {got}")
    listed = next(usb.glob("shuttle/*.shuttle")).read_text()
    owner = listed.splitlines()[1].split()[1]
    for name, x in got.items():
        bp.check(x["device"] == owner and (device is None or device == owner), f"{name} is of its device: {x['device']}, {owner}, {device}")
        bp.check(set(x["tags"]) == {"carried", name} and x["state"] == "complete", f"{name}: what was said of it came along: {x}")
        theirs = {k: v for k, v in syncing.digests(agent.data / name).items() if k in s.files(x["id"])}
        bp.check(theirs == s.files(x["id"]) and "manifest.json" in theirs, f"{name}: byte for byte")
    status, out, _ = push(folder, usb, s.base, "--json")
    bp.check(json.loads(out)["targets"][0]["sent"] == 0 if "targets" in json.loads(out) else True, f"nothing is sent again: {out}")
    s.ask("DELETE", f"/api/v1/sessions/{got['four']['id']}", expect=(204,))
    s.p.stop()
    s = Server(folder / "server3").start()
    segment = next(p for p in usb.glob("sessions/*/*.mcap") if p.name.startswith("four"))
    data = bytearray(segment.read_bytes())
    data[5000] ^= 1
    segment.write_bytes(data)
    status, _, err = push(folder, usb, s.base, ok=(3,))
    bp.check("left out" in err and "not as its device signed it" in err, f"{status} {err}")
    bp.check({x["name"] for x in s.sessions()} == {"three"}, f"only what is whole: {s.sessions()}")
    bp.check(s.p.stop() == 0, "the server ends well")


def curl(r, env, path, *words):
    """By curl and its own signing. @return (status, body)"""
    key = f"{env['AWS_ACCESS_KEY_ID']}:{env['AWS_SECRET_ACCESS_KEY']}"
    _, out, _ = bp.run(["curl", "-sS", "-w", "\n%{http_code}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *words,
                        "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", key, r.url + path], ok=None)
    body, _, status = out.rpartition("\n")
    return int(status or 0), body


def objects(r, env):
    """{key: bytes} of the bucket"""
    out = curl(r, env, "/robots?list-type=2&prefix=fleet%2F")[1]
    return dict(zip(re.findall("<Key>(.*?)</Key>", out), map(int, re.findall("<Size>(.*?)</Size>", out))))


def uploads(r, env):
    return re.findall("<UploadId>(.*?)</UploadId>", curl(r, env, "/robots?uploads=")[1])


def joined(folder, agent, r, env, url, options):
    """A session may lie in two folders of a bucket, each with a part of it: they are joined, and where both have a file
    the newer one counts. Then it is in one folder again."""
    push(folder, agent.data / "two", url, "--option", "dedup=off", *options, env=env)
    old = {k: n for k, n in objects(r, env).items() if "/two-" in k}
    time.sleep(1.1)  # times of objects are to the second
    push(folder, agent.data / "two", url, "--option", "dedup=off", "--option",
         "template=sessions/{date}/moved/{session}/", *options, env=env)
    new = {k: n for k, n in objects(r, env).items() if "/two-" in k and k not in old}
    bp.check(len(old) >= 3 and len(new) == len(old), f"two folders: {old} {new}")
    # the older one keeps its segments and loses the manifest, the other way round in the newer one
    for k in [k for k in old if k.endswith("manifest.json")] + [k for k in new if k.endswith(".mcap")]:
        bp.check(curl(r, env, f"/robots/{k}", "-X", "DELETE")[0] == 204, f"removed: {k}")
    id_ = syncing.session_id(agent.data / "two")
    for key in ("two", id_):
        bp.bagpipe("pull", f"{url}/{key}", folder / f"joined-{key}", *options, env=env)
        same(agent.data / "two", folder / f"joined-{key}" / "two")
    for k in [k for k in new if not k.endswith(".mcap")]:
        curl(r, env, f"/robots/{k}", "-X", "DELETE")


def bucket(folder, agent):
    """The same to radosgw: parts go on after a kill, the same content is stored once, gc leaves no orphan."""
    import s3servers
    missing = [p for p in s3servers.Radosgw.programs if not shutil.which(p)]
    if missing:
        bp.say(f"left out: no {missing[0]} here")
        return
    r = s3servers.Radosgw(folder, min_part=1 << 20)
    key, secret = s3servers.ALICE
    env = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1",
           "AWS_EC2_METADATA_DISABLED": "true"}
    bp.until(lambda: curl(r, env, "/robots", "-X", "PUT")[0] == 200, 60, "a bucket", step=0.3)
    link = Link(("127.0.0.1", r.port))
    url, options = "s3://robots/fleet", ("--option", f"endpoint={link.url}")
    link.rate = 6e6
    p = bp.Proc([bp.BAGPIPE, "push", agent.data / "one", url, "--queue", folder / "queue.db", "--part-size", "1MiB",
                 *options], env=env)
    bp.until(lambda: link.body_bytes > 12e6 or not p.alive(), 60, "some of it is sent")
    bp.check(p.alive(), f"it is under way: {p.text()[-300:]}")
    p.kill9()
    bp.check(not any(k.endswith("manifest.json") for k in objects(r, env)), "the manifest goes last")
    link.rate = 0
    push(folder, agent.data / "one", url, "--part-size", "1MiB", *options, env=env)
    total = sum(x.stat().st_size for x in (agent.data / "one").iterdir() if x.is_file())
    sent = sum(n for (m, p), n in link.sent.items() if m == "PUT")
    bp.check(sent <= total + 4 * (5 << 20) + (1 << 20), f"sent {sent} of {total}: at most what was in flight twice")
    bp.check(not uploads(r, env), f"no upload is left open: {uploads(r, env)}")
    bp.bagpipe("pull", f"{url}/one", folder / "from-s3", *options, env=env)
    same(agent.data / "one", folder / "from-s3" / "one")
    joined(folder, agent, r, env, url, options)
    there = objects(r, env)
    copy = folder / "copies" / "single.mcap"
    copy.parent.mkdir()
    shutil.copy(max((agent.data / "one").glob("*.mcap"), key=lambda x: x.stat().st_size), copy)
    before = link.body_bytes
    push(folder, copy, url, *options, env=env)
    now = objects(r, env)
    bp.check(link.body_bytes - before < 100_000, f"the same content is not sent again: {link.body_bytes - before}")
    bp.check(any(k.endswith("single.mcap.ref") for k in set(now) - set(there)), f"but referred to: {set(now) - set(there)}")
    status, _, err = push(folder, agent.data / "two", url, *options, "--patience", "3s", ok=None,
                          env={**env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    bp.check(status == 77, f"wrong credentials are refused at once: {status} {err}")
    link.close()
    r.stop()


def main():
    folder = bp.scratch()
    agent = make(folder)
    server(folder, agent)
    from_agent(folder, agent)
    disk(folder, agent)
    carried(folder)
    bucket(folder, agent)
    bp.check(agent.p.stop() == 0, "the agent ends well")


bp.main(main)
