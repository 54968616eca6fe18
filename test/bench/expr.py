"""What a trigger's expression costs per message: one walk over the message and one judgement.

The promise is less than a microsecond for messages as robots send them; arrays that must be read whole
(a laser scan's ranges, 720 numbers) are shown beside it.
"""
import os
import sys
from pathlib import Path

import bp
import machine

WHOLE = ("min(/t.ranges) < 0.3", "/t.status[*].level >= ERROR")  # every item is looked at


def main():
    out = bp.run([Path(os.environ["BP_BUILD"]) / "test/bench/expr-feed"])[1]
    rows = [line.split("\t") for line in out.splitlines()]
    print(machine.table(["type", "expression", "bytes", "ns"], rows))
    slow = [r for r in rows if r[1] not in WHOLE and float(r[3]) > 1000]
    print("promise < 1000 ns:", "missed by " + ", ".join(r[1] for r in slow) if slow else "kept")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
