"""`bagpipe sim`, recorded, read by pip `rosbags`: the values of its sensors agree with each other, the
payloads of loads prove themselves, and its own log tells what was sent."""
import io
import json
import math
import struct
import time

import numpy as np
from rosbags.highlevel import AnyReader

import bp
import judge
from bag import Bag

DOMAIN = 42
CRC32C = [0] * 256
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    CRC32C[i] = c


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = CRC32C[(c ^ b) & 0xFF] ^ c >> 8
    return c ^ 0xFFFFFFFF


def record(d, name, *args, ok=0):
    """Records a run of sim. @return (its JSON, session folder, its log)"""
    log = d / f"{name}.log"
    rec = bp.record(d / name, domain=DOMAIN)
    s = bp.sim(*args, "--wait-for-readers", "1", "--json", domain=DOMAIN, log=log)
    bp.check(s.wait(60) == ok, f"sim: {s.text()}")
    rec.stop(timeout=20)
    j = [line for line in s.text().splitlines() if line.startswith('{"messages"')]
    return json.loads(j[-1]), d / name, log


def yaw(q):
    return 2 * math.atan2(q.z, q.w)


def stamp(m):
    return m.header.stamp.sec + m.header.stamp.nanosec / 1e9


def turned(a, b):
    return (b - a + math.pi) % (2 * math.pi) - math.pi


def load(folder):
    by_topic, times = {}, {}
    with AnyReader([folder]) as r:
        for c, t, raw in r.messages():
            by_topic.setdefault(c.topic, []).append(r.deserialize(raw, c.msgtype))
            times.setdefault(c.topic, []).append(t)
    return by_topic, times


def motion(m, times):
    odom, imu, tf = m["/robot1/odom"], m["/robot1/imu"], m["/robot1/tf"]
    for o, t in zip(odom, tf):
        b = t.transforms[0]
        p, q = o.pose.pose.position, b.transform.translation
        if (stamp(o), p.x, p.y) != (stamp(b), q.x, q.y) or o.child_frame_id != b.child_frame_id:
            bp.fail("tf is not where odometry is")
            break
    s = np.array([stamp(o) for o in odom])
    x, y = (np.array([getattr(o.pose.pose.position, k) for o in odom]) for k in "xy")
    h = np.unwrap([yaw(o.pose.pose.orientation) for o in odom])
    speed = np.hypot(np.gradient(x, s), np.gradient(y, s))
    said = np.array([o.twist.twist.linear.x for o in odom])
    bp.check(np.median(np.abs(speed - said)[2:-2]) < 0.01, "speed is the derivative of the position")
    rate = np.interp([stamp(i) for i in imu], s, np.gradient(h, s))
    gyro = np.array([i.angular_velocity.z for i in imu])
    bp.check(np.median(np.abs(rate - gyro)[5:-5]) < 0.01 and np.ptp(gyro) > 0.05,
             "the gyroscope measures the derivative of the heading")
    g = np.array([i.linear_acceleration.z for i in imu])
    bp.check(abs(g.mean() - 9.80665) < 0.01 and 0.005 < g.std() < 0.05, "gravity, with noise")
    wheels = m["/robot1/joint_states"]
    w = np.array([(j.position[0] + j.position[1]) / 2 * 0.1 for j in wheels])
    way = np.cumsum(np.hypot(np.diff(x), np.diff(y)))
    bp.check(abs((w[-1] - w[0]) - way[-1]) < 0.02, "the wheels roll what was driven")
    lag = [t / 1e9 - stamp(o) for t, o in zip(times["/robot1/odom"], odom)]
    bp.check(0 <= min(lag) and np.median(lag) < 0.05, f"stamped when sent: {np.median(lag)}")


def sensors(m):
    x0 = y0 = None
    for c in m["/robot1/lidar/points"]:
        p = np.frombuffer(c.data.tobytes(), "<f4").reshape(-1, 4)
        o = min(m["/robot1/odom"], key=lambda o: abs(stamp(o) - stamp(c)))
        a = yaw(o.pose.pose.orientation)
        x = o.pose.pose.position.x + p[:, 0] * math.cos(a) - p[:, 1] * math.sin(a)
        y = o.pose.pose.position.y + p[:, 0] * math.sin(a) + p[:, 1] * math.cos(a)
        z = p[:, 2] + 0.5
        wall = np.minimum(np.abs(np.abs(x) - 6), np.abs(np.abs(y) - 4))
        pillar = np.abs(np.hypot(np.abs(x) - 2.8, y) - 0.35)
        flat = np.minimum(np.abs(z), np.abs(z - 2.5))
        off = np.minimum(np.minimum(wall, pillar), flat)
        if len(p) != 20000 or np.percentile(off, 99) > 0.1 or (p[:, 3] <= 0).any():
            bp.fail(f"lidar: {len(p)} points, 99 % within {np.percentile(off, 99):.3f} m of the room")
            break
    bp.check(len([f.name for f in c.fields]) == 4 and c.height * c.width == 20000, "fields of the cloud")
    first, last = m["/robot1/camera/image_raw"][0], m["/robot1/camera/image_raw"][-1]
    bp.check((first.width, first.height, first.encoding, len(first.data)) == (640, 480, "rgb8", 640 * 480 * 3),
             "raw pictures")
    moved = np.abs(first.data.astype(int) - last.data.astype(int)).mean()
    bp.check(moved > 5, f"the picture moves: {moved}")
    try:
        from PIL import Image
    except ImportError:
        bp.say("no Pillow here: pictures are judged by libjpeg in the unit test alone")
        return
    for raw, small in zip(m["/robot1/camera/image_raw"], m["/robot1/camera/image_raw/compressed"]):
        got = np.asarray(Image.open(io.BytesIO(small.data.tobytes())).convert("RGB")).astype(int)
        diff = np.sqrt(((got - raw.data.reshape(480, 640, 3)) ** 2).mean())
        bp.check(diff < 6 and stamp(raw) == stamp(small), f"JPEG shows the raw picture: {diff}")


def others(m):
    b = m["/robot1/battery_state"]
    bp.check(all(0 < x.percentage <= 1 and 20 < x.voltage < 26 and x.current < 0 for x in b) and
             b[-1].percentage < b[0].percentage, "the battery drains")
    d = m["/diagnostics"][0]
    bp.check([s.name for s in d.status] == ["robot1: battery", "robot1: base"], "diagnostics")
    bp.check(m["/rosout"][0].level == 20 and m["/rosout"][0].name == "robot1.base_driver", "log")
    fix = m["/robot1/fix"][0]
    bp.check(abs(fix.latitude - 48.1374) < 1e-3 and fix.status.service == 1, "GPS")
    links = [t.child_frame_id for t in m["/robot1/tf_static"][0].transforms]
    bp.check("robot1/lidar_link" in links and len(m["/robot1/tf_static"]) == 1, "static transforms, once")
    bp.check('<robot name="robot1">' in m["/robot1/robot_description"][0].data, "robot description")


def robots(d):
    j, folder, log = record(d, "mixed", "--profile", "mixed", "--reliable-sensors", "--duration", "6s")
    m, times = load(folder)
    motion(m, times)
    sensors(m)
    others(m)
    bp.check(90 < j["percent"] <= 100 and j["failed"] == 0, f"rate: {j}")
    bag = Bag(folder)
    r = judge.account(bag, judge.SendLog(log), joined_early=True)
    bp.check(not r.problems and r.stored == r.sent == j["messages"] and r.missing == 0,
             f"log and file: {vars(r)}")
    hashes = json.load(open(bp.DATA / "rihs01-jazzy.json")) if bp.DATA.exists() else {}
    for topic, meta in bag.channels.items():
        want = hashes.get(bag.types[topic][0])
        bp.check(not want or meta.get("topic_type_hash") == want, f"{topic}: type hash")


def loads(d):
    seen = {}

    def check(topic, data, message):
        body = data[16:]
        magic, writer, n, size, crc = body[:4], *struct.unpack_from("<IQII", body, 4)
        if (magic, size, data[:16]) != (b"BPSQ", len(body), b"\0\1\0\0" + bytes(8) + struct.pack("<I", len(body))):
            bp.fail(f"{topic}: head {data[:40].hex()}")
        if n % 97 == 1 and crc32c(body[:20] + body[24:]) != crc:
            bp.fail(f"{topic}: CRC of {n}")
        seen.setdefault((topic, writer), []).append((n, message.sequence))

    j, folder, log = record(d, "load", "--robots", "2", "--topics", "3", "--size", "2000", "--hz", "200",
                            "--duration", "3s", "--seq-payload", "--qos", "reliable:200")
    bag = Bag(folder, payload=check)
    bp.check(len(seen) == 6 and {w for _, w in seen} == set(range(6)), f"writers: {list(seen)}")
    for key, v in seen.items():
        bp.check(v == [(i, i) for i in range(1, 601)], f"{key}: {len(v)} of 600, in order")
    bp.check(j["messages"] == 3600 and j["percent"] == 100, f"sent: {j['messages']}")
    sent = judge.SendLog(log)
    r = judge.account(bag, sent, joined_early=True)
    bp.check(not r.problems and r.sent == r.stored == 3600, f"log and file: {vars(r)}")
    size = {row[3] for rows in sent.sent.values() for row in rows}
    bp.check(size == {2016} and {m[3] for v in bag.messages.values() for m in v} == {2016}, f"sizes: {size}")


def log_is_prompt(d):
    """A line older than 50 ms is in the log, also when sim is killed."""
    log = d / "killed.log"
    s = bp.sim("--topics", "10", "--hz", "500", "--size", "100", domain=DOMAIN, log=log)
    bp.until(lambda: log.exists() and log.stat().st_size > 100000, 20, "sim sends")
    late = []
    for _ in range(40):
        time.sleep(0.037)
        data = log.read_bytes()
        last = data[:data.rfind(b"\n")].rsplit(b"\n", 1)[-1]
        late.append((time.monotonic_ns() - int(last.split()[0])) / 1e6)
    killed = s.kill9()
    bp.check(sorted(late)[len(late) // 2] < 25, f"how old the newest line was, ms: {sorted(late)[-5:]}")
    last = judge.SendLog(log).last_mono()
    bp.check(killed - last < 50e6, f"the log ends {(killed - last) / 1e6} ms before the end")


def domains(d):
    """Robots take turns on the domains."""
    out = d / "two"
    rec = bp.record(out, domain="42,43")
    s = bp.sim("--robots", "2", "--duration", "2s", "--wait-for-readers", "1", "--start-index", "7",
               domain="42,43", log=d / "two.log")
    bp.check(s.wait(30) == 0, s.text())
    rec.stop()
    bag = Bag(out)
    where = {t: [v for k, v in bag.channels[t].items() if k.endswith("domain")] for t in ("/robot7/imu", "/robot8/imu")}
    bp.check(where == {"/robot7/imu": ["42"], "/robot8/imu": ["43"]}, f"domains: {bag.channels}")


def sizes(d):
    """A camera and a lidar as large and quick as one asks."""
    j, out, _ = record(d, "sizes", "--profile", "mixed", "--camera", "1024x576@10", "--lidar", "3200@20", "--duration", "2s",
                       "--reliable-sensors")
    m, _ = load(out)
    image, info, cloud = (m[f"/robot1/{t}"] for t in ("camera/image_raw", "camera/camera_info", "lidar/points"))
    bp.check({(x.width, x.height, len(x.data)) for x in image} == {(1024, 576, 1024 * 576 * 3)}, "pixels")
    bp.check({(x.width, x.height, x.k[0]) for x in info} == {(1024, 576, 720.0)}, "the same field of view")
    bp.check({(x.width * x.height, len(x.data)) for x in cloud} == {(3200, 3200 * 16)}, "points")
    sent = {t["topic"]: t["wanted"] for t in j["topics"]}
    bp.check(18 <= sent["/robot1/camera/image_raw"] <= 21 and 38 <= sent["/robot1/lidar/points"] <= 41, f"rates: {sent}")


def usage():
    for camera in ("1280x720", "500x300@1", "640x480@0", "640x480@15x", "", "640x99999@1"):
        bp.bagpipe("sim", "--camera", camera, "--duration", "1s", ok=(2,))
    for lidar in ("20000", "100@10", "20000@-1", "9999999@1", "x@1"):
        bp.bagpipe("sim", "--lidar", lidar, "--duration", "1s", ok=(2,))
    for words in (["--qos", "some"], ["--qos", "reliable:0"], ["--size", "8", "--topics", "1", "--seq-payload"],
                  ["--domain", "300"], ["--domain", "x"], ["--profile", "none", "word"]):
        bp.bagpipe("sim", *words, "--duration", "1s", ok=(2,))
    status, _, err = bp.bagpipe("sim", "--domain", DOMAIN, "--wait-for-readers", "1", "--wait-timeout", "300ms", ok=None)
    bp.check(status not in (0, 1, 2, 3) and "readers" in err, f"no reader: {status} {err}")
    status, _, err = bp.bagpipe("sim", "--domain", DOMAIN, "--log", "/no/such/log", ok=None)
    bp.check(status not in (0, 1, 2, 3) and "/no/such/log" in err, f"log: {status} {err}")
    status, _, err = bp.bagpipe("sim", "--domain", DOMAIN, "--log", "/dev/full", "--duration", "1s", ok=None)
    bp.check(status not in (0, 1, 2, 3) and "/dev/full" in err, f"full disk: {status} {err}")


def test():
    d = bp.scratch()
    robots(d)
    loads(d)
    log_is_prompt(d)
    domains(d)
    sizes(d)
    usage()


if __name__ == "__main__":
    bp.own_network()
    bp.main(test)
