"""A book that opened or closed: the newest spread against the market's usual one.

Blow-out: makers stepped back, often before news. Collapse: somebody has come to trade. False-positive guard: the
change must be wide in points, in multiples of the usual spread and in the market's own habit (median and MAD), beyond
every width of the look-back, and new in this look; a book with an empty side has no spread, which is not a wide one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, History, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.robust import habit

_DUST = 1e-9  # 0.49 - 0.45 comes out a hair below 0.04


@dataclass(frozen=True, slots=True)
class SpreadShift:
    """Detector `spread_shift`."""

    name: ClassVar[str] = "spread_shift"
    min_rows: int = knob(6, "fewer earlier books are no habit", low=3)
    min_change: float = knob(0.04, "four points: several ticks on both venues", low=0.002, high=1)
    factor: float = knob(3.0, "three times as wide, or a third: the book is another one", low=1.1)
    min_z: float = knob(4.0, "robust sigmas of the market's own spread", low=1)
    full_score_change: float = knob(0.20, "a book that opens by a fifth of the scale is gone", low=0.01)

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets whose newest book is of another width than usual."""
        least = self.min_change - _DUST
        for history in board.live:
            quotes = history.quotes
            if len(quotes) <= self.min_rows:
                continue
            latest, before = quotes[-1], quotes[-2]
            if latest.bid is None or latest.ask is None or before.bid is None or before.ask is None:
                continue
            now = latest.ask - latest.bid
            if abs(now - (before.ask - before.bid)) < least or now <= 0:
                continue
            evidence = self._judge(history, now)
            if evidence is not None:
                yield finding(self, history, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the change in points."""
        change = float(evidence["spread_now"]) - float(evidence["usual_spread"])
        return score_between(abs(change), 0.0, self.full_score_change)

    def _judge(self, history: History, now: float) -> Evidence | None:
        earlier = [
            ask - bid
            for quote in history.quotes[:-1]
            if (ask := quote.ask) is not None and (bid := quote.bid) is not None
        ]
        if len(earlier) < self.min_rows:
            return None
        usual, sigma = habit(earlier)
        if min(earlier) - _DUST <= now <= max(earlier) + _DUST:
            return None  # it has been as wide before: a book with two habits has a median that shows one
        change = abs(now - usual)
        narrow, wide = sorted((now, usual))
        if change < max(self.min_change - _DUST, self.min_z * sigma) or wide < self.factor * narrow - _DUST:
            return None
        return {
            "shift": "blow-out" if now > usual else "collapse",
            "spread_now": round(now, 6),
            "usual_spread": round(usual, 6),
            "n_rows": float(len(earlier)),
        }
