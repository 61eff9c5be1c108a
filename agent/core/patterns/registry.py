"""The detectors that run, by name; how settings turn them; one pass of all of them; what of it is new. Pure.

Law: one name, one detector: a name decides what was said already and which settings apply, so two detectors of one
name are refused. Others may add detectors through the entry point group named here, which the wiring loads.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from agent.core.patterns.base import Board, Detector, Finding, Guard
from agent.core.patterns.closing_soon import ClosingSoon
from agent.core.patterns.cross_venue_gap import CrossVenueGap
from agent.core.patterns.event_sum import EventSum
from agent.core.patterns.knobs import SWITCH, Knobs, faults, turned, unknown_tables
from agent.core.patterns.ladder import Ladder
from agent.core.patterns.momentum import Momentum
from agent.core.patterns.price_jump import PriceJump
from agent.core.patterns.reversal import Reversal
from agent.core.patterns.spread_shift import SpreadShift
from agent.core.patterns.stale_sibling import StaleSibling
from agent.core.patterns.volume_spike import VolumeSpike

BUILT_IN: tuple[Detector, ...] = (
    PriceJump(),
    VolumeSpike(),
    Momentum(),
    Reversal(),
    SpreadShift(),
    EventSum(),
    Ladder(),
    StaleSibling(),
    ClosingSoon(),
    CrossVenueGap(),
)

GROUP: Final = "oddsd.patterns"  # the entry point group of other people's detectors
GUARD: Final = "guard"  # the table [patterns.guard] is no detector: it says what any of them may look at

# Said once is enough, unless it has become this much stronger within the quiet time.
STRONGER_BY = 10


def table_faults(
    tables: Mapping[str, Knobs], detectors: Iterable[Detector] = BUILT_IN, *, others: Iterable[str] = ()
) -> list[str]:
    """Everything wrong with the [patterns.NAME] tables and with the names of the detectors, in words.

    Args:
        others: names that are known but not loaded: their tables are taken as they are.
    """
    known: dict[str, object] = {detector.name: detector for detector in detectors}
    counts = Counter(detector.name for detector in detectors)
    told = [f"detector {name}: named {n} times" for name, n in counts.items() if n > 1]
    if GUARD in known:
        told.append(f"detector {GUARD}: the name is taken by the table [patterns.{GUARD}]")
    known[GUARD] = Guard()
    told += unknown_tables(tables, [*known, *others])
    for name, table in tables.items():
        if name in known:
            told += faults(f"patterns.{name}", known[name], table)
    return told


def chosen(detectors: Iterable[Detector], tables: Mapping[str, Knobs]) -> list[Detector]:
    """The detectors that are switched on, with their thresholds as the tables want them. The tables have no faults."""
    return [
        turned(detector, tables.get(detector.name, {}))
        for detector in detectors
        if tables.get(detector.name, {}).get(SWITCH) is not False
    ]


def guard(tables: Mapping[str, Knobs]) -> Guard:
    """What any detector may look at, as the tables want it."""
    return turned(Guard(), tables.get(GUARD, {}))


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
