"""Which markets a prediction run is about: its options, what a person wishes otherwise, and the window of close times.

Pure. The window is fixed before anything is forecast; two runs of one day know each other by its name.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Literal

import msgspec

from agent.core.routing import Rules
from agent.core.selection import Thresholds

DAILY, BATCH = "predict", "predict-batch"
LEAD = timedelta(hours=1)  # a price this near the close has the answer in it: nobody learns from such a forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Which markets, how many, and by whom."""

    window_days: int = 7  # the daily run: closing exactly so many UTC days ahead
    within: bool = False  # also markets that close sooner
    limit: int = 40  # the busiest first
    batch_days: int = 30  # the batch: closing at most so many days ahead
    batch_limit: int = 20
    models: tuple[str, ...] = ()  # none: the gateway's preferred one daily, all of them in the batch
    thresholds: Thresholds = field(default_factory=Thresholds)
    rules: Rules = field(default_factory=Rules)
    # Looked at for each one taken: the gates stop some, and for the rest it is written down that they came too late.
    candidates: int = 10
    # Which program this is, for the summaries.
    version: str = "unknown"
    commit: str | None = None


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator asks for by hand; None is what the settings say."""

    kind: Literal["daily", "batch"]
    window_days: int | None = None
    limit: int | None = None
    dry_run: bool = False

    @property
    def job(self) -> str:
        """The job that does it."""
        return DAILY if self.kind == "daily" else BATCH


@dataclass(frozen=True, slots=True)
class Window:
    """Close times in [start, end), by a name that two runs of the same day share."""

    start: datetime
    end: datetime
    span: str


def daily_window(options: PredictOptions, slot: datetime) -> Window:
    """Whole UTC days: exactly N days ahead, midnight to midnight. Pure."""
    day = datetime.combine(slot.astimezone(UTC).date(), time(), UTC) + timedelta(days=options.window_days)
    start, words = (slot + LEAD, "within") if options.within else (max(day, slot + LEAD), "in")
    return Window(start, day + timedelta(days=1), f"{words} {options.window_days} days")


def batch_window(options: PredictOptions, slot: datetime) -> Window:
    """Everything that ends from now on to the last of the days. Pure."""
    day = datetime.combine(slot.astimezone(UTC).date(), time(), UTC) + timedelta(days=options.batch_days + 1)
    return Window(slot + LEAD, day, f"within {options.batch_days} days")
