"""A price that left its own habit: the newest move of the mid against the market's usual steps.

False-positive guard: only mids of two-sided books (a bouncing last trade is not a move); a move wider than the book it
ended in, several times the median of the steps that moved at all, and clearly the largest of the look-back, so that a
market which always jumps stays quiet: of n steps in random order the newest is the largest once in n.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, History, finding, score_between
from agent.core.patterns.knobs import knob

_DUST = 1e-9  # 0.60 - 0.40 comes out a hair below 0.20


@dataclass(frozen=True, slots=True)
class PriceJump:
    """Detector `price_jump`."""

    name: ClassVar[str] = "price_jump"
    min_move: float = knob(0.03, "three points: beyond what crossing a normal spread can fake", low=0.001, high=1)
    habit_factor: float = knob(4.0, "in median sizes of the market's moves; 2.7 sigma of a normal series", low=1)
    record_factor: float = knob(
        1.5, "in the largest earlier step: the day's wildest moves are alike without news", low=0
    )
    min_steps: int = knob(4, "fewer earlier steps are no habit", low=0)
    stranger_factor: float = knob(2.0, "a market without a habit must move this many times min_move", low=1)
    full_score_move: float = knob(0.20, "a fifth of the scale is the strongest move worth telling apart", low=0.01)

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets whose newest stored step is out of habit."""
        min_move = self.min_move
        for history in board.live:
            mids = history.mids
            if len(mids) > 1 and abs(mids[-1] - mids[-2]) >= min_move:
                evidence = self._judge(history, mids[-1] - mids[-2])
                if evidence is not None:
                    yield finding(self, history, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the size of the move."""
        return score_between(abs(float(evidence["move"])), 0.0, self.full_score_move)

    def _judge(self, history: History, move: float) -> Evidence | None:
        latest, usual = history.latest, history.usual_move
        if latest.mid is None or latest.bid is None or latest.ask is None:
            return None
        if len(history.steps) <= self.min_steps and abs(move) < self.stranger_factor * self.min_move - _DUST:
            return None
        largest = max(map(abs, history.steps[:-1]), default=0.0)
        if abs(move) < max(self.habit_factor * usual, self.record_factor * largest, latest.ask - latest.bid) - _DUST:
            return None
        before, now = history.mid_times[-2:]
        return {
            "mid_before": history.mids[-2],
            "mid_now": history.mids[-1],
            "move": round(move, 6),
            "usual_move": round(usual, 6),
            "largest_before": round(largest, 6),
            "hours": round((now - before).total_seconds() / 3600, 2),
            "n_steps": float(len(history.steps)),
        }
