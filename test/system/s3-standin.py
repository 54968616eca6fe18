"""The S3 client against a stand-in that answers as providers do when something is odd: what no server here does.

Each quirk of docs/s3-providers.md has its case: an error in an answer of 200, an empty ETag, a clock that differs,
another region, tokens that expire, checksums (verified here by hashlib and a CRC of our own), a bucket that cannot do
If-None-Match; and credentials from every source, renewed before they end.
"""
import base64
import hashlib
import http.server
import json
import os
import threading
import time
import urllib.parse

import bp
from s3probe import Probe

KEYS = ("AKTEST", "secrettest")


def crc64(data):
    """CRC-64/NVME, bit by bit."""
    c = 0xFFFFFFFFFFFFFFFF
    for b in data:
        c ^= b
        for _ in range(8):
            c = c >> 1 ^ (0x9A6C9329AC4BC9B5 if c & 1 else 0)
    return (c ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")


def b64(raw):
    return base64.b64encode(raw).decode()


def error(code, **more):
    return "<Error><Code>%s</Code><Message>m</Message>%s</Error>" % (
        code, "".join(f"<{k}>{v}</{k}>" for k, v in more.items()))


class StandIn:
    """Answers by `self.answer(request)`: (status, headers, body). Keeps what it was asked."""

    def __init__(self):
        self.log, self.answer = [], lambda rq: (200, {}, "")
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path, _, query = self.path.partition("?")
                rq = {"method": self.command, "path": path, "query": dict(urllib.parse.parse_qsl(query, True)),
                      "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}
                outer.log.append(rq)
                status, headers, text = outer.answer(rq)
                data = text if isinstance(text, bytes) else text.encode()
                self.send_response_only(status)
                headers = {"Date": self.date_time_string(time.time() + outer.skew), **headers}
                for k, v in headers.items():
                    self.send_header(k, v)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *args):
                pass

        self.skew = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *args: None  # clients that cut are part of this
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def expect(self, answer, skew=0):
        self.log.clear()
        self.answer, self.skew = answer, skew


def once(*answers):
    """Gives each in turn, the last one for ever."""
    left = list(answers)
    return lambda rq: left.pop(0) if len(left) > 1 else left[0]


def clocks(s):
    """Ours is wrong by years: corrected from the Date of the refusal, said, and used from then on."""

    def strict(rq):
        signed = time.mktime(time.strptime(rq["headers"]["x-amz-date"], "%Y%m%dT%H%M%SZ")) - time.timezone
        if abs(signed - time.time() - s.skew) > 900:
            return 403, {}, error("RequestTimeTooSkewed")
        return 200, {"ETag": '"e"'}, ""

    for skew in (1200, -1200, 365 * 86400, -365 * 86400):
        p = Probe(s.url, "bucket", KEYS)
        s.expect(strict, skew)
        a = p("head", "k")
        bp.check(len(s.log) == 2 and abs(a["offset"] - skew) <= 2, f"corrected once: {len(s.log)} {a}")
        p("head", "k")
        bp.check(len(s.log) == 3, "and kept")
        s.expect(strict, 0)  # the server's clock was put right
        bp.check(abs(p("head", "k")["offset"]) <= 2, "followed back")
        bp.check("clock of S3 differs" in p.stop(), "said in the log")
    p = Probe(s.url, "bucket", KEYS)
    s.expect(lambda rq: (403, {}, error("RequestTimeTooSkewed")), 5000)
    a = p("list", "", "", "", ok=False)
    bp.check(a["class"] == "clock" and a["r"] == -13 and len(s.log) == 2, f"not for ever: {a}")


def regions(s):
    p = Probe(s.url, "bucket", KEYS, region="us-east-1")
    s.expect(lambda rq: (200, {"ETag": '"e"'}, "") if "/eu-west-9/" in rq["headers"]["authorization"]
             else (400, {}, error("AuthorizationHeaderMalformed", Region="eu-west-9")))
    p("get", "k", 0, 0, "/dev/null")
    p("get", "k", 0, 0, "/dev/null")
    bp.check(len(s.log) == 3, f"another region is learned once: {len(s.log)}")
    p = Probe(s.url, "bucket", KEYS)
    s.expect(lambda rq: (301, {"x-amz-bucket-region": "eu-west-9"}, "") if "/us-east-1/" in
             rq["headers"]["authorization"] else (200, {}, ""))
    p("probe")
    s.expect(lambda rq: (307, {"Location": "http://127.0.0.1:1/"}, ""))
    a = p("probe", ok=False)
    bp.check(len(s.log) == 1 and a["class"] == "permanent", f"a redirect is not followed: {a}")


def completes(s, folder):
    """Errors of 200, none or an empty ETag, answers lost."""
    f = folder / "part"
    f.write_bytes(b"x" * 1000)

    def answer(complete):
        def fn(rq):
            if "uploads" in rq["query"]:
                return 200, {}, "<InitiateMultipartUploadResult><UploadId>a/b+c=</UploadId></InitiateMultipartUploadResult>"
            if rq["method"] == "PUT":
                return 200, {"ETag": '"e%s"' % rq["query"]["partNumber"]}, ""
            return complete(rq)
        return fn

    cases = (
        (error("InternalError"), "server", -5),
        (error("NoSuchUpload"), "missing", -2),
        ("<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>", "ok", 0),
        ("<?xml version='1.0'?>\n   \n<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>", "ok", 0),
        ("<html>proxy</html>", "server", None),
        ("", "server", None),
    )
    for text, kind, code in cases:
        p = Probe(s.url, "bucket", KEYS)
        s.expect(answer(lambda rq: (200, {}, text)))
        upload = p("create", "k")["id"]
        bp.check(upload == "a/b+c=", f"id: {upload}")
        p("part", "k", upload, 1, f, 0, 1000)
        p("part", "k", upload, 2, f, 0, 10)
        a = p("complete", "k", upload, "", ok=False)
        bp.check(a["class"] == kind and (code is None or a["r"] == code), f"{text}: {a}")
        bp.check((a["r"] < 0) == (kind != "ok"), f"{text}: {a}")
        sent = s.log[-1]
        bp.check(sent["query"] == {"uploadId": upload} and b"<PartNumber>2</PartNumber><ETag>&#34;e2&#34;</ETag>"
                 in sent["body"], f"what is sent: {sent}")
        bp.check(kind != "ok" or a["size"] == 1010, f"size: {a}")
        p.stop()


def checksums(s, folder):
    """Values are those of hashlib and of a CRC made bit by bit; parts are joined to the whole's."""
    data = os.urandom(3000)
    f = folder / "sums"
    f.write_bytes(data)
    uploaded = {}

    def fn(rq):
        if "uploads" in rq["query"]:
            return 200, {}, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        if "partNumber" in rq["query"]:
            uploaded[int(rq["query"]["partNumber"])] = rq
        if rq["method"] == "POST":
            return 200, {}, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        if rq["method"] == "GET":
            parts = "".join("<Part><PartNumber>%d</PartNumber><ETag>\"e\"</ETag><Size>%d</Size><ChecksumSHA256>%s"
                            "</ChecksumSHA256></Part>" % (n, len(q["body"]), b64(hashlib.sha256(q["body"]).digest()))
                            for n, q in sorted(uploaded.items()))
            return 200, {}, f"<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>"
        return 200, {"ETag": '"e"'}, ""

    s.expect(fn)
    for checksum in ("sha", "crc", "none"):
        p = Probe(s.url, "bucket", KEYS, checksum=checksum)
        for how in ("", "signed"):
            p("put", "k", f, how)
            h = s.log[-1]["headers"]
            bp.check(h.get("x-amz-checksum-sha256") == (b64(hashlib.sha256(data).digest()) if checksum == "sha" else None)
                     and h.get("x-amz-checksum-crc64nvme") == (b64(crc64(data)) if checksum == "crc" else None),
                     f"{checksum} {how}: {h}")
            bp.check(h["x-amz-content-sha256"] == hashlib.sha256(data).hexdigest(), "by http bodies are signed")
        uploaded.clear()
        p("create", "k")
        h = s.log[-1]["headers"]
        bp.check(h.get("x-amz-checksum-algorithm") == {"sha": "SHA256", "crc": "CRC64NVME"}.get(checksum), f"{h}")
        p("part", "k", "u", 1, f, 0, 1700)
        p("part", "k", "u", 2, f, 1700, 1300)
        p("complete", "k", "u", "forget" if checksum == "sha" else "")
        last = s.log[-1]
        text = last["body"].decode()
        for n, (a, b) in enumerate(((0, 1700), (1700, 3000)), 1):
            one = b64(hashlib.sha256(data[a:b]).digest()), b64(crc64(data[a:b]))
            bp.check((f"<ChecksumSHA256>{one[0]}<" in text) == (checksum == "sha"), f"part {n}, {checksum}: {text}")
            bp.check((f"<ChecksumCRC64NVME>{one[1]}<" in text) == (checksum == "crc"), f"part {n}, {checksum}: {text}")
        bp.check(last["headers"].get("x-amz-checksum-crc64nvme") == (b64(crc64(data)) if checksum == "crc" else None),
                 f"of the whole, from the parts': {last['headers']}")
        p.stop()


def writes(s, folder):
    """What goes along: encryption, class of storage, metadata, If-None-Match; and where that is not known, HEAD."""
    f = folder / "body"
    f.write_bytes(b"x" * 100)
    p = Probe(s.url, "bucket", KEYS, sse="aws:kms", provider="aws", style="path")
    s.expect(lambda rq: (200, {"ETag": '"e"'}, ""))
    p("put", "k", f, "new,digest")
    h = s.log[-1]["headers"]
    bp.check(h["x-amz-server-side-encryption"] == "aws:kms" and h["if-none-match"] == "*" and
             h["x-amz-meta-robot"] == "seven" and h["content-type"] == "application/octet-stream" and
             h["x-amz-meta-bagpipe-sha256"] == hashlib.sha256(b"x" * 100).hexdigest(), f"headers: {h}")
    signed = h["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    bp.check(set(signed) >= {k for k in h if k.startswith("x-amz-")} | {"host", "if-none-match", "content-type"},
             f"all are signed: {signed}")
    a = Probe("http://127.0.0.1:1", "bucket", KEYS, ok=False, sse_c="k").opened
    bp.check(a["r"] == -22 and "https" in a["text"], f"a key of one's own by http: {a}")
    p = Probe(s.url, "bucket", KEYS, provider="generic")
    s.expect(lambda rq: (200, {"ETag": '"e"', "Content-Length": "0"}, "") if rq["method"] == "HEAD" else (200, {}, ""))
    a = p("put", "k", f, "new", ok=False)
    bp.check(a["class"] == "exists" and a["r"] == -17 and [q["method"] for q in s.log] == ["HEAD"], f"{a} {s.log}")
    s.expect(lambda rq: (404, {}, "") if rq["method"] == "HEAD" else (200, {"ETag": '"e"'}, ""))
    p("put", "k", f, "new")
    bp.check("if-none-match" not in s.log[-1]["headers"], "what it does not know is not sent")
    for status, text, kind in ((503, error("SlowDown"), "throttled"), (500, "", "server"), (507, "", "quota"),
                               (403, error("AccessDenied"), "auth"), (400, error("EntityTooSmall"), "permanent")):
        s.expect(lambda rq: (status, {"Retry-After": "7"}, text))
        a = p("put", "k", f, "", ok=False)
        bp.check(a["class"] == kind and a["retry_after"] == 7 and a["status"] == status and len(s.log) == 1, f"{a}")
    s.expect(once((403, {}, error("SignatureDoesNotMatch")), (200, {"ETag": '"e"'}, "")))
    p("put", "k", f, "")
    bp.check(len(s.log) == 2, "a signature that was damaged on its way is sent once more")


def lists(s):
    """Pages beyond 1,000 and markers that make no sense."""
    def fn(rq):
        at = int(rq["query"].get("part-number-marker", 0))
        rows = "".join(f'<Part><PartNumber>{n}</PartNumber><ETag>"{n}"</ETag><Size>5</Size></Part>'
                       for n in range(at + 1, min(at + 1000, 9999) + 1))
        return 200, {}, (f"<ListPartsResult><NextPartNumberMarker>{at + 1000}</NextPartNumberMarker>"
                         f"<IsTruncated>{str(at + 1000 < 9999).lower()}</IsTruncated>{rows}</ListPartsResult>")

    p = Probe(s.url, "bucket", KEYS)
    s.expect(fn)
    a = p("parts", "k", "u")
    bp.check([q["number"] for q in a["parts"]] == list(range(1, 10000)) and len(s.log) == 10, "9,999 parts in 10 pages")
    for text in ("<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>",
                 "<ListPartsResult><Part><PartNumber>0</PartNumber></Part></ListPartsResult>",
                 "<ListPartsResult><Part><PartNumber>10001</PartNumber></Part></ListPartsResult>",
                 "<ListPartsResult><Part><PartNumber>2</PartNumber></Part><Part><PartNumber>1</PartNumber></Part></ListPartsResult>",
                 "<ListPartsResult><Part><Size>-1</Size></Part></ListPartsResult>", "<!DOCTYPE x><ListPartsResult/>",
                 "<ListPartsResult>" + "<a>" * 100, "x" * (9 << 20)):
        s.expect(lambda rq: (200, {}, text))
        a = p("parts", "k", "u", ok=False)
        bp.check(a["r"] < 0 and a["class"] in ("server", "network"), f"{text[:80]}: {a}")


def credentials(s, folder):
    """Every source; renewed before the end, and when the server says they have ended."""
    made = []

    def services(rq):
        if rq["path"] == "/latest/api/token":
            ok = rq["method"] == "PUT" and rq["headers"].get("x-aws-ec2-metadata-token-ttl-seconds")
            return (200, {}, "TOKEN") if ok else (400, {}, "")
        if rq["path"].startswith("/latest/meta-data/"):
            if rq["headers"].get("x-aws-ec2-metadata-token") != "TOKEN":
                return 401, {}, ""
            if rq["path"].endswith("/"):
                return 200, {}, "robot-role\n"
            return 200, {}, keys_json(rq["path"].rsplit("/", 1)[1])
        if rq["path"] == "/container":
            return (200, {}, keys_json("c")) if rq["headers"].get("authorization") == "Basic x" else (403, {}, "")
        if rq["path"] == "/sts/":
            form = dict(urllib.parse.parse_qsl(rq["body"].decode()))
            if form != {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "r 7",
                        "RoleArn": "arn:aws:iam::1:role/x", "WebIdentityToken": "web.token"}:
                return 400, {}, f"<ErrorResponse><Error><Code>Bad</Code><Message>{form}</Message></Error></ErrorResponse>"
            made.append(1)
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            return 200, {}, (f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                             f"<AccessKeyId>AKweb{len(made)}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                             f"<SessionToken>tok</SessionToken><Expiration>{until}</Expiration></Credentials>"
                             f"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")
        return 200, {}, ""

    life = [3600]

    def keys_json(name):
        made.append(name)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + life[0]))
        return json.dumps({"Code": "Success", "AccessKeyId": f"AK{name}{len(made)}", "SecretAccessKey": "s",
                           "Token": "tok", "Expiration": until})

    def used(env, source, **more):
        """@return the access key that a request was signed with"""
        made.clear()
        s.expect(services)
        p = Probe(s.url, "bucket", None, env=env, **more)
        bp.check(p("creds")["source"] == source, f"{source}: {p('creds', ok=False)}")
        p("head", "k")
        h = s.log[-1]["headers"]
        key = h["authorization"].split("Credential=")[1].split("/")[0]
        p.stop()
        return key, h.get("x-amz-security-token")

    creds, config = folder / "credentials", folder / "config"
    creds.write_text("# keys\n[default]\naws_access_key_id = AKdefault\naws_secret_access_key=s\n\n[robots]\r\n"
                     "aws_access_key_id=AKrobots\r\naws_secret_access_key = s \r\naws_session_token=t\r\n")
    config.write_text("[default]\nregion = eu-north-9\n[profile other]\naws_access_key_id=AKother\n"
                      "aws_secret_access_key=s\ns3 =\n  addressing_style = path\n[profile half]\naws_access_key_id=A\n")
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(creds), "AWS_CONFIG_FILE": str(config)}
    bp.check(used({"AWS_ACCESS_KEY_ID": "AKenv", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", **files},
                  "environment") == ("AKenv", "t"), "environment")
    bp.check(used(files, "shared files") == ("AKdefault", None), "default profile")
    bp.check("/eu-north-9/" in s.log[-1]["headers"]["authorization"], "its region")
    bp.check(used({**files, "AWS_PROFILE": "robots"}, "shared files") == ("AKrobots", "t"), "AWS_PROFILE")
    bp.check(used({**files, "AWS_ACCESS_KEY_ID": "AKenv", "AWS_SECRET_ACCESS_KEY": "s"}, "shared files",
                  profile="other") == ("AKother", None), "a profile that is named, in the config file")
    token = folder / "token"
    token.write_text("web.token\n")
    web = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
           "AWS_ROLE_SESSION_NAME": "r 7", "AWS_ENDPOINT_URL_STS": s.url + "/sts/"}
    bp.check(used(web, "web identity") == ("AKweb1", "tok"), "web identity")
    metadata = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.url}
    bp.check(used(metadata, "instance metadata") == ("AKrobot-role1", "tok"), "instance metadata")
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": s.url + "/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic x"}
    bp.check(used(container, "container") == ("AKc1", "tok"), "container")

    for env, word in (({}, "no credentials"), ({**files, "AWS_PROFILE": "half"}, "only one of"),
                      ({"AWS_ACCESS_KEY_ID": "A"}, "belong together"),
                      ({**container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "no"}, "403"),
                      ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"}, "must be https"),
                      ({**web, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, "/nowhere")):
        s.expect(services)
        p = Probe(s.url, "bucket", None, env=env)
        a = p("head", "k", ok=False)
        bp.check(a["r"] < 0 and word in a["text"] and "web.token" not in a["text"], f"{env}: {a}")
        p.stop()

    # renewed: by time, and because the server says so
    made.clear()
    p = Probe(s.url, "bucket", None, env=metadata)
    s.expect(services)
    life[0] = 3600
    p("head", "k")
    p("head", "k")
    bp.check(len(made) == 1, "kept while they are good")
    s.expect(lambda rq: (400, {}, error("ExpiredToken")) if "AKrobot-role1" in rq["headers"].get("authorization", "")
             else services(rq))
    p("get", "k", 0, 0, "/dev/null")
    bp.check(len(made) == 2 and "AKrobot-role2" in s.log[-1]["headers"]["authorization"], f"asked anew: {made}")
    p.stop()
    made.clear()
    life[0] = 301.5  # 300 s before the end they are renewed
    p = Probe(s.url, "bucket", None, env=metadata)
    s.expect(services)
    p("head", "k")
    time.sleep(2.5)
    life[0] = 3600
    p("head", "k")
    bp.check(len(made) == 2 and "AKrobot-role2" in s.log[-1]["headers"]["authorization"], f"in time: {made}")
    p.stop()
    p = Probe(s.url, "bucket", KEYS)
    s.expect(lambda rq: (400, {}, error("ExpiredToken")))
    a = p("get", "k", 0, 0, "/dev/null", ok=False)
    bp.check(a["class"] == "auth" and len(s.log) == 1, f"keys that cannot change are not asked for again: {a}")
    p = Probe(s.url, "bucket", None, anon="1")
    s.expect(services)
    p("head", "k")
    bp.check("authorization" not in s.log[-1]["headers"], "anonymous")


def links(s, folder):
    """A server that is away, that stalls, that ends early."""
    f = folder / "slow"
    f.write_bytes(b"x" * 100)
    p = Probe("http://127.0.0.1:1", "bucket", KEYS)
    a = p("put", "k", f, "", ok=False)
    bp.check(a["class"] == "network" and a["r"] == -111, f"refused: {a}")
    p = Probe(s.url, "bucket", KEYS)
    s.expect(lambda rq: (200, {"Content-Length": "1000"}, "x" * 10) if rq["method"] == "GET" else (200, {}, ""))
    s.server.RequestHandlerClass.timeout = 1
    a = p("get", "k", 0, 0, "/dev/null", ok=False)
    bp.check(a["class"] == "network", f"ended early or stalled: {a}")
    for headers, status in (({}, 200), ({"Content-Range": "bytes 0-9/10"}, 206), ({"Content-Range": "x"}, 206), ({}, 206)):
        s.expect(lambda rq: (status, headers, "0123456789"))
        a = p("get", "k", 4, 3, folder / "range", ok=False)
        bp.check(a["r"] < 0 and a["class"] == "permanent" and (folder / "range").read_bytes() == b"",
                 f"another range than was asked for: {a}")
    s.expect(lambda rq: (206, {"Content-Range": "bytes 4-6/10"}, "456"))
    bp.check(p("get", "k", 4, 3, folder / "range")["size"] == 10 and (folder / "range").read_bytes() == b"456", "this one")
    secret = [w for w in (a["text"],) if "AKTEST" in w or "secrettest" in w]
    bp.check(not secret, "no keys in texts")


def run():
    folder = bp.scratch()
    s = StandIn()
    for part in (clocks, regions, lists):
        part(s)
    for part in (completes, checksums, writes, credentials, links):
        part(s, folder)
    bp.say("clocks, regions, lists, uploads, checksums, headers, credentials: done")


if __name__ == "__main__":
    bp.main(run)
