"""What a measured number must carry to be shown: its interval, its no-skill value, how many events, and a verdict.

Law: a value never travels alone. Below MIN_EVENTS events the verdict is TOO_EARLY whatever the value; an interval that
holds the no-skill value is NO_EVIDENCE; BETTER and WORSE are said only of measures that are tested, and for the
horizons that were not declared in advance only after Holm's correction. Pure; standard library only.
"""

from collections.abc import Sequence

import msgspec

from sync.records import Evidence

MIN_EVENTS = 30
"""Below this many independent events an interval of resampled events is itself a guess."""

BADGE_EVENTS = 200
"""A 24 h move scatters by 5 to 7 points: a mean of one point shows from about so many events."""

LEVEL = 0.05


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One number with what keeps it honest."""

    value: float | None
    low: float | None  # 95 % interval, resampling events
    high: float | None
    null: float | None  # what no skill at all would give on these very rows
    n: int
    events: int
    state: Evidence
    p: float | None = None  # two-sided, of the null; after Holm's correction where `corrected`
    corrected: bool = False


NOT_MEASURED = Measure(value=None, low=None, high=None, null=None, n=0, events=0, state=Evidence.NOT_MEASURED)


def verdict(measure: Measure) -> Evidence:
    """The state of a tested measure whose larger values are the better ones."""
    if measure.value is None:
        return Evidence.NOT_MEASURED
    if measure.events < MIN_EVENTS:
        return Evidence.TOO_EARLY
    if measure.low is None or measure.high is None or measure.null is None:
        return Evidence.NO_EVIDENCE
    if measure.low <= measure.null <= measure.high or (measure.p is not None and measure.p > LEVEL):
        return Evidence.NO_EVIDENCE
    return Evidence.BETTER if measure.low > measure.null else Evidence.WORSE


def described(measure: Measure) -> Evidence:
    """The state of a measure that is shown and never tested."""
    if measure.value is None:
        return Evidence.NOT_MEASURED
    return Evidence.TOO_EARLY if measure.events < MIN_EVENTS else Evidence.SHOWN


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of any false finding among all of them stays below the level.

    Returns: corrected values in the order given.
    Source: Holm, 1979.
    """
    corrected, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        floor = max(floor, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = floor
    return corrected
