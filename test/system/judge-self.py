"""The judge itself: it accepts a truthful recording and objects to every kind of lie.

Needs no program: recordings are made up here. If this test cannot fail, none of the others can.
"""
import sys
from collections import defaultdict

import bag
import judge
import spans

G, T = "01" * 16, "/t"


def made_up():
    """100 samples sent every 10 ms; 1-90 known: 20-24 lost on the way, 40 refused by the ring."""
    log = judge.SendLog()
    log.sent[(G, T)] = [(s, s * 10_000_000, s * 10_000_000, 8) for s in range(1, 101)]
    b = bag.Bag.__new__(bag.Bag)
    b.messages, b.ledger = defaultdict(list), defaultdict(bag.Source)
    src = b.ledger[(G, T)]
    src.received = [(1, 19), (25, 39), (41, 90)]
    src.lost["transport"], src.lost["ring"] = [(20, 24)], [(40, 40)]
    b.messages[T] = [(s, 0, 0, 8) for s in sorted(spans.expand(src.received))]
    return b, log


def verdict(change, **kw):
    b, log = made_up()
    change(b, log)
    return judge.account(b, log, **{"until_mono": 900_000_000, **kw})


def drop_from_file(b, log):
    b.messages[T].pop(50)


def doubled_in_file(b, log):
    b.messages[T].append(b.messages[T][3])


def forget_gap(b, log):
    b.ledger[(G, T)].lost["transport"] = [(20, 23)]


def both_fates(b, log):
    b.ledger[(G, T)].lost["disk"] = [(30, 30)]


def invented(b, log):
    b.ledger[(G, T)].received[-1] = (41, 120)


def cut_tail(b, log):
    b.ledger[(G, T)].received[-1] = (41, 80)
    b.messages[T] = b.messages[T][:-10]


def unknown_writer(b, log):
    b.ledger.clear()
    b.messages.clear()


def lost_never_sent(b, log):
    b.ledger[(G, T)].lost["transport"] = [(20, 24), (130, 131)]


def late_join(b, log):
    b.ledger[(G, T)].received[0] = (5, 19)
    b.messages[T] = b.messages[T][4:]


def main():
    problems = []
    r = verdict(lambda b, log: None)
    if r.problems or (r.sent, r.stored, r.lost, r.missing) != (100, 84, 6, 0):
        problems.append(f"the truth was not believed: {vars(r)}")
    for lie in (drop_from_file, doubled_in_file, forget_gap, both_fates, invented, cut_tail, unknown_writer,
                lost_never_sent):
        if not verdict(lie).problems:
            problems.append(f"{lie.__name__} was believed")
    if verdict(late_join).problems or verdict(late_join).before != 4:
        problems.append("a late join is no lie")
    if not verdict(late_join, joined_early=True).problems:
        problems.append("joined_early: a late join was believed")
    tail = verdict(cut_tail, tolerate_tail=True)
    if tail.problems or tail.missing != 10:
        problems.append(f"tolerate_tail: {vars(tail)}")
    if spans.show(spans.normal(spans.parse("5,1-3,4") + [(9, 9)])) != "1-5,9":
        problems.append("spans")
    print("\n".join(problems) or "the judge believes the truth and no lie")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
