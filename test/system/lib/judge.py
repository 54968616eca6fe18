"""Says from outside whether a recording tells the truth: senders' logs against file and ledger."""
import threading
import time
from collections import Counter, defaultdict

import spans


class SendLog:
    """A sender's own log. One line per sample, written after the fact:
    mono_ns wall_ns topic guid sequence size"""

    def __init__(self, *paths):
        self.sent = defaultdict(list)  # (guid, topic) -> [(seq, mono, wall, size)]
        self.count = 0
        for p in paths:
            for line in open(p, errors="replace"):
                f = line.split()
                if len(f) < 6 or not f[0].isdigit() or not line.endswith("\n"):
                    continue
                self.sent[(f[3].lower(), f[2])].append((int(f[4]), int(f[0]), int(f[1]), int(f[5])))
                self.count += 1

    def last_mono(self):
        return max((v[-1][1] for v in self.sent.values()), default=0)


class Result:
    def __init__(self):
        self.sent = self.stored = self.lost = self.before = self.missing = 0
        self.missing_ns = 0  # oldest missing sample's age at the deadline
        self.problems = []

    def bad(self, text):
        self.problems.append(text)


def account(bag, log, until_mono=None, until_wall=None, tolerate_tail=False, joined_early=False):
    """Every sample in `log` sent before the deadline must be stored, or have a fate in the ledger.

    joined_early: the recorder was there before the writers, so nothing may be older than its first.
    tolerate_tail: samples missing behind the last one known of a writer are counted, not a problem.
    """
    r = Result()
    by_topic = defaultdict(list)
    for (guid, topic) in log.sent:
        by_topic[topic].append(guid)
    for topic, guids in by_topic.items():
        in_file = Counter(bag.seqs(topic))
        want_in_file = Counter()
        for guid in guids:
            one(bag, log, guid, topic, r, want_in_file, until_mono, until_wall, tolerate_tail,
                joined_early)
        if in_file != want_in_file:
            more, less = in_file - want_in_file, want_in_file - in_file
            r.bad(f"{topic}: file and ledger differ: only in file {spans.show(spans.of(more))}, "
                  f"only in ledger {spans.show(spans.of(less))}")
    return r


def one(bag, log, guid, topic, r, want_in_file, until_mono, until_wall, tolerate_tail, joined_early):
    rows = log.sent[(guid, topic)]
    sent = {s for s, *_ in rows}
    src = bag.ledger.get((guid, topic))
    r.sent += len(sent)
    if src is None:
        due = [s for s, mono, wall, _ in rows if before(mono, wall, until_mono, until_wall)]
        if due:
            r.missing += len(due)
            if not tolerate_tail:
                r.bad(f"{topic} {guid}: {len(due)} sent, the ledger does not know the writer")
        return
    received = spans.expand(src.received)
    control = spans.expand(src.lost["control"])  # used up, but no message
    lost = spans.expand(spans.normal(sum(src.lost.values(), []))) - control
    late = spans.expand(src.late)
    want_in_file.update(s & 0xFFFFFFFF for s in received)
    r.stored += len(received & sent)
    r.lost += len(lost & sent)
    if received & lost:
        r.bad(f"{topic}: both stored and lost: {spans.show(spans.of(received & lost))}")
    if received - sent:
        r.bad(f"{topic}: stored but never sent: {spans.show(spans.of(received - sent))}")
    if lost - sent:
        r.bad(f"{topic}: reported lost but never sent: {spans.show(spans.of(lost - sent))}")
    if control & sent:
        r.bad(f"{topic}: sent as messages, ledgered as control: {spans.show(spans.of(control & sent))}")
    known = received | lost | late | control
    first = min(received | lost, default=0)
    last = max(known, default=0)
    missing = []
    for s, mono, wall, _ in rows:
        if s in known or not before(mono, wall, until_mono, until_wall):
            continue
        if s < first and not joined_early:
            r.before += 1
        elif s > last and tolerate_tail:
            r.missing += 1
        else:
            missing.append(s)
            if until_mono:
                r.missing_ns = max(r.missing_ns, until_mono - mono)
            if until_wall:
                r.missing_ns = max(r.missing_ns, until_wall - wall)
    if missing:
        r.missing += len(missing)
        r.bad(f"{topic}: sent in time, neither stored nor in the ledger: "
              f"{spans.show(spans.of(missing))} (known {first}-{last})")


def before(mono, wall, until_mono, until_wall):
    return (until_mono is None or mono <= until_mono) and (until_wall is None or wall <= until_wall)


class Canary(threading.Thread):
    """Notes how late a thread that sleeps 1 ms wakes up, to tell a busy machine from a bug."""

    def __init__(self):
        super().__init__(daemon=True)
        self.late = []  # (mono ns, lateness ns), of more than 5 ms
        self.stop_it = False
        self.start()

    def run(self):
        while not self.stop_it:
            a = time.monotonic_ns()
            time.sleep(0.001)
            b = time.monotonic_ns()
            if b - a > 6_000_000:
                self.late.append((b, b - a))

    def worst_ms(self, since_ns=0):
        return max((n for t, n in self.late if t >= since_ns), default=0) / 1e6
