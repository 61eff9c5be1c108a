"""Legs of which exactly one can win, priced so that they do not add up to one.

Judged at prices one can act on: the bids of all legs above one (sell every YES), or the asks below one (buy every
YES). An empty bid adds nothing, which can only hide a gap; an empty ask forbids the second judgement.
False-positive guard: the event must be whole. A leg that won ends it; a leg that is paused, disputed or annulled, or
one the store knows and nobody saw lately, explains any gap; lost legs are worth nothing and are left out. A set that
may still grow (negRiskAugmented, or a leg not launched) counts only above one: the rest may sit in the missing leg.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from agent.core.patterns.base import Board, Event, Evidence, Finding, History, finding, score_between
from agent.core.patterns.knobs import knob


@dataclass(frozen=True, slots=True)
class EventSum:
    """Detector `event_sum`; reports on the event's busiest leg."""

    name: ClassVar[str] = "event_sum"
    min_legs: int = knob(3, "two legs are one question asked twice: stale_sibling watches those", low=2)
    min_gap: float = knob(0.02, "after crossing the spread; fees alone eat about this much", low=0.001, high=1)
    full_score_gap: float = knob(0.15, "a bigger gap is no better news than this one", low=0.01)

    def find(self, board: Board) -> Iterator[Finding]:
        """Events whose legs cannot all be right."""
        liquid = board.guard.liquid
        for event in board.events:
            if len(event.legs) + event.listing.n_lost < self.min_legs or not event.exclusive or not event.complete:
                continue
            evidence = self._judge(event)
            if evidence is not None and any(liquid(leg.latest) for leg in event.legs):
                lead = max(event.legs, key=_busy)
                evidence["event"] = lead.market.event_title or lead.market.event_id or ""
                yield finding(self, lead, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the gap."""
        return score_between(float(evidence["gap"]), 0.0, self.full_score_gap)

    def _judge(self, event: Event) -> Evidence | None:
        books = [(leg.quotes[-1].bid, leg.quotes[-1].ask) for leg in event.legs]
        if any(bid is not None and ask is not None and bid >= ask for bid, ask in books):
            return None  # a crossed book: one of its sides is stale, and with it the sum
        bids = sum(bid for bid, _ in books if bid is not None)
        asks = [ask for _, ask in books if ask is not None]
        if bids - 1.0 >= self.min_gap:
            side, total = "bids", bids
        elif 1.0 - sum(asks) >= self.min_gap and len(asks) == len(books) and not event.may_grow:
            side, total = "asks", sum(asks)
        else:
            return None
        return {
            "side": side,
            "total": round(total, 6),
            "gap": round(abs(total - 1.0), 6),
            "n_legs": float(len(books)),
            "n_lost": float(event.listing.n_lost),
        }


def _busy(leg: History) -> tuple[float, str]:
    return (leg.latest.volume_24h or 0.0, leg.market.market_key)
