"""A market about to close that still does not know its answer.

False-positive guard: a mid near the middle from a narrow book; a wide book is ignorance, not uncertainty. The venue's
expected end is used where it gives one, since a nominal close may lie weeks after the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.market import end_time
from agent.core.patterns.base import Board, Finding, score_between


@dataclass(frozen=True, slots=True)
class ClosingSoon:
    """Detector `closing_soon`."""

    name: str = "closing_soon"
    within_h: float = 48.0
    uncertain_from: float = 0.20  # mid between 0.20 and 0.80
    max_spread: float = 0.05

    def find(self, board: Board) -> Iterator[Finding]:
        """Uncertain markets in their last hours."""
        for history in board.histories:
            market, quote = history.market, history.latest
            end = end_time(market)
            if end is None or quote.mid is None or quote.bid is None or quote.ask is None:
                continue
            hours = (end - board.now).total_seconds() / 3600
            uncertain = min(quote.mid, 1 - quote.mid)
            if not 0 < hours <= self.within_h or uncertain < self.uncertain_from:
                continue
            if quote.ask - quote.bid > self.max_spread:
                continue
            urgency = 1 - hours / self.within_h
            yield Finding(
                market_key=market.market_key,
                detector=self.name,
                score=score_between(urgency * uncertain, 0.0, 0.5),
                evidence={
                    "hours_left": round(hours, 2),
                    "mid": quote.mid,
                    "spread": round(quote.ask - quote.bid, 6),
                },
            )
