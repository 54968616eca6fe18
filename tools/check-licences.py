"""THIRD-PARTY.md lists what the dashboard's bundle holds. Run by `meson test`; --fix writes the list.

The bundle's licenses.txt, with each package's text, is made by web/licences.js from the modules that are in it; this
compares its packages with the table, and that each licence there has a text.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "web" / "dist" / "licenses.txt"
PAGE = ROOT / "THIRD-PARTY.md"
BEGIN = "## In the dashboard"
INTRO = """
Bundled into the program unless it is built with `-Dweb=false`; the texts of the licences are at `licenses.txt` of the
dashboard. The list is checked against the bundle by `tools/check-licences.py`.
"""


def bundled():
    """-> {licence: [package]}, and what is wrong"""
    found, bad = {}, []
    for part in BUNDLE.read_text().split("\n" + "-" * 80 + "\n"):
        rows = re.findall(r"^((?:@[\w.-]+/)?[\w.-]+) [\w.+-]+ \(([^()]+(?:\([^()]*\)[^()]*)*)\)$", part, re.M)
        text = part.split(")\n\n", 1)[-1].strip()
        if not rows:
            bad.append(f"{BUNDLE.name}: no package in '{part[:60]}'")
        for name, licence in rows:
            found.setdefault(licence, set()).add(name)
            if len(text) < 200 or "opyright" not in text and "public domain" not in text:
                bad.append(f"{BUNDLE.name}: {name} has no text: '{text[:60]}'")
    return found, bad


def section(found):
    rows = [f"| {licence} | {', '.join(sorted(names))} |" for licence, names in sorted(found.items())]
    return "\n".join([BEGIN, INTRO, "| Licence | Packages |", "|---|---|", *rows]) + "\n\n"


def main():
    if not BUNDLE.exists():
        print("web/dist is not there: the program was built without the dashboard")
        return 77
    found, bad = bundled()
    text = PAGE.read_text()
    old = re.search(rf"^{BEGIN}\n.*?(?=^## )", text, re.M | re.S)
    if not old:
        print(f"{PAGE.name} has no '{BEGIN}'")
        return 1
    if "--fix" in sys.argv:
        PAGE.write_text(text[:old.start()] + section(found) + text[old.end():])
    elif old[0] != section(found):
        bad.append(f"{PAGE.name} is not what is bundled: tools/check-licences.py --fix")
    print("\n".join(bad) or f"{sum(map(len, found.values()))} packages are listed with their licences")
    return 1 if bad else 0


sys.exit(main())
