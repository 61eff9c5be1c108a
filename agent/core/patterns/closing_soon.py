"""A market about to close that still does not know its answer.

False-positive guard: a mid near the middle from a narrow book; a wide book is ignorance, not uncertainty. The venue's
expected end is used where it gives one, since a nominal close may lie weeks after the answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from agent.core.market import end_time
from agent.core.patterns.base import Board, Evidence, Finding, History, finding, score_between
from agent.core.patterns.knobs import knob

_DUST = 1e-9  # 0.55 - 0.50 comes out a hair above 0.05


@dataclass(frozen=True, slots=True)
class ClosingSoon:
    """Detector `closing_soon`."""

    name: ClassVar[str] = "closing_soon"
    within_h: float = knob(48.0, "two days: time to read, and to be wrong about less", low=0.1)
    uncertain_from: float = knob(0.20, "a mid from 0.20 to 0.80 has not decided", low=0.01, high=0.5)
    max_spread: float = knob(0.05, "wider and the middle is a guess", low=0.001, high=0.2)

    def find(self, board: Board) -> Iterator[Finding]:
        """Uncertain markets in their last hours."""
        low, high = self.uncertain_from - _DUST, 1 - self.uncertain_from + _DUST
        now, horizon = board.now, board.now + timedelta(hours=self.within_h)
        for history in board.live:
            mid = history.quotes[-1].mid
            if mid is None or not low <= mid <= high:
                continue
            market = history.market
            close, expected = market.close_time, market.expected_time
            if (close is None or close > horizon) and (expected is None or expected > horizon):
                continue
            end = end_time(market)
            if end is None or end <= now:
                continue
            evidence = self._judge(history, (end - now).total_seconds() / 3600)
            if evidence is not None:
                yield finding(self, history, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By urgency times uncertainty."""
        mid = float(evidence["mid"])
        urgency = 1 - float(evidence["hours_left"]) / self.within_h
        return score_between(urgency * min(mid, 1 - mid), 0.0, 0.5)

    def _judge(self, history: History, hours: float) -> Evidence | None:
        bid, ask, mid = history.latest.bid, history.latest.ask, history.latest.mid
        if mid is None or bid is None or ask is None or ask - bid > self.max_spread + _DUST:
            return None
        return {"hours_left": round(hours, 2), "mid": mid, "spread": round(ask - bid, 6)}
