"""Which packages pay for certain: pairs that match, answers that imply others, legs of one event. Pure.

Law: a package is made only of what a relation proves. An implication gives one bound, not two; a sum is checked only
over ALL legs of an exclusive event; YES on every leg needs a set that cannot grow. Rules may still differ: what the
texts say is a candidate, "read both rules" is part of every reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Final

from agent.core.arbitrage.books import Book, other
from agent.core.arbitrage.packages import ArbitrageKind, Leg, Package
from agent.core.matching.judge import Judgement, Relation, YesMapsTo
from sync.records import Market, MarketStatus, Position

GAP_PRESUMES_OTHER_RULES: Final = 0.15  # on two liquid books; until somebody has compared the rules
INVERSION_NEAR: Final = 0.05
_MIDDLE: Final = (0.40, 0.60)  # where p and 1-p look alike, an inversion cannot be told from agreement
_READ_RULES: Final = "texts agree; read both rules: sources, times, ties and cancellations may differ"


def pair_packages(judgement: Judgement, a: Book, b: Book, *, temporal: bool = False) -> tuple[Package, ...]:
    """Every hedge a judgement over two markets proves, both directions of an equivalence."""
    if judgement.yes_maps_to is YesMapsTo.UNCLEAR:
        return ()
    mapped = Position.YES if judgement.yes_maps_to is YesMapsTo.YES else Position.NO
    a_then_b = ((a, Position.NO), (b, mapped))  # whatever happens, A is NO or B's side is paid
    b_then_a = ((a, Position.YES), (b, other(mapped)))
    proven = {
        Relation.EQUIVALENT: (a_then_b, b_then_a),
        Relation.A_IMPLIES_B: (a_then_b,),
        Relation.B_IMPLIES_A: (b_then_a,),
    }.get(judgement.relation, ())
    kind = ArbitrageKind.CROSS_PLATFORM
    if judgement.relation is not Relation.EQUIVALENT:
        kind = ArbitrageKind.TEMPORAL if temporal else ArbitrageKind.RELATED_MARKET
    reasons = (*judgement.reasons, _READ_RULES)
    return tuple(
        Package(kind=kind, legs=tuple(Leg(book, side) for book, side in legs), reasons=reasons) for legs in proven
    )


def event_packages(legs: Sequence[tuple[Market, Book]]) -> tuple[Package, ...]:
    """NO on all legs of an exclusive event, and YES on all where the set is complete; () where it proves nothing.

    Args:
        legs: every listed market of ONE event with its book; a resolved one still counts as a member.
    """
    members = [market for market, _ in legs]
    if len(legs) < 2 or not all(market.mutually_exclusive for market in members):
        return ()
    if any(market.status is not MarketStatus.OPEN for market in members):
        return ()  # a decided or untraded leg may be the one that pays
    count = len(legs)
    packages = [
        Package(
            kind=ArbitrageKind.HEDGE,
            legs=tuple(Leg(book, Position.NO) for _, book in legs),
            payout=Decimal(count - 1),
            reasons=(f"at most one of {count} legs can be YES, so at least {count - 1} NO are paid",),
        )
    ]
    if all(market.open_set is False for market in members):
        packages.append(
            Package(
                kind=ArbitrageKind.HEDGE,
                legs=tuple(Leg(book, Position.YES) for _, book in legs),
                reasons=(f"exactly one of {count} legs is YES, and no leg can be added",),
            )
        )
    return tuple(packages)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The same happening by one day."""

    by: date
    book: Book


def term_packages(deadlines: Sequence[Deadline]) -> tuple[Package, ...]:
    """What happened by an earlier day has happened by a later one: NO early and YES late pay at least one together."""
    ordered = sorted(deadlines, key=lambda deadline: deadline.by)
    return tuple(
        Package(
            kind=ArbitrageKind.TEMPORAL,
            legs=(Leg(early.book, Position.NO), Leg(late.book, Position.YES)),
            reasons=(f"by {early.by} implies by {late.by}",),
        )
        for early, late in pairwise(ordered)
        if early.by < late.by
    )


def suspicions(judgement: Judgement, mid_a: float | None, mid_b: float | None) -> tuple[str, ...]:
    """What two prices say against a match the texts suggest, in words."""
    if mid_a is None or mid_b is None or judgement.relation is not Relation.EQUIVALENT:
        return ()
    low, high = _MIDDLE
    mapped = mid_b if judgement.yes_maps_to is YesMapsTo.YES else 1.0 - mid_b
    found = list[str]()
    if abs(mid_a + mapped - 1.0) <= INVERSION_NEAR and not low <= mid_a <= high:
        found.append(f"prices {mid_a:.2f} and {mapped:.2f} add up to one: the questions may be each other's opposite")
    if abs(mid_a - mapped) > GAP_PRESUMES_OTHER_RULES:
        found.append(f"prices {mid_a:.2f} and {mapped:.2f} lie far apart: the rules differ until shown otherwise")
    return tuple(found)
