"""Which packages pay for certain: pairs that match, answers that imply others, legs of one event. Pure.

Law: a package is made only of what a relation proves. An implication gives one bound, not two; NO on several legs needs
an event that is exclusive, YES on every leg one whose set cannot grow besides. Rules may still differ: what the texts
say is a candidate, "read both rules" is part of every reason.
"""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from itertools import permutations
from typing import Final

from agent.core.arbitrage.books import Book, other
from agent.core.arbitrage.packages import Leg, Package
from agent.core.market import complement
from agent.core.matching.judge import Judgement
from agent.core.thresholds import Rung, rungs
from sync.records import ArbitrageKind, Market, MarketStatus, Position, Quote, Relation, Resolution, YesMapsTo

GAP_PRESUMES_OTHER_RULES: Final = 0.15  # on two liquid books; until somebody has compared the rules
INVERSION_NEAR: Final = 0.05
_MIDDLE: Final = (0.40, 0.60)  # where p and 1-p look alike, an inversion cannot be told from agreement
_READ_RULES: Final = "texts agree; read both rules: sources, times, ties and cancellations may differ"


def pair_packages(judgement: Judgement, a: Book, b: Book) -> tuple[Package, ...]:
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
        kind = ArbitrageKind.TEMPORAL if judgement.by_time else ArbitrageKind.RELATED_MARKET
    reasons = (*judgement.reasons, _READ_RULES)
    return tuple(
        Package(kind=kind, legs=tuple(Leg(book, side) for book, side in legs), reasons=reasons) for legs in proven
    )


def event_packages(members: Sequence[tuple[Market, Book | None]]) -> tuple[Package, ...]:
    """NO on the open legs of an exclusive event, and YES on all of them where the set is complete.

    At most one leg can be YES, so NO on any of them pays all but one; that exactly one of the open legs is YES holds
    only where every other has lost and none can be added.

    Args:
        members: every listed market of ONE event; the book of those that trade.
    """
    if not all(market.mutually_exclusive for market, _ in members):
        return ()
    if any(market.resolution is Resolution.YES for market, _ in members):
        return ()  # decided: what is still quoted is a matter of hours
    legs = [book for market, book in members if market.status is MarketStatus.OPEN and book is not None]
    if len(legs) < 2:
        return ()
    packages = list[Package]()
    sellable = [book for book in legs if book.no_asks]
    if len(sellable) > 1:
        packages.append(
            Package(
                kind=ArbitrageKind.HEDGE,
                legs=tuple(Leg(book, Position.NO) for book in sellable),
                payout=Decimal(len(sellable) - 1),
                reasons=(f"at most one of {len(sellable)} can be YES: at least {len(sellable) - 1} NO are paid",),
            )
        )
    lost = [market for market, _ in members if market.resolution is Resolution.NO]
    if len(legs) + len(lost) == len(members) and all(market.open_set is False for market, _ in members):
        packages.append(
            Package(
                kind=ArbitrageKind.HEDGE,
                legs=tuple(Leg(book, Position.YES) for book in legs),
                reasons=(f"exactly one of {len(legs)} legs is YES, and no leg can be added",),
            )
        )
    return tuple(packages)


def ladder_packages(legs: Sequence[tuple[Market, Book]]) -> tuple[Package, ...]:
    """What happens at a harder rung has happened at every easier one: NO on the harder and YES on the easier pay one.

    "Over 9.5" implies "over 8.5", "by June" implies "by July"; read from the words of ONE event's legs, which are the
    same but for the threshold. Exclusive legs are bins and no rungs.
    """
    ladders = defaultdict[str, list[tuple[Rung, Book]]](list)
    for market, book in legs:
        if not market.mutually_exclusive:
            for rung in rungs(market):
                ladders[rung.ladder].append((rung, book))
    return tuple(
        Package(
            kind=ArbitrageKind.TEMPORAL if harder.dated else ArbitrageKind.RELATED_MARKET,
            legs=(Leg(harder_book, Position.NO), Leg(easier_book, Position.YES)),
            reasons=(f"{harder.shown} implies {easier.shown}",),
        )
        for steps in ladders.values()
        for (harder, harder_book), (easier, easier_book) in permutations(steps, 2)
        if (harder.value < easier.value if harder.rising else harder.value > easier.value)
    )


def rough_gap(judgement: Judgement, a: Quote, b: Quote) -> float | None:
    """What the best hedge of a pair leaves before any fee, at the top of both books; None where nothing can be bought.

    Cheap, and never less than what the exact reckoning finds: for sieving thousands of pairs.
    """
    if judgement.yes_maps_to is YesMapsTo.UNCLEAR:
        return None
    b_yes, b_no = b.ask, complement(b.bid)
    if judgement.yes_maps_to is YesMapsTo.NO:
        b_yes, b_no = b_no, b_yes
    hedges = list[tuple[float | None, float | None]]()
    if judgement.relation in (Relation.EQUIVALENT, Relation.A_IMPLIES_B):
        hedges.append((complement(a.bid), b_yes))
    if judgement.relation in (Relation.EQUIVALENT, Relation.B_IMPLIES_A):
        hedges.append((a.ask, b_no))
    gaps = [1.0 - one - two for one, two in hedges if one is not None and two is not None]
    return max(gaps, default=None)


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
