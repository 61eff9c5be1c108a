"""Signals by hand: when one is given, what it costs, what size it suggests, and what it never leaves out."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import signals
from agent.core.fees import KalshiFeeKind, KalshiFees, PolymarketFees
from agent.core.signals import NO_RECORD, Case, Offer, Path
from sync.records import Evidence, Position, SignalKind, TrackRecord
from tests.factories import NOON, make_prediction
from tests.unit.core.scoring.made import fair_prices

FREE = PolymarketFees(rate=Decimal(0))
KALSHI = KalshiFees(kind=KalshiFeeKind.QUADRATIC)


def case(*, probability: float = 0.60, record: TrackRecord = NO_RECORD, bid=0.40, ask=0.44, fees=FREE, ends_in_h=240.0, **over) -> Case:  # fmt: skip
    prediction = make_prediction(**{"probability_yes": probability, "confidence": 80, "predicted_at": NOON} | over)
    ends_at = NOON + timedelta(hours=ends_in_h)
    return Case(
        signal_id="sig-1",
        prediction=prediction,
        offer=Offer(bid=bid, ask=ask, fees=fees, ends_at=ends_at),
        record=record,
        now=NOON + timedelta(hours=1),
    )


def test_a_confident_forecast_far_above_the_ask_is_a_disagreement():
    """60 % against an ask of 44 cents: 16 points beyond cost on YES."""
    found = signals.disagreement(case())

    assert found.signal_kind is SignalKind.DISAGREEMENT
    assert (found.side, found.cost, found.edge) == (Position.YES, 0.44, pytest.approx(0.16))
    assert found.expires_at == NOON + timedelta(hours=25)


def test_the_other_side_is_bought_at_one_minus_the_bid():
    """20 % against a bid of 40 cents: a NO costs 60 cents and is worth 80."""
    found = signals.disagreement(case(probability=0.20))

    assert (found.side, found.cost, found.edge) == (Position.NO, 0.60, pytest.approx(0.20))


def test_spread_and_fee_come_off_the_edge():
    """50 % against a mid of 42 looks like 8 points; after half the spread and 1.7 cents of fee 4.3 are left."""
    with_fee = case(probability=0.50, fees=KALSHI)
    side = signals.offered_side(with_fee)

    assert side.fee == pytest.approx(0.07 * 0.44 * 0.56)
    assert signals.edge_of(with_fee.prediction, side) == pytest.approx(0.50 - 0.44 - 0.07 * 0.44 * 0.56)
    assert signals.disagreement(with_fee) is None
    assert signals.disagreement(case(probability=0.50)) is not None


@pytest.mark.parametrize(
    "over",
    [
        {"saw_price": True},
        {"confidence": 69},
        {"confidence": None},
        {"probability": 0.42},
        {"probability": 0.48},
        {"predicted_at": NOON - timedelta(hours=24)},
        {"bid": None},
        {"ask": None},
        {"bid": 0.46},
        {"bid": 0.30},
        {"bid": 0.0},
        {"ask": 1.0},
        {"ask": float("nan")},
        {"fees": None},
        {"fees": KalshiFees(kind=KalshiFeeKind.FLAT)},
        {"ends_in_h": 1.5},
    ],
)
def test_no_disagreement_where_one_thing_is_missing(over):
    """Sighted, unsure, inside the spread, old, an empty, crossed or wide book, an unknown fee, the last hour."""
    assert signals.disagreement(case(**over)) is None


@pytest.mark.parametrize(
    ("probability", "cost", "fraction"),
    [(0.60, 0.50, 0.2), (0.55, 0.10, 0.5), (0.50, 0.50, 0.0), (0.40, 0.50, 0.0), (1.0, 0.5, 1.0), (0.9, 1.0, 0.0)],
)
def test_kellys_fraction_by_hand(probability, cost, fraction):
    """(p - c) / (1 - c): a 60 % chance at even money stakes a fifth."""
    assert signals.kelly_fraction(probability, cost) == pytest.approx(fraction)


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_kellys_fraction_grows_the_bankroll_fastest(probability, cost):
    """No stake a hundredth off gives a higher expected logarithm."""

    def growth(stake: float) -> float:
        return probability * np.log1p(stake * (1 - cost) / cost) + (1 - probability) * np.log1p(-stake)

    best = signals.kelly_fraction(probability, cost)
    for other in (best - 0.01, best + 0.01):
        if 0 <= other < 1:
            assert growth(best) >= growth(other) - 1e-12


def test_the_size_rests_on_a_blend_in_which_the_price_outweighs_the_forecast():
    """60 % and a mid of 42: believed 43.8 %, below the ask of 44: nothing to stake, however far the forecast is."""
    found = signals.disagreement(case())

    assert found.believed == pytest.approx(0.4377, abs=2e-4)
    assert found.kelly_fraction == 0.0


def test_the_size_is_a_quarter_of_kelly_and_capped():
    """95 % against a one-cent spread at 42: believed 49.7 %, Kelly 12.6 %, a quarter of it 3.1 %, the cap 2 %."""
    wild = signals.disagreement(case(probability=0.95, bid=0.415, ask=0.425))
    mild = signals.disagreement(case(probability=0.60, bid=0.418, ask=0.422))

    assert wild.kelly_fraction == 0.02
    full = (mild.believed - 0.422) / (1 - 0.422)
    assert mild.kelly_fraction == pytest.approx(0.25 * full)
    assert 0 < mild.kelly_fraction < 0.02


def test_a_forecaster_known_to_be_worse_gets_no_stake():
    """Then the price alone is believed, and nothing is left after the spread."""
    worse = TrackRecord(state=Evidence.WORSE, summary="worse than no skill", n=900, events=300, n_resolved=400)

    found = signals.disagreement(case(probability=0.95, bid=0.418, ask=0.422, record=worse))

    assert (found.believed, found.kelly_fraction) == (pytest.approx(0.42), 0.0)


def test_the_record_and_the_assumptions_are_in_the_signal_itself():
    """Whoever reads the number reads that it is too early, and what the size rests on."""
    found = signals.disagreement(case())

    assert found.record == NO_RECORD
    assert "too early" in found.summary
    words = " | ".join(found.assumptions)
    for part in ("weight 0.10", "quarter of Kelly", "at most 2%", "fee of 0.0000", "same event", "too early"):
        assert part in words


def test_a_price_that_comes_nearer_faster_is_an_acceleration():
    """Two points in eighteen hours, then eight in six, and still eighteen to go."""
    found = signals.acceleration(case(probability=0.62, initial_price=0.34), Path(0.34, 0.36, 0.44))

    assert found.signal_kind is SignalKind.CONVERGENCE_ACCELERATING
    assert found.evidence["rate_recent"] == pytest.approx(0.08 / 6)
    assert found.evidence["rate_before"] == pytest.approx(0.02 / 18)
    assert "8.0 points nearer" in found.summary


@pytest.mark.parametrize(
    "path",
    [
        Path(0.34, 0.37, 0.42),  # five points: two standard deviations are six
        Path(0.10, 0.34, 0.42),  # no faster than before
        Path(0.42, 0.50, 0.42),  # away from it
        Path(None, 0.34, 0.42),
        Path(0.34, None, 0.42),
        Path(0.34, 0.34, None),
    ],
)
def test_no_acceleration_on_a_slow_steady_or_unseen_path(path):
    """Each leaves one thing out."""
    assert signals.acceleration(case(initial_price=0.34), path) is None


def test_a_price_that_has_passed_the_forecast_has_nothing_left_to_go():
    """Overshot: what is offered now is the other side of what was predicted."""
    gone = case(probability=0.38, initial_price=0.30)

    assert signals.acceleration(gone, Path(0.30, 0.30, 0.42)) is None
    assert signals.acceleration(case(saw_price=True, initial_price=0.34), Path(0.34, 0.34, 0.42)) is None


def test_under_a_fair_price_accelerations_are_rare_and_point_nowhere():
    """Without skill about one look in seventy sees one, and afterwards the price goes either way alike."""
    rng = np.random.Generator(np.random.PCG64(1))
    start, day_ago, hours_ago, now, later = fair_prices(20_000, [24, 42, 48, 72], seed=2).T
    forecasts = np.clip(start + 0.10 * rng.normal(size=start.size), 0.01, 0.99)
    moves = []
    for n in np.flatnonzero((start > 0.05) & (start < 0.95)):
        prediction = {
            "probability": forecasts[n],
            "initial_price": start[n],
            "bid": now[n] - 0.005,
            "ask": now[n] + 0.005,
        }
        if signals.acceleration(case(**prediction), Path(day_ago[n], hours_ago[n], now[n])) is not None:
            moves.append(np.sign(forecasts[n] - start[n]) * (later[n] - now[n]))

    share = len(moves) / ((start > 0.05) & (start < 0.95)).sum()
    assert 0.001 < share < 0.03
    assert abs(np.mean(moves)) < 3.5 * np.std(moves) / np.sqrt(len(moves))
