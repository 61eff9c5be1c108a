"""Trading far above a market's own habit: a robust z-score of the 24 h volume's growth between looks.

False-positive guard: median and MAD instead of mean and deviation (one earlier spike must not hide the next), at
least eight earlier steps, a minimum of new volume so that a first trade in a dead market stays quiet, and clearly more
than any growth of the look-back, because trading comes in bursts by nature.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import sub
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, History, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.robust import habit


@dataclass(frozen=True, slots=True)
class VolumeSpike:
    """Detector `volume_spike`."""

    name: ClassVar[str] = "volume_spike"
    min_steps: int = knob(8, "fewer earlier steps are no habit", low=2)
    min_growth: float = knob(500.0, "dollars (Polymarket) or contracts (Kalshi): below it is one small trader")
    min_z: float = knob(6.0, "robust sigmas; volume has fatter tails than prices", low=1)
    record_factor: float = knob(
        2.0, "in the largest earlier growth: bursts of one day differ that much without news", low=0
    )
    full_score_z: float = knob(20.0, "beyond it a spike is a spike", low=1)

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets whose volume grew out of habit since the look before."""
        min_growth = self.min_growth
        for history in board.live:
            quotes = history.quotes
            if len(quotes) <= self.min_steps + 1:
                continue
            now, before = quotes[-1].volume_24h, quotes[-2].volume_24h
            if now is None or before is None or now - before < min_growth:
                continue
            earlier = quotes[-3].volume_24h  # most markets that grow at all grew as much the look before
            if earlier is not None and now - before < self.record_factor * (before - earlier):
                continue
            evidence = self._judge(history)
            if evidence is not None:
                yield finding(self, history, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the robust z-score."""
        return score_between(float(evidence["robust_z"]), 0.0, self.full_score_z)

    def _judge(self, history: History) -> Evidence | None:
        volumes = [volume for quote in history.quotes if (volume := quote.volume_24h) is not None]
        steps = list(map(sub, volumes[1:], volumes))
        if len(steps) <= self.min_steps or steps[-1] < self.record_factor * max(steps[:-1]):
            return None
        usual, sigma = habit(steps[:-1])
        # A perfectly steady market has no spread at all; one per cent of its volume stands in.
        z = (steps[-1] - usual) / max(sigma, 0.01 * volumes[-2], 1.0)
        if z < self.min_z:
            return None
        return {
            "volume_24h": volumes[-1],
            "growth": round(steps[-1], 2),
            "usual_growth": round(usual, 2),
            "largest_before": round(max(steps[:-1]), 2),
            "robust_z": round(z, 2),
            "n_steps": float(len(steps)),
        }
