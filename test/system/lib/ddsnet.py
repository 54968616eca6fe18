"""Peers on three DDS stacks in network namespaces of our own, and their logs compared."""
import os
import subprocess
import time
from collections import Counter

import bp

PEERS = {
    "bp": bp.BUILD / "test/system/dds-peer",
    "cyclone": bp.BUILD / "test/interop/peers/cyclone-peer",
    "fast": bp.BUILD / "test/interop/peers/fast-peer",
}


def sh(*args, check=True):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if check and r.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: {r.stderr.strip()}")
    return r.stdout


def need_root():
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "list"], capture_output=True).returncode:
        bp.skip("needs root for network namespaces")


class Hosts:
    """Two hosts "a" and "b" as namespaces; cable() joins them."""

    def __init__(self, tag):
        self.ns = {h: f"dds-{tag}{os.getpid()}{h}" for h in "ab"}
        self.cables = 0
        bp.at_exit(self.close)
        for ns in self.ns.values():
            sh("ip", "netns", "add", ns)
            sh("ip", "-n", ns, "link", "set", "lo", "up")
            sh("ip", "-n", ns, "link", "set", "lo", "multicast", "on")

    def close(self):
        for ns in self.ns.values():
            sh("ip", "netns", "del", ns, check=False)

    def cable(self, up=("a", "b")):
        """One more link; returns its device names per host."""
        k = self.cables
        self.cables += 1
        dev = {h: f"dd{os.getpid()}{h}{k}" for h in "ab"}
        sh("ip", "link", "add", dev["a"], "netns", self.ns["a"], "type", "veth", "peer", "name",
           dev["b"], "netns", self.ns["b"])
        for i, h in enumerate("ab"):
            sh("ip", "-n", self.ns[h], "addr", "add", f"10.78.{k}.{i + 1}/24", "dev", dev[h])
            if h in up:
                sh("ip", "-n", self.ns[h], "link", "set", dev[h], "up")
        if len(up) == 2:
            self.running()
        return dev

    def running(self):
        """Waits until every link runs: Fast DDS never uses one that does not when it starts."""
        for ns in self.ns.values():
            for _ in range(100):
                text = sh("ip", "-n", ns, "addr")
                if "tentative" not in text and "LOWERLAYERDOWN" not in text:
                    break
                settle(0.05)

    def link(self, host, dev, up):
        sh("ip", "-n", self.ns[host], "link", "set", dev, "up" if up else "down")

    def nft(self, host, rule):
        n = ["ip", "netns", "exec", self.ns[host], "nft"]
        sh(*n, "add", "table", "inet", "loss")
        sh(*n, "add", "chain", "inet", "loss", "in", "{ type filter hook input priority 0 ; }")
        sh(*n, "add", "rule", "inet", "loss", "in", *rule.split())

    def no_nft(self, host):
        sh("ip", "netns", "exec", self.ns[host], "nft", "delete", "table", "inet", "loss", check=False)

    def run(self, host, *args, env=None):
        e = dict(os.environ)
        for k in ("CYCLONEDDS_URI", "ROS_LOCALHOST_ONLY", "ROS_DOMAIN_ID"):
            e.pop(k, None)
        e.update(env or {})
        cmd = ["ip", "netns", "exec", self.ns[host], *map(str, args)]
        p = subprocess.Popen(cmd, env=e, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        bp.at_exit(lambda: p.poll() is None and p.kill())
        return p


class Log:
    """Lines of a peer: (guid, seq) with times."""

    def __init__(self, path):
        self.rows = []
        self.bad = 0
        if not os.path.exists(path):
            return
        for line in open(path):
            f = line.split()
            if len(f) == 7 and line.endswith("\n"):
                self.rows.append((f[3], int(f[4]), int(f[0]), int(f[5])))
                self.bad += f[6] != "ok"

    def keys(self):
        return [(g, s) for g, s, *_ in self.rows]

    def guids(self):
        return list(dict.fromkeys(g for g, *_ in self.rows))


class Peer:
    def __init__(self, hosts, host, kind, folder, name, *opts, env=None):
        self.log_path = folder / f"{name}.log"
        self.name = f"{kind} {name}"
        if not os.access(PEERS[kind], os.X_OK):
            bp.skip(f"{PEERS[kind]} is not built")
        self.p = hosts.run(host, PEERS[kind], "--log", self.log_path, *opts, env=env)

    def wait(self, timeout=60):
        try:
            self.out, self.err = self.p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.p.terminate()
            self.out, self.err = self.p.communicate(timeout=20)
            bp.fail(f"{self.name}: not over after {timeout} s")
        return self

    def end(self):
        self.p.terminate()
        return self.wait(20)

    def log(self):
        return Log(self.log_path)


def compare(what, sent, got, missing=0, numbers_only=False, first=None):
    """Each sample once, whole, none that was never sent; at most `missing` not there.

    numbers_only: the receiver cannot tell writers apart. first: samples before it do not count.
    """
    pick = (lambda k: k[1]) if numbers_only else (lambda k: k)
    s = Counter(pick(k) for k in sent.keys() if first is None or k[1] >= first)
    g = Counter(pick(k) for k in got.keys())
    twice = [k for k, n in g.items() if n > s.get(k, 0) and s.get(k, 0) > 0]
    alien = [k for k in g if k not in s and not (first and (k if numbers_only else k[1]) < first)]
    lost = sum((s - g).values())
    ok = bp.check(s, f"{what}: nothing was sent, so nothing is tested")
    ok &= bp.check(not twice, f"{what}: delivered more than once: {twice[:5]}")
    ok &= bp.check(not alien, f"{what}: never sent: {alien[:5]}")
    ok &= bp.check(got.bad == 0, f"{what}: {got.bad} damaged")
    ok &= bp.check(lost <= missing, f"{what}: {lost} of {sum(s.values())} missing, at most {missing} may")
    bp.say(f"{'ok  ' if ok else 'FAIL'} {what}: sent {sum(s.values())}, got {sum(g.values())}, missing {lost}")
    return lost


def settle(seconds):
    time.sleep(seconds)
