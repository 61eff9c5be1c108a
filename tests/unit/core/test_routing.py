"""Who is asked about what: the best of a category, a fair share for the others, nobody who has shown to be worse."""

import random
from datetime import date, timedelta

import pytest

from agent.core.ensemble import Author
from agent.core.routing import Arm, Router, Rules, in_share
from tests.unit.core.test_ensemble import past

DAY = date(2026, 11, 21)
GOOD, BAD, NEW = (Author("single_model", "1", name) for name in ("good", "bad", "new"))
INFORMED = Author("informed", "1", "good")
ARMS = [Arm(GOOD, False), Arm(BAD, False), Arm(NEW, False)]


def rows(author, probability, n, *, category="Politics", **over):
    """n events that all ended in NO at a price of 0.3."""
    return [
        past(i, 0, author=author, probability=probability, category=category, event_key=f"{category}{i}",
             market_key=f"kalshi:{category}{i}", **over)
        for i in range(n)
    ]  # fmt: skip


def asked(router, arm, *, n=400, category="Politics"):
    """The share of markets an arm is asked about, and the reasons given."""
    given = [router.assign(arm, market_key=f"kalshi:M{i}", category=category, day=DAY) for i in range(n)]
    return sum(one.runs for one in given) / n, {one.reason for one in given}


def test_while_nobody_is_measured_everybody_runs():
    """A fresh house has to learn something first."""
    router = Router(ARMS, rows(GOOD, 0.1, 29), Rules())

    assert [asked(router, arm)[0] for arm in ARMS] == [1.0, 1.0, 1.0]


def test_the_best_runs_everywhere_and_the_others_on_their_share():
    """The newcomer gets the same chance as who was measured and is behind."""
    router = Router(ARMS, rows(GOOD, 0.1, 60) + rows(BAD, 0.6, 60), Rules(share=0.25))

    assert asked(router, ARMS[0])[0] == 1.0
    for arm in ARMS[1:]:
        share, reasons = asked(router, arm)
        assert 0.18 < share < 0.32  # three standard errors
        assert any("single_model good" in reason for reason in reasons)


def test_each_category_has_its_own_best():
    """Who knows politics may know nothing of sports; where a category is too young the whole record decides."""
    past_rows = rows(GOOD, 0.1, 60) + rows(BAD, 0.5, 60) + rows(BAD, 0.05, 40, category="Sports")
    past_rows += rows(GOOD, 0.6, 40, category="Sports")
    router = Router(ARMS, past_rows, Rules())

    assert asked(router, ARMS[1], category="Sports")[0] == 1.0
    assert asked(router, ARMS[0], category="Politics")[0] == 1.0
    assert asked(router, ARMS[0], category="Sports")[0] < 0.4
    assert asked(router, ARMS[1], category="Weather")[0] in (1.0, asked(router, ARMS[1], category=None)[0])


def test_informed_arms_compete_among_themselves():
    """A copied price would beat every blind forecaster and silence them all."""
    router = Router(
        [*ARMS, Arm(INFORMED, True)], rows(INFORMED, 0.01, 300, saw_price=True) + rows(GOOD, 0.5, 60), Rules()
    )

    assert asked(router, ARMS[0])[0] == 1.0
    assert asked(router, Arm(INFORMED, True))[0] == 1.0


def test_who_is_clearly_worse_on_the_same_questions_is_retired():
    """After n resolved, and by more than chance explains; the best of the kind stays whatever its record."""
    dice = random.Random(3)
    noisy = [
        past(i, 0, author=author, probability=min(0.95, max(0.02, centre + dice.gauss(0, 0.1))), event_key=f"e{i}")
        for author, centre in ((GOOD, 0.2), (BAD, 0.45))
        for i in range(200)
    ]

    router = Router(ARMS, noisy, Rules(retire_after=200))

    share, (reason,) = asked(router, ARMS[1])
    assert share == 0.0
    assert reason.startswith("retired: its Brier score is ")
    assert "single_model good on the same 200 questions" in reason
    assert asked(router, ARMS[0])[0] == 1.0
    assert not Router(ARMS, noisy, Rules(retire_after=201)).retired


def test_a_difference_that_chance_explains_retires_nobody():
    """Two equal forecasters are never told apart by noise alone."""
    dice = random.Random(4)
    equal = [
        past(i, int(dice.random() < 0.3), author=author, probability=dice.uniform(0.1, 0.5), event_key=f"e{i}")
        for i in range(300)
        for author in (GOOD, BAD)
    ]

    assert not Router(ARMS, equal, Rules()).retired


def test_one_event_asked_two_hundred_times_retires_nobody():
    """Brackets of one event are one observation."""
    one = [past(i, 1, author=BAD, probability=0.01, event_key="same") for i in range(300)]

    assert not Router(ARMS, one, Rules()).retired


def test_worse_than_one_half_is_retired_even_alone():
    """There is no peer to compare with, and no need of one."""
    router = Router([Arm(BAD, False)], rows(BAD, 0.9, 200), Rules())

    assert "always one half" in router.retired[BAD]


def test_a_pinned_experiment_runs_whatever_its_record_says():
    """The operator's word is the last one."""
    router = Router(ARMS, rows(BAD, 0.9, 200) + rows(GOOD, 0.1, 200), Rules(pinned=frozenset({"single_model"})))

    assert asked(router, ARMS[1]) == (1.0, {"pinned by the settings"})


def test_a_new_version_begins_anew():
    """The record of the old one is not its own."""
    again = Arm(BAD._replace(version="2"), False)

    router = Router([again], rows(BAD, 0.9, 300), Rules())

    assert asked(router, again)[0] == 1.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_and_of_all_are_exact(share):
    """The edges of the setting mean what they say."""
    assert all(in_share("x", f"m{i}", DAY, share) is bool(share) for i in range(200))


def test_a_share_is_the_same_whoever_asks_and_another_one_tomorrow():
    """Chance is a hash: a rerun must not ask others."""
    today = [in_share("x", f"m{i}", DAY, 0.5) for i in range(300)]

    assert today == [in_share("x", f"m{i}", DAY, 0.5) for i in range(300)]
    assert today != [in_share("x", f"m{i}", DAY + timedelta(days=1), 0.5) for i in range(300)]
    assert today != [in_share("y", f"m{i}", DAY, 0.5) for i in range(300)]
