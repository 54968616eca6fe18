"""TCP to a server of this machine, counted, and cut where a test wants that."""
import socket
import threading


class Link:
    """Passes TCP on, counts what comes back, and cuts after some of it."""

    def __init__(self, port, cut=0):
        self.port, self.cut, self.bytes, self.cuts, self.down = port, cut, 0, 0, False
        self.s = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.s.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.s.accept()
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        if self.down:
            c.close()
            return
        up = socket.create_connection(("127.0.0.1", self.port))
        threading.Thread(target=self.pump, args=(c, up), daemon=True).start()
        left = self.cut or 1 << 60
        while left > 0 and (data := up.recv(min(65536, left))):
            self.bytes += len(data)
            left -= len(data)
            try:
                c.sendall(data)
            except OSError:
                break
        if left == 0:
            self.cuts += 1
        for s in (c, up):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
