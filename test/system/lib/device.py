"""A device as the protocol page describes it (docs/api/server.md), by an independent Ed25519."""
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Device:
    def __init__(self, name):
        self.name, self.key = name, Ed25519PrivateKey.generate()
        self.public = "ed25519:" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def enrolment(self, token=None, **more):
        return {"device": self.name, "public_key": self.public, **({"token": token} if token else {}), **more}

    def answer(self, nonce, audience, time_ns=None, key=None, name=None):
        time_ns = time_ns or time.time_ns()
        text = f"bagpipe device token v1\n{name or self.name}\n{nonce}\n{time_ns}\n{audience}\n"
        return {"device": name or self.name, "nonce": nonce, "audience": audience, "time_ns": str(time_ns),
                "signature": (key or self.key).sign(text.encode()).hex()}
