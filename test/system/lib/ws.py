"""A WebSocket client of few words, which can also misbehave: raw frames, no reading, small buffers."""
import base64
import json
import os
import socket
import struct
import time


def frame(opcode, data=b"", fin=True, mask=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    n = len(data)
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + data
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(data))


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text[:300]}")
        self.status, self.text = status, text


class WS:
    """address: (host, port), or the path of a unix socket."""

    def __init__(self, address, path="/", headers=(), rcvbuf=0, timeout=10):
        self.s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(timeout)
        self.s.connect(address)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers, "", ""]
        self.s.sendall("\r\n".join(lines).encode())
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            self._more()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        status = int(head.split()[1])
        if status != 101:
            raise Refused(status, head.decode() + self.buf.decode(errors="replace"))

    def _more(self):
        data = self.s.recv(65536)
        if not data:
            raise EOFError("closed")
        self.buf += data

    def raw(self, data):
        self.s.sendall(data)

    def send(self, what):
        self.raw(frame(1, (what if isinstance(what, str) else json.dumps(what)).encode()))

    def recv(self, timeout=10):
        """@return (opcode, payload) of the next frame; raises TimeoutError, EOFError"""
        until = time.monotonic() + timeout

        def need(n):
            while len(self.buf) < n:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self.s.settimeout(left)
                self._more()

        need(2)
        n, at = self.buf[1] & 0x7F, 2
        if n == 126:
            need(4)
            n, at = struct.unpack(">H", self.buf[2:4])[0], 4
        elif n == 127:
            need(10)
            n, at = struct.unpack(">Q", self.buf[2:10])[0], 10
        need(at + n)
        opcode, data = self.buf[0] & 0x0F, self.buf[at:at + n]
        self.buf = self.buf[at + n:]
        if opcode == 9:
            self.raw(frame(10, data))
            return self.recv(max(until - time.monotonic(), 0.001))
        return opcode, data

    def json(self, timeout=10):
        opcode, data = self.recv(timeout)
        if opcode == 8:
            raise EOFError(f"close {struct.unpack('>H', data[:2])[0] if data else 1005}")
        return json.loads(data)

    def ask(self, what, timeout=10):
        """Sends a message with an id and returns its answer and what came before it."""
        before, key = [], os.urandom(4).hex()
        self.send({"id": key, **what})
        while True:
            m = self.json(timeout)
            if m.get("id") == key:
                return m, before
            before.append(m)

    def close(self):
        self.s.close()
