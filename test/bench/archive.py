"""Lists and searches of an archive of 100,000 sessions with 5 million segments, page after page: in the process, then the
same by HTTP from a `bagpipe server` that has this archive, without and with facets. Promise: p99 < 100 ms.

archive.py [--quick] [--sessions N] [--runs N] [--db FILE]: N sessions of 50 segments each (100,000; quick 2,000); N pages
of each search by HTTP (30); FILE was made by archive-load before, which takes minutes
"""
import http.client
import json
import shutil
import statistics
import sys
import time
import urllib.parse

import bp
import machine
from syncing import Server

LOAD = bp.BUILD / "test/bench/archive-load"
SEGMENTS = 50


class Client:
    def __init__(self, port):
        self.c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def page(self, **query):
        """@return (ms until the last byte, the page)"""
        began = time.monotonic()
        self.c.request("GET", "/api/v1/sessions?" + urllib.parse.urlencode(query))
        r = self.c.getresponse()
        body = r.read()
        took = (time.monotonic() - began) * 1e3
        bp.check(r.status == 200, f"{query}: {r.status} {body[:200]}")
        return took, json.loads(body) if r.status == 200 else {}


def pages(client, search, runs, **more):
    took, after = [], None
    for _ in range(runs):
        ms, page = client.page(q=search["q"], sort=search["sort"], **({"cursor": after} if after else {}), **more)
        after = page.get("next")
        took.append(ms)
    return took


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def bench():
    quick = "--quick" in sys.argv
    sessions, runs = int(option("--sessions", 2_000 if quick else 100_000)), int(option("--runs", 30))
    folder = bp.scratch()
    db = folder / "data" / "archive.db"
    db.parent.mkdir()
    made = option("--db", None)
    if made:
        shutil.copy(made, db)
    _, out, _ = bp.run([LOAD, db, 0 if made else sessions, SEGMENTS], timeout=3600)
    r = json.loads(out)
    s = Server(folder).start("auth.rate=0", "storage.min_free=0")
    client = Client(s.port)
    by_all = [x for x in r["searches"] if not x["devices"]]  # the client may see everything
    plain = [pages(client, x, runs) for x in by_all]
    scoped = [[f"`{x['q']}`, seen: `{x['devices']}`", f"`{x['sort']}`", f"{x['p50_ms']:.1f}", f"{x['max_ms']:.1f}", "", ""]
              for x in r["searches"] if x["devices"]]
    rows = [[f"`{x['q']}`" if x["q"] else "", f"`{x['sort']}`", f"{x['p50_ms']:.1f}", f"{x['max_ms']:.1f}",
             f"{statistics.median(t):.1f}", f"{max(t):.1f}"] for x, t in zip(by_all, plain)] + scoped
    facets = [t for x in by_all for t in pages(client, x, max(runs // 10, 1), facets=10)]
    rss = bp.rss_kb(s.p.pid)["VmRSS"]
    s.p.stop()
    plain = [t for x in plain for t in x]
    machine.report("archive", "\n".join([
        machine.describe(folder), "",
        f"{sessions:,} sessions, {sessions * SEGMENTS:,} segments, {db.stat().st_size / 1e9:.2f} GB"
        + ("" if made else f", filled in {r['fill_s']:.0f} s"),
        "", machine.table(["query", "sort", "p50 ms", "max", "by HTTP: p50", "max"], rows), "",
        machine.table(["", "p50 ms", "p99 ms", "max ms", "goal"], [
            ["in the process", f"{r['p50_ms']:.1f}", f"{r['p99_ms']:.1f}", f"{r['max_ms']:.1f}", "p99 < 100"],
            ["the same, time of the processor", f"{r['cpu_p50_ms']:.1f}", f"{r['cpu_p99_ms']:.1f}", f"{r['cpu_max_ms']:.1f}", ""],
            ["by HTTP", f"{statistics.median(plain):.1f}", f"{p99(plain):.1f}", f"{max(plain):.1f}", "p99 < 100"],
            ["by HTTP, with `facets=10`", f"{statistics.median(facets):.1f}", f"{p99(facets):.1f}", f"{max(facets):.1f}", ""]]),
        "", f"The server's memory afterwards: {rss / 1024:.0f} MiB."]))


if __name__ == "__main__":
    bp.main(bench)
