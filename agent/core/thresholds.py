"""Rungs of a ladder: the threshold a market asks about, read from its own words. Pure.

"Over 8.5 runs" and "over 9.5 runs" of one event are two rungs of one ladder, "released by June 30" and "released by
July 31" of another. Two rungs share a ladder when their texts are the same but for the threshold. Law: doubt is
silence. Words that turn a meaning round ("not", "remain", "between"), two thresholds in one text, a "hit" that does
not say from which side, and a date whose year nothing confirms give no rung.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from agent.core.numbers import (
    ABOVE,
    AT_LEAST,
    AT_MOST,
    BELOW,
    DIGITS,
    FALLS,
    OR_LESS,
    OR_MORE,
    REACHES,
    SCALES,
    value,
)
from sync.records import Market


@dataclass(frozen=True, slots=True)
class Rung:
    """One market's place on a ladder."""

    ladder: str  # the same for all rungs of one ladder: the text, direction and all, without the threshold
    value: float  # the number, or the day as an ordinal
    rising: bool  # YES gets likelier with a higher value: "below 5", "by July"; "above 5" gets less likely
    shown: str  # the threshold in words: "above 8.5", "by july 31"
    dated: bool = False  # the threshold is a day


_NUMBER: Final = re.compile(rf"(?P<number>{DIGITS})(?:\s?(?P<unit>{SCALES})\b)?")
_NEAR: Final = 20  # characters; the longest words beside a number are "greater than $"
_LEAD: Final = re.compile(
    rf"(?:(?P<above>(?<![a-z])(?:{AT_LEAST}|{ABOVE}|{REACHES}))"
    rf"|(?P<below>(?<![a-z])(?:{AT_MOST}|{BELOW}|{FALLS})))\s*[$€£]?\s?$"
)
_TAIL: Final = re.compile(
    r"\s?(?:%|°[cf]?|bps|points|runs|goals)?\s?"
    rf"(?:(?P<above>\+|or (?:{OR_MORE})\b)|(?P<below>or (?:{OR_LESS})\b))"
)
_WORD: Final = re.compile(r"[a-z]+")
_TURNS: Final = frozenset(
    {"no", "not", "never", "without", "fail", "fails", "avoid", "neither", "nor", "between", "exactly", "range"}
)
_LASTS: Final = frozenset(
    {"remain", "remains", "stay", "stays", "still", "survive", "survives", "last", "lasts", "hold", "holds", "keep"}
    | {"keeps", "until", "through", "after", "since", "first"}
)
_MONTHS: Final = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
                  "november", "december")  # fmt: skip
_DAY: Final = rf"(?P<month>{'|'.join(_MONTHS)})(?: (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b)?(?:,? (?P<year>20\d\d)\b)?"
_BY: Final = re.compile(rf"\b(?:by|before) (?P<end>(?:the )?end of )?{_DAY}")
_DATE: Final = re.compile(_DAY)
_CLOSE_ENOUGH: Final = timedelta(days=3)  # venues close a market within days of the date it names


def rungs(market: Market) -> tuple[Rung, ...]:
    """Where a market stands on ladders of its event: none, one by number, one by date, or both."""
    close = market.close_time.date() if market.close_time is not None else None
    return _rungs(market.title, market.proposition, close)


@lru_cache(maxsize=32_768)  # titles hardly change, and a pass asks for thousands of them
def _rungs(title: str, proposition: str | None, close: date | None) -> tuple[Rung, ...]:
    texts = [text.lower().replace("*", "") for text in (title, proposition) if text]
    whole = " ".join(texts)
    words = set(_WORD.findall(whole))
    if words & _TURNS or "n't" in whole:
        return ()
    dated = ("by" in words or "before" in words) and not words & _LASTS
    found = (_by_number(texts), _by_date(texts, close) if dated else None)
    return tuple(rung for rung in found if rung is not None)


def _by_number(texts: list[str]) -> Rung | None:
    for index, text in enumerate(texts):
        found = [(match, signs) for match in _NUMBER.finditer(text) if (signs := _signs(text, match))]
        if len(found) > 1:
            return None
        if found:
            match, signs = found[0]
            senses = {sign["below"] is not None for sign in signs}
            if len(senses) > 1:  # "under 5 or more"
                return None
            number, below = _number(match), senses.pop()
            rest = [_masked(other, number) for place, other in enumerate(texts) if place != index]
            shown = f"{'below' if below else 'above'} {match.group()}"
            return Rung(f"{_cut(text, match, 'number')}|{'|'.join(rest)}", number, below, shown)
    return None


def _signs(text: str, match: re.Match[str]) -> list[re.Match[str]]:
    """The words before and after a number that make it a threshold."""
    begin, end = match.span()
    lead, tail = _LEAD.search(text[max(0, begin - _NEAR) : begin]), _TAIL.match(text[end : end + _NEAR])
    return [sign for sign in (lead, tail) if sign is not None]


def _by_date(texts: list[str], close: date | None) -> Rung | None:
    for index, text in enumerate(texts):
        matches = list(_BY.finditer(text))
        if not matches:
            continue
        day = _day(matches[0], close) if len(matches) == 1 else None
        if day is None:
            return None
        rest = [_DATE.sub("#", other) for place, other in enumerate(texts) if place != index]
        ladder = f"{_cut(text, matches[0], 'month')}|{'|'.join(rest)}"
        return Rung(ladder, float(day.toordinal()), rising=True, shown=matches[0].group(), dated=True)
    return None


def _number(match: re.Match[str]) -> float:
    return float(value(match["number"], match["unit"]))


def _cut(text: str, match: re.Match[str], group: str) -> str:
    return text[: match.start(group)] + "#" + text[match.end() :]


def _masked(text: str, number: float) -> str:
    """The other text with the threshold, and only the threshold, taken out: other numbers tell ladders apart."""
    return _NUMBER.sub(lambda match: "#" if _number(match) == number else match.group(), text)


def _day(match: re.Match[str], close: date | None) -> date | None:
    """The day a text names; without a year, the one that lies at the market's close."""
    month = _MONTHS.index(match["month"]) + 1
    if match["year"]:
        return _in_year(match, int(match["year"]), month)
    if close is None:
        return None
    days = (_in_year(match, year, month) for year in (close.year, close.year - 1, close.year + 1))
    return next((day for day in days if day is not None and abs(day - close) <= _CLOSE_ENOUGH), None)


def _in_year(match: re.Match[str], year: int, month: int) -> date | None:
    last = monthrange(year, month)[1]
    day = int(match["day"]) if match["day"] else last if match["end"] else 1
    return date(year, month, day) if 1 <= day <= last else None
