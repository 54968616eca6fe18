"""The WebSocket rows of the malformed-request table, against our server and npm ws in the same run: each must
answer as the other does, and as the table says. Then thousands of random frames, half of them broken: the
server must end each connection as npm ws does, and stay small.
"""
import os
import signal
import struct

import bp
from ws import WS, frame

# name, bytes, what the table says: a close code, "pong", "echo"
ROWS = (
    ("unmasked", frame(1, b"hi", mask=False), 1002),
    ("rsv1", frame(1, b"hi", rsv=4), 1002),
    ("rsv2", frame(1, b"hi", rsv=2), 1002),
    ("bad opcode", frame(3, b"hi"), 1002),
    ("bad control opcode", frame(11, b""), 1002),
    ("ping", frame(9, b"beat"), "pong"),
    ("frag ping", frame(9, b"beat", fin=False), 1002),
    ("ping 200B", frame(9, b"x" * 200), 1002),
    ("bad utf8", frame(1, b"\xff\xfe\xfd"), 1007),
    ("bad utf8 in pieces", frame(1, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
    ("utf8 cut off", frame(1, b"\xe2\x82"), 1007),
    ("utf8 over two pieces", frame(1, b"\xc3", fin=False) + frame(0, b"\xa4"), "echo"),
    ("huge len", b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"\0\0\0\0" + b"x" * 100, 1009),
    ("above the limit", b"\x82\xff" + struct.pack(">Q", (1 << 20) + 1) + b"\0\0\0\0", 1009),
    ("above the limit in pieces", frame(2, b"x" * (1 << 20), fin=False) + frame(0, b"x"), 1009),
    ("at the limit", frame(2, b"x" * (1 << 20)), "echo"),
    ("close 1000", frame(8, b"\x03\xe8"), 1000),
    ("close with a reason", frame(8, b"\x03\xe8bye"), 1000),
    ("close without a code", frame(8), 1005),
    ("close with half a code", frame(8, b"\x03"), 1002),
    ("close 1005", frame(8, b"\x03\xed"), 1002),
    ("close 1006", frame(8, b"\x03\xee"), 1002),
    ("close 1015", frame(8, b"\x03\xf7"), 1002),
    ("close 999", frame(8, b"\x03\xe7"), 1002),
    ("close 3000", frame(8, b"\x0b\xb8"), 3000),
    ("close 4999", frame(8, b"\x13\x87"), 4999),
    ("close 5000", frame(8, b"\x13\x88"), 1002),
    ("close, reason no text", frame(8, b"\x03\xe8\xff\xff"), 1007),
    ("close too long", frame(8, b"\x03\xe8" + b"x" * 124), 1002),
    ("cont first", frame(0, b"hi"), 1002),
    ("anew in the middle", frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
    ("ping in the middle", frame(1, b"a", fin=False) + frame(9, b"beat") + frame(0, b"b"), "pong"),
    ("text", frame(1, "grüße".encode()), "echo"),
    ("empty", frame(1, b""), "echo"),
    ("data after close", frame(8, b"\x03\xe8") + frame(1, b"late"), 1000),
)


def answer(port, data, ours):
    """@return a close code, "pong", "echo", or how it ended without"""
    w = WS(("127.0.0.1", port), "/ws")
    try:
        w.raw(data)
        opcode, body = w.recv(5)
        if opcode == 10:
            return "pong"
        if opcode in (1, 2):
            return "echo"
        code = struct.unpack(">H", body[:2])[0] if body else 1005
        # after its close frame the server ends the connection by itself
        try:
            while w.recv(5):
                pass
        except EOFError:
            pass
        except TimeoutError:
            bp.check(not ours, f"closed with {code} and stays open")
        return code
    except EOFError:
        return "closed"
    except (ConnectionError, TimeoutError) as e:
        return type(e).__name__
    finally:
        w.close()


def random_frames(rng):
    """A few frames of a conversation, now and then with something wrong."""
    out = b""
    for _ in range(rng.randrange(1, 5)):
        kind = rng.randrange(10)
        if kind < 5:
            out += frame(rng.choice((1, 2)), bytes(rng.choices(b"abc", k=rng.choice((0, 5, 125, 126, 300, 70000)))))
        elif kind < 7:
            out += frame(9, os.urandom(rng.randrange(0, 130)))
        elif kind < 8:
            out += frame(rng.choice((0, 1, 2)), os.urandom(rng.randrange(20)), fin=rng.random() < 0.5, rsv=rng.choice((0, 0, 0, 4)))
        elif kind < 9:
            out += frame(rng.randrange(16), b"x" * rng.randrange(4), mask=rng.random() < 0.8)
        else:
            out += frame(8, struct.pack(">H", rng.choice((1000, 1001, 1005, 1014, 1100, 2999, 3000, 4999, 65535))) + b"why")
    return out


def whole(port, data):
    """Everything that comes back: (number of echoes, close code or None). Ends with a question of our own."""
    w = WS(("127.0.0.1", port), "/ws")
    echoes = 0
    try:
        w.raw(data + frame(2, b"the end"))
        while True:
            opcode, body = w.recv(5)
            if opcode == 8:
                return echoes, struct.unpack(">H", body[:2])[0] if body else 1005
            if opcode in (1, 2):
                if body == b"the end":
                    return echoes, None
                echoes += 1
    except EOFError:
        return echoes, "closed"
    except (ConnectionError, TimeoutError) as e:
        return echoes, type(e).__name__
    finally:
        w.close()


def test():
    rng = bp.seeded()
    ours = bp.Proc([bp.BUILD / "test/system/ws-probe", "127.0.0.1:0"])
    peer = bp.Proc(["node", bp.REPO / "test/bench/ws-peer.mjs", bp.BUILD / "npm/node_modules"])
    bp.until(lambda: ":" in ours.text() and peer.text().strip().isdigit(), 15, "both servers")
    port, other = int(ours.text().split()[0].rsplit(":", 1)[1]), int(peer.text())
    for name, data, want in ROWS:
        a, b = answer(port, data, True), answer(other, data, False)
        bp.check(a == want, f"{name}: ours {a}, the table {want}")
        bp.check(a == b, f"{name}: ours {a}, npm ws {b}")
    before = bp.rss_kb(ours.pid)["VmRSS"]
    n = bp.amount(300, 5000)
    for _ in range(n):
        data = random_frames(rng)
        a, b = whole(port, data), whole(other, data)
        # what was sent before a fault may still be echoed or not; how it ends must be the same
        bp.check(a[1] == b[1] and (a[1] is not None or a[0] == b[0]), f"ours {a}, npm ws {b}: {data[:200].hex()}")
        if bp.failures() > 5:
            break
    after = bp.rss_kb(ours.pid)["VmRSS"]
    bp.check(after - before < 8 * 1024, f"memory {before} → {after} KiB")
    idle(ours, port)
    bp.check(ours.stop(timeout=20, sig=signal.SIGTERM) == 0, "it ends cleanly")
    bp.say(f"{len(ROWS)} rows, {n} random conversations; memory {before} → {after} KiB")


def idle(ours, port):
    """What an idle connection costs: of this process, and its share of the socket is the system's."""
    n = bp.amount(500, 2000)
    before = bp.rss_kb(ours.pid)["VmRSS"]
    all_ = [WS(("127.0.0.1", port), "/feed") for _ in range(n)]
    cost = (bp.rss_kb(ours.pid)["VmRSS"] - before) * 1024 / n
    bp.check(cost < 4096, f"{cost:.0f} bytes for each idle connection")
    bp.say(f"{n} idle connections with a subscription: {cost:.0f} bytes each")
    for w in all_:
        w.close()


if __name__ == "__main__":
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bp.own_network()
    bp.main(test)
