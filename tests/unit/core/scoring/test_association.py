"""Rank correlations: ties, and what a confounder makes of them."""

from datetime import timedelta

import numpy as np
import pytest

from agent.core.scoring.association import partial_spearman, ranks, spearman
from agent.core.scoring.bootstrap import estimates
from agent.core.scoring.columns import columns
from tests.unit.core.scoring.made import NOON, make_row


def test_equal_values_share_their_places():
    """Confidence comes in round numbers: most of it is ties."""
    assert ranks(np.array([30.0, 10, 30, 20])).tolist() == [3.5, 1, 3.5, 2]
    assert ranks(np.array([])).tolist() == []


def rows_of(n: int):
    return columns([make_row(number) for number in range(n)])


def value_of(table, statistic) -> float | None:
    return estimates(table, [statistic], n_draws=5)[0].value


@pytest.mark.parametrize(("y", "expected"), [([1, 4, 9, 16], 1.0), ([4, 3, 2, 1], -1.0), ([1, 3, 2, 4], 0.8)])
def test_spearman_is_of_ranks(y, expected):
    """Any rising curve is a correlation of one."""
    table = rows_of(4)

    found = value_of(table, spearman(np.arange(4.0), np.array(y, dtype=float), np.ones(4, dtype=bool)))

    assert found == pytest.approx(expected)


def test_nothing_that_varies_is_nothing_to_correlate():
    """A model that always says 70 has no correlation, not one of 0."""
    table = rows_of(5)

    assert value_of(table, spearman(np.full(5, 0.7), np.arange(5.0), np.ones(5, dtype=bool))) is None


def test_a_confounder_is_taken_out():
    """Confidence that follows the days to the end, as does the move, is no knowledge of the move."""
    rng = np.random.Generator(np.random.PCG64(1))
    days = rng.uniform(2, 60, 600)
    table = columns([make_row(n, closes_at=NOON + timedelta(days=float(d))) for n, d in enumerate(days)])
    everyone = np.ones(600, dtype=bool)
    confidence, move = days + rng.normal(0, 8, 600), days + rng.normal(0, 8, 600)

    plain = value_of(table, spearman(confidence, move, everyone))
    partial = value_of(table, partial_spearman(table, confidence, move, everyone))

    assert plain > 0.6
    assert abs(partial) < 0.15


def test_what_is_explained_whole_leaves_nothing():
    """Dust of the arithmetic must not correlate with dust."""
    days = np.arange(2.0, 62.0)
    table = columns([make_row(n, closes_at=NOON + timedelta(days=float(d))) for n, d in enumerate(days)])

    assert value_of(table, partial_spearman(table, days, days, np.ones(60, dtype=bool))) is None
