"""A priced package as a reader gets it: steps, risks, confidence; and what became of the ones shown before. Pure.

Law: every figure is ours, every doubt is a sentence; a gap that texts alone cannot explain is not shown before somebody
has compared the rules; what is not found again ends, with the reason. Nothing here advises an amount: the size is what
the books held. facts: scoring.md 6.1 and 6.3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from agent.core.arbitrage.packages import ASSUMED_SIZE, Edge
from sync.records import (
    Arbitrage,
    ArbitrageKind,
    ArbitrageLeg,
    ArbitrageStatus,
    JudgedBy,
    Market,
    MarketStatus,
    Match,
    Venue,
)

MOST_SHOWN: Final = 50  # at once: more is a fault of ours, not a feast
OLD_BOOK_S: Final = 10  # two books this far apart in age may never have stood side by side
LONG_AGE_S: Final = 120

# What is believed of a package before anything counts against it, in percent.
_BASE: Final = {JudgedBy.TEXT: 50, JudgedBy.RULES: 80, JudgedBy.OPERATOR: 90}
_BASE_OF_EVENT: Final = 85  # one venue, one set of rules
_NO_DEPTH, _ASSUMED, _SUSPECT, _DIFFERENCE, _OLD, _OLDER = 20, 10, 30, 5, 5, 15
_LEAST: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A priced package with what it rests on."""

    edge: Edge
    match: Match | None = None  # None: legs of one event
    suspicions: tuple[str, ...] = ()  # what two prices say against the match

    @property
    def legs(self) -> str:
        """What makes it the same package, as the store names it."""
        return " ".join(sorted(f"{leg.book.market_key}={leg.side}" for leg in self.edge.package.legs))

    @property
    def presumed_other(self) -> bool:
        """Prices say that the questions differ, and nobody has compared the rules."""
        return bool(self.suspicions) and self.match is not None and self.match.judged_by is JudgedBy.TEXT


def shown(
    offers: Sequence[Offer],
    active: Sequence[tuple[str, Arbitrage]],
    markets: Mapping[str, Market],
    unseen: Mapping[str, str],
    *,
    now: datetime,
    new_id: Callable[[], str],
) -> list[Arbitrage]:
    """Everything to be stored: packages as they stand now, and those shown before that ended.

    Args:
        offers: what was priced, in any order; what is below the line or presumed to be another question is left out.
        active: what was shown before, by its legs.
        markets: of every leg, of offers and of what was shown before.
        unseen: market keys whose books could not be looked at, with the reason.
    """
    best = dict[str, Offer]()
    for offer in sorted(offers, key=lambda one: (-one.edge.rate, one.legs)):
        if offer.edge.shown and not offer.presumed_other:
            best.setdefault(offer.legs, offer)
    kept = dict(list(best.items())[:MOST_SHOWN])
    before = dict(active)
    found = [_record(offer, before.get(legs), markets, now, new_id) for legs, offer in kept.items()]
    ended = [
        replace(
            one,
            status=ArbitrageStatus.EXPIRED,
            computed_at=now,
            ended_reason=_why_ended(one, markets, unseen, priced=legs in best),
        )
        for legs, one in active
        if legs not in kept
    ]
    return found + ended


def _why_ended(one: Arbitrage, markets: Mapping[str, Market], unseen: Mapping[str, str], *, priced: bool) -> str:
    for leg in one.legs:
        market = markets.get(leg.market_key)
        if market is None or market.status is not MarketStatus.OPEN:
            return f"{leg.market_key} does not trade any more"
    for leg in one.legs:
        if leg.market_key in unseen:
            return f"not seen: {leg.market_key}: {unseen[leg.market_key]}"
    return "better ones took its place" if priced else "gone: the books leave less than the line we draw"


def _record(
    offer: Offer,
    before: Arbitrage | None,
    markets: Mapping[str, Market],
    now: datetime,
    new_id: Callable[[], str],
) -> Arbitrage:
    edge = offer.edge
    legs = tuple(_legs(edge, markets))
    return Arbitrage(
        arbitrage_id=new_id() if before is None else before.arbitrage_id,
        arbitrage_kind=edge.package.kind,
        status=ArbitrageStatus.ACTIVE,
        detected_at=now if before is None else before.detected_at,
        computed_at=now,
        legs=legs,
        size=edge.size,
        payout_usd=edge.package.payout,
        cost_usd=edge.cost,
        gross_usd=edge.gross,
        fees_usd=edge.fees,
        net_usd=edge.net,
        net_edge=round(float(edge.rate), 6),
        confidence=confidence(offer),
        steps=tuple(_steps(edge, legs)),
        risks=tuple(_risks(offer, markets)),
        reasons=tuple(dict.fromkeys(edge.package.reasons)),
        assumptions=edge.assumptions,
        annualised=None if edge.annualised is None else round(float(edge.annualised), 6),
        pays_at=edge.pays_at,
        match_id=None if offer.match is None else offer.match.match_id,
    )


def _legs(edge: Edge, markets: Mapping[str, Market]) -> list[ArbitrageLeg]:
    return [
        ArbitrageLeg(
            market_key=leg.book.market_key,
            title=_title(markets[leg.book.market_key]),
            side=leg.side,
            price=order.price,
            worst_price=order.worst_price,
            fee_usd=order.fee,
            book_age_s=float(age),
            depth_known=all(level.size is not None for level in leg.book.asks(leg.side)),
            url=markets[leg.book.market_key].url,
        )
        for leg, order, age in zip(edge.package.legs, edge.orders, edge.ages_s, strict=True)
    ]


def _title(market: Market) -> str:
    """The question; Kalshi's legs share their event's title."""
    return f"{market.title} [{market.proposition}]" if market.proposition else market.title


def confidence(offer: Offer) -> int:
    """How likely it is what it looks like, in percent: what the relation rests on, less what speaks against it."""
    edge, match = offer.edge, offer.match
    points = _BASE_OF_EVENT if match is None else _BASE[match.judged_by]
    points -= 0 if edge.depth_known else _NO_DEPTH
    points -= _ASSUMED * sum(1 for leg in edge.package.legs if leg.book.fees.assumption is not None)
    points -= _SUSPECT * len(offer.suspicions)
    points -= 0 if match is None else _DIFFERENCE * len(match.differences)
    oldest = max(edge.ages_s)
    points -= _OLDER if oldest > LONG_AGE_S else _OLD if oldest > OLD_BOOK_S else 0
    return max(points, _LEAST)


def _steps(edge: Edge, legs: Sequence[ArbitrageLeg]) -> list[str]:
    """What would have to be done, in order: the leg with the least depth first, it is the one that goes."""
    first = sorted(legs, key=lambda leg: (leg.depth_known, leg.market_key))
    known = "" if edge.depth_known else f" ({ASSUMED_SIZE} contracts assumed, the depth is not known)"
    steps = ["look at every book and every rules text again: this is how they stood, not how they stand"]
    limit = {leg.market_key: f"{leg.worst_price.normalize():f}" for leg in legs}
    steps += [
        f"buy {edge.size.normalize():f} {leg.side} of {leg.market_key} at {limit[leg.market_key]} at most{known}"
        for leg in first
    ]
    steps.append(f"hold all legs to the end: together they pay at least {edge.package.payout} for each contract")
    return steps


def _risks(offer: Offer, markets: Mapping[str, Market]) -> list[str]:
    edge, match = offer.edge, offer.match
    found = list(offer.suspicions)
    if match is not None:
        found += [f"rules differ ({one.kind}): A {one.quote_a!r}, B {one.quote_b!r}" for one in match.differences]
        if match.judged_by is JudgedBy.TEXT:
            found.append("nobody has compared the rules: sources, times, ties and cancellations may differ")
    venues = {markets[leg.book.market_key].venue for leg in edge.package.legs}
    if venues == {Venue.POLYMARKET, Venue.KALSHI}:
        found.append("a cancelled event can pay half on Polymarket and a fair price or NO on Kalshi")
    if edge.package.kind is ArbitrageKind.HEDGE:
        found.append("an event that is cancelled or annulled may pay no leg in full")
    oldest = max(edge.ages_s)
    if oldest > OLD_BOOK_S:
        found.append(f"the books were not looked at together: the oldest is {oldest:.0f} s old")
    found.append("one leg may be gone before the other is bought; money is bound until the last leg pays")
    return found


def per_contract(one: Arbitrage) -> Decimal:
    """What one contract of each leg earns after fees."""
    return one.net_usd / one.size


def summary(one: Arbitrage) -> str:
    """One line, from our own figures."""
    legs = " and ".join(f"{leg.side} of {leg.title} at {leg.price.normalize():.3f}" for leg in one.legs[:2])
    more = f" and {len(one.legs) - 2} more" if len(one.legs) > 2 else ""
    assumed = "" if all(leg.depth_known for leg in one.legs) else ", depth not known"
    return (
        f"{one.arbitrage_kind.value.replace('_', ' ').lower()}: {legs}{more}; net {100 * one.net_edge:.1f} %"
        f" on {one.cost_usd + one.fees_usd:.2f} USD{assumed}, {one.confidence} % sure"
    )
