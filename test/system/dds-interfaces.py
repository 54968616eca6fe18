"""Interfaces that come late, come in addition, flap or are made anew, while samples flow."""
import bp
import ddsnet

DOMAIN = 65


def start(hosts, d, name, rate, extra=()):
    s = ddsnet.Peer(hosts, "a", "bp", d, name + "-sub", "--sub", "--domain", DOMAIN, "--topic", f"rt/{name}",
                    "--for", 60)
    ddsnet.settle(1)
    p = ddsnet.Peer(hosts, "b", "cyclone", d, name + "-pub", "--domain", DOMAIN, "--topic", f"rt/{name}",
                    "--rate", rate, "--for", 60, "--linger", 0.5, "--wait-for", 1, *extra)
    return s, p


def late(d):
    """Only lo at first, on both sides of time: the link comes up while the recorder runs."""
    hosts = ddsnet.Hosts("l")
    dev = hosts.cable(up=("b",))
    s = ddsnet.Peer(hosts, "a", "bp", d, "late-sub", "--sub", "--domain", DOMAIN, "--topic", "rt/late", "--for", 60)
    ddsnet.settle(1.5)
    hosts.link("a", dev["a"], True)
    ddsnet.settle(2)
    p = ddsnet.Peer(hosts, "b", "cyclone", d, "late-pub", "--domain", DOMAIN, "--topic", "rt/late",
                    "--rate", 100, "--count", 300, "--wait-for", 1).wait()
    s.end()
    ddsnet.compare("late interface", p.log(), s.log())
    bp.check("came up and is used now" in s.err, "late interface: no notice")


def second(d):
    """A second link comes up beside the first: no gap, nothing twice, then the first one goes."""
    hosts = ddsnet.Hosts("s")
    first = hosts.cable()
    other = hosts.cable(up=("b",))
    s, p = start(hosts, d, "second", 500)
    ddsnet.settle(3)
    hosts.link("a", other["a"], True)
    ddsnet.settle(6)
    p.end()
    s.end()
    ddsnet.compare("second interface", p.log(), s.log())
    bp.check("came up and is used now" in s.err, "second interface: no notice")
    bp.check(first is not None, "")


def flap(d):
    """Down and up again, reliable: what was sent meanwhile comes from the writer's history."""
    hosts = ddsnet.Hosts("f")
    dev = hosts.cable()
    s, p = start(hosts, d, "flap", 50, ("--depth", 1000))
    ddsnet.settle(3)
    for _ in range(3):
        hosts.link("a", dev["a"], False)
        ddsnet.settle(0.3)
        hosts.link("a", dev["a"], True)
        ddsnet.settle(2.5)
    ddsnet.settle(2)
    p.end()
    s.end()
    ddsnet.compare("flapping interface", p.log(), s.log())


def anew(d):
    """The device is deleted and made again (a USB adapter): same name and address, new device."""
    hosts = ddsnet.Hosts("n")
    dev = hosts.cable()
    s = ddsnet.Peer(hosts, "a", "bp", d, "anew-sub", "--sub", "--domain", DOMAIN, "--topic", "rt/anew", "--for", 60)
    ddsnet.settle(1)
    ddsnet.sh("ip", "-n", hosts.ns["a"], "link", "del", dev["a"])
    ddsnet.settle(2)
    hosts.cables = 0
    hosts.cable()
    ddsnet.settle(2.5)
    p = ddsnet.Peer(hosts, "b", "fast", d, "anew-pub", "--domain", DOMAIN, "--topic", "rt/anew", "--rate", 100,
                    "--count", 200, "--wait-for", 1, "--profile", "udp").wait()
    s.end()
    ddsnet.compare("new device", p.log(), s.log())


def loss(d):
    """Packets are dropped: reliable loses nothing, of best effort exactly the gaps are missing."""
    hosts = ddsnet.Hosts("x")
    hosts.cable()
    hosts.nft("a", "meta l4proto udp numgen random mod 100 < 3 drop")
    s, p = start(hosts, d, "lossrel", 100, ("--depth", 1000))
    ddsnet.settle(5)
    p.end()
    s.end()
    ddsnet.compare("3 % loss, reliable", p.log(), s.log())
    s, p = start(hosts, d, "lossbe", 200, ("--best-effort", "--size", 20000))
    ddsnet.settle(5)
    p.end()
    s.end()
    lost = ddsnet.compare("3 % loss, best effort", p.log(), s.log(), missing=1000000)
    bp.check(lost > 0, "best effort under loss lost nothing: the test does not test")


def test():
    ddsnet.need_root()
    d = bp.scratch()
    for case in (late, second, flap, anew, loss):
        case(d)


bp.main(test)
