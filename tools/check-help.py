#!/usr/bin/env python3
"""Help pages, errors, manual and completion of every verb. check-help.py BAGPIPE"""
import re
import shutil
import subprocess
import sys

from tree import ROOT, finish

BAGPIPE = sys.argv[1]
WIDTH = 100
HIDDEN = ["man"]
NO_JSON = {"completion", "man"}  # what they print is for a program already
problems = []


def run(*args, stdin=None):
    return subprocess.run([BAGPIPE, *args], input=stdin, capture_output=True, text=True, timeout=20)


def expect(ok, text):
    if not ok:
        problems.append(text)


def check_page(what, r):
    expect(r.returncode == 0, f"{what}: status {r.returncode}")
    expect(r.stdout and not r.stderr, f"{what}: a page goes to stdout, and nothing to stderr")
    for line in r.stdout.splitlines():
        expect(len(line) <= WIDTH, f"{what}: over {WIDTH} columns: {line}")
        expect(line == line.rstrip(), f"{what}: blanks at the end of: {line}")


def check_error(what, r):
    expect(r.returncode == 2, f"{what}: status {r.returncode}, not 2")
    expect(not r.stdout, f"{what}: writes to stdout")
    expect(len(r.stderr.splitlines()) == 1, f"{what}: not one line: {r.stderr!r}")
    expect("--help" in r.stderr, f"{what}: does not say where help is: {r.stderr!r}")


def check_verb(verb):
    r = run(verb, "--help")
    check_page(f"{verb} --help", r)
    expect(run("help", verb).stdout == r.stdout, f"help {verb}: another page than {verb} --help")
    expect("\nExamples:\n" in r.stdout, f"{verb} --help: no examples")
    expect(verb in NO_JSON or "--json" in r.stdout, f"{verb}: no --json")
    for option in re.findall(r"^ {2}(?:-\w, | {4})--([\w-]+)", r.stdout, re.M):
        expect(re.fullmatch(r"[a-z][a-z0-9-]*", option), f"{verb}: odd option --{option}")
    check_error(f"{verb} --no-such-option", run(verb, "--no-such-option"))
    check_man(verb)


def check_man(verb):
    r = run("man", *([verb] if verb else []))
    expect(r.returncode == 0 and r.stdout.startswith(".TH "), f"man {verb}: no page")
    if shutil.which("groff"):
        g = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z"], input=r.stdout,
                           capture_output=True, text=True)
        expect(not g.stderr, f"man {verb}: {g.stderr}")


def complete_bash(*words):
    """What bash would offer for these words, by the script itself."""
    script = run("completion", "bash").stdout + (
        f"\nCOMP_WORDS=({' '.join(repr(w) for w in words)})\nCOMP_CWORD={len(words) - 1}\n_bagpipe\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n")
    r = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd="/")
    expect(r.returncode == 0 and not r.stderr, f"completion bash {words}: {r.stderr}")
    return r.stdout.split()


def check_completion(verbs):
    offered = complete_bash("bagpipe", "")
    expect(set(verbs) <= set(offered), f"completion bash: offers {offered}")
    for verb in verbs:
        options = set(re.findall(r"--[\w-]+", run(verb, "--help").stdout.split("Options:")[1]
                                 .split("Examples:")[0]))
        offered = set(complete_bash("bagpipe", verb, "--"))
        rows = {o for o in options if o in offered}
        expect(offered <= options and "--help" in rows, f"completion bash: {verb} offers {offered}")
    for shell, flag in (("zsh", "-n"), ("fish", "-n")):
        text = run("completion", shell).stdout
        expect(all(v in text for v in verbs), f"completion {shell}: lacks verbs")
        if shutil.which(shell):
            r = subprocess.run([shell, flag], input=text, capture_output=True, text=True)
            expect(r.returncode == 0, f"completion {shell}: {r.stderr}")


def check_readme(verbs):
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text().split("## Verbs")[1]
                      .split("##")[0], re.M)
    expect(set(rows) == set(verbs), f"README.md: the table of verbs has {rows}, the program {verbs}")


page = run("--help")
check_page("--help", page)
listed = re.findall(r"^ {2}([a-z][\w-]*) ", page.stdout.split("Verbs:")[1].split("Options:")[0], re.M)
for verb in listed + HIDDEN:
    check_verb(verb)
check_man("")
check_completion(listed)
if (ROOT / "README.md").exists():
    check_readme(listed)
check_error("no verb", subprocess.run([BAGPIPE, "no-such-verb"], capture_output=True, text=True))
version = run("--version")
expect(re.fullmatch(r"bagpipe \d+\.\d+\.\d+\n", version.stdout), f"--version: {version.stdout!r}")
bare = run()
expect(bare.returncode == 2 and not bare.stdout and bare.stderr == page.stdout, "no words: not the page")
finish(problems, f"{len(listed)} verbs are as they should be")
