"""What the lints share: the tracked files, and how a lint ends."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked(*suffixes):
    """Tracked and new files (not ignored ones), relative to the root."""
    out = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "-c", "-o", "--exclude-standard"],
                         capture_output=True, check=False).stdout.decode()
    names = sorted(set(filter(None, out.split("\0"))))
    if not names:  # an unpacked release: no git
        names = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
                       if p.is_file() and "build" not in p.relative_to(ROOT).parts[:1])
    files = [Path(n) for n in names if (ROOT / n).is_file()]
    return [f for f in files if f.suffix in suffixes] if suffixes else files


def c_files(*under):
    """C sources and headers below src and test, or the given folders."""
    return [f for f in tracked(".c", ".h") if f.parts[0] in (under or ("src", "test"))]


def code_only(text):
    """The same text with comments and literals blanked, line by line as before."""
    out, i, n = [], 0, len(text)
    while i < n:
        two = text[i:i + 2]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
        elif two == "//":
            end = text.find("\n", i)
            end = n if end < 0 else end
        elif text[i] in "\"'":
            end = i + 1
            while end < n and text[end] != text[i] and text[end] != "\n":
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, n)
        else:
            out.append(text[i])
            i += 1
            continue
        out.append("".join(c if c == "\n" else " " for c in text[i:end]))
        i = end
    return "".join(out)


def finish(problems, good):
    """Prints problems and leaves with 1, or says what is good."""
    for p in problems:
        print(p)
    print(f"{len(problems)} problems" if problems else good)
    sys.exit(1 if problems else 0)
