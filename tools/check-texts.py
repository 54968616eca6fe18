#!/usr/bin/env python3
"""Tracked files name no machine of ours and no package registry; links in documents lead somewhere;
scripts parse."""
import ast
import re

from tree import ROOT, finish, tracked

FORBIDDEN = {
    r"(?<![\w.~])/(wor[k]|far[m]|home/\w+|root)/": "a path of one machine",
    r"\b(registry\.npmjs|registry\.yarnpkg|pypi\.|files\.pythonhosted|deb\.debian|archive\.ubuntu"
    r"|static\.crates|index\.crates|proxy\.golang)": "a package registry's host",
}


def texts(path):
    try:
        return (ROOT / path).read_text()
    except UnicodeDecodeError:
        return ""


def check_words(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in FORBIDDEN.items():
            if re.search(pattern, line):
                yield f"{path}:{number}: {what}"


def check_links(path, text):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not (ROOT / path.parent / target).exists():
            yield f"{path}: the link to '{target}' leads nowhere"


def check_python(path, text):
    try:
        ast.parse(text)
    except SyntaxError as e:
        yield f"{path}:{e.lineno}: {e.msg}"


problems, count = [], 0
for path in tracked():
    if path.name == "check-texts.py" or "corpus" in path.parts:
        continue
    text = texts(path)
    count += 1
    problems += check_words(path, text)
    if path.suffix == ".md":
        problems += check_links(path, text)
    if path.suffix == ".py":
        problems += check_python(path, text)
finish(problems, f"{count} files looked through")
