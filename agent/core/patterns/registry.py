"""The detectors that run, by name; one pass of all of them; what of it is new. Pure.

Others may add detectors through the entry point group `oddsd.patterns`, which the wiring loads.
"""

from collections.abc import Iterable, Mapping, Sequence

from agent.core.patterns.base import Board, Detector, Finding
from agent.core.patterns.closing_soon import ClosingSoon
from agent.core.patterns.event_sum import EventSum
from agent.core.patterns.price_jump import PriceJump
from agent.core.patterns.volume_spike import VolumeSpike

BUILT_IN: tuple[Detector, ...] = (PriceJump(), VolumeSpike(), EventSum(), ClosingSoon())

# Said once is enough, unless it has become this much stronger within the quiet time.
STRONGER_BY = 10


def findings(board: Board, detectors: Iterable[Detector]) -> list[Finding]:
    """Everything the detectors find, the highest score first."""
    found = [finding for detector in detectors for finding in detector.find(board)]
    return sorted(found, key=lambda finding: (-finding.score, finding.market_key, finding.detector))


def news(found: Sequence[Finding], said: Mapping[tuple[str, str], int]) -> list[Finding]:
    """Findings not yet said in the quiet time, or now clearly stronger.

    Args:
        said: highest score by (market key, detector) within the quiet time.
    """
    return [
        finding
        for finding in found
        if finding.score >= said.get((finding.market_key, finding.detector), -STRONGER_BY) + STRONGER_BY
    ]
