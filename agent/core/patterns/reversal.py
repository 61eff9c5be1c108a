"""A move that was taken back: a run to an extreme and the walk away from it, most of the way home.

False-positive guard: both ways must be worth several spreads and stand out of the market's own habit; the extreme
must have been seen twice (one odd look at a book is no extreme); the way back must be a walk in one direction, in
several steps, so that a market which swings to and fro stays quiet.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.patterns.runs import mids_since, walk_z


@dataclass(frozen=True, slots=True)
class Reversal:
    """Detector `reversal`."""

    name: ClassVar[str] = "reversal"
    window_h: float = knob(12.0, "out and back within half a day is one story", low=1)
    min_run: float = knob(0.08, "eight points out: less is noise going both ways", low=0.01, high=1)
    min_share: float = knob(0.5, "half the way back: less is a pause", low=0.1, high=1)
    habit_factor: float = knob(4.0, "the run in median sizes of the market's moves", low=1)
    min_z_back: float = knob(1.9, "the walk's z of the way back: four steps that all agree; one jump back has 1", low=1)
    full_score_run: float = knob(0.40, "out and back over two fifths of the scale", low=0.02)

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets on their way back."""
        since, min_run = board.now - timedelta(hours=self.window_h), self.min_run
        for history, reach in board.walked:
            if reach < min_run:
                continue
            window = mids_since(history, since)
            evidence = self._judge(window, max(window), history.usual_move)
            evidence = evidence or self._judge(window, min(window), history.usual_move)
            if evidence is not None:
                yield finding(self, history, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the size of what was taken back."""
        return score_between(abs(float(evidence["back"])), 0.0, self.full_score_run)

    def _judge(self, mids: list[float], extreme: float, usual: float) -> Evidence | None:
        """Out to the extreme, wherever the window saw it last, and back from there."""
        turn = len(mids) - 1 - mids[::-1].index(extreme)
        before, after = mids[: turn + 1], mids[turn:]
        base = min(before) if extreme == max(mids) else max(before)
        run, back = extreme - base, mids[-1] - extreme
        if abs(run) < max(self.min_run, self.habit_factor * usual) or abs(back) < self.min_share * abs(run):
            return None
        seen_again = any(abs(mid - extreme) <= abs(run) / 4 for mid in (*before[-2:-1], *after[1:2]))
        if not seen_again or abs(walk_z(after)) < self.min_z_back:
            return None
        return {
            "base": base,
            "extreme": extreme,
            "mid_now": mids[-1],
            "run": round(run, 6),
            "back": round(back, 6),
            "walk_z_back": round(walk_z(after), 3),
        }
