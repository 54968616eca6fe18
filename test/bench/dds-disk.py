"""DDS to disk, unthrottled: KEEP_ALL samples of 1 MB, as share of what the disk and DDS alone give.

dds-disk.py [--quick]: in the same minute on the same disk: fio O_DIRECT; `ddsperf sub` without a
disk (the loopback limit); `bagpipe record`. Once with the publisher on Cyclone's defaults, once with
large UDP messages. Goal: 90 % of fio, or of the loopback limit where that is lower; 0 lost.
"""
import json
import re
import signal
import sys
import time

import bp
import judge
import machine
from bag import Bag

DOMAIN = 13
TUNED = ("<CycloneDDS><Domain Id='any'><General><MaxMessageSize>65500B</MaxMessageSize>"
         "<FragmentSize>65000B</FragmentSize></General><Internal><Watermarks><WhcHigh>8MB</WhcHigh>"
         "</Watermarks></Internal></Domain></CycloneDDS>")
TOOLS = bp.BUILD / "test" / "bench"


def fio(folder, gib):
    _, out, _ = bp.run(["fio", "--name=w", f"--directory={folder}", "--rw=write", "--bs=4M", f"--size={gib}G",
                        "--direct=1", "--ioengine=psync", "--end_fsync=1", "--output-format=json"], timeout=600)
    bp.run(["rm", "-f", folder / "w.0.0"])
    return json.loads(out[out.index("{"):])["jobs"][0]["write"]["bw_bytes"] / 1e6


def ddsperf(secs, env):
    sub = bp.Proc(["ddsperf", f"-D{secs + 1}", "sub"], env=env)
    pub = bp.Proc(["ddsperf", f"-D{secs + 1}", "-k", "all", "pub", "size", "1MB"], env=env)
    sub.wait(secs + 20)
    pub.wait(20)
    rates = [float(x) for x in re.findall(r"delta \d+ lost \d+ rate [\d.]+ kS/s ([\d.]+) Mb/s", sub.text())]
    return max(rates, default=0) / 8


def record(folder, secs, env):
    log = folder / "sent.log"
    rec = bp.record(folder / "bag", domain=DOMAIN)
    before = bp.cpu_of(rec.pid)
    pub = bp.Proc([TOOLS / "peer-pub", DOMAIN, log, "size=1000000", "hz=0", "depth=0", f"secs={secs}", "linger=3"],
                  env=env)
    pub.wait(secs + 60)
    rec.stop(timeout=60, sig=signal.SIGINT)
    sent = judge.SendLog(log)
    bag = Bag(folder / "bag", strict=False)
    v = judge.account(bag, sent, joined_early=True)
    for p in v.problems[:3]:
        bp.say(f"  {p}")
    took = json.loads(pub.text().strip().splitlines()[-1])["secs"]
    r = bag.bytes / 1e6 / took, 100 * (sent.count - bag.count) / max(1, sent.count), \
        (rec.cpu_s() - before) * 1e3 / (bag.bytes / 1e6), not v.problems
    bp.run(["rm", "-rf", folder / "bag"])
    return r


def bench():
    secs, gib = (3, 1) if "--quick" in sys.argv else (6, 4)
    bp.need("fio", "ddsperf")
    folder = bp.scratch()
    rows, worst = [], []
    for name, env in (("defaults", {}), ("large UDP messages", {"CYCLONEDDS_URI": TUNED})):
        disk = fio(folder, gib)
        loop = ddsperf(secs, env)
        mbs, lost, cpu, ok = record(folder, secs, env)
        again = fio(folder, gib)
        share = mbs / min((disk + again) / 2, loop)
        worst.append(ok)
        rows.append([name, f"{disk:.0f} / {again:.0f}", f"{loop:.0f}", f"{mbs:.0f}", f"{100 * mbs / ((disk + again) / 2):.0f}",
                     f"{100 * mbs / loop:.0f}", f"{100 * share:.0f}", f"{lost:.2f}", f"{cpu:.2f}"])
        time.sleep(1)
    head = ["publisher", "fio MB/s before / after", "ddsperf MB/s", "bagpipe MB/s", "% of fio", "% of ddsperf",
            "% of the lower", "lost %", "CPU ms/MB"]
    machine.report("dds-disk", f"{machine.describe(folder)}; {secs} s a run, 1 MB KEEP_ALL unthrottled\n\n"
                   + machine.table(head, rows))
    bp.check(all(worst), "the ledger equals the truth")


if __name__ == "__main__":
    machine.raise_rmem()
    bp.own_network()
    bp.main(bench)
