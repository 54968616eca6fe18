"""The decoder under test (decode-types), spoken to over pipes."""
import struct
import subprocess

import bp


class DecodeError(Exception):
    pass


class Decoder:
    def __init__(self):
        self.p = subprocess.Popen([str(bp.BUILD / "test/system/decode-types")],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request):
        self.p.stdin.write(struct.pack("<I", len(request)) + request)
        self.p.stdin.flush()
        head = self.p.stdout.read(4)
        if len(head) < 4:
            raise AssertionError(f"decode-types died with status {self.p.wait()}")
        answer = self.p.stdout.read(struct.unpack("<I", head)[0])
        if answer[:1] == b"!":
            raise DecodeError(answer[1:].decode(errors="replace"))
        return answer

    def schema(self, name, encoding, text):
        self.ask(b"S" + name.encode() + b"\0" + encoding.encode() + b"\0" + text.encode())

    def hash(self):
        return self.ask(b"H").decode()

    def json(self, cdr):
        return self.ask(b"J" + cdr)

    def text(self, cdr):
        return self.ask(b"T" + cdr).decode()

    def known_hash(self, name):
        """RIHS01 of a type of the embedded table."""
        return self.ask(b"R" + name.encode() + b"\0").decode()

    def from_description(self, name, rihs, cdr):
        """Definition text of a GetTypeDescription_Response."""
        return self.ask(b"D" + name.encode() + b"\0" + rihs.encode() + b"\0" + cdr).decode()
