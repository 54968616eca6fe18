"""Real S3 servers on loopback: Ceph's radosgw over an OSD in memory, and OpenStack Swift with its s3api.

Both are started from nothing in a scratch folder, on ports that are free, and killed by pid. They are
two implementations of the signature and of multipart uploads that know nothing of each other.
"""
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import bp

ALICE = ("AKALICE", "alicesecret123")
BOB = ("AKBOB", "bobsecret456")


def free_ports(n):
    """n ports side by side that nobody uses now, below those that connections get by themselves."""
    for _ in range(500):
        base = random.randrange(12000, 32000 - n)
        socks = []
        try:
            for i in range(n):
                s = socket.socket()
                socks.append(s)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of one that has ended is free
                s.bind(("127.0.0.1", base + i))
            return base
        except OSError:
            pass
        finally:
            for s in socks:
                s.close()
    raise RuntimeError("no free ports")


def answers(url, context=None):
    try:
        urllib.request.urlopen(url, timeout=5, context=context).read()
        return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def kill(p):
    """These have nothing to save, and take seconds over an orderly end."""
    if p.alive():
        p.kill9()


class Radosgw:
    """One monitor, one OSD in memory, one gateway: 1.5 s. No manager: nothing here needs one."""

    programs = ("radosgw", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "radosgw-admin", "ceph")

    def __init__(self, folder, cert=None, min_part=5 << 20, memory=2 << 30):
        """cert: a file with certificate and key; then self.tls_url speaks TLS too."""
        self.d = folder / "ceph"
        self.d.mkdir()
        for sub in ("mon", "mgr", "osd", "rgw", "log", "run"):
            (self.d / sub).mkdir()
        self.port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.tls_url = f"https://localhost:{self.port + 1}"
        self.conf = self.d / "ceph.conf"
        self.env = {"CEPH_ARGS": f"-c {self.conf}"}
        self.procs = {}
        self._configure(cert, min_part, memory)
        self._make()
        self.start("mon", ["ceph-mon", "-i", "a", "-f"])
        self._run("ceph", "osd", "create", self.osd_id)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", self.osd_id)
        self.start("osd", ["ceph-osd", "-i", "0", "-f"])
        self.start_gateway()
        for name, (key, secret) in (("alice", ALICE), ("bob", BOB)):
            self.admin("user", "create", f"--uid={name}", f"--display-name={name}",
                       f"--access-key={key}", f"--secret-key={secret}")

    def _configure(self, cert, min_part, memory):
        mon = free_ports(120)
        self.fsid, self.osd_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.mon = f"[v2:127.0.0.1:{mon}/0]"
        tls = f" ssl_endpoint=127.0.0.1:{self.port + 1} ssl_certificate={cert}" if cert else ""
        d = self.d
        self.conf.write_text(f"""[global]
fsid = {self.fsid}
mon host = v2:127.0.0.1:{mon}/0
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind port min = {mon + 2}
ms bind port max = {mon + 110}
run dir = {d}/run
admin socket = {d}/run/$name.$pid.asok
pid file = {d}/run/$name.pid
log file = {d}/log/$name.log
crash dir = {d}/run
keyring = {d}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = {memory}
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 0
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd initial require min compat client = luminous
[mon]
mon data = {d}/mon
auth allow insecure global id reclaim = false
[mgr]
mgr data = {d}/mgr
[osd]
osd data = {d}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{self.port}{tls}
rgw thread pool size = 64
rgw data = {d}/rgw
keyring = {d}/keyring
rgw dns name = localhost
rgw crypt require ssl = false
rgw multipart min part size = {min_part}
""")

    def _run(self, *args):
        r = subprocess.run(args, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=60)
        if r.returncode:
            raise RuntimeError(f"{args}: {r.stdout}{r.stderr}")
        return r.stdout

    def _make(self):
        ring = self.d / "keyring"
        caps = {"mon.": ["mon", "allow *"], "client.admin": ["mon", "allow *", "osd", "allow *", "mgr", "allow *"],
                "client.rgw": ["mon", "allow *", "osd", "allow *", "mgr", "allow *"],
                "osd.0": ["mon", "allow profile osd", "osd", "allow *"]}
        for i, (name, cap) in enumerate(caps.items()):
            words = [w for k, v in zip(cap[::2], cap[1::2]) for w in ("--cap", k, v)]
            self._run("ceph-authtool", *(["--create-keyring"] if i == 0 else []), ring, "--gen-key", "-n", name, *words)
        self._run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", self.mon, self.d / "monmap")
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", self.d / "monmap", "--keyring", ring)

    def start(self, name, args):
        self.procs[name] = bp.Proc(args, env=self.env, log=self.d / "log" / f"{name}.out")

    def start_gateway(self):
        self.start("rgw", ["radosgw", "-n", "client.rgw", "-f"])
        bp.until(lambda: answers(self.url) or not self.procs["rgw"].alive(), 60, "radosgw")

    def stop_gateway(self):
        kill(self.procs["rgw"])

    def admin(self, *args):
        return self._run("radosgw-admin", "-n", "client.rgw", *args)

    def stop(self):
        for name in ("rgw", "osd", "mon"):
            if name in self.procs:
                kill(self.procs[name])


class Swift:
    """Proxy, account, container, object, one replica, and memcached: 7 s. Keys hold a ':'."""

    programs = ("swift-proxy-server", "swift-object-server", "swift-ring-builder", "memcached")
    keys = ("alice:alice", "alicesecret123")

    def __init__(self, folder):
        self.d = folder / "swift"
        for sub in ("etc", "srv/d1", "log", "cache"):
            (self.d / sub).mkdir(parents=True)
        self.port = free_ports(5)
        self.url = f"http://127.0.0.1:{self.port}"
        self.procs = []
        etc = self.d / "etc"
        (etc / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n"
                                        "[storage-policy:0]\nname = gold\ndefault = yes\n")
        for i, kind in enumerate(("account", "container", "object"), 1):
            self._ring(kind, self.port + i)
        self._proxy()
        self._start(["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(self.port + 4)], "memcached")
        for kind in ("account", "container", "object"):
            self._start([f"swift-{kind}-server", etc / f"{kind}-server.conf", "-v"], kind)
        self.start_gateway()

    def start_gateway(self):
        self.gateway = self._start(["swift-proxy-server", self.d / "etc" / "proxy-server.conf", "-v"], "proxy")
        bp.until(lambda: answers(f"{self.url}/healthcheck") or not self.gateway.alive(), 90, "swift")

    def stop_gateway(self):
        kill(self.gateway)

    def _start(self, args, name):
        # its own Python, not the one of the tests
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": ""}
        self.procs.append(bp.Proc(args, env=env, log=self.d / "log" / f"{name}.out"))
        return self.procs[-1]

    def _ring(self, kind, port):
        etc = self.d / "etc"
        for words in (["create", "4", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"]):
            subprocess.run(["swift-ring-builder", f"{kind}.builder", *words], cwd=etc, capture_output=True,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, timeout=60)
        (etc / f"{kind}-server.conf").write_text(f"""[DEFAULT]
swift_dir = {etc}
devices = {self.d}/srv
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
log_name = {kind}
recon_cache_path = {self.d}/cache
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
""")

    def _proxy(self):
        filters = {"cache": f"use = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{self.port + 4}",
                   "tempauth": "use = egg:swift#tempauth\nuser_alice_alice = alicesecret123 .admin",
                   "s3api": "use = egg:swift#s3api\nlocation = us-east-1\ndns_compliant_bucket_names = true\n"
                            "s3_acl = false",
                   "versioned_writes": "use = egg:swift#versioned_writes\nallow_object_versioning = true"}
        for name in ("catch_errors", "gatekeeper", "healthcheck", "proxy_logging", "listing_formats", "symlink",
                     "bulk", "copy", "slo", "dlo"):
            filters[name.replace("_", "-") if name == "proxy_logging" else name] = f"use = egg:swift#{name}"
        line = ("catch_errors gatekeeper healthcheck proxy-logging cache listing_formats s3api tempauth bulk copy slo "
                "dlo symlink versioned_writes proxy-logging proxy-server")
        text = f"""[DEFAULT]
swift_dir = {self.d}/etc
bind_ip = 127.0.0.1
bind_port = {self.port}
workers = 0
user = root
[pipeline:main]
pipeline = {line}
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""
        for name, body in filters.items():
            text += f"[filter:{name}]\n{body}\n"
        (self.d / "etc" / "proxy-server.conf").write_text(text)

    def stop(self):
        for p in self.procs:
            kill(p)


def missing(kind):
    """The first program of a server that is not installed, or None."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return next((p for p in kind.programs if not shutil.which(p, path=path)), None)
