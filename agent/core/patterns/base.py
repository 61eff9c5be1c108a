"""What a detector is: it looks over the stored history of many markets and names what it found. Pure.

Law: a detector never invents a number, never fires on a book nobody could trade, and its evidence is enough to
compute its score again. One detector per file; the registry knows them by name.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sync.records import Market, Quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something found in one market; becomes a Pattern when it is new."""

    market_key: str
    detector: str
    score: int  # 0..100
    evidence: dict[str, float | str]


@dataclass(frozen=True, slots=True)
class History:
    """One market and its stored quotes, oldest first; never empty."""

    market: Market
    quotes: Sequence[Quote]

    @property
    def latest(self) -> Quote:
        """The newest stored quote."""
        return self.quotes[-1]


@dataclass(frozen=True, slots=True)
class Board:
    """Everything a detector may look at in one pass."""

    histories: Sequence[History]
    now: datetime
    events: dict[str, list[History]] = field(init=False)

    def __post_init__(self) -> None:
        """Group the legs of each event once, for every detector."""
        events: dict[str, list[History]] = defaultdict(list)
        for history in self.histories:
            if history.market.event_id is not None:
                events[f"{history.market.venue}:{history.market.event_id}"].append(history)
        object.__setattr__(self, "events", dict(events))


class Detector(Protocol):
    """A rule that finds something; see the registry for those that run."""

    @property
    def name(self) -> str:
        """The word it is known by, in patterns and settings."""

    def find(self, board: Board) -> Iterator[Finding]:
        """All findings on the board."""


def score_between(value: float, low: float, high: float) -> int:
    """Linear score: 0 at `low`, 100 at `high` and beyond."""
    share = (value - low) / (high - low)
    return round(100 * min(max(share, 0.0), 1.0))
