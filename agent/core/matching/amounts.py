"""Numbers of a question as ranges with their ends. Pure.

Law: thresholds agree only exactly, ends included: "more than 0.6" is not "0.6 or more", and 60,999.99 is not 61,000.
A range knows its complement, so that "above X" against "X or below" is seen as the same question turned round.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agent.core.numbers import ABOVE, AT_LEAST, AT_MOST, BELOW, DIGITS, OR_LESS, OR_MORE, SCALE, SCALES, value

_NUM: Final = rf"\$?(-?{DIGITS}|-?\.\d+)\s?({SCALES}|%|percent|bps|°[fc]?)?(?![a-z\d.]*\d)(?![a-z])"
_UP: Final = rf"{AT_LEAST}|{ABOVE}|total"
_BEFORE_WORDS: Final = rf"{AT_LEAST}|{AT_MOST}|{ABOVE}|total|{BELOW}"  # "at least" before "least", ">=" before ">"
_BETWEEN: Final = re.compile(rf"(?:between |from )?(?<![\w.]){_NUM}\s?(?:-|and|to)\s?{_NUM}")
_BEFORE: Final = re.compile(rf"(?P<word>{_BEFORE_WORDS}) ?(?:be )?{_NUM}")
_AFTER: Final = re.compile(
    rf"(?<![\w.]){_NUM}\s?(?:(?P<plus>\+)(?!\w)"
    rf"|(?:or|and) (?P<word>{OR_MORE}|{OR_LESS}))"
)
_SPREAD: Final = re.compile(r"\(([+-]\d+(?:\.\d+)?)\)")
_SCORE: Final = re.compile(r"(?<![\w.,])(\d{1,2}) ?- ?(\d{1,2})(?![\w.%°])")
_SCORE_WORDS: Final = re.compile(r"\b(?:score|series|wins? \d|exact)\b")
_ORDINAL: Final = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_BARE: Final = re.compile(rf"(?<![\w.]){_NUM}")
_OR_MORE: Final = re.compile(OR_MORE)


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of numbers; None is no end. `low_in` and `high_in` say whether the end itself belongs to it."""

    low: Decimal | None
    low_in: bool
    high: Decimal | None
    high_in: bool
    unit: str = ""

    def same(self, other: "Range") -> bool:
        """Both ends agree, and the units where both are named."""
        ends = (self.low, self.low_in, self.high, self.high_in)
        return ends == (other.low, other.low_in, other.high, other.high_in) and self.fits(other)

    def fits(self, other: "Range") -> bool:
        """Whether the units can be the same one."""
        return not self.unit or not other.unit or self.unit == other.unit

    def within(self, other: "Range") -> bool:
        """Whether everything in this range is in the other too."""
        low_ok = other.low is None or (
            self.low is not None and (self.low > other.low or (self.low == other.low and other.low_in >= self.low_in))
        )
        high_ok = other.high is None or (
            self.high is not None
            and (self.high < other.high or (self.high == other.high and other.high_in >= self.high_in))
        )
        return low_ok and high_ok

    def near(self, other: "Range") -> bool:
        """The same ends but for rounding: less than one, or less than a hundredth of them, apart."""
        return _near(self.low, other.low) and _near(self.high, other.high)

    def apart(self, other: "Range") -> bool:
        """Whether no number is in both."""
        return _below(self, other) or _below(other, self)

    def complement(self) -> "Range | None":
        """Everything outside; None for a range with two ends, whose outside is two stretches."""
        if self.low is not None and self.high is None:
            return Range(None, False, self.low, not self.low_in, self.unit)
        if self.high is not None and self.low is None:
            return Range(self.high, not self.high_in, None, False, self.unit)
        return None


@dataclass(frozen=True, slots=True)
class Amounts:
    """The numbers a text speaks of, dates and districts aside."""

    ranges: tuple[Range, ...] = ()
    mentions: frozenset[str] = frozenset()  # numbers without comparator: "top 10", "stage 3", a score "3:1"


def take_amounts(text: str) -> tuple[str, Amounts]:
    """The folded text without its numbers, and the numbers."""
    taken = _Taken()
    text = _SPREAD.sub(taken.spread, text)
    if _SCORE_WORDS.search(text):
        text = _SCORE.sub(taken.score, text)
    text = _BETWEEN.sub(taken.between, text)
    text = _AFTER.sub(taken.after, text)
    text = _BEFORE.sub(taken.before, text)
    text = _ORDINAL.sub(taken.ordinal, text)
    text = _BARE.sub(taken.bare, text)
    return text, Amounts(tuple(dict.fromkeys(taken.ranges)), frozenset(taken.mentions))


class _Taken:
    """Collects numbers while patterns take them out of a text."""

    def __init__(self) -> None:
        self.ranges = list[Range]()
        self.mentions = set[str]()

    def spread(self, match: re.Match[str]) -> str:
        """A handicap: (-1.5) is to win by more than 1.5."""
        self.ranges.append(Range(-Decimal(match[1]), False, None, False))
        return " margin "

    def score(self, match: re.Match[str]) -> str:
        self.mentions.add(f"{int(match[1])}:{int(match[2])}")
        return " score "

    def between(self, match: re.Match[str]) -> str:
        low, high = value(match[1], match[2] or match[4]), value(match[3], match[4] or match[2])
        if low >= high:
            self.mentions.add(f"{low}:{high}")
        else:
            self.ranges.append(Range(low, True, high, True, _unit(match[4] or match[2])))
        return " "

    def after(self, match: re.Match[str]) -> str:
        upward = bool(match["plus"]) or _OR_MORE.fullmatch(match["word"]) is not None
        self._add(value(match[1], match[2]), match[2], upward=upward, included=True)
        return " "

    def before(self, match: re.Match[str]) -> str:
        word = match["word"]
        upward = re.fullmatch(_UP, word) is not None
        included = re.fullmatch(rf"{AT_LEAST}|{AT_MOST}", word) is not None
        self._add(value(match[2], match[3]), match[3], upward=upward, included=included)
        return " total " if word == "total" else " "

    def ordinal(self, match: re.Match[str]) -> str:
        self.mentions.add(f"{int(match[1])}th")
        return " "

    def bare(self, match: re.Match[str]) -> str:
        self.mentions.add(f"{value(match[1], match[2])}")
        return " "

    def _add(self, value: Decimal, raw_unit: str | None, *, upward: bool, included: bool) -> None:
        unit = _unit(raw_unit)
        if unit == "°" and not included:  # weather is settled in whole degrees: above 94 is 95 or above
            value, included = value + (1 if upward else -1), True
        self.ranges.append(
            Range(value, included, None, False, unit) if upward else Range(None, False, value, included, unit)
        )


def strike_range(kind: str | None, floor: float | None, cap: float | None) -> Range | None:
    """A threshold as Kalshi states it for machines; None for a kind that is no stretch of numbers."""
    low, high = (None if end is None else Decimal(str(end)).normalize() + 0 for end in (floor, cap))
    if kind in ("greater", "greater_or_equal") and low is not None:
        return Range(low, kind == "greater_or_equal", None, False)
    if kind in ("less", "less_or_equal") and high is not None:
        return Range(None, False, high, kind == "less_or_equal")
    if kind == "between" and low is not None and high is not None and low < high:
        return Range(low, True, high, True)
    return None


def _near(one: Decimal | None, other: Decimal | None) -> bool:
    if one is None or other is None:
        return one is other
    gap = abs(one - other)
    return gap <= 1 or gap <= abs(one) / 100


def _unit(raw: str | None) -> str:
    if raw is None or raw in SCALE:
        return ""
    return "%" if raw == "percent" else raw[0] if raw.startswith("°") else raw


def _below(left: Range, right: Range) -> bool:
    if left.high is None or right.low is None:
        return False
    return left.high < right.low or (left.high == right.low and not (left.high_in and right.low_in))
