"""Power cuts under the write path: a disk with a volatile cache of which each unflushed sector
survives with half a chance, flushes stretched to 40 ms in half of the runs. What was published as
durable before the cut must be there, message by message, by the producer's own notes. In a third
recovery is killed and run again. Negative control: syncs that do nothing.
"""
import os
import shutil
import subprocess
import time

import bp
import disk
import wp


def promise(path, cut_wall):
    last = 0
    if path.exists():
        for line in path.read_text().splitlines():
            if line.split() and int(line.split()[0]) <= cut_wall:
                last = int(line.split()[0])
    return last


def cut(i, rnd, fault=None):
    folder = bp.scratch("shm")
    (folder / "ring").mkdir()
    delay = 40 if i % 2 else 0
    d = disk.CutDisk(folder / "disk", 192, rnd.randint(1, 1 << 30), sector=rnd.choice([512, 4096]), delay_ms=delay)
    env = {"BAGPIPE_TEST_DURABLE_LOG": str(folder / "durable")}
    if fault:
        env["BAGPIPE_FAULT"] = fault
    mbps, size = rnd.choice([(0.05, 500), (2, 1000), (15, 20000), (25, 0), (40, 300000)])
    args = [f"mbps={mbps}", f"size={size}", f"comp={rnd.choice(['none', 'none', 'lz4', 'zstd'])}", "ring=32", "minfree=4",
            f"split={rnd.choice([8, 24])}", f"threads={rnd.choice([1, 3])}", f"ringdir={folder / 'ring'}"]
    p = bp.Proc([wp.PRODUCER, d.path / "s", folder / "log", *args], env=env)
    bp.until(lambda: wp.offered(folder / "log") > 0 or not p.alive(), 30, "the producer")
    time.sleep(rnd.uniform(0.3, 2.0))
    cut_mono, dirty, kept, _, flushes = d.cut()
    wall = time.time_ns()
    p.kill9()
    shutil.rmtree(folder / "ring")  # memory is gone
    (folder / "ring").mkdir()
    # what was published after the disk was dead is no promise: by the clock of the cut
    at = wall - (time.monotonic_ns() - cut_mono)
    after = d.dead()
    base = [bp.BAGPIPE, "recover", "--ring-dir", folder / "ring", after / "s"]
    if i % 3 == 1:
        subprocess.run(base, env=dict(os.environ, BAGPIPE_FAULT=f"op=*,at={rnd.randint(1, 50)},kill"), capture_output=True)
    r = subprocess.run(base, capture_output=True, text=True)
    durable = promise(folder / "durable", at)
    v = wp.judge(folder, cut_mono, durable, session=after / "s")
    v["recover"] = r.returncode, (r.stdout + r.stderr).strip()
    v["verify"] = subprocess.run([bp.BAGPIPE, "verify", "-q", after / "s"], capture_output=True).returncode
    v["ledger"] = wp.ledger_received(after / "s")
    v["what"] = f"{' '.join(args[:3])} delay={delay}, {dirty} sectors unflushed, {kept} kept"
    v["durable"] = durable
    d.close()
    return folder, v


def one(i, rnd):
    folder, v = cut(i, rnd)
    ok = bp.check(v["rc"] == 0 and v["broken"] == 0 and v["recover"][0] in (0, 3) and v["verify"] == 0 and v["durable"]
                  and v["ledger"] == v["found"],
                  f"cut {i}: {v}")
    bp.say(f"{'ok  ' if ok else 'FAIL'} cut {i}: {v['what']}: {v['accepted']} accepted, {v['missing']} not there, "
           f"oldest {v['worst_ms']} ms")
    if ok:
        wp.clear(folder)


def negative(rnd):
    """With lying syncs the promise must break within a few cuts."""
    for i in range(12):
        folder, v = cut(2 * i, rnd, "op=datasync,skip;op=sync,skip;op=pwrite,path=journal,skip")
        wp.clear(folder)
        if v["broken"]:
            bp.say(f"ok   negative control: syncs and journal skipped, {v['broken']} promises broken at cut {i}")
            return
    bp.fail("negative control: nothing was missed although nothing was synced")


def run():
    bp.own_mounts()
    bp.need("nbdkit", "nbdfuse", "losetup", "mkfs.ext4")
    rnd = bp.seeded()
    for i in range(bp.amount(6, 50, 200)):
        one(i, rnd)
    negative(rnd)


bp.main(run)
