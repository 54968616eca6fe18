#!/usr/bin/env python3
"""Builds every variant of the tree, runs its tests, counts them.

The last line is "N passed, N failed, N skipped": single cases, where a test program tells its cases
(TAP). A skip must be allowed by test/SKIPS; any other counts as failed. Called by ./run test, ./run
lint and .ci/run.
"""
import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CI = bool(os.environ.get("CI"))


class Variant:
    """One way of building: a folder below build/, what meson is told, which tests run there."""

    def __init__(self, name, about, suites, args=(), env=None, test_env=None, wrapper=None, arch=None,
                 without=(), patience=1):
        self.name, self.about, self.suites, self.args = name, about, suites, list(args)
        self.env, self.test_env, self.wrapper, self.arch = env or {}, test_env or {}, wrapper, arch
        self.without = without  # patterns of tests that cannot run there
        self.patience = patience  # how much slower programs are there: multiplies the time limits
        if patience > 1:
            self.test_env.setdefault("BP_QUICK", "1")  # for tests that can do less and say the same
        self.dir = ROOT / "build" / ("" if name == "gcc" else name)


def supp(tool):
    return ROOT / "test" / f"{tool}.supp"


VARIANTS = {v.name: v for v in (
    Variant("gcc", "gcc, release", ["unit", "system"]),
    Variant("asan", "address and undefined behaviour sanitizers", ["unit"],
            ["-Dweb=false", "-Dbuildtype=debugoptimized", "-Db_sanitize=address,undefined"], patience=4,
            without=["examples/*"],  # a program without sanitizers that loads a library with them
            test_env={"ASAN_OPTIONS": "halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=1",
                      "LSAN_OPTIONS": f"suppressions={supp('lsan')}:print_suppressions=0",
                      "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:print_stacktrace=1"}),
    # some kernels place libraries where the thread sanitizer cannot map its shadow: no randomisation
    Variant("tsan", "thread sanitizer", ["unit"],
            ["-Dweb=false", "-Dbuildtype=debugoptimized", "-Db_sanitize=thread", "-Dc_args=-Wno-tsan"],
            wrapper="setarch -R", patience=6,
            # one thread each
            without=["wire/*", "*/corpus-*", "base/decimal", "bag/verify", "bag/sqlite", "bag/metadata",
                     "examples/*"],  # a program without the sanitizer that loads a library with it
            test_env={"TSAN_OPTIONS": f"halt_on_error=1:suppressions={supp('tsan')}"}),
    Variant("clang", "clang, -Wthread-safety", ["unit"], ["-Dweb=false"], env={"CC": "clang"}, patience=2),
    # qemu-user shows its own memory map, runs children natively, and is too slow for all failures twice
    Variant("i386", "32 bit", ["unit"], ["-Dportable_only=true"], arch="i386", patience=10,
            without=["crypt/secretmem", "bag/failures-sealed"]),
    Variant("s390x", "big-endian", ["unit"], ["-Dportable_only=true"], arch="s390x", patience=10,
            without=["crypt/secretmem", "bag/failures-sealed"]),
    Variant("arm64", "arm64, with dds", ["unit"], ["-Dweb=false"], arch="arm64", patience=10,
            without=["dds/*"]),  # qemu-user refuses IP_MULTICAST_IF: compiled and linked only
)}


class Counts:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.remarks = []

    def fail(self, text):
        self.failed += 1
        self.remarks.append(f"FAILED  {text}")


def allowed_skips():
    """Rows of test/SKIPS: test name pattern, pattern of the reason, why that is right."""
    path = ROOT / "test" / "SKIPS"
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            name, reason, why = (f.strip() for f in line.split("|", 2))
            rows.append((name, reason, why))
    return rows


def count_skip(counts, allowed, name, reason):
    if any(fnmatch.fnmatch(name, n) and re.search(r, reason) for n, r, _ in allowed):
        counts.skipped += 1
        counts.remarks.append(f"skipped {name}: {reason}")
    else:
        counts.fail(f"{name}: skipped, and test/SKIPS does not allow it: {reason}")


def why(record):
    """What a failed test said last, again at the end: its place in a log of thousands of lines is far."""
    lines = [l for k in ("stdout", "stderr") for l in (record.get(k) or "").splitlines()]
    bad = [l for l in lines if re.search(r"^FAIL|Error|ERROR|not ok|SUMMARY:", l)]
    return [f"    {l[:300]}" for l in (bad[:8] or lines[-8:])]


def count_test(counts, allowed, variant, record):
    """One line of meson's log: a program, with cases if it speaks TAP."""
    name = f"{variant.name}: {record['name']}"
    out = record.get("stdout") or ""
    cases = re.findall(r"^(ok|not ok)\b[ \d]*(?:- )?([^#\n]*)(#\s*SKIP\b.*)?$", out, re.M | re.I)
    if record["result"] == "SKIP":
        lines = [l for l in out.splitlines() if "SKIP" in l.upper()] or out.splitlines() or ["no reason"]
        count_skip(counts, allowed, record["name"], lines[-1])
        return
    ok = record["result"] in ("OK", "EXPECTEDFAIL")
    if not cases:
        if ok:
            counts.passed += 1
        else:
            counts.fail(f"{name} ({record['result'].lower()})")
            counts.remarks += why(record)
        return
    bad = 0
    for verdict, case, skip in cases:
        if skip:
            count_skip(counts, allowed, record["name"], f"{case.strip()} {skip}")
        elif verdict == "ok":
            counts.passed += 1
        else:
            bad += 1
            counts.fail(f"{name}: {case.strip()}")
    if not ok and not bad:  # it crashed, or a sanitizer spoke behind the last case
        counts.fail(f"{name} ({record['result'].lower()}, status {record.get('returncode')})")
    if not ok:
        counts.remarks += why(record)


def quiet(cmd, env=None):
    """Runs cmd; its output is shown only when it fails."""
    r = subprocess.run(cmd, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if r.returncode != 0:
        print(r.stdout[-20000:], f"failed: {' '.join(map(str, cmd))}", sep="\n", flush=True)
    return r.returncode == 0


def build(v, targets=()):
    args = list(v.args)
    if v.arch:
        if not quiet(["bash", "tools/sysroot.sh", v.arch]):
            return False
        args += ["--cross-file", str(ROOT / "build" / "sysroot" / f"{v.arch}.cross")]
    if not (v.dir / "build.ninja").exists():
        if not quiet(["meson", "setup", str(v.dir), "-Dwerror=true", *args], v.env):
            return False
    return quiet(["ninja", "-C", str(v.dir), *targets], v.env)


def names_of(v, suites):
    """The tests of these suites without those that cannot run in this build."""
    cmd = ["meson", "test", "-C", str(v.dir), "--no-rebuild", "--list"]
    cmd += [a for s in suites for a in ("--suite", s)]
    out = subprocess.run(cmd, cwd=ROOT, capture_output=True, text=True).stdout
    names = [l.split(" / ")[-1] for l in out.splitlines() if "/" in l and ": " not in l]
    return [n for n in names if not any(fnmatch.fnmatch(n, p) for p in v.without)]


def asked_for(v, names, counts):
    """Full names of tests asked for by their last part or by a pattern: "sync", "system/sync", "sync/*"."""
    cmd = ["meson", "test", "-C", str(v.dir), "--no-rebuild", "--list"]
    out = subprocess.run(cmd, cwd=ROOT, capture_output=True, text=True).stdout
    known = [l.split(" / ")[-1] for l in out.splitlines() if "/" in l and ": " not in l]
    found = []
    for name in names:
        got = [k for k in known if fnmatch.fnmatch(k, name)] or [k for k in known if fnmatch.fnmatch(k.split("/")[-1], name)]
        if not got:
            counts.fail(f"{v.name}: no test is called '{name}'; meson test -C {v.dir} --list shows all")
        found += [k for k in got if k not in found]
    return found


def run_tests(v, suites, names, counts, allowed, env):
    wrapped = "-" + v.wrapper.split()[0] if v.wrapper else ""
    log = v.dir / "meson-logs" / f"suite{wrapped}.json"
    if names:
        names = asked_for(v, names, counts)
        if not names:
            return
    elif v.without:
        names = names_of(v, suites)
    log.unlink(missing_ok=True)
    cmd = ["meson", "test", "-C", str(v.dir), "--no-rebuild", "--logbase", "suite", "--print-errorlogs"]
    cmd += [a for s in suites for a in ("--suite", s)]
    cmd += ["--timeout-multiplier", str(4 * v.patience)]  # meson's 30 s are short on a busy machine
    cmd += ["--wrapper", v.wrapper] if v.wrapper else []
    full = {**os.environ, **v.test_env, **env, "BP_BUILD": str(v.dir),
            "BP_VENV": str(ROOT / "build" / "venv"), "BP_NPM": str(ROOT / "build" / "npm")}
    r = subprocess.run([*cmd, *names], cwd=ROOT, env=full, stdin=subprocess.DEVNULL)
    records = [json.loads(l) for l in log.read_text().splitlines()] if log.exists() else []
    for record in records:
        count_test(counts, allowed, v, record)
    if not records and (r.returncode != 0 or names):
        counts.fail(f"{v.name}: no test ran")


def parse_args():
    p = argparse.ArgumentParser(prog="./run test", description=__doc__.splitlines()[0])
    p.add_argument("--unit", action="store_true", help="only unit tests")
    p.add_argument("--system", action="store_true", help="only system tests")
    p.add_argument("--lint", action="store_true", help="only lints")
    for name in ("asan", "tsan", "clang", "i386", "s390x", "arm64", "cross"):
        p.add_argument(f"--{name}", action="store_true", help="only this build")
    p.add_argument("--full", action="store_true", help="the big counts, every build")
    p.add_argument("--slow", action="store_true", help="the hours")
    p.add_argument("--ci", action="store_true", help="lints first, then everything")
    p.add_argument("names", nargs="*", help="only these tests, in the plain build")
    return p.parse_args()


def plan(a):
    """[(variant, suites)] in the order they run."""
    only = [n for n in VARIANTS if getattr(a, n, False)]
    if a.cross:
        only += ["i386", "s390x", "arm64"]
    lints = [(VARIANTS["gcc"], ["lint", "tidy"])]
    if a.lint:
        return lints
    if a.names:
        return [(VARIANTS[n], []) for n in only or ["gcc"]]
    chosen = [s for s in ("unit", "system") if getattr(a, s)]
    if only:
        return [(VARIANTS[n], chosen or VARIANTS[n].suites) for n in only]
    if chosen:
        return [(VARIANTS["gcc"], chosen)]
    if a.slow:
        return [(VARIANTS["gcc"], ["system"])]
    names = ["gcc", "asan", "tsan"] + (["clang", "i386", "s390x", "arm64"] if a.full else [])
    steps = [(VARIANTS[n], VARIANTS[n].suites) for n in names]
    return (lints if a.ci else []) + steps


def main():
    a = parse_args()
    env = {**({"BP_FULL": "1"} if a.full else {}), **({"BP_SLOW": "1"} if a.slow else {})}
    counts, allowed = Counts(), allowed_skips()
    start = time.monotonic()
    for v, suites in plan(a):
        began = time.monotonic()
        print(f"== {v.name}: {v.about}{': ' + ', '.join(suites) if suites else ''}", flush=True)
        if not build(v):
            counts.fail(f"{v.name}: does not build")
            continue
        built = time.monotonic()
        run_tests(v, suites, a.names, counts, allowed, env)
        print(f"== {v.name}: built in {built - began:.0f} s, tested in {time.monotonic() - built:.0f} s\n",
              flush=True)
    print(*counts.remarks, sep="\n")
    print(f"{(time.monotonic() - start) / 60:.1f} min")
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped", flush=True)
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
