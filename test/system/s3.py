"""The S3 client against others: signatures equal to botocore's and curl's on 200 nasty keys and queries; every call
against Ceph's radosgw and against OpenStack Swift; presigned URLs in the hands of plain curl; own authorities by TLS.
"""
import concurrent.futures
import hashlib
import http.server
import json
import os
import subprocess
import threading
import time
import urllib.parse

import bp
import s3servers
from s3probe import Probe

PYTHON = "/usr/bin/python3"  # Debian's, which has botocore


# ---- signatures ----

def nasty(rng):
    """Keys: dots, slashes, every ASCII sign, blanks, control characters, composed letters, emoji, long ones."""
    fixed = ["a", "/", "//a", "a//b", "a/./b", "a/../b", "..", ".", "../../etc/passwd", "a b", " a", "a ", "a+b", "a%2Fb",
             "a%20b", "%", "%%", "%zz", "a?b", "a#b", "a&b=c", "a=b", "a;b", "a:b@c", "a,b", "a'b", 'a"b', "a(b)c", "a*b",
             "a!b", "a~b", "a$b", "a[b]", "a{b}", "a|b", "a\\b", "a^b", "a`b", "a<b>c", "ä", "a\u0308", "日本", "🤖",
             "\t", "a\nb", "a\rb", "\x01", "\x7f", "\u2028", "~", "-_.~", "é/ü?ö", "x" * 1000, "ü" * 500, "a/" * 200,
             "sessions/2026-11-28/robot 7/01J…/name_0.mcap", "AWS4-HMAC-SHA256", "uploads", "?uploads", "a%00b"]
    signs = "".join(chr(c) for c in range(1, 127)) + "äß€𝄞🤖/\\%+&=?#"
    return fixed + ["".join(rng.choice(signs) for _ in range(rng.randrange(1, 60))) for _ in range(200 - len(fixed))]


QUERIES = [[], [["uploads", ""]], [["partNumber", "1"], ["uploadId", "a/b+c=="]], [["uploadId", "x"], ["partNumber", "7"]],
           [["list-type", "2"], ["prefix", "a b/ü"], ["delimiter", "/"], ["max-keys", "7"]], [["prefix", "a+b&c=d"]],
           [["X-a", "1"], ["x-a", "2"], ["a", ""]], [["versionId", "null"], ["response-content-type", "text/plain; a=b"]],
           [["b", "%2F"], ["a", "~-_."]], [["key-marker", "🤖"], ["uploads", ""], ["encoding-type", "url"]]]


def cases(rng, access="AKALICE", secret="alice/secret+123"):
    for i, key in enumerate(nasty(rng)):
        method = ("GET", "PUT", "POST", "DELETE", "HEAD")[i % 5]
        payload = ("UNSIGNED-PAYLOAD", hashlib.sha256(key.encode()).hexdigest())[i % 2]
        moment = 1_700_000_000 + rng.randrange(200_000_000)
        headers = [["Host", "127.0.0.1:7480"], ["x-amz-content-sha256", payload],
                   ["x-amz-date", time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))]]
        token = "tok/en+=" + "x" * (i % 7) if i % 3 == 0 else None
        if token:
            headers.append(["x-amz-security-token", token])
        if i % 4 == 0:
            headers += [["X-Amz-Meta-Robot", "a  b   c "], ["x-amz-acl", "private"]]
        yield {"method": method, "path": "/bucket/" + key, "query": QUERIES[i % len(QUERIES)], "headers": headers,
               "payload": payload, "access": access, "secret": secret, "token": token,
               "region": ("us-east-1", "eu-central-1", "auto")[i % 3], "time": moment, "host": "127.0.0.1:7480"}


def signature(authorization):
    return authorization.rpartition("Signature=")[2], authorization.partition("SignedHeaders=")[2].partition(",")[0]


def against_botocore(todo, ours):
    for c, o in zip(todo, ours):
        c["url"] = "http://127.0.0.1:7480" + o["path"] + ("?" + o["query"] if o["query"] else "")
    r = subprocess.run([PYTHON, bp.REPO / "test/system/lib/boto-sign.py"], input=json.dumps(todo), capture_output=True,
                       text=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    if r.returncode:
        bp.fail(f"botocore: {r.stderr[-800:]}")
        return
    differ = 0
    for c, o, (auth, url, _) in zip(todo, ours, json.loads(r.stdout)):
        mine, theirs = dict(urllib.parse.parse_qsl(o["presigned"], True)), dict(urllib.parse.parse_qsl(url, True))
        if signature(auth) != signature(o["authorization"]) or mine["X-Amz-Signature"] != theirs["X-Amz-Signature"]:
            differ += 1
            bp.check(differ > 3, f"differs from botocore: {c}\n{auth}\n{o['authorization']}\n{url}\n{o['presigned']}")
    bp.check(differ == 0, f"{differ} of {len(todo)} signatures differ from botocore's")


class Catch(http.server.BaseHTTPRequestHandler):
    """Keeps what curl has signed."""
    protocol_version = "HTTP/1.1"
    got = {}

    def do_any(self):
        Catch.got[self.headers["x-case"]] = (self.path, list(self.headers.items()))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response_only(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def log_message(self, *args):
        pass


def against_curl(probe, todo, ours):
    """curl signs what it is given as it is: so it gets our encoded path and sorted query, and must come to our signature."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Catch)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    words = []
    for i, (c, o) in enumerate(zip(todo, ours)):
        line = ["--next"] if i else []
        line += ["-s", "-o", "/dev/null", "--path-as-is", "-X", c["method"], "-u", f"{c['access']}:{c['secret']}",
                 "--aws-sigv4", f"aws:amz:{c['region']}:s3", "-H", f"x-amz-content-sha256: {c['payload']}", "-H",
                 f"x-case: {i}", base + o["path"] + ("?" + o["query"] if o["query"] else "")]
        line += ["-I"] if c["method"] == "HEAD" else []
        words += line
    subprocess.run(["curl", *words], capture_output=True, timeout=120)
    differ = seen = 0
    for i, (c, o) in enumerate(zip(todo, ours)):
        if str(i) not in Catch.got:
            continue
        seen += 1
        path, headers = Catch.got[str(i)]
        h = {k.lower(): v for k, v in headers}
        moment = time.strptime(h["x-amz-date"], "%Y%m%dT%H%M%SZ")
        signed = signature(h["authorization"])[1].split(";")
        mine = probe("sign", {**c, "token": None, "time": int(time.mktime(moment) - time.timezone),
                              "headers": [[k, v] for k, v in headers if k.lower() in signed]})
        if signature(mine["authorization"]) != signature(h["authorization"]):
            differ += 1
            bp.check(differ > 3, f"differs from curl: {path} {headers}\n{mine['authorization']}")
    server.shutdown()
    bp.check(seen == len(todo), f"curl has sent {seen} of {len(todo)}")
    bp.check(differ == 0, f"{differ} of {seen} signatures differ from curl's")


def signatures():
    probe = Probe(None, None, None)
    todo = list(cases(bp.seeded()))
    ours = [probe("sign", c) for c in todo]
    have = subprocess.run([PYTHON, "-c", "import botocore.auth"], capture_output=True).returncode == 0
    if have:
        against_botocore(todo, ours)
    else:
        bp.say("no botocore in Debian's Python: not compared with it")
    against_curl(probe, todo, ours)
    bp.say(f"signatures: {len(todo)} as {'botocore and ' if have else ''}curl make them")


# ---- servers ----

def curl(*words, keys=None, **kw):
    """@return (status, body)"""
    auth = []
    if keys:
        auth = ["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--aws-sigv4", "aws:amz:us-east-1:s3"]
    out = subprocess.run(["curl", "-s", "-w", "\n%{http_code}", *auth, *[str(w) for w in words]], capture_output=True,
                         timeout=60, **kw).stdout
    body, _, status = out.rpartition(b"\n")
    return int(status or 0), body


def make_bucket(url, keys, name):
    where = url.replace("://", "://%s:%s@" % tuple(urllib.parse.quote(k, "") for k in keys))
    # Swift's proxy answers before the servers behind it do
    bp.until(lambda: curl("-X", "PUT", f"{where}/{name}", keys=keys)[0] == 200, 60, f"bucket at {url}", step=0.2)


def objects(p, folder):
    f, out = folder / "six", folder / "out"
    data = os.urandom(6 << 20)
    f.write_bytes(data)
    name = "a b/ä+%~.bin"
    made = p("put", name, f, "digest,signed")
    bp.check(made["paced"] >= len(data) and made["etag"].strip('"') == hashlib.md5(data).hexdigest(), f"put: {made}")
    a = p("put", name, f, "new", ok=False)
    bp.check(a["r"] == -17 and a["class"] == "exists", f"not over what is there: {a}")
    a = p("put", "bad", f, "signed,wrong", ok=False)
    bp.check(a["class"] == "damaged", f"another digest than the bytes': {a}")
    bp.check(p("head", "bad", ok=False)["class"] == "missing", "and nothing of it is kept")
    h = p("head", name)
    bp.check(h["size"] == len(data) and h["digest"] == hashlib.sha256(data).hexdigest() and
             abs(h["modified"] - time.time()) < 600, f"head: {h}")
    for offset, size in ((0, 0), (0, 1), (100, 1000), (len(data) - 1, 0), (5 << 20, 0), (5 << 20, 10 << 20)):
        p("get", name, offset, size, out, h["etag"])
        want = data[offset:offset + size] if size else data[offset:]
        bp.check(out.read_bytes() == want, f"range {offset}+{size}")
    bp.check(p("get", name, 100 << 20, 10, out, ok=False)["r"] == -34, "beyond the end")
    bp.check(p("get", name, 0, 10, out, '"0123"', ok=False)["class"] == "damaged", "another object than was meant")
    # by parts, for p says so; no '%' in the source: radosgw 16 decodes it twice there and aborts
    p("put", "a/ä +", f, "digest")
    p("copy", "a/ä +", "copy?")
    p("get", "copy?", 0, 0, out)
    bp.check(p("head", "copy?")["digest"] == h["digest"] and out.read_bytes() == data, "copied, with its digest")
    for key in ("a/ä +", "copy?"):
        p("delete", key)
    p("delete", name)
    p("delete", name)
    a = p("get", name, 0, 0, out, ok=False)
    bp.check(a["r"] == -2 and a["code"] == "NoSuchKey", f"gone: {a}")


def keys_and_lists(p, folder, control):
    """Every key comes back from the list as it went in. Pages are turned."""
    f = folder / "tiny"
    f.write_bytes(b"tiny")
    keys = ["k/" + k for k in ("a", "a b", "a+b", "a%2Fb", "%", "a//b", "ä", "🤖", "a&b=c", "a<b>", 'a"b', "a'b", "?", "#",
                               "a\\b", "~", "z" * 900, *control)]
    for k in keys[1:]:
        p("put", k, f, "")
    p("copy", keys[-1], keys[0])  # at once
    rows = p("list", "k/", "", "")["entries"]
    bp.check([r["key"] for r in rows] == sorted(keys, key=str.encode), f"list: {[r['key'] for r in rows]}")
    bp.check(all(r["size"] == 4 and abs(r["modified"] - time.time()) < 600 for r in rows), f"rows: {rows[0]}")
    after = p("list", "k/", "", "k/a")["entries"]
    bp.check([r["key"] for r in after] == sorted(keys, key=str.encode)[[r["key"] for r in rows].index("k/a") + 1:], "after")
    tree = p("list", "", "/", "")["entries"]
    bp.check(["k/", True] in [[r["key"], r["prefix"]] for r in tree], f"one level: {tree}")
    for k in keys:
        p("delete", k)


def uploads(p, folder, empty_etag, control):
    f, out = folder / "parts", folder / "out"
    size = 5 << 20
    data = os.urandom(2 * size + 1000)
    f.write_bytes(data)
    up = p("create", "mp/ü")["id"]
    p("part", "mp/ü", up, 2, f, size, size, "signed")
    p("part", "mp/ü", up, 1, f, 0, size, "signed")
    a = p("part", "mp/ü", up, 3, f, 2 * size, 1000, "signed,wrong", ok=False)
    bp.check(a["class"] == "damaged", f"a damaged part is refused: {a}")
    p("part", "mp/ü", up, 3, f, 0, 1000)
    p("part", "mp/ü", up, 3, f, 2 * size, 1000)  # replaces it
    parts = p("parts", "mp/ü", up)["parts"]
    bp.check([(q["number"], q["size"]) for q in parts] == [(1, size), (2, size), (3, 1000)], f"parts: {parts}")
    bp.check(p("complete", "mp/ü", up, "wrong", ok=False)["class"] == "damaged", "another ETag than the part's")
    p("parts", "mp/ü", up)
    done = p("complete", "mp/ü", up, "")
    sums = hashlib.md5(b"".join(hashlib.md5(data[i:i + size]).digest() for i in range(0, len(data), size))).hexdigest()
    bp.check(done["size"] == len(data) and done["etag"] in ("",) * empty_etag + (f'"{sums}-3"',), f"complete: {done}")
    h = p("head", "mp/ü")
    bp.check(h["size"] == len(data) and h["etag"] == f'"{sums}-3"', f"made of its parts: {h}")
    p("get", "mp/ü", 0, 0, out)
    bp.check(out.read_bytes() == data, "equal")

    many = folder / "many"
    many.write_bytes(data * 4)
    done = p("load", "mp/many", many, size, 6)
    p("get", "mp/many", 0, 0, out)
    bp.check(out.read_bytes() == data * 4, "nine parts by six threads")
    bp.say(f"{done['size'] / done['seconds'] / 1e6:.0f} MB/s by 6 threads, digests included, "
           f"{done['cpu'] / done['size'] * 1e9:.1f} s of CPU per GB")

    gone = p("create", "mp/gone")["id"]
    p("part", "mp/gone", gone, 1, f, 0, 1000)
    p("abort", "mp/gone", gone)
    p("abort", "mp/gone", gone)
    for a in (p("part", "mp/gone", gone, 1, f, 0, 1000, ok=False), p("parts", "mp/gone", gone, ok=False)):
        bp.check(a["r"] == -2 and a["class"] == "missing", f"begun again by whoever asks: {a}")

    ids = {k: p("create", f"gc/{k}")["id"] for k in ("a", "b +%", "ü", "<&>", "a%2Fb", *control)}
    other = p("create", "mp/other")["id"]
    seen = {u["key"]: u["id"] for u in p("uploads", "gc/")["uploads"]}
    bp.check(seen == {f"gc/{k}": v for k, v in ids.items()}, f"uploads: {seen} {ids}")
    now = int(time.time())
    bp.check(p("clean", "gc/", now - 3600, "")["n"] == 0, "young ones stay")
    bp.check(p("clean", "gc/", now + 60, ids["ü"], "dry")["n"] == len(ids) - 1, "abandoned ones")
    bp.check(p("clean", "gc/", now + 60, ids["ü"])["n"] == len(ids) - 1, "go")
    left = {u["id"] for u in p("uploads", "")["uploads"]}
    bp.check(left == {ids["ü"], other}, f"what is wanted, and what lies elsewhere, stays: {left}")
    for key, up in (("gc/ü", ids["ü"]), ("mp/other", other)):
        p("abort", key, up)


def presigned(p, folder):
    """By plain curl, which knows no key."""
    f, out = folder / "plain", folder / "out"
    f.write_bytes(os.urandom(100000))
    name = "pre/ü +?&%.bin"
    bp.check(curl("-T", f, p("presign", "PUT", name, "", 0, 600)["url"])[0] == 200, "presigned PUT")
    url = p("presign", "GET", name, "", 0, 600)["url"]
    status, body = curl(url)
    bp.check(status == 200 and body == f.read_bytes(), f"presigned GET: {status}")
    bp.check(curl("-r", "10-19", url)[1] == f.read_bytes()[10:20], "and a range of it")
    bp.check(curl("-T", f, url)[0] == 403, "for GET alone")
    bp.check(curl(url[:-1] + ("0" if url[-1] != "0" else "1"))[0] == 403, "tampered with")
    up = p("create", name)["id"]
    status, _ = curl("-T", f, p("presign", "PUT", name, up, 1, 600)["url"])
    bp.check(status == 200, f"presigned part: {status}")
    bp.check(len(p("parts", name, up)["parts"]) == 1, "the part is there")
    p("complete", name, up, "")
    p("get", name, 0, 0, out)
    bp.check(out.read_bytes() == f.read_bytes(), "and the object of it")
    short = p("presign", "GET", name, "", 0, 1)["url"]
    time.sleep(2.1)
    bp.check(curl(short)[0] in (400, 403), "not after its end")


def refusals(url, keys, provider):
    p = Probe(url, "bucket", (keys[0], "wrong"), provider=provider)
    a = p("list", "", "", "", ok=False)
    bp.check(a["class"] == "auth" and a["code"] == "SignatureDoesNotMatch", f"wrong secret: {a}")
    bp.check(p("head", "x", ok=False)["class"] == "auth", "the same by HEAD")
    p = Probe(url, "no-such-bucket", keys, provider=provider)
    bp.check(p("probe", ok=False)["class"] == "permanent", "no such bucket")
    bp.check(p("list", "", "", "", ok=False)["code"] == "NoSuchBucket", "by its name")


def whole(url, keys, provider, folder, control=(), empty_etag=False):
    folder.mkdir(exist_ok=True)
    make_bucket(url, keys, "bucket")
    p = Probe(url, "bucket", keys, provider=provider, prefix="pre fix/", copy=5 << 20)
    a = p("probe")
    bp.check(abs(a["date"] - time.time()) < 60 and a["provider"] == provider, f"probe: {a}")
    objects(p, folder)
    keys_and_lists(p, folder, control)
    uploads(p, folder, empty_etag, control)
    presigned(p, folder)
    refusals(url, keys, provider)
    bp.check(p.stop() == "", f"nothing to say: {p.log}")


# ---- radosgw alone ----

def ceph(r, folder, ca):
    whole(r.url, s3servers.ALICE, "ceph", folder, control=("\x01\n", "a\tb"), empty_etag=True)
    f = folder / "tiny"
    virtual = Probe(r.url.replace("127.0.0.1", "localhost"), "bucket", s3servers.ALICE, style="virtual")
    virtual("put", "by host", f, "")
    bp.check(virtual("head", "by host")["size"] == 4, "virtual-host style")
    bp.check(Probe(r.url, "bucket", s3servers.BOB)("head", "by host", ok=False)["class"] == "auth", "somebody else's")
    r.admin("quota", "set", "--quota-scope=user", "--uid=bob", "--max-size=1000000")
    r.admin("quota", "enable", "--quota-scope=user", "--uid=bob")
    make_bucket(r.url, s3servers.BOB, "bobs")
    a = Probe(r.url, "bobs", s3servers.BOB)("put", "big", folder / "six", "", ok=False)
    bp.check(a["class"] == "quota" and a["code"] == "QuotaExceeded", f"quota: {a}")
    tls(r, folder, ca)
    if bp.full():
        thousand(r, folder)


def tls(r, folder, ca):
    good = Probe(r.tls_url, "bucket", s3servers.ALICE, ca=ca / "ours.crt", sse_c="k")
    good("put", "by tls", folder / "six", "")
    good("get", "by tls", 0, 0, folder / "out")
    bp.check((folder / "out").read_bytes() == (folder / "six").read_bytes(), "TLS with an authority of one's own, SSE-C")
    bp.check(Probe(r.tls_url, "bucket", s3servers.ALICE, ca=ca / "ours.crt")("get", "by tls", 0, 0, "/dev/null", ok=False)
             ["r"] < 0, "not without the key")
    for where, authority in ((r.tls_url, ca / "other.crt"), (r.tls_url, None),
                             (r.tls_url.replace("localhost", "127.0.0.1"), ca / "ours.crt")):
        a = Probe(where, "bucket", s3servers.ALICE, ca=authority)("put", "x", folder / "tiny", "", ok=False)
        bp.check(a["r"] < 0 and a["class"] == "network" and "does not prove who it is" in a["text"], f"{where}: {a}")


def thousand(r, folder):
    """More than one page of parts, of uploads and of objects."""
    p = Probe(r.url, "bucket", s3servers.ALICE, prefix="many/")
    f = folder / "tiny"
    up = p("create", "x")["id"]
    for n in range(1, 1103):
        p("part", "x", up, n, f, 0, 4)
    bp.check(len(p("parts", "x", up)["parts"]) == 1102, "1,102 parts")
    p("abort", "x", up)
    for n in range(1102):
        p("put", f"o/{n} +", f, "")
    bp.check(len({e["key"] for e in p("list", "o/", "", "")["entries"]}) == 1102, "1,102 objects")
    for n in range(1010):
        p("create", f"u/{n} +")
    bp.check(len(p("uploads", "u/")["uploads"]) == 1010, "1,010 uploads")
    bp.check(p("clean", "u/", int(time.time()) + 60, "")["n"] == 1010, "all go")
    bp.check(p("uploads", "u/")["uploads"] == [], "none left")


def authorities(folder):
    """An authority, another, and a certificate by the first for "localhost", with its key in one file."""
    script = """set -e; cd "$1"
for ca in ours other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$ca \
-keyout $ca.key -out $ca.crt; done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout host.key -out host.csr
echo subjectAltName=DNS:localhost >ext
openssl x509 -req -in host.csr -CA ours.crt -CAkey ours.key -CAcreateserial -days 2 -out host.crt -extfile ext
cat host.crt host.key >host.pem"""
    folder.mkdir()
    subprocess.run(["sh", "-c", script, "sh", folder], check=True, capture_output=True)
    return folder


def run():
    bp.need("curl", "openssl")
    signatures()
    folder = bp.scratch()
    kinds = [k for k in (s3servers.Radosgw, s3servers.Swift) if not s3servers.missing(k)]
    if not kinds:
        bp.skip("neither radosgw nor swift is installed")
    ca = authorities(folder / "ca")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        swift = pool.submit(s3servers.Swift, folder) if s3servers.Swift in kinds else None
        rados = pool.submit(s3servers.Radosgw, folder, ca / "host.pem") if s3servers.Radosgw in kinds else None
        try:
            if rados:
                ceph(rados.result(), folder / "with-ceph", ca)
                bp.say("radosgw: done")
            if swift:
                whole(swift.result().url, s3servers.Swift.keys, "swift", folder / "with-swift")
                bp.say("swift: done")
        finally:
            for server in (rados, swift):
                if server and not server.exception():
                    server.result().stop()


if __name__ == "__main__":
    bp.own_network()
    bp.main(run)
