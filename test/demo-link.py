"""The link of the demo: agents reach the server through it, and it breaks twice; with `again` for 4 s of each minute
until it is told to end. demo-link.py SERVER_PORT OUT.JSON [again]

Prints its port. Counts what reached the server whole, for demo-sync.py; ends with SIGTERM or SIGINT.
"""
import json
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "system" / "lib"))
from badlink import Link  # noqa: E402

BREAKS = ((1.0, 1.5), (4.0, 1.5))  # seconds after the first byte, and for how long


def again():
    after = 0
    while True:
        after += 60
        yield after, 4


def main():
    link, out, breaks, first = Link(("127.0.0.1", int(sys.argv[1]))), Path(sys.argv[2]), [], []

    def break_it():
        while not link.body_bytes:
            time.sleep(0.05)
        began = time.monotonic()
        first.append(began)
        for after, span in again() if "again" in sys.argv else BREAKS:
            time.sleep(max(began + after - time.monotonic(), 0))
            link.cut()
            time.sleep(span)
            link.restore()
            breaks.append({"after_s": after, "for_s": span})

    def end(*_):
        parts = {}
        for (method, path), n in link.sent.items():
            if method == "PUT" and "/parts/" in path:
                parts[path] = n
        ran = time.monotonic() - first[0] if first else 0
        due = sum(ran > after + span + 0.5 for after, span in BREAKS)  # a short demo ends before the second
        out.write_text(json.dumps({"breaks": breaks, "due": due, "parts": parts, "bodies": link.body_bytes}))
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=break_it, daemon=True).start()
    print(link.port, flush=True)
    while True:
        time.sleep(3600)


main()
