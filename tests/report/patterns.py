"""`make pattern-report`: what the detectors find in recorded series, and what they "find" where there is nothing.

A figure is patterns per 1,000 looks at a market: real / shuffled / noise (the nulls: see replay). A dash: the series
has nothing that this detector reads. The stated rates are held by a test.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.core.patterns.registry import BUILT_IN
from agent.replay.series import Series, load_all
from tests.conftest import RECORDINGS
from tests.report.replay import noise, replay, shuffled

SEED = 20261121

# Patterns per 1,000 looks over all series a detector can read. Shuffling keeps the steps themselves, so a detector of
# one step still meets every real jump there: its null is the noise.
MAX_SHUFFLED = 15.0
MAX_NOISE = 6.0
ONE_STEP = frozenset({"price_jump", "volume_spike", "spread_shift"})
OF_EVENTS = frozenset({"event_sum", "ladder", "stale_sibling"})  # the noise tears an event's sum apart: no null of them
NO_NULL = frozenset({"closing_soon", "cross_venue_gap"})  # a look at the calendar; pairs are handed in, none here


@dataclass(frozen=True)
class Measured:
    """One series: patterns by detector for the real one and both nulls, and how often a market was looked at."""

    series: Series
    n_looks: int
    real: Counter[str]
    shuffled: Counter[str]
    noise: Counter[str]


def measure(series: Series, seed: int = SEED) -> Measured:
    """Replay a series and its nulls."""
    real, n_looks = replay(series, BUILT_IN)
    return Measured(
        series, n_looks, real, replay(shuffled(series, seed), BUILT_IN)[0], replay(noise(series, seed), BUILT_IN)[0]
    )


def rate(measured: Sequence[Measured], detector: str, kind: str) -> float | None:
    """Patterns per 1,000 looks over the series the detector can read; None where there is none."""
    readable = [one for one in measured if detector in one.series.readable]
    looks = sum(one.n_looks for one in readable)
    return 1000 * sum(getattr(one, kind)[detector] for one in readable) / looks if looks else None


def table(measured: Sequence[Measured]) -> Iterable[str]:
    """The report as Markdown: a row per detector, a column per series, all together last."""
    yield "| detector | " + " | ".join(one.series.name for one in measured) + " | all: real / shuffled / noise |"
    yield "|---|" + "---|" * (len(measured) + 1)
    for detector in BUILT_IN:
        cells = [str(one.real[detector.name]) if detector.name in one.series.readable else "-" for one in measured]
        cells.append(" / ".join(_shown(measured, detector.name, kind) for kind in ("real", "shuffled", "noise")))
        yield f"| `{detector.name}` | " + " | ".join(cells) + " |"
    yield "| looks at a market | " + " | ".join(f"{one.n_looks:,}" for one in measured) + " | per 1,000 |"


def _shown(measured: Sequence[Measured], detector: str, kind: str) -> str:
    untold = detector in NO_NULL or (kind == "noise" and detector in OF_EVENTS)
    found = None if untold and kind != "real" else rate(measured, detector, kind)
    return "-" if found is None else f"{found:.1f}"


def main() -> int:
    """Print the table."""
    if not RECORDINGS.is_dir():
        print(f"no recordings at {RECORDINGS}: nothing to report on", file=sys.stderr)
        return 1
    print("\n".join(table([measure(series) for series in load_all(RECORDINGS)])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
