"""Trading far above a market's own habit: a robust z-score of the 24 h volume's growth between looks.

False-positive guard: median and MAD instead of mean and deviation (one earlier spike must not hide the next), at
least five earlier steps, and a minimum of new volume so that a first trade in a dead market stays quiet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from agent.core.patterns.base import Board, Finding, History, score_between

_MAD_TO_SIGMA = 1.4826  # the median absolute deviation of a normal series, scaled to its standard deviation


@dataclass(frozen=True, slots=True)
class VolumeSpike:
    """Detector `volume_spike`."""

    name: str = "volume_spike"
    min_steps: int = 5
    min_growth: float = 500.0  # dollars (Polymarket) or contracts (Kalshi): below this it is one small trader
    min_z: float = 4.0
    full_score_z: float = 20.0

    def find(self, board: Board) -> Iterator[Finding]:
        """Markets whose volume grew out of habit since the look before."""
        for history in board.histories:
            finding = self._judge(history)
            if finding is not None:
                yield finding

    def _judge(self, history: History) -> Finding | None:
        volumes = [quote.volume_24h for quote in history.quotes if quote.volume_24h is not None]
        steps = [b - a for a, b in pairwise(volumes)]
        if len(steps) <= self.min_steps or steps[-1] < self.min_growth:
            return None
        usual = median(steps[:-1])
        spread = _MAD_TO_SIGMA * median([abs(step - usual) for step in steps[:-1]])
        # A perfectly steady market has no spread at all; one per cent of its volume stands in.
        scale = max(spread, 0.01 * volumes[-2], 1.0)
        z = (steps[-1] - usual) / scale
        if z < self.min_z:
            return None
        return Finding(
            market_key=history.market.market_key,
            detector=self.name,
            score=score_between(z, 0.0, self.full_score_z),
            evidence={
                "volume_24h": volumes[-1],
                "growth": round(steps[-1], 2),
                "usual_growth": round(usual, 2),
                "robust_z": round(z, 2),
                "n_steps": float(len(steps)),
            },
        )
