"""src/dds against Cyclone DDS and Fast DDS peers on two hosts, both ways."""
from concurrent.futures import ThreadPoolExecutor

import bp
import ddsnet

DOMAIN = 64


def one(hosts, d, name, pub, sub, opts, count, late=0, sub_opts=(), missing=0, expect=None):
    """One publisher on b, one subscriber on a; late: seconds the subscriber starts after it."""
    name = f"{name}_{pub}_{sub}"
    base = ["--domain", DOMAIN, "--topic", f"rt/{name}", *opts]
    publisher = ["--count", count, "--for", 30, *([] if late else ["--wait-for", 1])]
    subscriber = ["--sub", "--count", expect or count, "--for", 25 if not missing else 12, *sub_opts]
    if late:
        p = ddsnet.Peer(hosts, "b", pub, d, name + "-pub", *base, *publisher, "--linger", 8)
        ddsnet.settle(late)
        s = ddsnet.Peer(hosts, "a", sub, d, name + "-sub", *base, *subscriber)
        s.wait()
        p.end()
    else:
        s = ddsnet.Peer(hosts, "a", sub, d, name + "-sub", *base, *subscriber)
        p = ddsnet.Peer(hosts, "b", pub, d, name + "-pub", *base, *publisher)
        p.wait()
        s.wait()
    first = count - expect + 1 if expect else None
    ddsnet.compare(name, p.log(), s.log(), missing, first=first,
                   numbers_only=sub == "fast")


def mixed(hosts, d):
    """Writers of each kind and vendor on one topic, heard by one subscription."""
    kinds = [("cyclone", ["--best-effort"]), ("cyclone", []), ("cyclone", ["--transient-local"]),
             ("fast", ["--best-effort"]), ("fast", []), ("fast", ["--transient-local"])]
    s = ddsnet.Peer(hosts, "a", "bp", d, "mixed-sub", "--sub", "--domain", DOMAIN, "--topic", "rt/mixed",
                    "--for", 12)
    ddsnet.settle(1)
    pubs = [ddsnet.Peer(hosts, "b", k, d, f"mixed-{i}", "--domain", DOMAIN, "--topic", "rt/mixed",
                        "--count", 100, "--rate", 50, "--wait-for", 1, *o) for i, (k, o) in enumerate(kinds)]
    for p in pubs:
        p.wait()
    s.wait()
    got = s.log()
    for i, p in enumerate(pubs):
        sent = p.log()
        mine = ddsnet.Log("/nonexistent")
        mine.rows = [r for r in got.rows if r[0] in sent.guids()]
        # a class of reader that is made for this very writer joins a few samples late
        ddsnet.compare(f"mixed {kinds[i]}", sent, mine, missing=0 if kinds[i][1] != ["--best-effort"] else 3)
    bp.check(got.bad == 0, f"mixed: {got.bad} damaged")


def restart(hosts, d):
    """A publisher that comes back is a new writer; nothing of either is missing or doubled."""
    s = ddsnet.Peer(hosts, "a", "bp", d, "restart-sub", "--sub", "--domain", DOMAIN, "--topic", "rt/restart",
                    "--for", 14)
    ddsnet.settle(1)
    for kind in ("cyclone", "fast"):
        for i in (1, 2):
            ddsnet.Peer(hosts, "b", kind, d, f"restart-{kind}", "--domain", DOMAIN, "--topic", "rt/restart",
                        "--count", 50, "--rate", 100, "--wait-for", 1).wait()
    s.wait()
    sent = ddsnet.Log(d / "restart-cyclone.log")
    sent.rows += ddsnet.Log(d / "restart-fast.log").rows
    ddsnet.compare("restart", sent, s.log())
    bp.check(len(s.log().guids()) == 4, "restart: four writers expected")
    bp.check("gone" in s.err, "restart: the departure of a writer was not seen")


def small():
    latched = ["--transient-local", "--depth", 20, "--rate", 50]
    for other in ("cyclone", "fast"):
        for pub, sub in ((other, "bp"), ("bp", other)):
            yield ("small", pub, sub, ["--rate", 500], 500), {}
            yield ("besteffort", pub, sub, ["--rate", 500, "--best-effort"], 500), {}
            yield ("keyed", pub, sub, ["--rate", 200, "--keyed", "--keys", 7], 200), {}
            yield ("latched", pub, sub, latched, 40), {"late": 2, "expect": 20}


def test():
    ddsnet.need_root()
    hosts = ddsnet.Hosts("i")
    hosts.cable()
    d = bp.scratch()
    # the small ones together, the large ones each on an idle machine
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(one, hosts, d, *a, **k) for a, k in small()]
        for j in jobs:
            j.result()
    big = ["--size", 6_000_000, "--rate", 10]
    for other in ("cyclone", "fast"):
        # Fast DDS loses the first large sample of a volatile writer: see peers/README.md
        one(hosts, d, "big", other, "bp", big, 15, missing=1 if other == "fast" else 0)
        one(hosts, d, "bigbe", other, "bp", [*big, "--best-effort"], 15)
        one(hosts, d, "big", "bp", other, [*big, "--keep-all"], 15)
    mixed(hosts, d)
    restart(hosts, d)


bp.main(test)
