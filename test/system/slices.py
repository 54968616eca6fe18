"""Slices of recordings against a filter of the whole by pip mcap, message by message.

Recordings of sim (split, every codec, with repeated latched messages) and files that pip mcap wrote:
ids that mean something else in each file, times out of order, chunks without index, loose messages.
And by HTTP, out of a server's store, while something else comes in; with what the server says of sessions besides.
What a part of a long session costs: slices-long.py.
"""
import base64
import csv
import fnmatch
import hashlib
import http.client
import io
import json
import random
import signal
import struct
import subprocess
import threading
import time
import urllib.parse

from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType, IndexType, Writer

import bp
from bag import Bag

DOMAIN = 27
PROBE = bp.BUILD / "test" / "system" / "slice-probe"


def key(schema, channel, m):
    return (channel.topic, schema.name if schema else "", m.log_time, m.publish_time, m.sequence,
            hashlib.sha256(m.data).hexdigest())


def whole(files, repeats=False):
    """Every message of every file; what later segments repeat of earlier ones (the same message,
    logged at the segment's head) is there once."""
    seen, out = set(), []
    for f in files:
        here = set()
        with open(f, "rb") as fd:
            for schema, channel, m in NonSeekingReader(fd).iter_messages(log_time_order=False):
                k = key(schema, channel, m)
                if not repeats or k[:2] + k[3:] not in seen:
                    out.append(k)
                here.add(k[:2] + k[3:])
        seen |= here
    return out


def cut(files, fmt="mcap", t0=0, t1=0, topics=(), ok=True, out=None):
    out = out or bp.SCRATCH / f"slice.{fmt.split('+')[0]}"
    with open(out, "wb") as f:
        r = subprocess.run([str(PROBE), fmt, str(t0), str(t1), ",".join(topics), *map(str, files)], stdout=f,
                              stderr=bp.subprocess.PIPE, timeout=120)
    stats = json.loads(r.stderr.decode().split("\n")[0])
    if ok and r.returncode != 0:
        bp.fail(f"slice: {r.stderr.decode()}")
    return out, stats


def is_in(k, t0, t1, topics):
    return k[2] >= t0 and (t1 == 0 or k[2] < t1) and (not topics or any(fnmatch.fnmatchcase(k[0], t) for t in topics))


def compare(what, files, everything, t0=0, t1=0, topics=()):
    want = sorted(k for k in everything if is_in(k, t0, t1, topics))
    out, stats = cut(files, t0=t0, t1=t1, topics=topics)
    with open(out, "rb") as f:
        reader = make_reader(f, validate_crcs=True)
        summary = reader.get_summary()
        indexed = sorted(key(s, c, m) for s, c, m in reader.iter_messages())
    with open(out, "rb") as f:
        streamed = sorted(key(s, c, m) for s, c, m in NonSeekingReader(f, validate_crcs=True).iter_messages())
    same = indexed == want
    bp.check(same, f"{what}: {len(indexed)} messages, wanted {len(want)}")
    if not same:
        bp.say(f"  missing {[k for k in want if k not in indexed][:2]}, more {[k for k in indexed if k not in want][:2]}")
    bp.check(streamed == want, f"{what}: streamed, {len(streamed)}")
    bp.check(summary.statistics.message_count == len(want) == stats["messages"], f"{what}: statistics")
    bp.check(bp.bagpipe("verify", out, ok=(0, 1))[0] == 0, f"{what}: verify")
    rows = [json.loads(line) for line in open(cut(files, "json", t0, t1, topics)[0])]
    bp.check(sorted((r["topic"], r["type"], int(r["log_time_ns"]), int(r["publish_time_ns"]), r["sequence"])
                    for r in rows) == [k[:5] for k in want], f"{what}: JSON, {len(rows)} lines")
    with open(cut(files, "csv", t0, t1, topics)[0], newline="") as f:
        table = list(csv.DictReader(f))
    bp.check(sorted((r["topic"], int(r["log_time_ns"])) for r in table) == sorted((k[0], k[2]) for k in want),
             f"{what}: CSV, {len(table)} rows")
    return stats, rows


def recorded(folder, *options):
    out = folder / ("rec" + "".join(options).replace("-", ""))
    rec = bp.record(out, "-d", "1s", *options, domain=DOMAIN)
    sim = bp.sim("--robots", 2, "--profile", "small", "--duration", "5s", domain=DOMAIN, log=folder / "sim.log")
    sim.wait(60)
    time.sleep(0.3)
    bp.check(rec.stop(timeout=20, sig=signal.SIGINT) == 0, f"{out.name}: exit status 0")
    return sorted(Bag(out).files)


def odd(path, compression, index, first, chunk=2000, chunking=True):
    """Two topics whose ids are the other way round from file to file; times jump back and forth."""
    with open(path, "wb") as f:
        w = Writer(f, chunk_size=chunk, compression=compression, index_types=index, use_chunking=chunking)
        w.start("ros2", "test")
        names = ["/a", "/b", "/c"] if first % 2 == 0 else ["/c", "/a", "/b"]
        ids = {n: w.register_channel(n, "cdr", w.register_schema(f"p/msg/{n[1:].upper()}", "ros2msg", b"int32 x")) for n in names}
        for i in range(300):
            n = "/abc"[1 + i % 3]
            w.add_message(ids["/" + n], log_time=(first * 300 + i ^ 5) * 1000, data=b"\0\1\0\0" + i.to_bytes(4, "little"),
                          publish_time=i, sequence=i)
        w.finish()
    return path


def times(everything):
    t = sorted(k[2] for k in everything)
    return t[0], t[-1]


def priors(what, files, everything, places=100):
    """The last message of each topic before random moments, as pip mcap has them."""
    topics = sorted({k[0] for k in everything})
    t0, t1 = times(everything)
    rng, wrong, found = random.Random(6), [], 0
    for _ in range(places):
        t, chosen = rng.randrange(t0 - 10, t1 + 10), rng.sample(topics, min(len(topics), 8))
        rows = [json.loads(x) for x in open(cut(files, "json+prior", t, t + 1, chosen)[0])]
        got = {r["topic"]: r for r in rows if r.get("prior")}
        if sorted(got) != sorted(chosen) or len([r for r in rows if r.get("prior")]) != len(chosen):
            wrong.append((t, sorted(got)))
        for topic in chosen:
            here = [k for k in everything if k[0] == topic and k[2] < t]
            last = max((k[2] for k in here), default=None)
            r = got.get(topic, {})
            found += last is not None
            if last is None and not (r.get("none") and "why" not in r):
                wrong.append((t, topic, r))
            elif r.get("repeated"):  # logged again at its segment's head
                if (int(r["publish_time_ns"]), r["sequence"]) not in {k[3:5] for k in here if k[2] == last}:
                    wrong.append((t, topic, "repeated"))
            elif last is not None and (topic, r.get("type"), int(r.get("log_time_ns", 0)), int(
                    r.get("publish_time_ns", 0)), r.get("sequence")) not in {k[:5] for k in here if k[2] == last}:
                wrong.append((t, topic, r.get("log_time_ns"), last))
    bp.check(not wrong and found > places, f"{what}: {found} last messages before {places} moments, wrong {wrong[:2]}")


def records(data):
    """What is in a reply of frames: kind and content of each."""
    out, at = [], 0
    while at < len(data):
        n, kind = struct.unpack_from("<IB", data, at)
        out.append((kind, data[at + 5:at + 5 + n]))
        at += 5 + n
    bp.check(at == len(data), "records are whole")
    return out


def in_frames(what, get, everything, t0, t1, topics, **query):
    """A range in small pieces, each from where the last one ended, has each message once."""
    got, at, asked = [], t0, 0
    while at < t1 and asked < 1000:
        all_of = records(get(at, t1, topics, asked == 0, **query))
        end = json.loads(all_of[-1][1])
        got += [r for r in (json.loads(c) for k, c in all_of[:-1] if k == 0) if not r.get("prior")]
        asked += 1
        if all_of[-1][0] != 2 or int(end["reached"]) <= at:
            bp.fail(f"{what}: no end at {at}: {end}")
        at = int(end["reached"])
        if end["complete"]:
            break
    rows = sorted((r["topic"], r["type"], int(r["log_time_ns"]), int(r["publish_time_ns"]), r["sequence"]) for r in got)
    want = sorted({k[:5] for k in everything if k[0] in topics and t0 <= k[2] < t1})
    bp.check(sorted(set(rows)) == want, f"{what}: {len(rows)} messages of {len(want)} in {asked} pieces")
    return asked


def of_sim(folder):
    for options in ((), ("--compression-format", "zstd"), ("--compression-format", "lz4")):
        files = recorded(folder, *options)
        bp.check(len(files) >= 3, f"{len(files)} segments")
        everything = whole(files, repeats=True)
        t0, t1 = times(everything)
        a, b = t0 + (t1 - t0) // 4, t0 + (t1 - t0) * 3 // 4
        name = options[-1] if options else "none"
        topics = sorted({k[0] for k in everything})
        stats, _ = compare(f"{name}: all", files, everything)
        bp.check(stats["passed"] > 0, f"chunks went through: {stats['passed']} of {stats['passed'] + stats['cut']}")
        stats, rows = compare(f"{name}: the middle", files, everything, a, b)
        bp.check(any(r["message"] for r in rows), "messages are decoded")
        compare(f"{name}: one topic", files, everything, topics=topics[:1])
        compare(f"{name}: pattern, the middle", files, everything, a, b, ["*tf*", topics[-1]])
        compare(f"{name}: nothing", files, everything, t1 + 1, t1 + 2)
        compare(f"{name}: a moment", files, everything, t0, t0 + 1)
        compare(f"{name}: no such topic", files, everything, topics=["/nobody"])
        priors(name, files, everything)


def of_others(folder):
    kinds = [(CompressionType.NONE, IndexType.ALL), (CompressionType.ZSTD, IndexType.ALL), (CompressionType.LZ4, IndexType.ALL)]
    files = [odd(folder / f"odd_{i}.mcap", c, x, i) for i, (c, x) in enumerate(kinds)]
    everything = whole(files)
    compare("others: all", files, everything)
    compare("others: a part", files, everything, 150_000, 700_000, ["/a", "/c"])
    compare("others: one", files[:1], whole(files[:1]), 50_000, 90_001)
    torn = folder / "torn.mcap"
    torn.write_bytes(files[1].read_bytes()[:-100])
    _, stats = cut([torn], ok=False)
    bp.check(stats["code"] < 0, "without an index it is refused")
    data = bytearray(files[1].read_bytes())
    with open(files[1], "rb") as f:
        chunk = make_reader(f).get_summary().chunk_indexes[0]
    data[chunk.chunk_start_offset + 80] ^= 0xff
    torn.write_bytes(data)
    _, stats = cut([torn], t0=chunk.message_start_time + 1, t1=chunk.message_end_time, ok=False)
    bp.check(stats["code"] < 0, "a damaged chunk that must be opened is told")


class Server:
    def __init__(self, folder):
        self.p = bp.Proc([bp.BAGPIPE, "server", "--json", "--set", f"server.dir={folder / 'data'}", f"http.socket={folder / 's.sock'}",
                          "http.listen=127.0.0.1:0", "events.listen=", "metrics.listen=", "storage.min_free=0", "auth.rate=0"])
        bp.until(lambda: "server is ready" in self.p.text() or not self.p.alive(), 30, "the server")
        line = [x for x in self.p.text().splitlines() if "server is ready" in x]
        bp.check(bool(line), f"the server runs: {self.p.text()[-600:]}")
        self.port = int(json.loads(line[-1])["http"].rsplit(":", 1)[1])

    def ask(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request(method, path if path.startswith("/m") else "/api/v1" + path,
                  body=json.dumps(body) if isinstance(body, dict) else body, headers=headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        if r.headers.get_content_type() in ("application/json", "application/problem+json"):
            data = json.loads(data)
        return r.status, data, r.headers

    def get(self, path, **query):
        return self.ask("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def ids(self, q, **more):
        status, page, _ = self.get("/sessions", q=q, **more)
        bp.check(status == 200, f"{q}: {status} {page}")
        return [x["id"] for x in page["sessions"]] if status == 200 else []

    def metric(self, name):
        text = self.ask("GET", "/metrics")[1].decode()
        return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith(name + " "))

    def upload(self, session, path, kind):
        data = path.read_bytes()
        status, up, _ = self.ask("POST", "/uploads", {"session": session, "file": path.name, "bytes": len(data),
                                                      "sha256": hashlib.sha256(data).hexdigest(), "kind": kind})
        if status == 200 and up["state"] == "have":
            return
        bp.check(status in (200, 201), f"upload {path.name}: {status} {up}")
        size = up["part_bytes"]
        for n in range((len(data) + size - 1) // size):
            piece = data[n * size:(n + 1) * size]
            digest = "sha-256=:" + base64.b64encode(hashlib.sha256(piece).digest()).decode() + ":"
            status, _, _ = self.ask("PUT", f"/uploads/{up['id']}/parts/{n}", piece, {"Content-Digest": digest})
            bp.check(status == 204, f"part {n} of {path.name}: {status}")
        status, got, _ = self.ask("POST", f"/uploads/{up['id']}/complete")
        bp.check(status == 200, f"complete {path.name}: {status} {got}")


def push(s, out, session, manifest=True, **about):
    status, got, _ = s.ask("PUT", f"/ingest/sessions/{session}", {"name": out.name, "device": "robot7", **about})
    bp.check(status in (200, 201), f"announce: {status} {got}")
    for f in sorted(out.glob("*.mcap")):
        s.upload(session, f, "segment")
    if manifest:
        s.upload(session, out / "manifest.json", "manifest")


def by_http(what, s, session, everything, t0=0, t1=0, topics=()):
    """What lies in the time of the first segment that is read may be repeated there: a slice begins with what was latched."""
    query = {"from": t0, "topics": ",".join(topics)}
    if t1:
        query["to"] = t1
    status, data, headers = s.get(f"/sessions/{session}/data", **query)
    bp.check(status == 200 and headers["Bagpipe-Missing-Segments"] == "0", f"{what}: {status} {data[:200]}")
    got = [key(a, b, m) for a, b, m in make_reader(io.BytesIO(data), validate_crcs=True).iter_messages()]
    want = [k for k in everything if is_in(k, t0, t1, topics)]
    bp.check(len(got) == len(set(got)) and set(want) <= set(got), f"{what}: {len(got)} messages, wanted {len(want)}")
    known = {k[:2] + k[3:] for k in everything}
    bp.check(all(k[:2] + k[3:] in known and is_in(k, t0, t1, topics) for k in got), f"{what}: nothing else")
    return len(got) - len(want)


def answers(s, session, name):
    """What the server says of a session, and does to it."""
    page = s.get("/sessions", q="robot:robot1 tag:lab", facets=10)[1]
    bp.check([x["id"] for x in page["sessions"]] == [session] and page["total"] == 1, f"found: {str(page)[:300]}")
    bp.check({"value": "lab", "sessions": 1} in page["facets"]["tag"], "facets")
    for q, n in (("state:complete", 1), ("topic:*tf*", 1), ("topic:/nobody", 0), ("-tag:lab", 1), ("north", 1),
                 ("lost:0", 2), ("date:today,yesterday", 1), (f"id:{session}", 1), ("shelf", 0)):
        bp.check(len(s.ids(q)) == n, f"'{q}' finds {n}")
    status, got, _ = s.get("/sessions", q="tag:lab rbot:7")
    bp.check(status == 400 and got["detail"].endswith("\n          ^"), f"a caret: {got}")
    status, got, _ = s.get("/sessions", status="finished", sort="-bytes", limit=1)
    bp.check(status == 200 and got["sessions"][0]["status"] == "finished", "as an agent's list")
    status, got, _ = s.ask("PATCH", f"/sessions/{session}", {"notes": "hit the shelf", "tags": ["lab", "wet"]})
    bp.check(status == 200 and got["tags"] == ["lab", "wet"] and len(s.ids("shelf tag:wet")) == 1, f"changed: {got}")
    bp.check(s.ask("PATCH", f"/sessions/{session}", {"colour": 1})[0] == 400, "unknown keys are refused")
    bp.check(s.ask("POST", f"/sessions/{session}/marks", {"text": "there", "time_ns": "5"})[0] == 204, "marked")
    bp.check(s.get(f"/sessions/{name}")[1]["marks"][0]["text"] == "there", "by name, with its marks")
    files = s.get(f"/sessions/{session}/segments")[1]
    f = files["segments"][0]
    status, data, headers = s.ask("GET", f"/sessions/{session}/segments/{f['name']}", headers={"Range": "bytes=1-4"})
    bp.check(status == 206 and data == b"MCAP" and headers["ETag"] == f'"{f["sha256"]}"', f"ranges: {status} {data[:40]}")
    bp.check(len(s.get(f"/sessions/{session}/topics")[1]["topics"]) > 5, "topics")


def overview(s, session, files, marks):
    """Counts and bytes of each topic in each second, against what pip mcap reads."""
    bp.until(lambda: s.get(f"/sessions/{session}/overview")[1].get("segments") == len(files), 20, "the overview")
    status, o, headers = s.get(f"/sessions/{session}/overview")
    bp.check(status == 200 and headers["ETag"] and o["without"] == 0, f"overview: {status} {str(o)[:200]}")
    width, base = o["bin_s"] * 10**9, int(o["from_ns"])
    bp.check(o["bin_s"] == 1 and o["bins"] <= 2000, "bins of a second")
    want, got, seen = {}, {}, set()
    for f in files:
        here = set()
        with open(f, "rb") as fd:
            for schema, channel, m in NonSeekingReader(fd).iter_messages(log_time_order=False):
                k = key(schema, channel, m)
                here.add(k[:2] + k[3:])
                if k[:2] + k[3:] not in seen:
                    n = want.setdefault((channel.topic, (m.log_time - base) // width), [0, 0])
                    n[0] += 1
                    n[1] += len(m.data)
        seen |= here
    for t in o["topics"]:
        for i, (n, size) in enumerate(zip(t["messages_per_bin"], t["bytes_per_bin"])):
            if n:
                got[(t["topic"], t["at"] + i)] = [n, size]
        bp.check(sum(t["messages_per_bin"]) == t["messages"] and sum(t["bytes_per_bin"]) == t["bytes"], f"sums of {t['topic']}")
    other = [(k, got.get(k), want.get(k)) for k in got.keys() | want.keys() if got.get(k) != want.get(k)]
    bp.check(not other, f"{len(want)} bins as mcap reads them: {other[:5]}")
    counts = {t["topic"]: t["messages"] for t in s.get(f"/sessions/{session}/topics")[1]["topics"] if t["messages"]}
    bp.check(counts == {t["topic"]: t["messages"] for t in o["topics"] if t["messages"]}, "sums are those of the manifest")
    bp.check(len(o["marks"]) == marks, f"{len(o['marks'])} marks")
    status, _, _ = s.ask("GET", f"/sessions/{session}/overview", headers={"If-None-Match": headers["ETag"]})
    bp.check(status == 304, f"who has it is told so: {status}")


def made_anew(folder, s, session, files, everything):
    """The archive is lost; what is stored makes it again, and people's words stay where it is not."""
    bp.check(s.p.stop() == 0, "it ends well")
    for lost in (False, True):
        if lost:
            for f in (folder / "data").glob("archive.db*"):
                f.unlink()
        status, out, err = bp.bagpipe("server", "--reindex", "--dir", folder / "data", ok=None)
        bp.check(status == 0 and " 1 manifests" in out, f"reindex: {status} {out} {err}")
        s = Server(folder)
        got = s.get(f"/sessions/{session}")[1]
        bp.check(got.get("state") == "complete" and got["segments"] > 2, f"complete again: {str(got)[:300]}")
        bp.check((got["tags"] == ["lab", "wet"] and got["device"] == "robot7") != lost, f"what people wrote: {got['tags']}")
        by_http("made anew", s, session, everything)
        overview(s, session, files, 0 if lost else 1)
        if not lost:
            bp.check(s.p.stop() == 0, "it ends well")
    return s


def served(folder):
    out = recorded(folder, "--compression-format", "zstd", "--chunk-size", "64KiB")[0].parent
    session = json.loads((out / "manifest.json").read_text())["session"]["id"]
    files = sorted(out.glob("*.mcap"), key=lambda f: int(f.stem.rsplit("_", 1)[1]))
    everything = whole(files, repeats=True)
    s = Server(folder)
    push(s, out, session, mission="north hall", tags=["lab"])
    bp.until(lambda: s.get(f"/sessions/{session}")[1]["state"] == "complete", 20, "complete")
    t0, t1 = times(everything)
    a, b = t0 + (t1 - t0) // 3, t0 + (t1 - t0) * 2 // 3
    second = "01J" + session[3:-1] + ("0" if session[-1] != "0" else "1")
    other = threading.Thread(target=push, args=(s, out, second, False))
    other.start()  # concurrent with ingest
    bp.check(by_http("all", s, session, everything) == 0, "all of it, each once")
    repeated = by_http("the middle", s, session, everything, a, b)
    bp.say(f"{repeated} latched messages at the head of the middle")
    by_http("topics", s, session, everything, a, b, ["*tf*", "*imu*"])
    other.join()
    status, data, headers = s.get(f"/sessions/{session}/data", format="json", **{"from": "+1s", "to": "+2s"})
    rows = [json.loads(x) for x in data.splitlines()]
    bp.check(status == 200 and rows and all(r["message"] is not None for r in rows), f"JSON: {len(rows)} lines")
    bp.check(headers["Content-Disposition"].endswith('.ndjson"'), "a name to save it under")
    for query in ({"format": "xml"}, {"from": "soon"}, {"from": "9", "to": "8"}, {"max_bytes": "-1"}):
        bp.check(s.get(f"/sessions/{session}/data", **query)[0] == 400, f"{query} is refused")
    bp.check(s.get("/sessions/nobody/data")[0] == 404, "no such session")
    def pieces(at, end, topics, prior, **query):
        status, data, headers = s.get(f"/sessions/{session}/data", topics=",".join(topics), format="frames",
                                      prior="true" if prior else "false", **{"from": str(at), "to": str(end)}, **query)
        bp.check(status == 200 and "immutable" in headers["Cache-Control"], f"frames: {status}") if prior else None
        return data
    some = sorted({k[0] for k in everything if "tf" in k[0] or "imu" in k[0]})
    bp.check(in_frames("frames", pieces, everything, a, b, some, max_bytes="20000") > 3, "in pieces")
    overview(s, session, files, 0)
    answers(s, session, out.name)
    overview(s, session, files, 1)
    for _ in range(20):  # who goes away early leaves no thread behind
        c = http.client.HTTPConnection("127.0.0.1", s.port)
        c.request("GET", f"/api/v1/sessions/{session}/data")
        c.getresponse().read(100)
        c.close()
    bp.until(lambda: s.metric("bagpipe_slices_active") == 0, 10, "no slice runs")
    s = made_anew(folder, s, session, files, everything)
    push(s, out, second, False)
    bp.check(s.ask("DELETE", f"/sessions/{session}")[0] == 204 and s.ids("tag:lab") == [], "deleted")
    bp.check(by_http("the other one", s, second, everything) == 0, "shared objects stay")
    bp.check(s.ask("DELETE", f"/sessions/{second}")[0] == 204, "deleted, too")
    left = [x for x in (folder / "data" / "objects").rglob("*") if x.is_file()]
    bp.check(not left, f"objects that nobody wants are gone: {left[:2]}")
    status, log, _ = s.get("/audit", action="session.")
    bp.check([e["action"] for e in log["entries"]][:2] == ["session.delete"] * 2, f"written down: {log}")
    bp.check(s.p.stop() == 0, "it ends well")


def test():
    folder = bp.SCRATCH
    of_others(folder)
    served(folder)
    of_sim(folder)


if __name__ == "__main__":
    bp.SCRATCH = bp.scratch()
    bp.main(test)
