"""No-skill values are exact: held against every permutation of small cases, and against simulated fair prices."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.scoring import chance
from agent.core.scoring.columns import columns
from agent.core.scoring.moves import moves
from sync.records import Horizon
from tests.unit.core.scoring.made import make_row, quote

SIDES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6)


@settings(deadline=None, max_examples=40)
@given(SIDES)
def test_expected_hits_are_the_mean_over_all_permutations(cases):
    """The definition itself, enumerated: shuffle the sides, count the hits, average."""
    rows = [
        make_row(n, probability=0.6 if above else 0.4, horizons={Horizon.H24: quote(0.54 if up else 0.46)})
        for n, (above, up) in enumerate(cases)
    ]
    sides, ups = [above for above, _ in cases], [up for _, up in cases]
    shares = [np.mean([s == u for s, u in zip(order, ups, strict=True)]) for order in permutations(sides)]

    assert moves(columns(rows), Horizon.H24).expected_hit == pytest.approx(np.mean(shares))


@settings(deadline=None, max_examples=40)
@given(SIDES)
def test_what_shuffled_sides_give_is_the_mean_over_all_permutations(cases):
    """The descriptive null likewise: a side kept gives one value, the other side another."""
    rows = [make_row(n, probability=0.6 if above else 0.4) for n, (above, _) in enumerate(cases)]
    table, sides = columns(rows), [above for above, _ in cases]
    if_above = np.array([0.03 if up else -0.07 for _, up in cases])
    if_below = np.array([-0.05 if up else 0.02 for _, up in cases])
    kept, turned = np.where(sides, if_above, if_below), np.where(sides, if_below, if_above)

    found = chance.mixed(table, np.ones(len(rows), dtype=bool), kept, turned)

    means = [np.where(order, if_above, if_below).mean() for order in permutations(sides)]
    assert found.mean() == pytest.approx(np.mean(means))


def test_sides_are_shuffled_only_among_like_markets():
    """At 5 cents a fair price falls more often than it rises: mixed with others, saying "lower" would look clever."""
    cheap = [
        make_row(n, probability=0.02, initial_mid=0.06, initial_bid=0.05, initial_ask=0.07,
                 horizons={Horizon.H24: quote(0.04)})
        for n in range(10)
    ]  # fmt: skip
    dear = [make_row(n, probability=0.6, horizons={Horizon.H24: quote(0.54)}) for n in range(10, 20)]

    found = moves(columns([*cheap, *dear]), Horizon.H24)

    assert found.expected_hit == pytest.approx(1.0)  # every stratum says one side and moved one way: no lift at all


@pytest.mark.parametrize("other", [{"market_key": "polymarket:0x1"}, {"initial_mid": 0.3}, {"closes_at": None}])
def test_venue_price_and_time_left_make_a_stratum(other):
    """A side is compared with sides taken on the same kind of market."""
    table = columns([make_row(1), make_row(2, **other)])

    assert table.stratum[0] != table.stratum[1]


def test_at_settlement_the_price_is_the_no_skill_hit_rate():
    """Saying "below 5 cents" is right 95 times in a hundred, and worth nothing."""
    table = columns([make_row(1, initial_mid=0.05, probability=0.02), make_row(2, initial_mid=0.3, probability=0.5)])

    assert chance.expected_at_settlement(table).tolist() == pytest.approx([0.95, 0.3])


def test_a_fair_price_reaches_a_prediction_at_most_this_often():
    """A random walk on a fine grid, stopped at 0 and 1, reaches 0.6 from 0.4 in two thirds of its lives."""
    table = columns([make_row(1, initial_mid=0.4, probability=0.6), make_row(2, initial_mid=0.4, probability=0.2)])
    rng = np.random.Generator(np.random.PCG64(3))
    place, reached = np.full(4_000, 20), np.zeros(4_000, dtype=bool)
    for _ in range(6_000):
        alive = (place > 0) & (place < 50)
        place = place + np.where(alive, rng.choice([-1, 1], size=place.size), 0)
        reached |= place >= 30

    assert chance.fair_reach(table).tolist() == pytest.approx([2 / 3, 0.75])
    assert reached.mean() == pytest.approx(2 / 3, abs=0.03)


def test_side_rates_are_what_such_markets_did():
    """Three of four went up: who said higher is usually right with 75 %, who said lower with 25 %."""
    rows = [make_row(n, probability=p) for n, p in enumerate([0.6, 0.6, 0.6, 0.4])]
    everyone = np.ones(4, dtype=bool)

    rates = chance.side_rates(columns(rows), np.array([True, True, True, False]), everyone)

    assert rates.tolist() == [0.75, 0.75, 0.75, 0.25]
