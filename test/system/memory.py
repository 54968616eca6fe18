"""Memory stays flat while topics come and go: one recorder, publishers that live for seconds.

1 minute by default, 30 with --full. Looks at anonymous memory (the ring is shared memory) after each
generation and fits a line through the second half.
"""
import signal

import bp
import flat

DOMAIN = 19


def test():
    folder = bp.scratch()
    rec = bp.record(folder / "bag", "-b", "4MiB", domain=DOMAIN)
    g = flat.generations(rec, DOMAIN, folder / "sent.log", 1800 if bp.full() else 60, "the recorder")
    status = rec.stop(timeout=30, sig=signal.SIGINT)
    count = g * flat.TOPICS * 50
    _, info = bp.bagpipe_json("info", "--json", folder / "bag")
    bp.check(status == 0, f"exit {status}; lost: {info and info.get('lost')}")
    bp.check(info and info["message_count"] == count, f"all {count} messages are there: {info and info['message_count']}")


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
