"""What the market did against a prediction: the worked example, and every state said aloud."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.movement import (
    Book,
    Previous,
    Standing,
    Tally,
    convergence_percentage,
    fault,
    has_converged,
    overall,
    signed_move,
    view,
)
from agent.core.movement import check as core_check
from sync.records import BenchmarkStatus, Check, MarketStatus, Movement, NoQuote

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRICES = st.integers(1, 99).map(lambda cents: cents / 100)


class Case(NamedTuple):
    """A prediction and the book of its market."""

    standing: Standing
    book: Book


def make_case(*, mid: float | None = None, spread: float = 0.01, **over: Any) -> Case:
    """A prediction of 0.75 on a market at 0.60, an hour ago, with a fresh book of one cent's spread."""
    price = 0.60 if mid is None else mid
    values: dict[str, Any] = {
        "prediction_id": "p1",
        "market_key": "kalshi:TEST",
        "probability": 0.75,
        "confidence": 60,
        "predicted_at": START,
        "initial_price": 0.60,
        "status": MarketStatus.OPEN,
        "ends_at": START + timedelta(days=7),
        "tick_size": 0.01,
        "bid": price - spread / 2,
        "ask": price + spread / 2,
        "seen_at": START + HOUR,
        "previous": None,
    } | over
    of_the_book = ("status", "ends_at", "tick_size", "bid", "ask", "seen_at")
    book = Book(**{name: values.pop(name) for name in of_the_book})
    return Case(Standing(**values), book)


def check(case: Case, now: datetime) -> Check:
    """Look at the book, then hold the prediction against it."""
    return core_check(case.standing, view(case.book, now), now)


def test_the_worked_example_holds():
    """Predicted 0.75; the market goes 0.60, 0.63, 0.66, 0.69, 0.72, 0.73, one price each hour.

    The gap goes 0.15, 0.12, 0.09, 0.06, 0.03, 0.02: CONVERGING, +0.03 per hour while the market moves by three
    points, cumulative 0.13 at the end, which is 86 % of the edge.
    """
    previous, checks = None, list[Check]()

    for hour, mid in enumerate([0.60, 0.63, 0.66, 0.69, 0.72, 0.73]):
        now = START + hour * HOUR
        checks.append(check(make_case(mid=mid, seen_at=now, previous=previous), now))
        previous = Previous(now, checks[-1].abs_delta)

    assert [c.abs_delta for c in checks] == [0.15, 0.12, 0.09, 0.06, 0.03, 0.02]
    assert [c.movement_direction for c in checks] == [Movement.STABLE, *[Movement.CONVERGING] * 5]
    assert [c.convergence_rate for c in checks] == [None, 0.03, 0.03, 0.03, 0.03, 0.01]
    assert [c.cumulative_convergence for c in checks] == [0.0, 0.03, 0.06, 0.09, 0.12, 0.13]
    assert [c.hours_since_prediction for c in checks] == [0, 1, 2, 3, 4, 5]
    assert int(convergence_percentage(0.15, 0.02) or 0) == 86
    assert checks[-1].signed_move == 0.13


def test_a_missed_hour_divides_by_the_time_that_really_passed():
    """After a sleep of five hours, 0.15 closed is 0.03 per hour, not 0.15."""
    previous = Previous(START + HOUR, 0.15)

    result = check(make_case(mid=0.75, seen_at=START + 6 * HOUR, previous=previous), START + 6 * HOUR)

    assert result.convergence_rate == 0.03
    assert result.hours_since_prediction == 6


def test_the_first_check_is_held_against_the_prediction_itself():
    """There is no check before it, but there was a gap when the prediction was made."""
    result = check(make_case(mid=0.69), START + 2 * HOUR - timedelta(minutes=50))

    assert result.movement_direction is Movement.CONVERGING
    assert result.convergence_rate == pytest.approx(0.09 / (70 / 60))


def test_a_prediction_without_an_initial_price_has_no_gap_to_close():
    """What was not known then is None now, not zero; the price of this check is still worth keeping."""
    result = check(make_case(mid=0.69, initial_price=None), START + HOUR)

    assert result.movement_direction is Movement.STABLE
    assert (result.abs_delta, result.yes_price, result.no_price) == (0.06, 0.69, 0.31)
    assert (result.convergence_rate, result.cumulative_convergence, result.signed_move) == (None, None, None)


def test_a_market_that_passed_the_prediction_has_overshot():
    """Predicted 0.45 at 0.40, now 0.55: early and right, though the gap has grown."""
    case = make_case(probability=0.45, initial_price=0.40, mid=0.55, previous=Previous(START, 0.05))

    result = check(case, START + HOUR)

    assert result.movement_direction is Movement.OVERSHOT
    assert (result.cumulative_convergence, result.signed_move) == (-0.05, 0.15)


def test_overshooting_works_downwards_too():
    """A forecast below the market is passed when the market falls beyond it."""
    case = make_case(probability=0.50, initial_price=0.60, mid=0.45, previous=Previous(START, 0.10))

    assert check(case, START + HOUR).movement_direction is Movement.OVERSHOT
    assert check(case, START + HOUR).signed_move == 0.15


def test_a_market_that_goes_away_diverges():
    """The other word, with its negative rate."""
    result = check(make_case(mid=0.55), START + HOUR)

    assert result.movement_direction is Movement.DIVERGING
    assert (result.convergence_rate, result.cumulative_convergence, result.signed_move) == (-0.05, -0.05, -0.05)


@pytest.mark.parametrize(
    ("tick_size", "spread", "moved", "word"),
    [
        (None, 0.002, 0.004, Movement.STABLE),  # half a point
        (None, 0.002, 0.005, Movement.CONVERGING),
        (0.01, 0.002, 0.009, Movement.STABLE),  # one tick
        (0.01, 0.002, 0.01, Movement.CONVERGING),
        (0.01, 0.06, 0.029, Movement.STABLE),  # half the spread
        (0.01, 0.06, 0.03, Movement.CONVERGING),
    ],
)
def test_a_change_below_the_threshold_is_stable(tick_size, spread, moved, word):
    """Half a point, a tick, or half the spread, whichever is largest; reaching it counts, float dust or not."""
    case = make_case(mid=0.60 + moved, tick_size=tick_size, spread=spread)

    assert check(case, START + HOUR).movement_direction is word


def test_a_prediction_equal_to_the_price_has_no_side():
    """No direction was predicted: the signed move is exactly 0, nothing overshoots, there is no percentage."""
    case = make_case(probability=0.60, mid=0.70)

    result = check(case, START + HOUR)

    assert (result.signed_move, result.movement_direction) == (0.0, Movement.DIVERGING)
    assert convergence_percentage(0.0, 0.1) is None


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"bid": None}, NoQuote.ONE_SIDED),
        ({"ask": None}, NoQuote.ONE_SIDED),
        ({"bid": 0.0, "ask": 0.05}, NoQuote.ONE_SIDED),  # nobody bids
        ({"bid": 0.97, "ask": 1.0}, NoQuote.ONE_SIDED),  # nobody asks
        ({"bid": math.nan}, NoQuote.ONE_SIDED),
        ({"seen_at": None}, NoQuote.MISSED),
        ({"bid": 0.61, "ask": 0.60}, NoQuote.CROSSED),
        ({"bid": 0.54, "ask": 0.65}, NoQuote.WIDE),  # 11 points
        ({"bid": 0.02, "ask": 0.05, "probability": 0.1}, NoQuote.WIDE),  # 3 points on a mid of 3.5
        ({"seen_at": START + HOUR - timedelta(minutes=15, seconds=1)}, NoQuote.OLD_BOOK),
        ({"seen_at": START + HOUR + timedelta(minutes=15, seconds=1)}, NoQuote.OLD_BOOK),  # the clock went back
        ({"ends_at": START + 2 * HOUR}, NoQuote.ENDING),  # an hour before the end
        ({"status": MarketStatus.PAUSED}, NoQuote.NOT_TRADING),
        ({"status": MarketStatus.UNOPENED}, NoQuote.NOT_TRADING),
    ],
)
def test_without_a_usable_quote_a_check_is_stale_and_has_no_number(over, why):
    """A last trade or a wide book would look like a price; it is counted as STALE instead, and why is known."""
    result = check(make_case(**over), START + HOUR)

    assert fault(make_case(**over).book, START + HOUR) is why
    assert result.movement_direction is Movement.STALE
    numbers = (result.yes_price, result.no_price, result.abs_delta, result.convergence_rate)
    assert (*numbers, result.cumulative_convergence, result.signed_move) == (None,) * 6
    assert (result.closed, result.resolved, result.hours_since_prediction) == (False, False, 1)


@pytest.mark.parametrize(
    "over",
    [
        {"bid": 0.60, "ask": 0.60},  # locked, not crossed
        {"bid": 0.55, "ask": 0.65},  # ten points, which floats make a little more
        {"bid": 0.03, "ask": 0.05},  # half of a mid of four
        {"seen_at": START + HOUR - timedelta(minutes=15)},
        {"ends_at": START + 2 * HOUR + timedelta(seconds=1)},
        {"ends_at": None},
    ],
)
def test_a_quote_on_the_edge_of_the_rule_is_usable(over):
    """The bounds are inclusive; one tick too strict would drop a third of a tick-wide market's checks."""
    assert fault(make_case(**over).book, START + HOUR) is None


@pytest.mark.parametrize(("status", "resolved"), [(MarketStatus.CLOSED, False), (MarketStatus.RESOLVED, True)])
def test_a_settled_market_gives_no_movement(status, resolved):
    """The snap to 0 or 1 inverts every movement metric, so it never enters them."""
    result = check(make_case(mid=0.99, status=status), START + HOUR)

    assert (result.movement_direction, result.closed, result.resolved) == (Movement.SETTLED, True, resolved)
    assert (result.yes_price, result.abs_delta, result.signed_move) == (None, None, None)


def test_a_clock_that_went_back_gives_no_rate_and_no_negative_hours():
    """No time has passed to divide by; the price itself is as good as any."""
    previous = Previous(START + HOUR, 0.15)

    before_check = check(make_case(mid=0.69, previous=previous), START + HOUR)
    before_prediction = check(make_case(mid=0.69, seen_at=START - HOUR), START - HOUR)

    assert (before_check.convergence_rate, before_check.movement_direction) == (None, Movement.CONVERGING)
    assert (before_prediction.convergence_rate, before_prediction.hours_since_prediction) == (None, 0.0)


@pytest.mark.parametrize(
    ("initial_delta", "abs_delta", "percentage"),
    [(0.049, 0.0, None), (0.15 - 0.10, 0.0, 100.0), (0.10, 0.05, 50.0), (0.05, 0.30, -200.0), (0.10, 0.10, 0.0)],
)
def test_percentage_is_for_gaps_worth_a_percentage(initial_delta, abs_delta, percentage):
    """Below five points the share explodes; beyond ±200 % it says nothing more."""
    assert convergence_percentage(initial_delta, abs_delta) == (
        None if percentage is None else pytest.approx(percentage)
    )


def test_the_tally_counts_every_check_and_averages_only_numbers():
    """A stale check stays in the count and out of the mean."""
    tally = Tally()

    tally.add([check(make_case(mid=0.66), START + HOUR)])
    tally.add([check(make_case(mid=0.57), START + HOUR), check(make_case(bid=None), START + HOUR)])

    assert tally.counts == {Movement.CONVERGING: 1, Movement.DIVERGING: 1, Movement.STALE: 1}
    assert (tally.mean_rate, tally.max_rate) == (pytest.approx(0.015), 0.06)
    assert tally.convergence_percentage == pytest.approx((40 - 20) / 2)


def test_the_tally_of_nothing_has_no_means():
    """A pass without predictions is not a pass with a rate of zero."""
    tally = Tally()

    assert (tally.counts.total(), tally.mean_rate, tally.max_rate, tally.convergence_percentage) == (0, *[None] * 3)


@pytest.mark.parametrize(
    ("n_active", "n_paused", "status"),
    [(1, 5, BenchmarkStatus.ACTIVE), (0, 1, BenchmarkStatus.PAUSED), (0, 0, BenchmarkStatus.COMPLETED)],
)
def test_the_whole_is_active_while_anything_is(n_active, n_paused, status):
    """Paused is what nothing else is left beside."""
    assert overall(n_active, n_paused) is status


@pytest.mark.parametrize(("mid", "arrived"), [(0.70, False), (0.735, False), (0.745, True), (0.75, True), (0.85, True)])
def test_a_price_has_converged_within_the_noise_of_the_prediction_or_past_it(mid, arrived):
    """Half a tick away is there; so is one that went past."""
    case = make_case(mid=mid)
    seen = view(case.book, START + HOUR)

    assert has_converged(core_check(case.standing, seen, START + HOUR), seen) is arrived


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Anything a pass may meet."""
    maybe = st.none() | PRICES
    when = st.integers(-(10**9), 10**9).map(lambda ms: START + timedelta(milliseconds=ms))
    return make_case(
        probability=draw(st.floats(0, 1)),
        initial_price=draw(maybe),
        bid=draw(maybe),
        ask=draw(maybe),
        tick_size=draw(st.sampled_from([None, 0.001, 0.01])),
        status=draw(st.sampled_from(MarketStatus)),
        seen_at=draw(st.none() | when),
        ends_at=draw(st.none() | when),
        previous=draw(st.none() | st.builds(Previous, when, st.floats(0, 1))),
    )


@given(cases(), st.integers(-(10**9), 10**9))
def test_every_number_of_every_check_is_finite_or_missing(case: Case, ms: int):
    """No nan, no infinity, no price outside [0, 1], whatever the clock and the book say."""
    result = check(case, START + timedelta(milliseconds=ms))

    for name in ("yes_price", "no_price", "abs_delta"):
        value = getattr(result, name)
        assert value is None or 0 <= value <= 1
    for name in ("convergence_rate", "cumulative_convergence", "signed_move"):
        value = getattr(result, name)
        assert value is None or math.isfinite(value)
    assert result.hours_since_prediction >= 0
    assert (result.abs_delta is None) == (result.movement_direction in (Movement.STALE, Movement.SETTLED))


@given(PRICES, PRICES, PRICES)
def test_signed_move_never_exceeds_the_markets_own_move(probability: float, before: float, after: float):
    """Its size is the market's move, its sign the predicted side's: the forecaster adds only the sign."""
    move = signed_move(probability, before, after)

    assert abs(move) == (pytest.approx(abs(after - before)) if probability != before else 0)
    assert signed_move(1 - probability, 1 - before, 1 - after) == pytest.approx(move, abs=1e-8)


@given(PRICES, PRICES)
def test_the_market_as_its_own_forecaster_scores_exactly_zero(before: float, after: float):
    """A reference that predicts the price must show no skill at all."""
    assert signed_move(before, before, after) == 0.0
