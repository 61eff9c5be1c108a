"""Numbers of a question as ranges with their ends. Pure.

Law: thresholds agree only exactly, ends included: "more than 0.6" is not "0.6 or more", and 60,999.99 is not 61,000.
A range knows its complement, so that "above X" against "X or below" is seen as the same question turned round.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_SCALE: Final = {
    "k": Decimal(1000), "thousand": Decimal(1000), "m": Decimal(1_000_000), "million": Decimal(1_000_000),
    "b": Decimal(10**9), "bn": Decimal(10**9), "billion": Decimal(10**9), "t": Decimal(10**12),
    "trillion": Decimal(10**12),
}  # fmt: skip
_NUM: Final = (
    r"\$?(-?\d[\d,]*(?:\.\d+)?|-?\.\d+)"
    r"\s?(k|m|bn|b|t|thousand|million|billion|trillion|%|percent|bps|°[fc]?)?(?![a-z\d.]*\d)(?![a-z])"
)
_GE: Final = r"at least|no less than|no fewer than|minimum of|>="
_LE: Final = r"at most|no more than|up to|maximum of|<="
_GT: Final = r"more than|greater than|higher than|above|over|exceeds?|exceeding|total|>"
_LT: Final = r"less than|fewer than|lower than|below|under|<"
_BETWEEN: Final = re.compile(rf"(?:between |from )?(?<![\w.]){_NUM}\s?(?:-|and|to)\s?{_NUM}")
_BEFORE: Final = re.compile(rf"(?P<word>{_GE}|{_LE}|{_GT}|{_LT}) ?(?:be )?{_NUM}")
_AFTER: Final = re.compile(
    rf"(?<![\w.]){_NUM}\s?(?:(?P<plus>\+)(?!\w)"
    r"|(?:or|and) (?P<word>more|above|higher|greater|over|less|below|lower|fewer|under))"
)
_SPREAD: Final = re.compile(r"\(([+-]\d+(?:\.\d+)?)\)")
_SCORE: Final = re.compile(r"(?<![\w.,])(\d{1,2}) ?- ?(\d{1,2})(?![\w.%°])")
_SCORE_WORDS: Final = re.compile(r"\b(?:score|series|wins? \d|exact)\b")
_ORDINAL: Final = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_BARE: Final = re.compile(rf"(?<![\w.]){_NUM}")
_UPWARD: Final = frozenset(("more", "above", "higher", "greater", "over"))


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
        low, high = _decimal(match[1], match[2] or match[4]), _decimal(match[3], match[4] or match[2])
        if low >= high:
            self.mentions.add(f"{low}:{high}")
        else:
            self.ranges.append(Range(low, True, high, True, _unit(match[4] or match[2])))
        return " "

    def after(self, match: re.Match[str]) -> str:
        upward = bool(match["plus"]) or match["word"] in _UPWARD
        self._add(_decimal(match[1], match[2]), match[2], upward=upward, included=True)
        return " "

    def before(self, match: re.Match[str]) -> str:
        word = match["word"]
        upward = re.fullmatch(rf"{_GE}|{_GT}", word) is not None
        included = re.fullmatch(rf"{_GE}|{_LE}", word) is not None
        self._add(_decimal(match[2], match[3]), match[3], upward=upward, included=included)
        return " total " if word == "total" else " "

    def ordinal(self, match: re.Match[str]) -> str:
        self.mentions.add(f"{int(match[1])}th")
        return " "

    def bare(self, match: re.Match[str]) -> str:
        self.mentions.add(f"{_decimal(match[1], match[2])}")
        return " "

    def _add(self, value: Decimal, raw_unit: str | None, *, upward: bool, included: bool) -> None:
        unit = _unit(raw_unit)
        if unit == "°" and not included:  # weather is settled in whole degrees: above 94 is 95 or above
            value, included = value + (1 if upward else -1), True
        self.ranges.append(
            Range(value, included, None, False, unit) if upward else Range(None, False, value, included, unit)
        )


def _decimal(digits: str, unit: str | None) -> Decimal:
    return (Decimal(digits.replace(",", "")) * _SCALE.get(unit or "", Decimal(1))).normalize() + 0


def _unit(raw: str | None) -> str:
    if raw is None or raw in _SCALE:
        return ""
    return "%" if raw == "percent" else raw[0] if raw.startswith("°") else raw


def _below(left: Range, right: Range) -> bool:
    if left.high is None or right.low is None:
        return False
    return left.high < right.low or (left.high == right.low and not (left.high_in and right.low_in))
