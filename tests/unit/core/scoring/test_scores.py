"""Scores of resolved forecasts against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.scoring.scores import brier_score, brier_skill, log_score

FORECASTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=50)


def test_brier_score_is_the_mean_squared_error():
    """0.9 for a YES costs 0.01, 0.3 for a NO costs 0.09: the mean is 0.05."""
    assert brier_score([0.9, 0.3], [1, 0]) == pytest.approx(0.05)


def test_always_one_half_scores_a_quarter():
    """The anchor every table is read against."""
    assert brier_score([0.5] * 4, [1, 0, 0, 1]) == 0.25
    assert log_score([0.5] * 4, [1, 0, 0, 1]) == pytest.approx(math.log(2))


def test_log_score_is_the_mean_surprise():
    """0.8 for a YES and 0.4 for a NO cost -ln 0.8 and -ln 0.6."""
    assert log_score([0.8, 0.4], [1, 0]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)


def test_log_score_of_a_certain_miss_is_clipped():
    """One forecast of 0 for what happened would otherwise be infinite and bury all others."""
    assert log_score([0.0], [1]) == pytest.approx(-math.log(0.01))
    assert log_score([1.0], [1]) == pytest.approx(-math.log(0.99))


def test_skill_of_the_baseline_against_itself_is_zero():
    """The market as a forecaster must come out at exactly nothing."""
    market = [0.2, 0.7, 0.55]

    assert brier_skill(market, market, [0, 1, 1]) == 0.0


def test_skill_is_the_share_of_the_baselines_error_removed():
    """Our 0.04 against the market's 0.16 removes three quarters of its error."""
    assert brier_skill([0.8], [0.6], [1]) == pytest.approx(0.75)
    assert brier_skill([0.6], [0.8], [1]) == pytest.approx(-3.0)


def test_skill_against_a_faultless_baseline_is_missing():
    """Nothing can be measured against zero error; a number would be invented."""
    assert brier_skill([0.9], [1.0], [1]) is None


@pytest.mark.parametrize(
    ("probabilities", "outcomes"),
    [
        ([], []),
        ([0.5], [1, 0]),
        ([1.01], [1]),
        ([-0.01], [1]),
        ([float("nan")], [1]),
        ([0.5], [2]),
        ([0.5], [0.5]),
    ],
)
@pytest.mark.parametrize("score", [brier_score, log_score])
def test_rows_that_do_not_fit_are_refused(score, probabilities, outcomes):
    """A void counted as a half, or a nan, would spoil a mean without a trace."""
    with pytest.raises(ValueError, match="score"):
        score(probabilities, outcomes)


@given(FORECASTS)
def test_scores_stay_in_their_ranges(rows):
    """Whatever is forecast: Brier in [0, 1], log score between -ln 0.99 and -ln 0.01."""
    probabilities, outcomes = [p for p, _ in rows], [o for _, o in rows]

    assert 0 <= brier_score(probabilities, outcomes) <= 1
    assert -math.log(0.99) - 1e-12 <= log_score(probabilities, outcomes) <= -math.log(0.01) + 1e-12


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_honest_forecast_has_the_best_expected_brier_score(truth: float, said: float):
    """The score is proper: saying anything but what one believes never pays."""
    expected = truth * brier_score([said], [1]) + (1 - truth) * brier_score([said], [0])
    honest = truth * brier_score([truth], [1]) + (1 - truth) * brier_score([truth], [0])

    assert honest <= expected + 1e-12
