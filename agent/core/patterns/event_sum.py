"""Legs of which exactly one can win, priced so that they do not add up to one.

False-positive guard: every open leg must have a two-sided book (a missing leg explains any gap); sets that may still
grow (negRiskAugmented) count only when they sum above one; a gap must exceed the sum of half spreads, which is what
one would pay to act on it, before fees.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.patterns.base import Board, Finding, History, score_between


@dataclass(frozen=True, slots=True)
class EventSum:
    """Detector `event_sum`; reports on the event's widest leg by volume."""

    name: str = "event_sum"
    min_legs: int = 3
    min_gap: float = 0.02  # beyond the half spreads: fees alone eat about this much
    full_score_gap: float = 0.15

    def find(self, board: Board) -> Iterator[Finding]:
        """Events whose legs cannot all be right."""
        for legs in board.events.values():
            if len(legs) >= self.min_legs and all(leg.market.mutually_exclusive for leg in legs):
                finding = self._judge(legs)
                if finding is not None:
                    yield finding

    def _judge(self, legs: list[History]) -> Finding | None:
        books = [(leg.latest.bid, leg.latest.ask, leg.latest.mid) for leg in legs]
        if any(bid is None or ask is None or mid is None for bid, ask, mid in books):
            return None
        total = sum(mid for _, _, mid in books if mid is not None)
        half_spreads = sum((ask - bid) / 2 for bid, ask, _ in books if bid is not None and ask is not None)
        gap = abs(total - 1.0) - half_spreads
        grows = any(leg.market.open_set for leg in legs)
        if gap < self.min_gap or (grows and total < 1.0):
            return None
        lead = max(legs, key=lambda leg: (leg.latest.volume_24h or 0.0, leg.market.market_key))
        return Finding(
            market_key=lead.market.market_key,
            detector=self.name,
            score=score_between(gap, 0.0, self.full_score_gap),
            evidence={
                "sum_of_mids": round(total, 6),
                "half_spreads": round(half_spreads, 6),
                "gap": round(gap, 6),
                "n_legs": float(len(legs)),
                "event": lead.market.event_title or lead.market.event_id or "",
            },
        )
