"""Service calls in both dialects, and none at all where both serve the same name."""
import bp
import ddsnet

DOMAIN = 68
CALL = bp.BUILD / "test/system/dds-call"
FAST = bp.BUILD / "test/interop/peers/fast-server"


def call(hosts, count):
    p = hosts.run("a", CALL, DOMAIN, "call", count)
    out, _ = p.communicate(timeout=120)
    return p.returncode, out.strip()


def stop(p):
    p.terminate()
    return p.communicate(timeout=20)[0]


def test():
    ddsnet.need_root()
    hosts = ddsnet.Hosts("v")
    hosts.cable()

    fast = hosts.run("b", FAST, DOMAIN, 120)
    rc, out = call(hosts, 10)
    bp.check((rc, out) == (0, "called 10"), f"Fast DDS server: {rc} {out}")

    ours = hosts.run("b", CALL, DOMAIN, "serve", 25)
    ddsnet.settle(2)
    rc, out = call(hosts, 1)
    bp.check(rc == 3 and "two DDS vendors" in out, f"both vendors: {rc} {out}")
    served = stop(fast)
    bp.check("served 10" in served and "odd" not in served, f"Fast DDS server: {served}")

    rc, out = call(hosts, 10)
    bp.check((rc, out) == (0, "called 10"), f"server in Cyclone's dialect: {rc} {out}")
    out = ours.communicate(timeout=60)[0]
    bp.check("served 10" in out and "odd" not in out, f"server in Cyclone's dialect: {out}")


bp.main(test)
