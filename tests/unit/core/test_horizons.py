"""The honest layer: which look serves a horizon, what it measures, and every reason for there being none."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.fees import KalshiFees
from agent.core.horizons import (
    TIMED,
    Look,
    Start,
    Window,
    end_windows,
    executable_move,
    has_signal,
    mark,
    next_due,
    start_fault,
    timed_windows,
)
from sync.records import Horizon, NoQuote

START = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LATER = START + timedelta(days=30)


def make_start(**over: Any) -> Start:
    """0.75 said at 0.59 to 0.61."""
    defaults: dict[str, Any] = {
        "prediction_id": "p1", "market_key": "kalshi:TEST", "probability": 0.75, "predicted_at": START,
        "price": 0.60, "bid": 0.59, "ask": 0.61, "seen_at": START - MINUTE, "tick_size": 0.01, "fees": KalshiFees(),
    }  # fmt: skip
    return Start(**defaults | over)


def window(horizon: Horizon) -> Window:
    return next(one for one in timed_windows(START) if one.horizon is horizon)


def look(at: datetime, mid: float = 0.65) -> Look:
    return Look(at, round(mid - 0.01, 6), round(mid + 0.01, 6))


@pytest.mark.parametrize(
    ("horizon", "minutes"),
    [(Horizon.H1, 10), (Horizon.H6, 18), (Horizon.H24, 72), (Horizon.H72, 216), (Horizon.H168, 504)],
)
def test_a_window_is_ten_minutes_or_a_twentieth_of_the_horizon(horizon, minutes):
    """Whichever is larger, to both sides."""
    one = window(horizon)

    assert one.due_at == START + TIMED[horizon]
    assert (one.due_at - one.opens_at, one.ends_at - one.due_at) == (minutes * MINUTE, minutes * MINUTE)


def test_the_first_usable_look_within_the_window_is_the_mark():
    """Not the best, not the nearest: whoever may choose the look chooses the result."""
    due = START + HOUR
    looks = [
        look(due - 11 * MINUTE, 0.90),  # too early
        Look(due - 9 * MINUTE, 0.40, 0.80),  # wide
        look(due + 5 * MINUTE, 0.65),
        look(due + 6 * MINUTE, 0.70),
        look(due + 11 * MINUTE, 0.95),  # too late
    ]

    found = mark(make_start(), window(Horizon.H1), looks, None, due + HOUR)

    assert found is not None
    assert (found.seen_at, found.mid, found.missing) == (due + 5 * MINUTE, 0.65, None)
    assert (found.signed_move, found.signal) == (0.05, True)


def test_a_horizon_waits_while_its_window_is_open():
    """A usable look may still come; only then is it missing."""
    due = START + HOUR

    assert mark(make_start(), window(Horizon.H1), [], None, due + 9 * MINUTE) is None
    late = mark(make_start(), window(Horizon.H1), [], None, due + 11 * MINUTE)
    assert late is not None
    assert (late.missing, late.mid, late.signed_move) == (NoQuote.MISSED, None, None)


@pytest.mark.parametrize(
    ("bid", "ask", "why"),
    [
        (None, 0.61, NoQuote.ONE_SIDED),
        (0.0, 0.05, NoQuote.ONE_SIDED),
        (0.95, 1.0, NoQuote.ONE_SIDED),
        (float("nan"), 0.61, NoQuote.ONE_SIDED),
        (0.62, 0.61, NoQuote.CROSSED),
        (0.50, 0.61, NoQuote.WIDE),
        (0.02, 0.05, NoQuote.WIDE),
    ],
)
def test_what_was_seen_and_could_not_be_used_is_the_reason(bid, ask, why):
    """A market that is always wide is another matter than a server that slept."""
    due = START + HOUR

    found = mark(make_start(), window(Horizon.H1), [Look(due, bid, ask)], None, due + HOUR)

    assert found is not None
    assert (found.missing, found.mid) == (why, None)


@pytest.mark.parametrize(
    ("ends_after", "seen_after", "why"),
    [
        (timedelta(minutes=100), 60 * MINUTE, NoQuote.ENDING),  # forty minutes before the end
        (timedelta(minutes=55), 60 * MINUTE, NoQuote.NOT_TRADING),
        (timedelta(minutes=40), None, NoQuote.NOT_TRADING),
        (timedelta(minutes=90), None, NoQuote.ENDING),
    ],
)
def test_near_its_end_a_market_gives_no_mark(ends_after, seen_after, why):
    """The jump of the result is no movement toward a forecast."""
    looks = [] if seen_after is None else [look(START + seen_after)]

    found = mark(make_start(), window(Horizon.H1), looks, START + ends_after, LATER)

    assert found is not None
    assert found.missing is why


def test_a_market_that_is_over_does_not_keep_its_horizons_waiting():
    """The week's horizon of a market that closed on the second day is missing today, and counted."""
    end = START + timedelta(days=2)

    found = mark(make_start(), window(Horizon.H168), [], end, end + HOUR)

    assert found is not None
    assert found.missing is NoQuote.NOT_TRADING
    assert found.due_at == START + timedelta(days=7)


def test_close_is_the_last_usable_look_before_the_final_hour():
    """Between three hours and one before the end; the last, for the price nearest the answer that is no answer yet."""
    end = START + timedelta(days=3)
    close = end_windows(end)[1]
    looks = [
        look(end - 181 * MINUTE, 0.50),
        look(end - 150 * MINUTE, 0.62),
        look(end - 60 * MINUTE, 0.66),
        Look(end - 60 * MINUTE, 0.1, 0.9),
        look(end - 30 * MINUTE, 0.97),
    ]

    found = mark(make_start(), close, looks, end, end + HOUR)

    assert found is not None
    assert (found.horizon, found.mid, found.seen_at) == (Horizon.CLOSE, 0.66, end - 60 * MINUTE)


def test_the_day_before_the_end_has_the_windows_of_a_day():
    """The market 24 hours before its end is what a forecast of that day had to beat."""
    end = START + timedelta(days=3)
    day_before = end_windows(end)[0]

    found = mark(make_start(), day_before, [look(end - timedelta(hours=23))], end, end)

    assert found is not None
    assert (found.horizon, found.due_at, found.mid) == (Horizon.DAY_BEFORE, end - timedelta(days=1), 0.65)


def test_the_executable_move_crosses_both_spreads_and_pays_both_fees():
    """YES bought at 0.61, sold at 0.64: three points, less 0.07 p (1 - p) at each price."""
    fees = Decimal("0.07") * (Decimal("0.61") * Decimal("0.39") + Decimal("0.64") * Decimal("0.36"))

    assert executable_move(make_start(), 0.64, 0.66) == pytest.approx(0.03 - float(fees), abs=1e-9)


def test_the_no_side_is_bought_at_what_yes_bids_and_sold_at_what_it_asks():
    """NO bought at 1 - 0.59 = 0.41, sold at 1 - 0.56 = 0.44; fees are the same at p and 1 - p."""
    fees = Decimal("0.07") * (Decimal("0.41") * Decimal("0.59") + Decimal("0.44") * Decimal("0.56"))

    assert executable_move(make_start(probability=0.45), 0.54, 0.56) == pytest.approx(0.03 - float(fees), abs=1e-9)


@pytest.mark.parametrize("over", [{"fees": None}, {"bid": None}, {"ask": None}, {"price": None}, {"probability": 0.60}])
def test_what_cannot_be_executed_or_reckoned_is_missing(over):
    """An unknown fee is not free, and no side predicted is no trade."""
    assert executable_move(make_start(**over), 0.64, 0.66) is None


@pytest.mark.parametrize(
    ("over", "signal"),
    [
        ({"probability": 0.61}, True),  # a point
        ({"probability": 0.609}, False),
        ({"probability": 0.60}, False),  # delta 0
        ({"probability": 0.62, "bid": 0.57, "ask": 0.63}, False),  # half the spread is three points
        ({"probability": 0.63, "bid": 0.57, "ask": 0.63}, True),
        ({"probability": 0.62, "tick_size": 0.05}, False),
    ],
)
def test_a_gap_within_the_noise_is_no_signal(over, signal):
    """A point, a tick or half the spread, whichever is largest."""
    assert has_signal(make_start(**over)) is signal


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({}, None),
        ({"seen_at": None}, None),
        ({"seen_at": START - 16 * MINUTE}, NoQuote.OLD_BOOK),
        ({"price": None}, NoQuote.ONE_SIDED),
        ({"bid": 0.50, "ask": 0.70}, NoQuote.WIDE),
        ({"bid": 0.62, "ask": 0.58}, NoQuote.CROSSED),
    ],
)
def test_a_stale_or_broken_start_measures_nothing(over, why):
    """A forecast equal to the true price earns half a spread per bounce of a stale one, with no skill at all."""
    start = make_start(**over)

    found = mark(start, window(Horizon.H1), [look(START + HOUR)], None, LATER)

    assert start_fault(start) is why
    assert found is not None
    assert found.mid == 0.65  # the look itself is a fact
    assert (found.signed_move is None) == (found.signal is None) == (why is not None)


def test_the_next_horizon_is_the_first_without_a_mark():
    """What the store wakes up for."""
    assert next_due(START, []) == START + 50 * MINUTE
    assert next_due(START, [Horizon.H1, Horizon.CLOSE]) == START + 6 * HOUR - 18 * MINUTE
    assert next_due(START, list(TIMED)) is None


PRICES = st.integers(2, 98).map(lambda cents: cents / 100)


@given(PRICES, PRICES, PRICES)
def test_the_market_as_its_own_forecaster_moves_exactly_nothing(before: float, after: float, other: float):
    """The reference must give 0 at every horizon; any other forecast gives the market's move, with a sign."""
    bid, ask = round(before - 0.01, 6), round(before + 0.01, 6)
    looks = [look(START + HOUR, after)]

    own = mark(make_start(probability=before, price=before, bid=bid, ask=ask), window(Horizon.H1), looks, None, LATER)
    theirs = mark(make_start(probability=other, price=before, bid=bid, ask=ask), window(Horizon.H1), looks, None, LATER)

    assert own is not None
    assert theirs is not None
    if own.missing is None and own.signed_move is not None:
        assert own.signed_move == 0.0
        assert own.signed_move_exec is None
    if theirs.signed_move is not None and other != before:
        assert abs(theirs.signed_move) == pytest.approx(abs(after - before), abs=1e-9)
