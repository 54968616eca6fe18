#!/usr/bin/env python3
"""A room includes only rooms below it; libraries that have an owner are included there alone."""
import re

from tree import ROOT, c_files, finish

# a room and what it may include besides itself
ROOMS = {
    "base": (),
    "crypt": ("base",),
    "wire": ("base", "crypt"),
    "dds": ("base", "crypt", "wire"),
    "net": ("base", "crypt", "wire"),
    "media": ("base", "wire"),
    "bag": ("base", "crypt", "wire"),
    "catalog": ("base", "crypt", "wire"),
    "store": ("base", "crypt", "wire", "net"),
    "alert": ("base",),
    "access": ("base", "crypt", "wire", "net", "catalog"),
    "monitor": ("base",),
    "record": ("base", "crypt", "wire", "dds", "bag"),
    "play": ("base", "crypt", "wire", "dds", "bag"),
    "sync": ("base", "crypt", "wire", "net", "bag", "store"),
    "ingest": ("base", "crypt", "wire", "net", "bag", "store", "catalog"),
    "daemon": ("base", "crypt", "wire", "bag", "net", "media", "catalog", "alert", "monitor",
               "access"),
    "web": ("base", "crypt", "net", "access"),
    "agent": ("base", "crypt", "wire", "dds", "bag", "net", "media", "catalog", "alert", "monitor",
              "record", "play", "access", "sync", "web", "daemon"),
    "server": ("base", "crypt", "wire", "bag", "net", "media", "catalog", "store", "alert", "monitor",
               "access", "sync", "ingest", "web", "daemon"),
    "cli": ("base", "crypt", "wire", "dds", "bag", "net", "media", "catalog", "store", "alert", "monitor",
            "record", "play", "access", "sync", "ingest", "daemon", "agent", "server"),
}
# library headers with one owner
OWNERS = {
    r"openssl/": "crypt",
    r"dds/|ddsi/|ddsrt/|dds\.h": "dds",
    r"jpeglib\.h|png\.h": "media",
    r"microhttpd\.h|curl/|wslay/": "net",
    r"n?curses\.h|term\.h": "cli",
}


def check(path):
    room = path.parts[1]
    if room not in ROOMS:
        yield f"{path}: room '{room}' is not in tools/check-layers.py"
        return
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        m = re.match(r'#\s*include\s+(["<])([^">]+)[">]', line)
        if not m:
            continue
        at, name = f"{path}:{number}", m[2]
        if m[1] == "<":
            for pattern, owner in OWNERS.items():
                if re.match(pattern, name) and room != owner and not path.name.startswith("test-"):
                    yield f"{at}: <{name}> belongs to {owner}/"
            continue
        if "/" not in name:
            yield f"{at}: write \"{room}/{name}\""
            continue
        other = name.split("/")[0]
        if other != room and other not in ROOMS[room]:
            yield f"{at}: {room}/ may not include {name}"
        if other != room and name.endswith("-priv.h"):
            yield f"{at}: {name} is private to {other}/"


files = [f for f in c_files("src") if len(f.parts) > 2]
finish([p for f in files for p in check(f)], f"{len(files)} files keep to the layers")
