"""Conditions over random messages, judged by our walk over the bytes and by Python over what rosbags decodes of the
same bytes, of either byte order."""
import math
import random
import subprocess

import bp
import numpy as np
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)
T = TYPES.types
WORDS = ["", "a", "on fire", "motor left", "überhitzt", "x" * 40]


def header(r):
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](r.randrange(-5, 2**31), r.randrange(10**9)),
                                    r.choice(WORDS))


def floats(r, n, kind):
    return np.array([r.choice([0, 1.5, -2.25, 1e9, math.inf, math.nan, r.gauss(0, 10)]) for _ in range(n)], dtype=kind)


def battery(r):
    v = floats(r, 7, np.float32)
    return T["sensor_msgs/msg/BatteryState"](header(r), *[float(x) for x in v], r.randrange(5), r.randrange(9),
                                             r.randrange(8), r.random() < 0.5, floats(r, r.randrange(4), np.float32),
                                             floats(r, r.randrange(3), np.float32), r.choice(WORDS), r.choice(WORDS))


def diagnostics(r):
    value = lambda: T["diagnostic_msgs/msg/KeyValue"](r.choice(WORDS), r.choice(WORDS))
    row = lambda: T["diagnostic_msgs/msg/DiagnosticStatus"](r.randrange(4), r.choice(WORDS), r.choice(WORDS), r.choice(WORDS),
                                                            [value() for _ in range(r.randrange(3))])
    return T["diagnostic_msgs/msg/DiagnosticArray"](header(r), [row() for _ in range(r.randrange(4))])


def joints(r):
    n = r.randrange(5)
    return T["sensor_msgs/msg/JointState"](header(r), [r.choice(WORDS) for _ in range(n)], floats(r, n, np.float64),
                                           floats(r, r.choice([0, n]), np.float64), floats(r, n, np.float64))


def transforms(r):
    num = lambda: r.gauss(0, 5)
    one = lambda: T["geometry_msgs/msg/TransformStamped"](
        header(r), r.choice(WORDS), T["geometry_msgs/msg/Transform"](
            T["geometry_msgs/msg/Vector3"](num(), num(), num()), T["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)))
    return T["tf2_msgs/msg/TFMessage"]([one() for _ in range(r.randrange(4))])


def scan(r):
    return T["sensor_msgs/msg/LaserScan"](header(r), *[r.gauss(0, 1) for _ in range(7)],
                                          floats(r, r.randrange(30), np.float32), floats(r, r.randrange(3), np.float32))


U = None  # unknown


def num(v):
    return U if isinstance(v, float) and math.isnan(v) or v is U else v


def lt(a, b):
    a, b = num(a), num(b)
    return U if a is U or b is U else a < b


def no(a):
    return U if a is U else not a


def both(a, b):
    return False if a is False or b is False else U if a is U or b is U else True


def either(a, b):
    return no(both(no(a), no(b)))


def any_of(tests):
    out = False
    for t in tests:
        out = either(out, t)
    return out


def at(v, i):
    return v[i] if i < len(v) else U


def least(v):
    v = [float(x) for x in v if not math.isnan(x)]
    return min(v) if v else U


def most(v):
    v = [float(x) for x in v if not math.isnan(x)]
    return max(v) if v else U


def f(v):
    return [float(x) for x in v]


CASES = {
    "sensor_msgs/msg/BatteryState": (battery, [
        ("/t.percentage < 0.2", lambda m: lt(m.percentage, 0.2)),
        ("not /t.voltage < 2", lambda m: no(lt(m.voltage, 2))),
        ("/t.current > 0 and /t.charge > 0", lambda m: both(lt(0, m.current), lt(0, m.charge))),
        ("/t.current > 0 or /t.charge > 0", lambda m: either(lt(0, m.current), lt(0, m.charge))),
        ("/t.power_supply_status == POWER_SUPPLY_STATUS_FULL", lambda m: m.power_supply_status == 4),
        ("/t.present and /t.location == 'on fire'", lambda m: bool(m.present) and m.location == "on fire"),
        ("/t.serial_number != /t.serial_number.x", None),
        ("/t.cell_voltage[1] > 0", lambda m: lt(0, at(f(m.cell_voltage), 1))),
        ("len(/t.cell_voltage) >= 2", lambda m: len(m.cell_voltage) >= 2),
        ("/t.cell_temperature[*] > 0", lambda m: any_of(lt(0, x) for x in f(m.cell_temperature))),
        ("isnan(/t.temperature)", lambda m: math.isnan(m.temperature)),
        ("/t.header.stamp.sec * 2 < 1e9", lambda m: m.header.stamp.sec * 2 < 1e9),
    ]),
    "diagnostic_msgs/msg/DiagnosticArray": (diagnostics, [
        ("/t[*].level >= ERROR", lambda m: any(int(s.level) >= 2 for s in m.status)),
        ("/t.status[*].level == OK", lambda m: any(int(s.level) == 0 for s in m.status)),
        ("contains(/t.status[*].message, 'fire')", lambda m: any("fire" in s.message for s in m.status)),
        ("/t.status[1].name == 'überhitzt'", lambda m: m.status[1].name == "überhitzt" if len(m.status) > 1 else U),
        ("starts_with(/t.status[*].values[*].key, 'motor')",
         lambda m: any(v.key.startswith("motor") for s in m.status for v in s.values)),
        ("/t.status[0].values[1].value == 'a'",
         lambda m: m.status[0].values[1].value == "a" if m.status and len(m.status[0].values) > 1 else U),
        ("len(/t.status) == 3", lambda m: len(m.status) == 3),
        ("len(/t.status[0].values) > 1", lambda m: len(m.status[0].values) > 1 if m.status else U),
        ("sum(/t.status[*].level) > 3", lambda m: sum(int(s.level) for s in m.status) > 3),
        ("max(/t.status[*].level) > 2", lambda m: max(int(s.level) for s in m.status) > 2 if m.status else U),
        ("len(/t.header.frame_id) == 7", lambda m: len(m.header.frame_id.encode()) == 7),
    ]),
    "sensor_msgs/msg/JointState": (joints, [
        ("/t.name[*] == 'motor left'", lambda m: "motor left" in m.name),
        ("/t.name[2] != 'a'", lambda m: m.name[2] != "a" if len(m.name) > 2 else U),
        ("len(/t.name[0]) > 5", lambda m: len(m.name[0].encode()) > 5 if m.name else U),
        ("max(/t.effort) > 10", lambda m: lt(10, most(m.effort))),
        ("min(/t.velocity) < -1", lambda m: lt(least(m.velocity), -1)),
        ("/t.position[*] within -3..3", lambda m: any_of(both(no(lt(x, -3)), no(lt(3, x))) for x in f(m.position))),
        ("/t.position[3] outside -3..3", lambda m: no(both(no(lt(at(f(m.position), 3), -3)), no(lt(3, at(f(m.position), 3)))))),
        ("abs(/t.effort[*]) * 2 > 20", lambda m: any_of(lt(20, abs(x) * 2) for x in f(m.effort))),
        ("len(/t.velocity) == len(/t.position)", lambda m: len(m.velocity) == len(m.position)),
    ]),
    "tf2_msgs/msg/TFMessage": (transforms, [
        ("/t[*].transform.translation.x > 2", lambda m: any(t.transform.translation.x > 2 for t in m.transforms)),
        ("/t.transforms[*].child_frame_id == 'a'", lambda m: any(t.child_frame_id == "a" for t in m.transforms)),
        ("/t.transforms[1].transform.translation.z < 0",
         lambda m: m.transforms[1].transform.translation.z < 0 if len(m.transforms) > 1 else U),
        ("hypot(/t.transforms[0].transform.translation.x, /t.transforms[0].transform.translation.y) > 5",
         lambda m: math.hypot(m.transforms[0].transform.translation.x, m.transforms[0].transform.translation.y) > 5
         if m.transforms else U),
    ]),
    "sensor_msgs/msg/LaserScan": (scan, [
        ("min(/t.ranges) < -5", lambda m: lt(least(m.ranges), -5)),
        ("max(/t.ranges) == /t.ranges[0]",
         lambda m: U if most(m.ranges) is U or num(f(m.ranges)[0]) is U else most(m.ranges) == f(m.ranges)[0]),
        ("len(/t.ranges) > 10 and /t.angle_min < 0", lambda m: both(len(m.ranges) > 10, lt(m.angle_min, 0))),
        ("(/t.range_max - /t.range_min) / 2 > 0.5", lambda m: (m.range_max - m.range_min) / 2 > 0.5),
    ]),
}


def as_word(v):
    return "unknown" if v is U else "true" if v else "false"


def test():
    rng = bp.seeded()
    r = random.Random(rng.random() if hasattr(rng, "random") else rng)
    p = subprocess.Popen([str(bp.BUILD / "test/system/expr-eval")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts = {"true": 0, "false": 0, "unknown": 0}
    for _ in range(bp.amount(200, 5000)):
        for kind, (make, cases) in CASES.items():
            cdr = bytes(TYPES.serialize_cdr(make(r), kind, little_endian=r.random() < 0.7))
            message = TYPES.deserialize_cdr(cdr, kind)
            for when, oracle in cases:
                p.stdin.write(f"{kind}\t{when}\t{cdr.hex()}\n")
                p.stdin.flush()
                got = p.stdout.readline().strip()
                if oracle is None:
                    bp.check(got.startswith("! "), f"{when}: {got}")
                    while got and "^" not in got:  # the caret is on a line of its own
                        got = p.stdout.readline()
                    continue
                want = as_word(oracle(message))
                counts[want] += 1
                bp.check(got == want, f"{when}: {got}, Python says {want}: {cdr.hex()}")
                if bp.failures():
                    return
    p.stdin.close()
    bp.check(p.wait(10) == 0, "expr-eval ends well")
    bp.check(min(counts.values()) > 100, f"each outcome is there: {counts}")
    bp.say(f"{sum(counts.values())} judgements agree: {counts}")


if __name__ == "__main__":
    bp.main(test)
