"""The measures of one horizon, against values worked out by hand."""

import numpy as np
import pytest

from agent.core.scoring.bootstrap import estimates
from agent.core.scoring.columns import columns
from agent.core.scoring.moves import expected_median, latest_percentages, median_of, moves, weighted_median
from agent.core.scoring.rows import HorizonQuote, Row
from agent.core.scoring.sift import sift
from sync.records import Horizon
from tests.unit.core.scoring.made import make_row, quote

NAMES = ("signed_move", "signed_move_exec", "closure_slope", "gap_closed", "direction_hit", "lift", "converging", "convergence")  # fmt: skip


def at_24h(rows: list[Row]):
    table = columns(sift(rows).rows)
    found = moves(table, Horizon.H24)
    values = estimates(table, [getattr(found, name) for name in NAMES], n_draws=10)
    return found, {name: value.value for name, value in zip(NAMES, values, strict=True)}


def moved(number: int, probability: float, mid: float | None, move_exec: float | None = None) -> Row:
    horizons = {Horizon.H24: HorizonQuote() if mid is None else quote(mid, move_exec)}
    return make_row(number, probability=probability, horizons=horizons)


def test_a_signed_move_goes_toward_the_predicted_side():
    """Up by 4 for who said higher, down by 2 for who said higher, down by 6 for who said lower: 8 / 3 points."""
    _, values = at_24h([moved(1, 0.6, 0.54), moved(2, 0.6, 0.48), moved(3, 0.3, 0.44)])

    assert values["signed_move"] == pytest.approx((0.04 - 0.02 + 0.06) / 3)


def test_the_closure_slope_weighs_by_the_gap_and_rewards_overshoot():
    """Gaps 0.1, 0.1, -0.2 and changes 0.15, -0.02, -0.06: (0.015 - 0.002 + 0.012) / 0.06."""
    _, values = at_24h([moved(1, 0.6, 0.65), moved(2, 0.6, 0.48), moved(3, 0.3, 0.44)])

    assert values["closure_slope"] == pytest.approx(0.025 / 0.06)
    assert values["gap_closed"] == pytest.approx((0.15 - 0.02 + 0.06) / 0.4)


def test_the_executable_move_is_what_was_left_after_spread_and_fees():
    """One and four cents were earned of moves of four and six: the costs stand beside them."""
    found, values = at_24h([moved(1, 0.6, 0.54, 0.01), moved(2, 0.3, 0.44, 0.04)])

    assert values["signed_move_exec"] == pytest.approx(0.025)
    assert found.mean_cost == pytest.approx(0.025)


def test_an_unknown_fee_is_no_free_trade():
    """Missing is not 0: the row is left out of the executable move and counted."""
    found, values = at_24h([moved(1, 0.6, 0.54), moved(2, 0.6, 0.54, 0.02), moved(3, 0.6, 0.54, float("nan"))])

    assert found.n_unknown_cost == 2
    assert values["signed_move_exec"] == pytest.approx(0.02)
    assert found.mean_cost == pytest.approx(0.02)


def test_ties_and_predictions_without_a_side_have_no_direction():
    """Half a tick is the book breathing; a forecast at the price predicts nothing and is not in any move."""
    found, values = at_24h([moved(1, 0.6, 0.505), moved(2, 0.6, 0.52), moved(3, 0.6, 0.48), moved(4, 0.5, 0.9)])

    assert found.n_ties == 1
    assert found.direction_hit.rows.sum() == 2
    assert values["direction_hit"] == 0.5
    assert values["signed_move"] == pytest.approx((0.005 + 0.02 - 0.02) / 3)


def test_converging_means_the_gap_became_smaller():
    """From 10 points to 6 converges by 4; from 10 to an overshoot of 12 diverges by 2, though it was right."""
    _, values = at_24h([moved(1, 0.6, 0.54), moved(2, 0.6, 0.72)])

    assert values["converging"] == 0.5
    assert values["convergence"] == pytest.approx((0.04 - 0.02) / 2)


def test_a_horizon_without_any_price_measures_nothing():
    """No usable quote is no number, not a zero."""
    _, values = at_24h([moved(1, 0.6, None), make_row(2)])

    assert set(values.values()) == {None}


def test_latest_percentages_need_five_points_and_are_bounded():
    """Below five points the share explodes: half a point of gap gives -900 % for nothing."""
    rows = [
        make_row(1, probability=0.6, latest_mid=0.55),
        make_row(2, probability=0.6, latest_mid=0.05),
        make_row(3, probability=0.54, latest_mid=0.52),
        make_row(4, probability=0.6),
    ]
    chosen, kept, turned = latest_percentages(columns(rows))

    assert chosen.tolist() == [True, True, False, False]
    assert kept[chosen] == pytest.approx([50.0, -200.0])
    assert turned[chosen] == pytest.approx([-50.0, -200.0])  # turned: 0.40 is predicted, 0.05 lies 0.35 from it


def test_the_median_of_shuffled_sides_is_that_of_the_mixture():
    """Two equal markets, one side each way: each keeps its side half of the time."""
    rows = [make_row(1, probability=0.6, latest_mid=0.55), make_row(2, probability=0.4, latest_mid=0.52)]
    chosen, kept, turned = latest_percentages(columns(rows))

    assert sorted([*kept, *turned]) == pytest.approx([-50, -20, 20, 50])
    assert expected_median(columns(rows), chosen, kept, turned) == pytest.approx(0)


def test_a_weighted_median_lies_between_what_balances():
    """Weights are how often a row was drawn; rows drawn never do not count."""
    values = np.array([1.0, 2.0, 3.0, 10.0])

    found = weighted_median(values, np.array([[1.0, 1, 1, 1], [1, 1, 1, 0], [0, 0, 1, 3], [0, 0, 0, 0]]))

    assert found[:3].tolist() == [2.5, 2.0, 10.0]
    assert np.isnan(found[3])


def test_the_median_is_drawn_like_every_other_measure():
    """It has an interval too, from the same events."""
    rows = [make_row(number, probability=0.6, latest_mid=0.5 + number / 400) for number in range(40)]
    table = columns(rows)
    chosen, kept, _ = latest_percentages(table)

    (found,) = estimates(table, [median_of(kept, chosen)], n_draws=400)
    low, high = found.interval()

    assert found.value == pytest.approx(np.median(kept))
    assert low < found.value < high
