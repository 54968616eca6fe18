#!/usr/bin/env python3
"""Makes test-jwt.txt and test-jwt.json: tokens by PyJWT and cryptography, not by us, and what must become of
each at the time NOW. Run by hand, with the Python of build/venv; both files are committed."""
import base64
import hashlib
import hmac
import json
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

NOW = 1_800_000_000
HERE = Path(__file__).resolve().parent


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(obj):
    return b64(obj if isinstance(obj, bytes) else obj.encode() if isinstance(obj, str) else json.dumps(obj).encode())


secret = hashlib.sha256(b"of the tests").digest()
es, es2 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ed = ed25519.Ed25519PrivateKey.generate()
point = es.public_key().public_numbers()
raw = ed.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
pem = es.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
keys = {"keys": [
    {"kty": "oct", "kid": "hs", "alg": "HS256", "k": b64(secret)},
    {"kty": "EC", "kid": "es", "use": "sig", "crv": "P-256", "x": b64(point.x.to_bytes(32, "big")),
     "y": b64(point.y.to_bytes(32, "big"))},
    {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(raw)},
]}
good = {"sub": "alice", "role": "operator", "exp": NOW + 60, "iss": "https://id.example", "aud": "bagpipe"}


def claims(**changes):
    c = {**good, **changes}
    return {k: v for k, v in c.items() if v is not None}


def hs(payload=None, header=None, key=secret):
    """Signed by hand: what no library would make."""
    text = part(header or {"alg": "HS256", "typ": "JWT"}) + "." + part(payload or good)
    return text + "." + b64(hmac.new(key, text.encode(), hashlib.sha256).digest())


ok = {"HS256": jwt.encode(good, secret, "HS256"), "ES256": jwt.encode(good, es, "ES256"),
      "EdDSA": jwt.encode(good, ed, "EdDSA")}
h, p, s = ok["HS256"].split(".")
eh, ep, esig = ok["ES256"].split(".")
rows = [(f"{alg}", "ok", t) for alg, t in ok.items()]
rows += [(f"{alg} with its kid", "ok", jwt.encode(good, k, alg, headers={"kid": kid}))
         for alg, k, kid in (("HS256", secret, "hs"), ("ES256", es, "es"), ("EdDSA", ed, "ed"))]
rows += [
    ("aud is a list", "ok", jwt.encode(claims(aud=["x", "bagpipe"]), secret, "HS256")),
    ("expired within leeway", "ok", jwt.encode(claims(exp=NOW - 20), secret, "HS256")),
    ("nbf within leeway", "ok", jwt.encode(claims(nbf=NOW + 20), secret, "HS256")),
    ("exp is a fraction", "ok", jwt.encode(claims(exp=NOW + 0.5), secret, "HS256")),
    ("typ at+jwt", "ok", jwt.encode(good, secret, "HS256", headers={"typ": "at+jwt"})),
    ("no typ", "ok", hs(header={"alg": "HS256"})),
    ("expired", "refused", jwt.encode(claims(exp=NOW - 31), ed, "EdDSA")),
    ("expires at the end of the leeway", "refused", jwt.encode(claims(exp=NOW - 30), secret, "HS256")),
    ("not yet", "refused", jwt.encode(claims(nbf=NOW + 31), secret, "HS256")),
    ("never ends", "refused", jwt.encode(claims(exp=None), secret, "HS256")),
    ("exp is text", "malformed", hs(claims(exp="never"))),
    ("exp is null", "malformed", hs({**good, "exp": None})),
    ("exp is true", "malformed", hs({**good, "exp": True})),
    ("exp is infinite", "malformed", hs('{"exp": 1e400}')),
    ("exp is huge", "malformed", hs({**good, "exp": 1e15})),
    ("exp is negative", "malformed", hs({**good, "exp": -1})),
    ("nbf is text", "malformed", hs(claims(nbf="1"))),
    ("wrong aud", "refused", jwt.encode(claims(aud="other"), secret, "HS256")),
    ("wrong aud in a list", "refused", jwt.encode(claims(aud=["bagpip", "bagpipe2"]), secret, "HS256")),
    ("aud is a number", "refused", hs({**good, "aud": 1})),
    ("no aud", "refused", jwt.encode(claims(aud=None), secret, "HS256")),
    ("wrong iss", "refused", jwt.encode(claims(iss="https://evil.example"), secret, "HS256")),
    ("no iss", "refused", jwt.encode(claims(iss=None), secret, "HS256")),
    ("iss is a list", "refused", hs({**good, "iss": ["https://id.example"]})),
    ("none", "refused", jwt.encode(good, None, "none")),
    ("none in capitals", "refused", part({"alg": "NONE"}) + "." + p + "."),
    ("none with a signature", "refused", part({"alg": "none"}) + "." + p + "." + s),
    ("no alg", "refused", part({"typ": "JWT"}) + "." + p + "." + s),
    ("alg is a number", "refused", part({"alg": 256}) + "." + p + "." + s),
    ("HS512 with the HS256 key", "refused", jwt.encode(good, secret, "HS512")),
    ("HS256 with the public PEM", "refused", hs(key=pem)),
    ("HS256 with the public PEM, kid of ES256", "refused", hs(header={"alg": "HS256", "kid": "es"}, key=pem)),
    ("HS256 with the raw Ed25519 key", "refused", hs(header={"alg": "HS256", "kid": "ed"}, key=raw)),
    ("HS256 with the point", "refused", hs(key=b"\4" + point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big"))),
    ("HS256 with nothing", "refused", hs(key=b"")),
    ("kid of another", "refused", hs(header={"alg": "HS256", "kid": "es"})),
    ("kid of nobody", "refused", hs(header={"alg": "HS256", "kid": "zz"})),
    ("kid is a number", "malformed", hs(header={"alg": "HS256", "kid": 1})),
    ("another's key", "refused", jwt.encode(good, es2, "ES256")),
    ("a key in the header", "refused", jwt.encode(good, es2, "ES256", headers={"jwk": {
        "kty": "EC", "crv": "P-256"}, "kid": "es"})),
    ("ES256 in DER", "refused", eh + "." + ep + "." + b64(es.sign(f"{eh}.{ep}".encode(), ec.ECDSA(hashes.SHA256())))),
    ("ES256 of zeros", "refused", eh + "." + ep + "." + b64(bytes(64))),
    ("crit", "refused", hs(header={"alg": "HS256", "crit": ["b64"], "b64": False})),
    ("zip", "refused", hs(header={"alg": "HS256", "zip": "DEF"})),
    ("type JWE", "refused", hs(header={"alg": "HS256", "typ": "JWE"})),
    ("type is a number", "refused", hs(header={"alg": "HS256", "typ": 1})),
    ("alg twice", "malformed", hs(header='{"alg": "HS256", "alg": "none"}')),
    ("exp twice", "malformed", hs('{"exp": 1, "exp": %d, "iss": "https://id.example", "aud": "bagpipe"}' % (NOW + 60))),
    ("role twice", "malformed", hs(json.dumps(good)[:-1] + ', "role": "admin"}')),
    ("payload changed", "refused", h + "." + part(claims(role="admin")) + "." + s),
    ("header changed", "refused", part({"typ": "JWT", "alg": "HS256"}) + "." + p + "." + s),
    ("signature cut", "refused", ok["HS256"][:-3]),
    ("signature gone", "refused", h + "." + p + "."),
    ("signature longer", "refused", ok["HS256"] + "AAAA"),
    ("signature's last bits", "malformed", ok["HS256"][:-1] + chr(ord(ok["HS256"][-1]) + 1)),
    ("padding", "malformed", ok["HS256"] + "="),
    ("base64 of the other alphabet", "malformed", h + "." + p + "." + "+/" + s[2:]),
    ("a space", "malformed", h + "." + p + "." + s[:-1] + " "),
    ("four parts", "malformed", ok["HS256"] + ".e30"),
    ("two parts", "malformed", h + "." + p),
    ("one part", "malformed", h),
    ("dots alone", "malformed", ".."),
    ("payload is a list", "malformed", hs("[]")),
    ("payload is nothing", "malformed", h + ".." + b64(hmac.new(secret, (h + ".").encode(), hashlib.sha256).digest())),
    ("payload is not UTF-8", "malformed", hs(b'{"exp": 1, "x": "\xff"}')),
    ("header is a text", "malformed", hs(header='"HS256"')),
    ("too long", "malformed", hs(claims(x="x" * 7000))),
]
(HERE / "test-jwt.json").write_text(json.dumps(keys, indent=1) + "\n")
(HERE / "test-jwt.txt").write_text("".join(f"{name}|{want}|{token}\n" for name, want, token in rows))
print(len(rows), "tokens")
