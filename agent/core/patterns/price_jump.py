"""A price that left its own habit: the newest move of the mid against the market's usual steps.

False-positive guard: only mids of two-sided books (a bouncing last trade is not a move), at least three points, and
six times the median absolute step of the same market, so that a market which always jumps stays quiet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from agent.core.patterns.base import Board, Finding, History, score_between


@dataclass(frozen=True, slots=True)
class PriceJump:
    """Detector `price_jump`."""

    name: str = "price_jump"
    min_move: float = 0.03  # three points: beyond what crossing a normal spread can fake
    habit_factor: float = 6.0  # in median absolute steps; about 4 sigma for a normal series
    full_score_move: float = 0.20  # a fifth of the whole scale is the strongest move worth telling apart

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets whose newest stored step is out of habit."""
        for history in board.histories:
            finding = self._judge(history)
            if finding is not None:
                yield finding

    def _judge(self, history: History) -> Finding | None:
        mids = [quote.mid for quote in history.quotes if quote.mid is not None]
        latest = history.latest
        if len(mids) < 2 or latest.mid is None or latest.bid is None or latest.ask is None:
            return None
        move = mids[-1] - mids[-2]
        usual = median([abs(b - a) for a, b in pairwise(mids[:-1])]) if len(mids) > 2 else 0.0
        if abs(move) < max(self.min_move, self.habit_factor * usual, latest.ask - latest.bid):
            return None
        return Finding(
            market_key=history.market.market_key,
            detector=self.name,
            score=score_between(abs(move), 0.0, self.full_score_move),
            evidence={
                "mid_before": mids[-2],
                "mid_now": mids[-1],
                "move": round(move, 6),
                "usual_step": round(usual, 6),
                "n_steps": float(len(mids) - 1),
            },
        )
