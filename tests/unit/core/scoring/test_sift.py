"""What counts and what is counted out: every nonsense a row can hold has a stated result."""

from datetime import timedelta

import pytest

from agent.core.scoring.rows import HorizonQuote
from agent.core.scoring.sift import Exclusion, has_signal, missing_prices, outcome, sift
from sync.records import Horizon, NoQuote, Resolution
from tests.unit.core.scoring.made import NOON, make_row, quote

NAN = float("nan")


@pytest.mark.parametrize("probability", [NAN, -0.01, 1.01, float("inf")])
def test_a_probability_that_is_none_takes_its_row_out_and_is_counted(probability):
    """One nan would make every mean of the report nan without a trace."""
    sifted = sift([make_row(1, probability=probability), make_row(2)])

    assert [row.prediction_id for row in sifted.rows] == ["prd-2"]
    assert sifted.n_excluded[Exclusion.INVALID] == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"initial_mid": NAN},
        {"initial_mid": 0.0},
        {"initial_mid": 1.0},
        {"initial_mid": None},
        {"initial_bid": 0.52, "initial_ask": 0.48},
        {"initial_bid": NAN},
        {"initial_ask": 1.5},
    ],
)
def test_a_market_price_that_is_none_leaves_only_brier_and_log_score(broken):
    """A pinned, crossed or missing price cannot be compared with, but the forecast still has an answer."""
    (row,) = sift([make_row(**broken)]).rows

    assert row.initial_mid is None
    assert row.initial_bid is None
    assert sift([make_row(**broken)]).n_excluded[Exclusion.NO_PRICE] == 1
    assert not has_signal(row)


def test_broken_horizon_quotes_become_missing_with_a_reason():
    """A crossed book or a price pinned at 1 is no move, and must not vanish from the denominators either."""
    row = make_row(
        horizons={
            Horizon.H1: HorizonQuote(mid=0.5, bid=0.55, ask=0.45),
            Horizon.H6: HorizonQuote(mid=1.0, bid=1.0, ask=1.0),
            Horizon.H24: HorizonQuote(mid=NAN),
            Horizon.H72: quote(0.5),
            Horizon.H168: HorizonQuote(missing=NoQuote.WIDE),
        }
    )

    sifted = sift([row])

    assert missing_prices(sifted.rows, Horizon.H1) == {NoQuote.CROSSED: 1}
    assert missing_prices(sifted.rows, Horizon.H6) == {NoQuote.ONE_SIDED: 1}
    assert missing_prices(sifted.rows, Horizon.H24) == {NoQuote.ONE_SIDED: 1}
    assert missing_prices(sifted.rows, Horizon.H72) == {}
    assert missing_prices(sifted.rows, Horizon.H168) == {NoQuote.WIDE: 1}
    assert missing_prices(sifted.rows, Horizon.CLOSE) == {}  # not due: not missing


@pytest.mark.parametrize(
    ("resolution", "value", "expected", "counted"),
    [
        (Resolution.YES, 1.0, 1, None),
        (Resolution.NO, 0.0, 0, None),
        (Resolution.YES, None, 1, None),
        (Resolution.VOID, 0.5, None, Exclusion.VOID),
        (Resolution.VOID, None, None, Exclusion.VOID),
        (Resolution.YES, 0.5, None, Exclusion.VOID),
        (Resolution.DISPUTED, None, None, Exclusion.UNRESOLVED),
        (Resolution.UNKNOWN, None, None, Exclusion.UNRESOLVED),
        (None, None, None, Exclusion.UNRESOLVED),
    ],
)
def test_only_yes_and_no_are_outcomes(resolution, value, expected, counted):
    """A void is neither a half nor a NO; it is left out and counted."""
    row = make_row(resolution=resolution, resolution_value=value)

    assert outcome(row) == expected
    counts = sift([row]).n_excluded
    assert {reason for reason, n in counts.items() if n} == ({counted} if counted else set())


@pytest.mark.parametrize(
    "late",
    [
        {"closes_at": NOON + timedelta(minutes=59)},
        {"closes_at": NOON - timedelta(days=1)},
        {"resolved_at": NOON},
        {"closes_at": NOON + timedelta(days=7), "resolved_at": NOON + timedelta(minutes=59)},  # it closed early
    ],
)
def test_a_forecast_made_in_the_last_hour_is_not_scored(late):
    """There the price is the answer arriving: whoever copies it late would look like a prophet."""
    sifted = sift([make_row(**late)])

    assert sifted.rows == ()
    assert sifted.n_excluded[Exclusion.TOO_LATE] == 1


@pytest.mark.parametrize(
    ("over", "takes_side"),
    [
        ({"probability": 0.50}, False),
        ({"probability": 0.509}, False),
        ({"probability": 0.51}, True),
        ({"probability": 0.49}, True),
        ({"probability": 0.52, "initial_bid": 0.47, "initial_ask": 0.53}, False),
        ({"probability": 0.53, "initial_bid": 0.47, "initial_ask": 0.53}, True),
        ({"probability": 0.53, "tick_size": 0.05}, False),
    ],
)
def test_a_side_is_taken_from_a_point_a_tick_and_half_the_spread(over, takes_side):
    """A forecast inside the spread disagrees with nobody."""
    row = make_row(**over)

    assert has_signal(row) is takes_side
    assert sift([row]).n_excluded[Exclusion.NO_SIGNAL] == (0 if takes_side else 1)
