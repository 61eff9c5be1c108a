"""One leg of an exclusive event stood still while its siblings moved, and the sum now says that it is behind.

The legs of an exclusive event add up to one: what the others gained, this one must have lost. False-positive guard:
the event is whole and cannot grow (see event_sum); the sum was right when the leg last moved and is wrong now by more
than the half spreads of all legs, so the error came with the siblings' move; the leg did move before, since a leg that
never does is a long shot and not behind; and it is the only such leg, or nobody can say which one is late.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from agent.core.patterns.base import Board, Event, Evidence, Finding, History, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.patterns.runs import mids_since


@dataclass(frozen=True, slots=True)
class StaleSibling:
    """Detector `stale_sibling`."""

    name: ClassVar[str] = "stale_sibling"
    still_h: float = knob(1.0, "an unchanged book gets one row an hour: shorter is not standing still", low=0.25)
    min_gap: float = knob(0.04, "four points beyond all half spreads: more than rounding in any leg", low=0.005, high=1)
    full_score_gap: float = knob(0.20, "a leg a fifth of the scale behind is as late as it gets", low=0.01)

    def find(self, board: Board) -> Iterator[Finding]:
        """Legs that are behind."""
        since = board.now - timedelta(hours=self.still_h)
        for event in board.events:
            if not event.exclusive or not event.complete or event.may_grow:
                continue
            mids = [mid for leg in event.legs if (mid := leg.quotes[-1].mid) is not None]
            if len(mids) < len(event.legs) or abs(sum(mids) - 1) < self.min_gap:
                continue
            late = [leg for leg in event.legs if _stands_still(leg, since) and len(set(leg.mids)) > 1]
            if len(late) != 1 or not board.guard.liquid(late[0].latest):
                continue
            evidence = self._judge(event, late[0], sum(mids), since)
            if evidence is not None:
                yield finding(self, late[0], evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By how far behind the leg is."""
        return score_between(float(evidence["gap"]), 0.0, self.full_score_gap)

    def _judge(self, event: Event, late: History, total: float, since: datetime) -> Evidence | None:
        then = sum(mids_since(leg, since)[0] for leg in event.legs)
        books = [(leg.latest.bid, leg.latest.ask) for leg in event.legs]
        half_spreads = sum((ask - bid) / 2 for bid, ask in books if bid is not None and ask is not None)
        gap = abs(total - 1) - half_spreads
        if gap < self.min_gap or abs(then - 1) > half_spreads + self.min_gap / 2:
            return None
        mid = late.mids[-1]
        return {
            "mid": mid,
            "implied_by_siblings": round(1 - (total - mid), 6),
            "sum_then": round(then, 6),
            "sum_now": round(total, 6),
            "half_spreads": round(half_spreads, 6),
            "gap": round(gap, 6),
            "n_legs": float(len(event.legs)),
            "leg": late.market.proposition or late.market.title,
        }


def _stands_still(leg: History, since: datetime) -> bool:
    """Whether the book is the same as it was at a moment, in every row since."""
    bid, ask = leg.latest.bid, leg.latest.ask
    for quote in reversed(leg.quotes):
        if quote.bid != bid or quote.ask != ask:
            return False
        if quote.fetched_at <= since:
            return True
    return False
