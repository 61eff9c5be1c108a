"""Watch lists: what a reader follows, and what of the last day is worth a line in his mail. Pure.

Law: an entry names a market, a category or a word of a title; its thresholds say how far the price must have moved or
how sure an insight must be. A market is told once however many entries follow it, by the mildest of their thresholds.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

MAX_ENTRIES = 100
MAX_LINES = 25  # of each kind in one mail: what a person reads on a phone
MIN_MOVE = 0.05  # of a new entry: five points within a day
MIN_CONFIDENCE = 60


class WatchKind(StrEnum):
    """What an entry names."""

    MARKET = "market"
    CATEGORY = "category"
    KEYWORD = "keyword"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A followed market whose mid moved far enough within a day."""

    market_key: str
    title: str
    before: float
    after: float
    url: str | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A new insight about a followed market."""

    market_key: str
    title: str
    one_liner: str
    confidence: int
    url: str | None = None


class Edition(msgspec.Struct, frozen=True, kw_only=True):
    """What one reader is told on one day."""

    day: date
    moves: tuple[Move, ...] = ()
    notes: tuple[Note, ...] = ()
    n_more: int = 0  # left out because the mail is full

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say; then no mail is sent."""
        return not self.moves and not self.notes


def edition(day: date, moves: Iterable[Move], notes: Iterable[Note]) -> Edition:
    """The day's lines: the longest moves and the surest insights first, each market once in each part."""
    far = sorted({one.market_key: one for one in moves}.values(), key=lambda one: -abs(one.after - one.before))
    best: dict[str, Note] = {}
    for one in sorted(notes, key=lambda one: -one.confidence):
        best.setdefault(one.market_key, one)
    sure = list(best.values())
    n_more = max(0, len(far) - MAX_LINES) + max(0, len(sure) - MAX_LINES)
    return Edition(day=day, moves=tuple(far[:MAX_LINES]), notes=tuple(sure[:MAX_LINES]), n_more=n_more)


def zone_of(name: str) -> ZoneInfo | None:
    """A time zone by its name; None if there is none of it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def day_due(now: datetime, time_zone: str, hour: int) -> date | None:
    """The reader's day whose mail is due, None before his hour. A night the clocks change has its hour all the same."""
    there = now.astimezone(zone_of(time_zone) or UTC)
    return there.date() if there.hour >= hour else None


def day_is_over(day: date, now: datetime, time_zone: str) -> bool:
    """Whether a day's mail is too late: the reader's next day has begun."""
    return now.astimezone(zone_of(time_zone) or UTC).date() > day
