"""Blends, weights and recalibration: right by hand, shrunk while little is known, and never looking ahead."""

import math
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.ensemble import (
    AS_IT_IS,
    PLATT_MIN_RESOLVED,
    START_WEIGHT,
    Author,
    Past,
    TrackRecord,
    blend,
    blend_weight,
    fit_platt,
    sigmoid,
    skill,
    skill_weights,
    walk_forward,
)
from tests.factories import NOON

A, B = Author("single_model", "1", "a"), Author("single_model", "1", "b")


def past(i: int, outcome: int = 0, **over) -> Past:
    """The i-th day's forecast, known three days later; each its own event."""
    values = {
        "author": A,
        "market_key": f"kalshi:K{i}",
        "event_key": f"e{i}",
        "category": "Politics",
        "saw_price": False,
        "predicted_at": NOON + timedelta(days=i),
        "known_at": NOON + timedelta(days=i + 3),
        "probability": 0.4,
        "market": 0.3,
        "outcome": outcome,
    }
    return Past(**values | over)


def test_a_blend_is_the_mean_in_log_odds():
    """By hand: ln 9 and ln 1/4 in equal parts; and a sure price keeps nine tenths of its certainty."""
    assert blend([(0.9, 1), (0.2, 1)]) == pytest.approx(sigmoid((math.log(9) - math.log(4)) / 2))
    assert blend([(0.5, 1), (0.5, 3)]) == pytest.approx(0.5)
    assert blend([(0.3, 0.1), (0.8, 0.9)]) == pytest.approx(sigmoid(0.1 * math.log(3 / 7) + 0.9 * math.log(4)))


@pytest.mark.parametrize("parts", [[], [(0.5, 0.0)], [(0.5, -1.0), (0.6, 2.0)]])
def test_weights_that_weigh_nothing_are_refused(parts):
    """A blend of nobody is not one half."""
    with pytest.raises(ValueError, match="weights"):
        blend(parts)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 10)), min_size=1, max_size=6))
def test_a_blend_lies_between_its_parts(parts):
    """Whatever the weights: nobody is extremised."""
    inside = [min(0.999, max(0.001, p)) for p, _ in parts]

    assert min(inside) - 1e-9 <= blend(parts) <= max(inside) + 1e-9


def test_skill_counts_an_event_once():
    """Ten brackets of one event are about one observation."""
    rows = [past(0, event_key="one", outcome=1) for _ in range(10)] + [past(1, outcome=0)]

    measured = skill(rows)

    yes, no = (0.3 - 1) ** 2 - (0.4 - 1) ** 2, 0.3**2 - 0.4**2
    assert measured.edge == pytest.approx((yes + no) / 2)
    assert (measured.n, measured.n_events) == (11, 2)


def test_without_a_past_all_members_weigh_the_same():
    """Nobody is better before anything has resolved."""
    assert skill_weights([A, B], []) == {A: 0.5, B: 0.5}
    assert skill_weights([], []) == {}


def test_the_better_member_weighs_more_and_few_events_say_little():
    """The same edge counts for more when it rests on more events."""

    def rows(n):
        return [past(i, author=A, probability=0.1) for i in range(n)] + [
            past(i, author=B, probability=0.5) for i in range(n)
        ]

    few, many = skill_weights([A, B], rows(3)), skill_weights([A, B], rows(300))

    assert 0.5 < few[A] < 0.75 < many[A]
    assert sum(many.values()) == pytest.approx(1)


def test_the_blend_starts_at_a_tenth_and_few_events_leave_it_there():
    """What 200 questions of others supported is where we begin."""
    assert blend_weight([]).weight == START_WEIGHT == 0.10
    assert blend_weight([(0.99, 0.5, 1, f"e{i}") for i in range(29)]).weight == START_WEIGHT


def test_a_member_that_beats_the_price_is_given_weight_and_noise_is_not():
    """Up only where the blend wins on events it was not chosen by; down to nothing where it never helps."""
    dice = random.Random(1)

    def pairs(noise, n=600):
        for i in range(n):
            truth = dice.uniform(0.1, 0.9)
            price = min(0.95, max(0.05, truth + dice.gauss(0, 0.15)))
            ours = min(0.95, max(0.05, truth + dice.gauss(0, noise)))
            yield ours, price, int(dice.random() < truth), f"e{i}"

    good, bad = blend_weight(list(pairs(0.05))), blend_weight(list(pairs(0.8)))

    assert good.weight > 0.3
    assert bad.weight <= START_WEIGHT
    assert good.n_events == 600


def test_recalibration_waits_for_three_hundred():
    """Below it the forecasts stay as they are."""
    assert fit_platt([(0.9, 0)] * (PLATT_MIN_RESOLVED - 1)) == AS_IT_IS
    assert AS_IT_IS(0.37) == 0.37


def test_recalibration_finds_the_slope_that_was_lost():
    """A forecaster whose log odds are twice too large is pulled back, and one who is right is left alone."""
    dice = random.Random(2)
    truths = [dice.uniform(0.05, 0.95) for _ in range(5_000)]
    outcomes = [int(dice.random() < truth) for truth in truths]
    bold = [sigmoid(2 * math.log(t / (1 - t))) for t in truths]

    platt, honest = (
        fit_platt(list(zip(bold, outcomes, strict=True))),
        fit_platt(list(zip(truths, outcomes, strict=True))),
    )

    assert platt.slope == pytest.approx(0.5, abs=0.05)
    assert honest.slope == pytest.approx(1, abs=0.1)
    assert abs(honest.intercept) < 0.1


def test_recalibration_survives_a_forecaster_who_was_always_right():
    """Separable data have no maximum without the pull."""
    platt = fit_platt([(0.9, 1), (0.1, 0)] * 200)

    assert math.isfinite(platt.slope)
    assert platt.slope < 10


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), at=st.integers(0, 799), data=st.data())
def test_no_outcome_after_an_instant_changes_a_forecast_at_it(seed, at, data):
    """Walk-forward: outcomes shifted, dropped or turned round later leave every earlier forecast as it was."""
    dice = random.Random(seed)
    rows = [past(i, int(dice.random() < 0.4), probability=round(dice.uniform(0.05, 0.95), 3)) for i in range(800)]
    moment = rows[at].predicted_at
    lag = data.draw(st.integers(0, 40))
    changed = [
        row
        if row.known_at < moment
        else replace(row, outcome=1 - row.outcome, known_at=max(moment, row.known_at + timedelta(days=lag)))
        for row in rows
    ]

    before, after = walk_forward(rows), walk_forward(changed)

    assert before[: at + 1] == after[: at + 1]


def test_what_was_known_does_change_later_forecasts():
    """The test above could pass by changing nothing at all."""
    rows = [past(i, 0, probability=0.4) for i in range(800)]

    told = walk_forward(rows)

    assert told[0] == 0.4
    assert told[-1] < 0.35


def test_a_track_record_knows_nothing_of_tomorrow():
    """An outcome that arrives later, or at this instant, weighs nothing now."""
    rows = [past(i, 1) for i in range(400)]
    now = rows[200].predicted_at

    track = TrackRecord(rows, now=now)
    shifted = TrackRecord(
        [row if row.known_at < now else replace(row, outcome=0, probability=0.99) for row in rows], now=now
    )

    assert len(track.past) == 197
    assert track.past == shifted.past
    assert track.weights([A, B]) == shifted.weights([A, B])
    assert track.blend_weight(["single_model"]) == shifted.blend_weight(["single_model"])


def test_a_forecast_that_saw_the_price_does_not_weigh_for_those_that_did_not():
    """The informed arm copies the price; its record would buy the blind ones a weight they did not earn."""
    rows = [past(i, int(i % 3 == 0), saw_price=True) for i in range(100)]

    track = TrackRecord(rows, now=NOON + timedelta(days=1000))

    assert track.blend_weight(["single_model"]).n_events == 0
