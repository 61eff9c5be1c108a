"""A price that keeps going one way, in many small steps rather than one jump.

False-positive guard: the walk's z (see runs) asks for steps that agree in direction, which neither a jump nor a
market that swings to and fro has; the net move must be worth a spread or two; the mids are of two-sided books.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.patterns.runs import mids_since, n_moves, walk_z


@dataclass(frozen=True, slots=True)
class Momentum:
    """Detector `momentum`."""

    name: ClassVar[str] = "momentum"
    window_h: float = knob(6.0, "a trend of a quarter day is news; a longer one is on the chart", low=0.5)
    min_move: float = knob(0.05, "five points, clear of the spread at both ends", low=0.005, high=1)
    min_moves: int = knob(6, "fewer steps agree by chance: six do once in 32", low=3)
    min_z: float = knob(2.2, "the walk's z: a coin passes it three times in a hundred, and then needs the move", low=1)
    full_score_z: float = knob(4.9, "24 equal steps: a whole window of quarter hours, each the same way", low=1)

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets in a one-sided walk up to now."""
        since, min_move = board.now - timedelta(hours=self.window_h), self.min_move
        for history, reach in board.walked:
            if reach < min_move or len(history.mids) <= self.min_moves:
                continue
            evidence = self._judge(mids_since(history, since))
            if evidence is not None:
                yield finding(self, history, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the walk's z."""
        return score_between(abs(float(evidence["walk_z"])), 0.0, self.full_score_z)

    def _judge(self, mids: list[float]) -> Evidence | None:
        net = mids[-1] - mids[0]
        if abs(net) < self.min_move or n_moves(mids) < self.min_moves:
            return None
        z = walk_z(mids)
        if abs(z) < self.min_z:
            return None
        return {
            "mid_before": mids[0],
            "mid_now": mids[-1],
            "move": round(net, 6),
            "walk_z": round(z, 3),
            "n_moves": float(n_moves(mids)),
        }
