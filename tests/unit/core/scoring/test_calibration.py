"""Reliability tables: bins of equal mass, and an error that is read against luck."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.scoring.calibration import MIN_PER_BIN, bin_sizes, calibration
from sync.records import Evidence


def forecasts(n: int, *, seed: int, shift: float = 0.0):
    rng = np.random.Generator(np.random.PCG64(seed))
    said = rng.uniform(0.05, 0.95, n)
    return said, (rng.random(n) < np.clip(said + shift, 0, 1)).astype(float), np.arange(n)


@given(st.integers(100, 3_000))
def test_bins_hold_equally_many(n):
    """Bins of equal width would put most forecasts into one and luck into the others."""
    sizes = bin_sizes(n)

    assert sizes.sum() == n
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= MIN_PER_BIN


def test_bins_are_told_with_their_means():
    """Each line of the table speaks of the forecasts in it."""
    said, happened, market = forecasts(200, seed=1)

    found = calibration(said, happened, market, events=200)

    assert [one.n for one in found.bins] == [20] * 10
    assert found.bins[0].predicted == pytest.approx(np.sort(said)[:20].mean())
    assert found.bins[0].observed == pytest.approx(happened[np.argsort(said)][:20].mean())
    assert all(one.low <= one.predicted <= one.high for one in found.bins)


@pytest.mark.parametrize(("n", "error"), [(100, 0.10), (200, 0.07), (500, 0.045)])
def test_a_perfect_forecaster_shows_an_error_and_the_band_says_so(n, error):
    """The published bias: with few forecasts an error of a tenth is what perfection looks like."""
    tables = [calibration(*forecasts(n, seed=seed), events=n) for seed in range(20)]

    assert np.mean([table.expected_error for table in tables]) == pytest.approx(error, rel=0.35)
    assert np.mean([table.error for table in tables]) == pytest.approx(
        np.mean([t.expected_error for t in tables]), rel=0.2
    )
    assert sum(table.state is Evidence.WORSE for table in tables) <= 4


def test_a_biased_forecaster_leaves_the_band():
    """Fifteen points too low everywhere is no luck with 500 forecasts."""
    assert calibration(*forecasts(500, seed=4, shift=0.15), events=500).state is Evidence.WORSE


def test_forecasts_of_one_market_are_right_or_wrong_together():
    """Thirty daily forecasts of one question are one observation: the band must be as wide as its five questions."""
    said = np.repeat(np.linspace(0.3, 0.7, 40), 30)
    market = np.repeat(np.arange(40), 30)
    happened = np.repeat((np.arange(40) % 2).astype(float), 30)

    together = calibration(said, happened, market, events=40)
    apart = calibration(said, happened, np.arange(said.size), events=40)

    assert together.error_band_high > 2 * apart.error_band_high


@pytest.mark.parametrize(("n", "events"), [(99, 99), (500, 29)])
def test_too_few_forecasts_have_no_table(n, events):
    """Below a hundred, or thirty events, a table is decoration."""
    found = calibration(*forecasts(n, seed=1), events=events)

    assert (found.state, found.bins, found.error) == (Evidence.TOO_EARLY, (), None)


def test_no_outcomes_are_not_measured():
    """Nothing resolved is another state than too little."""
    assert calibration(np.empty(0), np.empty(0), np.empty(0, dtype=int), events=0).state is Evidence.NOT_MEASURED
