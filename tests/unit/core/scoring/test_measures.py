"""Verdicts: what may be said of a number, and Holm's correction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.scoring.measures import Measure, described, holm, verdict
from sync.records import Evidence


def measure(**over):
    values = {"value": 0.02, "low": 0.01, "high": 0.03, "null": 0.0, "n": 500, "events": 300, "state": Evidence.SHOWN}
    return Measure(**values | over)


@pytest.mark.parametrize(
    ("over", "state"),
    [
        ({}, Evidence.BETTER),
        ({"low": -0.03, "high": -0.01, "value": -0.02}, Evidence.WORSE),
        ({"low": -0.01}, Evidence.NO_EVIDENCE),
        ({"low": 0.0}, Evidence.NO_EVIDENCE),
        ({"p": 0.06}, Evidence.NO_EVIDENCE),
        ({"p": 0.04}, Evidence.BETTER),
        ({"events": 29}, Evidence.TOO_EARLY),
        ({"events": 30}, Evidence.BETTER),
        ({"value": None, "low": None, "high": None}, Evidence.NOT_MEASURED),
        ({"low": None, "high": None}, Evidence.NO_EVIDENCE),
    ],
)
def test_a_verdict_needs_events_and_an_interval_off_the_null(over, state):
    """However good a number looks, 29 events are too early and an interval over the null is no evidence."""
    assert verdict(measure(**over)) is state


@pytest.mark.parametrize(
    ("over", "state"),
    [({}, Evidence.SHOWN), ({"events": 29}, Evidence.TOO_EARLY), ({"value": None}, Evidence.NOT_MEASURED)],
)
def test_a_descriptive_measure_is_never_better_or_worse(over, state):
    """Its null is biased by construction: distance from it proves nothing."""
    assert described(measure(**over)) is state


def test_holms_correction_by_hand():
    """0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, never below the one before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.6, 0.5]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_a_correction_never_helps(p_values):
    """Looking in more places may only make a finding harder."""
    for before, after in zip(p_values, holm(p_values), strict=True):
        assert before <= after <= min(1.0, before * len(p_values)) + 1e-12
