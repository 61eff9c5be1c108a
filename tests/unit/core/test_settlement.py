"""What an answer makes of a prediction: scores, exclusions, and when a market ended."""

import math
from datetime import timedelta
from typing import Any

import pytest

from agent.core.settlement import ended_at, score
from sync.records import Exclusion, MarketStatus, Resolution, Score
from tests.factories import NOON, make_market
from tests.unit.core.test_horizons import START, make_start

END = START + timedelta(days=3)


def resolved(**over: Any) -> Any:
    """A market that ended YES."""
    given = {"status": MarketStatus.RESOLVED, "resolution": Resolution.YES, "resolution_value": 1.0, "closed_time": END}
    return make_market(**given | over)


def scored(**over: Any) -> Score:
    """0.75 said at 0.60, YES, 0.90 the day before."""
    start = make_start(
        **{name: over.pop(name) for name in ("probability", "price", "bid", "predicted_at") if name in over}
    )
    closes_at = over.pop("closes_at", END)
    found = score(start, resolved(**over), closes_at=closes_at, day_before=0.90, now=END)
    assert found is not None
    return found


def test_a_score_stands_beside_the_markets_own():
    """Worked by hand: (0.75 - 1)^2, -ln 0.75, (0.60 - 1)^2, (0.90 - 1)^2."""
    found = scored()

    assert (found.brier_score, found.market_brier_score) == (pytest.approx(0.0625), pytest.approx(0.16))
    assert (found.log_score, found.day_before_brier_score) == (pytest.approx(-math.log(0.75)), pytest.approx(0.01))
    assert found.excluded is None


def test_no_scores_the_other_way():
    """NO is outcome 0."""
    found = scored(resolution=Resolution.NO, resolution_value=0.0)

    assert (found.brier_score, found.market_brier_score) == (pytest.approx(0.5625), pytest.approx(0.36))


@pytest.mark.parametrize(
    ("resolution", "value"), [(Resolution.VOID, 0.5), (Resolution.VOID, None), (Resolution.YES, 0.7)]
)
def test_a_void_or_partial_payment_is_counted_and_has_no_number(resolution, value):
    """Neither outcome happened; a score of it would be invented."""
    found = scored(resolution=resolution, resolution_value=value)

    assert found.excluded is Exclusion.VOID
    assert (found.brier_score, found.log_score, found.market_brier_score) == (None, None, None)


@pytest.mark.parametrize(
    "over", [{"closes_at": START + timedelta(minutes=59)}, {"closed_time": START + timedelta(minutes=59)}]
)
def test_a_forecast_of_the_last_hour_is_counted_and_has_no_number(over):
    """The answer was arriving: by the stated end, or because the market really ended then."""
    assert scored(**over).excluded is Exclusion.LATE


def test_a_forecast_without_a_usable_price_keeps_its_own_score():
    """Brier needs no market; skill does, and is then not measured on this row."""
    found = scored(price=None, bid=None)

    assert found.brier_score == pytest.approx(0.0625)
    assert found.market_brier_score is None


@pytest.mark.parametrize("resolution", [None, Resolution.DISPUTED, Resolution.UNKNOWN])
def test_what_nobody_has_decided_is_not_scored(resolution):
    """A dispute waits, for weeks if need be."""
    market = resolved(resolution=resolution, resolution_value=None)

    assert score(make_start(), market, closes_at=END, day_before=None, now=END) is None


@pytest.mark.parametrize(
    ("closed", "stated", "changed", "expected"),
    [
        (1, 5, 3, 1),  # the venue told
        (None, 2, 3, 2),  # the stated end had come when we saw it closed
        (None, 5, 3, 3),  # it closed early
        (None, None, 3, 3),
    ],
)
def test_a_market_ended_when_its_venue_says_or_when_it_was_seen_over(closed, stated, changed, expected):
    """CLOSE is read before that moment."""
    moments = [None if days is None else NOON + timedelta(days=days) for days in (closed, stated, changed)]

    assert ended_at(make_market(closed_time=moments[0]), moments[1], moments[2]) == NOON + timedelta(days=expected)
