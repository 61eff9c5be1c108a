"""Whether a venue still speaks the format it spoke: the profile of a listing, held against the last good ones. Pure.

Law: only what is far outside chance and habit is a finding, and each is told in words; a listing that lost nothing we
read is good and becomes the habit. The thresholds stand here once, with their reasons. Called by the drift watch of
venues/ (while a listing is read) and by jobs/collect (when it ends).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import Any

import msgspec

# Fewer records say nothing about shares.
MIN_RECORDS = 5
# Formats change for all records at once; a third more missing or of another type is no matter of the day's mix.
STRUCTURE_STEP = 0.30
# Empty and zero values come and go with the mix: a wave of fresh markets has no bids yet.
VALUE_STEP = 0.50
# A step within the noise of two samples is chance, whatever its size: 4 standard errors are 1 in 30,000.
STANDARD_ERRORS = 4.0
# What (nearly) all records show needs no end of the listing to be believed.
TOTAL = 0.98
# Listings shrink by a tenth overnight and by a quarter after a weekend of sports.
COUNT_SHARE = 0.70
_RARE = 0.01  # a type seen this seldom was no part of the format

_TYPE_WORDS: Mapping[type, str] = {
    str: "text", int: "number", float: "number", bool: "flag", list: "list", dict: "object",
}  # fmt: skip


class FieldStats(msgspec.Struct):
    """How often a field was there, how often empty or zero, and as what JSON type."""

    n: int = 0
    n_null: int = 0  # null, or the empty text both venues write for it
    n_zero: int = 0
    types: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def n_filled(self) -> int:
        """Values that say something."""
        return self.n - self.n_null


class Shape(msgspec.Struct):
    """A sample of records of one kind, field by field (the outermost ones)."""

    n: int = 0
    fields: dict[str, FieldStats] = msgspec.field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one record in."""
        self.n += 1
        for name, value in record.items():
            stats = self.fields.get(name)
            if stats is None:
                stats = self.fields[name] = FieldStats()
            stats.n += 1
            if value is None or value == "":
                stats.n_null += 1
                continue
            word = _TYPE_WORDS[type(value)]
            stats.types[word] = stats.types.get(word, 0) + 1
            if (word == "number" and value == 0) or (word == "text" and not value.strip("0.")):
                stats.n_zero += 1

    def merge(self, other: "Shape") -> None:
        """Add another sample to this one."""
        self.n += other.n
        for name, theirs in other.fields.items():
            ours = self.fields.setdefault(name, FieldStats())
            ours.n += theirs.n
            ours.n_null += theirs.n_null
            ours.n_zero += theirs.n_zero
            for word, n in theirs.types.items():
                ours.types[word] = ours.types.get(word, 0) + n

    def presence(self, name: str) -> float:
        """In what share of the records a field was there."""
        stats = self.fields.get(name)
        return 0.0 if stats is None or not self.n else stats.n / self.n


class Profile(msgspec.Struct):
    """One listing: how many market records it had, and the shape of a sample of them and of their events."""

    n_records: int = 0
    markets: Shape = msgspec.field(default_factory=Shape)
    events: Shape = msgspec.field(default_factory=Shape)


class Habit(msgspec.Struct, frozen=True):
    """What the last good listings looked like together, and how many records the last day's listings had."""

    profile: Profile
    n_records: tuple[int, ...]


class Change(StrEnum):
    """What can befall a field."""

    GONE = "gone"
    RETYPED = "retyped"
    EMPTIED = "emptied"
    ZEROED = "zeroed"


class Finding(msgspec.Struct, frozen=True):
    """A field that is not what it was. Shares are of the records, or of the filled values."""

    field: str  # "yes_bid", "event.category"
    change: Change
    before: float
    now: float
    detail: str = ""

    @property
    def total(self) -> bool:
        """Whether (nearly) every record shows it, so that it is true before the listing's end."""
        return self.now >= TOTAL

    @property
    def words(self) -> str:
        """For people."""
        shares = f"{self.before:.0%} of records before, {self.now:.0%} now"
        return {
            Change.GONE: f"{self.field} is gone (missing in {shares})",
            Change.RETYPED: f"{self.field} is {self.detail} ({shares})",
            Change.EMPTIED: f"{self.field} is empty (in {shares})",
            Change.ZEROED: f"{self.field} is zero (in {shares})",
        }[self.change]


def habit(profiles: Iterable[Profile], n_records: Sequence[int]) -> Habit | None:
    """The last good listings as one; None where there is none yet.

    Args:
        n_records: of every complete listing of the last day, good or not: a lasting new size is no alarm for ever.
    """
    whole: Profile | None = None
    for profile in profiles:
        whole = whole or Profile()
        whole.markets.merge(profile.markets)
        whole.events.merge(profile.events)
    return None if whole is None else Habit(whole, tuple(n_records))


def findings(usual: Profile, now: Profile) -> list[Finding]:
    """Every field that changed beyond chance and habit, the markets' before the events'."""
    return [*_shape_findings(usual.markets, now.markets, ""), *_shape_findings(usual.events, now.events, "event.")]


def collapse(usual: Sequence[int], n_records: int) -> str | None:
    """In words, that a listing is much shorter than those of the last day; None where it is not."""
    expected = median(usual) if usual else 0
    if n_records >= COUNT_SHARE * expected:
        return None
    missing = 1 - n_records / expected
    return f"{n_records:,} market records listed, usually {expected:,.0f}: {missing:.0%} are missing"


def _shape_findings(usual: Shape, now: Shape, prefix: str) -> list[Finding]:
    if min(usual.n, now.n) < MIN_RECORDS:
        return []
    found = (
        _field_finding(prefix + name, before, now.fields.get(name) or FieldStats(), usual.n, now.n)
        for name, before in usual.fields.items()
    )
    return [finding for finding in found if finding is not None]


def _field_finding(name: str, before: FieldStats, after: FieldStats, n: int, m: int) -> Finding | None:
    """The first thing wrong with a field; the others usually follow from it."""
    missing = (1 - before.n / n, 1 - after.n / m)
    if _stepped(*missing, n, m, STRUCTURE_STEP):
        return Finding(name, Change.GONE, *missing)
    if min(before.n, after.n) >= MIN_RECORDS:
        empty = (before.n_null / before.n, after.n_null / after.n)
        if _stepped(*empty, before.n, after.n, VALUE_STEP):
            return Finding(name, Change.EMPTIED, *empty)
    n, m = before.n_filled, after.n_filled
    if min(n, m) < MIN_RECORDS:
        return None
    usual = {word for word, count in before.types.items() if count >= _RARE * n}
    foreign = (
        sum(count for word, count in before.types.items() if word not in usual) / n,
        sum(count for word, count in after.types.items() if word not in usual) / m,
    )
    if _stepped(*foreign, n, m, STRUCTURE_STEP):
        words = " or ".join(sorted(after.types.keys() - usual))
        return Finding(name, Change.RETYPED, *foreign, f"{words} where it was {' or '.join(sorted(usual))}")
    zero = (before.n_zero / n, after.n_zero / m)
    return Finding(name, Change.ZEROED, *zero) if _stepped(*zero, n, m, VALUE_STEP) else None


def _stepped(before: float, now: float, n: int, m: int, step: float) -> bool:
    """Whether a share rose by a step, and by more than two samples of n and m differ by chance."""
    pooled = (before * n + now * m) / (n + m)
    noise = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return now - before >= max(step, STANDARD_ERRORS * noise)
