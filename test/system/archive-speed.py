"""Lists and searches of a large archive: 100,000 sessions with 5 million segments (BP_FULL) in less than 100 ms, p99.

By default a fiftieth, and five times as long is allowed: the machine is shared. What is measured is told either way.
"""
import json

import bp

LOAD = bp.BUILD / "test" / "bench" / "archive-load"


def test():
    sessions = bp.amount(2_000, 100_000)
    status, out, err = bp.run([LOAD, bp.scratch() / "archive.db", sessions, 50], timeout=bp.amount(240, 3600))
    r = json.loads(out)
    slow = [(x["q"], x["sort"], x["p50_ms"]) for x in sorted(r["searches"], key=lambda x: -x["p50_ms"])[:5]]
    bp.say(f"{sessions} sessions, {sessions * 50} segments: filled in {r['fill_s']} s, opened in {r['open_s']} s; "
           f"p50 {r['p50_ms']} ms, p99 {r['p99_ms']} ms, slowest by median: {slow}")
    limit = 100 if bp.full() else 500
    bp.check(r["p99_ms"] < limit, f"p99 {r['p99_ms']} ms, less than {limit}")
    bp.check(r["p50_ms"] < limit / 4, f"p50 {r['p50_ms']} ms")


if __name__ == "__main__":
    bp.main(test)
