"""Network namespaces with names of our own, joined by veth; removed at the end."""
import subprocess

import bp


def sh(*args, check=True):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if check and r.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: {r.stderr.strip()}")
    return r.stdout


class Pair:
    """Two namespaces A and B with one link; addresses 10.77.0.1 and .2."""

    def __init__(self, tag="bp"):
        import os

        self.a, self.b = f"proof-{tag}{os.getpid()}a", f"proof-{tag}{os.getpid()}b"
        self.va, self.vb = f"pf{os.getpid()}a"[:15], f"pf{os.getpid()}b"[:15]
        bp.at_exit(self.close)
        for ns in (self.a, self.b):
            sh("ip", "netns", "add", ns)
            sh("ip", "-n", ns, "link", "set", "lo", "up")
            sh("ip", "-n", ns, "link", "set", "lo", "multicast", "on")
        sh("ip", "link", "add", self.va, "netns", self.a, "type", "veth", "peer", "name", self.vb,
           "netns", self.b)
        for ns, v, ip in ((self.a, self.va, 1), (self.b, self.vb, 2)):
            sh("ip", "-n", ns, "addr", "add", f"10.77.0.{ip}/24", "dev", v)
            sh("ip", "-n", ns, "link", "set", v, "up")

    def close(self):
        for ns in (self.a, self.b):
            sh("ip", "netns", "del", ns, check=False)

    def link(self, up, side="a"):
        ns, v = (self.a, self.va) if side == "a" else (self.b, self.vb)
        sh("ip", "-n", ns, "link", "set", v, "up" if up else "down")

    def drop(self, ns, per_mille, min_length=0):
        """Randomly drops arriving UDP packets (of at least min_length bytes) in ns."""
        nft = ["ip", "netns", "exec", ns, "nft"]
        sh(*nft, "add", "table", "inet", "loss")
        sh(*nft, "add", "chain", "inet", "loss", "in", "{ type filter hook input priority 0 ; }")
        size = ["udp", "length", ">", str(min_length)] if min_length else []
        sh(*nft, "add", "rule", "inet", "loss", "in", "meta", "l4proto", "udp", *size, "numgen", "random",
           "mod", "1000", "<", str(per_mille), "counter", "drop")

    def undrop(self, ns):
        sh("ip", "netns", "exec", ns, "nft", "delete", "table", "inet", "loss", check=False)

    def dropped(self, ns):
        out = sh("ip", "netns", "exec", ns, "nft", "list", "table", "inet", "loss", check=False)
        for line in out.splitlines():
            w = line.split()
            if "counter" in w and "packets" in w:
                return int(w[w.index("packets") + 1])
        return 0
