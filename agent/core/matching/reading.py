"""One listing read for comparison: words, numbers, dates, districts, sides, polarity. Pure.

Law: a reading is made of one listing alone and never of the one it will be compared with; whatever is typed (a number,
a day, a district) has left the bag of words. Kalshi's text is title and proposition: legs of an event share a title.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, TypeVar

from agent.core.matching.amounts import Amounts, Range, strike_range, take_amounts
from agent.core.matching.fixtures import Fixture, find_fixture, take_period
from agent.core.matching.moments import Moments, take_moments
from agent.core.matching.text import canonical, fold, states, take_districts, tokens
from agent.core.matching.words import CLUB, DIRECTIONS, FIXTURE_EMPTY, MONTHS, NEGATIONS, ORDINALS, SCORING
from sync.records import Market, Venue

T = TypeVar("T")

COMBO_PREFIX: Final = "KXMVE"  # generated combinations hold many names and match everything: never read
_TICKER_DAY: Final = re.compile(r"^(\d\d)([A-Z]{3})(\d\d)")
_ADDRESS_DAY: Final = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)(?!\d)")
_TICKER_YEAR: Final = re.compile(r"^(\d\d)(?:\D|$)")
_NOT: Final = re.compile(r"\b\w+n't\b")
_ORDINAL_WORD: Final = re.compile(rf"\b({'|'.join(ORDINALS)})\b")
_SANE_TICKER_DAY: Final = timedelta(days=31)  # a day in a ticker may be the listing's birth; near its end it is the end


@dataclass(frozen=True, slots=True)
class Reading:
    """What a question asks, in parts that compare."""

    key: str
    venue: Venue
    words: frozenset[str]  # what is left: names and what they do
    context: frozenset[str]  # words of the event around it; may explain a word the other side says aloud
    amounts: Amounts
    moments: Moments
    ticker_years: frozenset[int]  # a year in the ticker, where the text names none
    day: date | None  # the day in the ticker or the address: a game's own, local to where it is played
    due: date | None  # the day the answer is expected; None where the venue states only a safety margin
    end: date | None  # the last end it states, safety margins included
    districts: frozenset[str]
    states: frozenset[str]
    periods: frozenset[str]
    fixture: Fixture | None
    subject: int | None  # which side of the fixture (1, 2) a YES is about
    bare_versus: bool  # nothing but "A vs B": a winner market
    negated: bool
    direction: tuple[str, bool] | None  # ("up", True); None where a number carries the direction


def is_combo(market: Market) -> bool:
    """Whether a listing is one of Kalshi's generated combinations."""
    return market.venue is Venue.KALSHI and market.venue_market_id.startswith(COMBO_PREFIX)


def read(market: Market) -> Reading:
    """Read one market."""
    due, end = _due(market), _end(market)
    title = market.title
    if market.venue is Venue.KALSHI and market.proposition and fold(market.proposition) not in fold(title):
        title = f"{title} | {market.proposition}"
    plain, districts = take_districts(title)
    folded = canonical(fold(plain))
    named_states = states(folded)
    fixture, rest = find_fixture(folded)
    event_fixture, context = _event(market.event_title or "")
    in_title = fixture is not None
    fixture = fixture or event_fixture
    rest, periods = take_period(rest) if fixture else (rest, frozenset[str]())
    rest, moments = take_moments(rest, due or end)
    rest = rest if fixture else _ORDINAL_WORD.sub(lambda word: f"{ORDINALS[word[0]]}th", rest)
    rest, amounts = take_amounts(rest)
    rest, negated = _take_negations(rest)
    words = frozenset(tokens(rest))
    subject = _subject(market, fixture, words)
    bare = in_title and not words - FIXTURE_EMPTY - (fixture.words if fixture else frozenset())
    if fixture:
        words -= fixture.words | FIXTURE_EMPTY | CLUB
        words = words - SCORING | {"total"} if "total" in words else words
    direction, words = _direction(market, words, amounts)
    return Reading(
        key=market.market_key,
        venue=market.venue,
        words=words,
        context=context,
        amounts=_same(_with_strike(_turned(amounts, market), market)),
        moments=_same(moments),
        ticker_years=_same(frozenset() if moments.years else _ticker_years(market)),
        day=_day(market),
        due=due,
        end=end,
        districts=_same(districts),
        states=_same(named_states),
        periods=_same(periods),
        fixture=None if fixture is None else _same(fixture),
        subject=subject,
        bare_versus=bare and not periods and amounts == Amounts(),
        negated=negated,
        direction=direction,
    )


@lru_cache(maxsize=4_096)
def _same(part: T) -> T:
    """One object for equal parts: most listings name no district, no state and no number, and each of those nothings
    would weigh 200 bytes."""
    return part


@lru_cache(maxsize=16_384)  # its legs share an event
def _event(title: str) -> tuple[Fixture | None, frozenset[str]]:
    """Who meets whom in an event, and the words around its legs."""
    fixture, rest = find_fixture(canonical(fold(take_districts(title)[0])))
    return fixture, frozenset(tokens(take_amounts(take_moments(rest, None)[0])[0]))


def _day(market: Market) -> date | None:
    if market.venue is Venue.POLYMARKET:
        match = _ADDRESS_DAY.search(market.url or "")
        return _date(*map(int, match.groups())) if match else None
    for part in _ticker_parts(market)[:1]:
        match = _TICKER_DAY.match(part)
        month = MONTHS.get(match[2].lower()) if match else None
        day = _date(2000 + int(match[1]), month, int(match[3])) if match and month else None
        ends = [moment.date() for moment in (market.expected_time, market.close_time) if moment is not None]
        return day if day and (not ends or min(ends) - day <= _SANE_TICKER_DAY) else None
    return None


def _due(market: Market) -> date | None:
    if market.expected_time is not None:
        return market.expected_time.date()
    if market.venue is Venue.POLYMARKET:
        return None if market.close_time is None else market.close_time.date()
    return _day(market)


def _end(market: Market) -> date | None:
    ends = [moment.date() for moment in (market.close_time, market.expected_time) if moment is not None]
    return max(ends, default=None)


def _ticker_parts(market: Market) -> list[str]:
    return market.venue_market_id.split("-")[1:] if market.venue is Venue.KALSHI else []


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _ticker_years(market: Market) -> frozenset[int]:
    for part in _ticker_parts(market):
        if match := _TICKER_YEAR.match(part):
            return frozenset((2000 + int(match[1]),))
    return frozenset()


def _take_negations(text: str) -> tuple[str, bool]:
    text = _NOT.sub("not", text)
    found = [word for word in text.split() if word.strip("?.,!") in NEGATIONS]
    kept = " ".join(word for word in text.split() if word.strip("?.,!") not in NEGATIONS)
    return kept, len(found) % 2 == 1


def _subject(market: Market, fixture: Fixture | None, words: frozenset[str]) -> int | None:
    if fixture is None:
        return None
    if market.proposition and market.venue is Venue.KALSHI:
        about = fixture.side_of(frozenset(tokens(canonical(fold(market.proposition)))))
        if about is not None:
            return about
    about = fixture.side_of(words)
    if about is None and market.outcome_labels:
        about = fixture.side_of(frozenset(tokens(canonical(fold(market.outcome_labels[0])))))
    return about


def _direction(
    market: Market, words: frozenset[str], amounts: Amounts
) -> tuple[tuple[str, bool] | None, frozenset[str]]:
    """The direction asked for where no number carries it; its word leaves the bag."""
    if amounts.ranges:
        return None, words
    named = [word for word in words if word in DIRECTIONS]
    if len(named) == 2 and market.outcome_labels:  # "Up or Down": YES is the first outcome
        label = fold(market.outcome_labels[0])
        named = [word for word in named if word == label]
        words -= DIRECTIONS.keys() - set(named)
    if len(named) != 1:
        return None, words
    return DIRECTIONS[named[0]], words - {named[0]}


def _with_strike(amounts: Amounts, market: Market) -> Amounts:
    """Kalshi's machine-readable threshold, where the text names none; where the two contradict each other, both.

    A hair between them is rounding in words ("61,000 or above" for above 60,999.99, "20+" for above 19.5).
    """
    strike = strike_range(market.strike_type, market.floor_strike, market.cap_strike)
    if strike is None or len(amounts.ranges) > 1:
        return amounts
    if not amounts.ranges:
        said = {f"{end}" for end in (strike.low, strike.high) if end is not None}
        return Amounts((strike,), amounts.mentions - said)
    return amounts if amounts.ranges[0].near(strike) else Amounts((amounts.ranges[0], strike), amounts.mentions)


def _turned(amounts: Amounts, market: Market) -> Amounts:
    """A total whose first outcome is Under speaks of the numbers below its line."""
    if not market.outcome_labels or fold(market.outcome_labels[0]) != "under" or len(amounts.ranges) != 1:
        return amounts
    line: Range | None = amounts.ranges[0].complement()
    return Amounts((line,), amounts.mentions) if line is not None else amounts
