#!/usr/bin/env python3
"""Opens a sealed recording with its private key, by docs/formats/sealed.md and nothing of bagpipe.
    unseal.py FILE.sealed KEYFILE > FILE        (needs the Python package `cryptography`)"""
import hashlib
import hmac
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info.encode()).derive(key)


def content_key(header, file_id, secret):
    for i in range(struct.unpack_from("<I", header, 36)[0]):
        r = header[128 + 128 * i:256 + 128 * i]
        kind, salt = struct.unpack_from("<I", r)[0], r[16:48]
        if kind == 3:
            log_n, cost_r, cost_p = r[12:15]
            key = hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=cost_r, p=cost_p, dklen=32,
                                 maxmem=1 << 29)
            kek = hkdf(key, file_id + salt, "bagpipe seal passphrase 1")
        elif kind == 2:
            kek = hkdf(secret, file_id + salt, "bagpipe seal key 1")
        else:
            mine = X25519PrivateKey.from_private_bytes(secret)
            kek = hkdf(mine.exchange(X25519PublicKey.from_public_bytes(salt)),
                       file_id + salt + mine.public_key().public_bytes_raw(),
                       "bagpipe seal x25519 1")
        try:
            return AESGCM(kek).decrypt(bytes(12), r[48:96], file_id)
        except Exception:
            continue
    sys.exit("this key does not open it")


def unseal(data, secret):
    header, at, number, off = data[:4096], 4096, 0, 0
    file_id = header[16:32]
    assert header[:8] == b"\x89BPSEAL\n" and struct.unpack_from("<I", header, 8)[0] == 1
    content = content_key(header, file_id, secret)
    mac = hmac.digest(hkdf(content, file_id, "bagpipe seal header 1"), header[:4060], "sha256")
    assert mac == header[4060:4092], "the header was changed"
    frames = AESGCM(hkdf(content, file_id, "bagpipe seal frames 1"))
    places = AESGCM(hkdf(content, file_id, "bagpipe seal places 1"))
    while True:
        head = data[at:at + 160]
        kind, n, its_number, its_off = struct.unpack_from("<IIQQ", head, 8)
        assert head[:8] == b"BPSFRAM1" and head[32:48] == file_id, f"no frame at {at}"
        assert (its_number, its_off) == (number, off), f"frame {its_number} is out of its place"
        places.decrypt(head[48:60], head[112:128], head[:112])
        plain = frames.decrypt(head[48:60], data[at + 160:at + 160 + n] + head[96:112], file_id)
        if kind == 2:
            assert struct.unpack_from("<QQ", plain) == (off, number), "the end does not fit"
            return
        yield plain
        at, number, off = at + (160 + n + 4095) // 4096 * 4096, number + 1, off + n


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as sealed, open(sys.argv[2], encoding="utf-8") as keys:
        key = [line for line in keys.read().splitlines() if line and line[0] != "#"][0]
        key = bytes.fromhex(key.split(":")[1]) if key.startswith("bagpipe-") else key.encode()
        for piece in unseal(sealed.read(), key):
            sys.stdout.buffer.write(piece)
