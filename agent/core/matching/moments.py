"""When a question's answer is decided: days, deadlines, months and years out of its words. Pure.

Law: "by" a day includes it, "before" a day ends the day before; a bare year is a soft hint, a deadline is not.
A day without a year takes the one nearest to the listing's own end; without an end the year stays open.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from agent.core.matching.words import MONTHS

_MONTH: Final = "|".join(sorted(MONTHS, key=len, reverse=True))
_LEAD: Final = r"(?:\b(?P<lead>by (?:the )?end of |by |before |until |on or before |on |in |after |through ))?"
_DAY: Final = re.compile(
    rf"{_LEAD}(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d|%|\.\d)(?:,? (?P<year>20\d\d))?"
)
_ISO: Final = re.compile(rf"{_LEAD}(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d)\b")
_WHOLE_MONTH: Final = re.compile(rf"{_LEAD}\b(?P<month>{_MONTH})\b,?(?: (?P<year>20\d\d))?")
_QUARTER: Final = re.compile(rf"{_LEAD}q(?P<quarter>[1-4]),? ?(?P<year>20\d\d)")
_YEAR: Final = re.compile(rf"{_LEAD}(?:the )?(?P<year>20[2-4]\d)(?:[-/](?P<until>(?:20)?\d\d))?\b(?!\.\d|,\d|%)")
_NO_MONTH: Final = frozenset(("may", "march", "mar", "jan", "sep"))  # also a verb, or a name: need a word or a year
_DEADLINES: Final = ("by ", "until ", "on or before ", "through ")
OPEN_YEAR: Final = 2000  # stands for "the year is not said": a leap year, so that every day exists in it


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, both included; no start is a deadline. Year OPEN_YEAR: the text does not say which."""

    start: date | None
    end: date | None

    @property
    def year_open(self) -> bool:
        """Whether the year is unknown."""
        return OPEN_YEAR in {moment.year for moment in (self.start, self.end) if moment is not None}

    def yearless(self) -> "Window":
        """The same days of any year."""
        return Window(_in_open_year(self.start), _in_open_year(self.end))


@dataclass(frozen=True, slots=True)
class Moments:
    """All a text says about time."""

    windows: tuple[Window, ...] = ()
    years: frozenset[int] = frozenset()  # bare years: "the 2026 election"


def take_moments(text: str, near: date | None) -> tuple[str, Moments]:
    """The folded text without its dates, and the dates; days without a year lie nearest to `near`."""
    taken = _Taken(near)
    for pattern, take in (
        (_ISO, taken.day), (_DAY, taken.day), (_QUARTER, taken.quarter), (_WHOLE_MONTH, taken.month),
        (_YEAR, taken.year),
    ):  # fmt: skip
        text = pattern.sub(take, text)
    return text, Moments(tuple(dict.fromkeys(taken.windows)), frozenset(taken.years))


class _Taken:
    """Collects moments while patterns take them out of a text."""

    def __init__(self, near: date | None) -> None:
        self._near = near
        self.windows = list[Window]()
        self.years = set[int]()

    def day(self, match: re.Match[str]) -> str:
        month = match["month"]
        number = int(month) if month.isdigit() else MONTHS[month]
        moment = self._moment(match["year"], number, int(match["day"]))
        if moment is None:
            return match[0]
        self._add(match["lead"], moment, moment)
        return " "

    def month(self, match: re.Match[str]) -> str:
        if match["month"] in _NO_MONTH and not match["lead"] and not match["year"]:
            return match[0]
        first = self._moment(match["year"], MONTHS[match["month"]], 1)
        if first is not None:
            self._add(match["lead"], first, first.replace(day=monthrange(first.year, first.month)[1]))
        return " "

    def quarter(self, match: re.Match[str]) -> str:
        year, month = int(match["year"]), 3 * int(match["quarter"])
        self._add(match["lead"], date(year, month - 2, 1), date(year, month, monthrange(year, month)[1]))
        return " "

    def year(self, match: re.Match[str]) -> str:
        lead, year = match["lead"] or "", int(match["year"])
        if lead == "before ":
            self.windows.append(Window(None, date(year - 1, 12, 31)))
        elif lead.startswith(_DEADLINES):
            self.windows.append(Window(None, date(year, 12, 31)))
        else:
            self.years.add(year)
            if match["until"]:  # a season: "2025-26"
                self.years.add(2000 + int(match["until"][-2:]))
        return " "

    def _add(self, lead: str | None, start: date, end: date) -> None:
        lead = lead or ""
        if lead == "before ":
            self.windows.append(Window(None, start - timedelta(days=1)))
        elif lead == "after ":
            self.windows.append(Window(end + timedelta(days=1), None))
        elif lead.startswith(_DEADLINES):
            self.windows.append(Window(None, end))
        else:
            self.windows.append(Window(start, end))

    def _moment(self, year: str | None, month: int, day: int) -> date | None:
        if year is not None:
            return _date(int(year), month, day)
        if self._near is None:
            return _date(OPEN_YEAR, month, day)
        near = self._near
        days = [moment for offset in (-1, 0, 1) if (moment := _date(near.year + offset, month, day)) is not None]
        return min(days, key=lambda moment: abs(moment - near), default=None)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _in_open_year(moment: date | None) -> date | None:
    return None if moment is None else moment.replace(year=OPEN_YEAR)
