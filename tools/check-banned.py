#!/usr/bin/env python3
"""Calls we do not make. The first kind is also poisoned by base/banned.h."""
import re

from tree import ROOT, c_files, code_only, finish

BANNED = {
    "strcpy strcat strncat strncpy sprintf vsprintf stpcpy": "overruns or truncates: bp_buf, snprintf",
    "strtok": "hidden state: strtok_r, strcspn",
    "atoi atol atoll atof": "cannot fail: bp_parse_int, bp_parse_real",
    "gets alloca": "overruns",
    "mktemp tmpnam tempnam": "races: mkstemp, mkdtemp",
    "system popen": "a shell: posix_spawn",
    "rand srand random drand48": "shared state, and no seed anybody knows",
    "localtime gmtime ctime asctime": "shared state: the _r forms",
    "setlocale": "numbers are read and written in the C locale",
    "longjmp setjmp": "jumps over cleanups",
}
PATTERNS = [(re.compile(rf"(?<![\w.>])({'|'.join(names.split())})\s*\("), why)
            for names, why in BANNED.items()]


IN_TESTS = {"system", "popen", "rand", "srand", "random"}  # test-*, and what lies below test/

# libjpeg's errors must not return; between its setjmp() and longjmp() nothing there cleans up
ALLOWED = {"src/media/jpeg.c": {"setjmp", "longjmp"}}


def check(path):
    test = path.parts[0] == "test" or path.name.startswith("test-")
    for number, line in enumerate(code_only((ROOT / path).read_text()).splitlines(), 1):
        for pattern, why in PATTERNS:
            m = pattern.search(line)
            if m and not (test and m[1] in IN_TESTS) and m[1] not in ALLOWED.get(str(path), ()):
                yield f"{path}:{number}: {m[1]}(): {why}"


files = c_files("src")
finish([p for f in files for p in check(f)], f"{len(files)} files without banned calls")
