"""Sets of sequence numbers as sorted lists of (first, last)."""


def parse(text):
    out = []
    for part in text.split(","):
        a, _, b = part.strip().partition("-")
        out.append((int(a), int(b or a)))
    return normal(out)


def normal(spans):
    out = []
    for a, b in sorted(spans):
        if out and a <= out[-1][1] + 1:
            if b > out[-1][1]:
                out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


def of(numbers):
    return normal([(n, n) for n in numbers])


def count(spans):
    return sum(b - a + 1 for a, b in spans)


def expand(spans, limit=5_000_000):
    if count(spans) > limit:
        raise ValueError(f"{count(spans)} numbers in spans")
    return {n for a, b in spans for n in range(a, b + 1)}


def show(spans, limit=8):
    t = [f"{a}-{b}" if a != b else f"{a}" for a, b in spans[:limit]]
    return ",".join(t) + (f",… ({len(spans)} ranges)" if len(spans) > limit else "")
