"""Intervals: they cover what they claim to, know events from rows, and repeat themselves."""

import numpy as np
import pytest

from agent.core.scoring.bootstrap import Draws, estimates, mean, ratio
from agent.core.scoring.columns import columns
from tests.unit.core.scoring.made import make_row


def clustered(rng, n_events: int, legs: int, *, shared: float):
    """Values with mean 0.02 whose legs of one event move together."""
    rows = [make_row(e * legs + leg, event_key=f"E-{e}") for e in range(n_events) for leg in range(legs)]
    common = np.repeat(rng.normal(size=n_events), legs)
    own = rng.normal(size=n_events * legs)
    return columns(rows), 0.02 + 0.06 * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)


@pytest.mark.parametrize(("n_events", "legs", "shared"), [(60, 1, 0.0), (60, 6, 0.9), (200, 3, 0.5)])
def test_intervals_cover_the_truth_as_often_as_they_claim(n_events, legs, shared):
    """Of 200 worlds the 95 % interval must hold the true mean in some 190, whatever the legs share."""
    rng = np.random.Generator(np.random.PCG64(11))
    everyone, covered = np.ones(n_events * legs, dtype=bool), 0
    for _ in range(200):
        table, values = clustered(rng, n_events, legs, shared=shared)
        low, high = estimates(table, [mean(values, everyone)], n_draws=300)[0].interval()
        covered += low <= 0.02 <= high

    assert 0.90 <= covered / 200 <= 0.99


def test_ten_brackets_of_one_event_are_about_one_observation():
    """Counting rows instead of events would make the interval three times too narrow."""
    rng = np.random.Generator(np.random.PCG64(2))
    table, values = clustered(rng, 60, 10, shared=1.0)
    alone = columns([make_row(n) for n in range(600)])
    everyone = np.ones(600, dtype=bool)

    together, apart = (estimates(t, [mean(values, everyone)])[0].interval() for t in (table, alone))

    assert (together[1] - together[0]) > 2.5 * (apart[1] - apart[0])


def test_the_predictions_of_one_market_come_along_together():
    """Twenty-four looks at one market are no twenty-four markets."""
    rows = [make_row(n, market_key=f"kalshi:M-{n // 4}", event_key=f"E-{n // 8}") for n in range(32)]
    weights = np.vstack(list(Draws(columns(rows).event_of_market, width=32, n_draws=50)))

    assert weights.shape == (50, 8)
    pairs = weights.reshape(50, 4, 2).sum(axis=2)
    assert (pairs % 2 == 0).all()  # an event drawn once brings two markets, whichever
    assert (weights.sum(axis=1) == 8).all()


def test_every_market_of_a_drawn_event_has_the_same_chance():
    """Of three legs each is drawn once per event on average, and often another time than its siblings."""
    weights = np.vstack(list(Draws(np.repeat(np.arange(20), 3), width=60, n_draws=2_000)))

    assert weights.mean(axis=0) == pytest.approx(np.ones(60), abs=0.2)
    legs = weights.reshape(2_000, 20, 3)
    assert (legs.max(axis=2) > legs.min(axis=2)).mean() > 0.3


def test_the_same_rows_give_the_same_interval():
    """A report that changes when asked twice convinces nobody."""
    table, values = clustered(np.random.Generator(np.random.PCG64(3)), 40, 2, shared=0.5)
    statistic = mean(values, np.ones(80, dtype=bool))

    assert estimates(table, [statistic])[0].interval() == estimates(table, [statistic])[0].interval()


def test_chunks_are_bounded_however_many_draws():
    """Memory must not grow with the draws."""
    event_of_market = np.arange(50_000)

    sizes = [chunk.shape for chunk in Draws(event_of_market, width=50_000, n_draws=30)]

    assert sum(rows for rows, _ in sizes) == 30
    assert max(rows * markets for rows, markets in sizes) <= 400_000


def test_a_mean_agrees_with_the_textbook():
    """With every row its own event, the draws scatter by the standard error."""
    rng = np.random.Generator(np.random.PCG64(5))
    values = rng.normal(size=400)
    table = columns([make_row(n) for n in range(400)])

    (found,) = estimates(table, [mean(values, np.ones(400, dtype=bool))])

    assert found.value == pytest.approx(values.mean())
    assert found.draws.std() == pytest.approx(values.std() / 20, rel=0.08)
    assert found.p(values.mean() + 10) == pytest.approx(2 / 2001)
    assert found.p(float(np.median(found.draws))) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("n", [0, 1])
def test_one_event_has_no_interval(n):
    """There is nothing to resample."""
    table = columns([make_row(number) for number in range(n)])

    (found,) = estimates(table, [mean(np.ones(n), np.ones(n, dtype=bool))])

    assert found.interval() is None
    assert found.p(0.0) is None


def test_dividing_by_nothing_is_not_measured():
    """No gap at all: the slope does not exist."""
    table = columns([make_row(n) for n in range(3)])

    (found,) = estimates(table, [ratio(np.ones(3), np.zeros(3), np.ones(3, dtype=bool))])

    assert found.value is None
    assert found.interval() is None
