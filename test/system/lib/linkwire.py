"""What goes over the link of an agent, seen from between."""
import json
import socket
import threading
import time


class Proxy:
    """TCP between agent and server. Can be cut, cut behind a text that comes by, and slow."""

    def __init__(self, port):
        self.port_to, self.up, self.cut_at, self.seen = port, True, None, []
        self.rate = None  # bytes a second from the agent
        self.s = socket.create_server(("127.0.0.1", 0))
        self.port, self.pairs = self.s.getsockname()[1], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            a, _ = self.s.accept()
            if not self.up:
                a.close()
                continue
            try:
                b = socket.create_connection(("127.0.0.1", self.port_to))
            except OSError:
                a.close()
                continue
            self.pairs.append((a, b))
            for x, y, way in ((a, b, "agent"), (b, a, "server")):
                threading.Thread(target=self.move, args=(x, y, way), daemon=True).start()

    def move(self, a, b, way):
        data, head = b"", False
        try:
            while chunk := a.recv(self.rate // 50 if self.rate and way == "agent" else 65536):
                if self.rate and way == "agent":
                    time.sleep(len(chunk) / self.rate)
                b.sendall(chunk)
                data += chunk
                if not head and b"\r\n\r\n" in data:
                    data, head = data.split(b"\r\n\r\n", 1)[1], True
                while head and (got := unframe(data)):
                    opcode, body, n = got
                    data = data[n:]
                    if opcode == 1:
                        self.seen.append((way, json.loads(body)))
                        if self.cut_at and way == "server" and self.cut_at in body:
                            self.cut_at = None
                            self.cut()
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.up = False
        for pair in self.pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs = []


def unframe(data):
    """@return (opcode, payload, bytes of the frame), None when it is not whole"""
    if len(data) < 2:
        return None
    n, at = data[1] & 0x7F, 2
    if n >= 126:
        at = 4 if n == 126 else 10
        n = int.from_bytes(data[2:at], "big")
    masked = data[1] & 0x80
    key = data[at:at + 4]
    at += 4 if masked else 0
    if len(data) < at + n:
        return None
    body = data[at:at + n]
    return data[0] & 0x0F, bytes(b ^ key[i % 4] for i, b in enumerate(body)) if masked else body, at + n


def shape(example, real, where):
    """@return what of the example is not in what really came"""
    if isinstance(example, dict):
        if not isinstance(real, dict):
            return f"{where}: no object"
        return next(filter(None, (f"{where}.{k} is missing" if k not in real else shape(example[k], real[k], f"{where}.{k}")
                                  for k in example)), None)
    if isinstance(example, list):
        if not isinstance(real, list):
            return f"{where}: no list"
        return shape(example[0], real[0], where + "[]") if example and real else None
    same = (int, float) if isinstance(example, (int, float)) and not isinstance(example, bool) else type(example)
    return None if isinstance(real, same) else f"{where}: {real!r}, documented {example!r}"
