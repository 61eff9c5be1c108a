"""Whole reports in worlds where we know what there is to find: nothing, something, or the market itself."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import numpy as np
import pytest

from agent.core.scoring.measures import MIN_EVENTS
from agent.core.scoring.references import status_quo
from agent.core.scoring.report import experiment_report, leaderboard
from agent.core.scoring.rows import HORIZONS, HorizonQuote, Row
from agent.core.scoring.shapes import ArmReport, ExperimentReport, HorizonReport, Leaderboard, Sort
from sync.records import Evidence, Horizon, NoQuote, Resolution
from tests.unit.core.scoring.made import NOON, fair_worlds, make_row, quote

DRAWS = 400  # enough for what is asserted here; reports use 2,000


def arm_of(rows: list[Row], **over) -> ArmReport:
    (arm,) = experiment_report(rows, rows[0].experiment, now=NOON, **{"n_draws": DRAWS} | over).arms
    return arm


def at(arm: ArmReport, horizon: Horizon) -> HorizonReport:
    return next(one for one in arm.horizons if one.horizon is horizon)


def test_who_copies_the_market_has_exactly_no_skill():
    """Not 0.0000001: zero, with an interval of zero, no side taken and no evidence of anything."""
    arm = arm_of([replace(row, probability=row.initial_mid) for row in fair_worlds(300, seed=1)])

    assert (arm.brier_skill.value, arm.brier_skill.low, arm.brier_skill.high) == (0.0, 0.0, 0.0)
    assert (arm.brier_difference.value, arm.brier_skill.state) == (0.0, Evidence.NO_EVIDENCE)
    assert at(arm, Horizon.H24).signed_move.state is Evidence.NOT_MEASURED
    assert arm.n_excluded["no_signal"] == arm.n
    market = next(one for one in arm.references if one.name == "market")
    assert (market.brier, market.brier_skill.value) == (arm.brier.value, 0.0)


def test_scores_of_resolved_rows_by_hand():
    """80 % and 60 % against a market at 50: ours 0.04 and 0.36, the market's 0.25 each; a fifth of it removed."""
    rows = [
        make_row(1, probability=0.8, resolution=Resolution.YES),
        make_row(2, probability=0.6, resolution=Resolution.NO),
        make_row(3, probability=0.9, resolution=Resolution.YES, initial_mid=None),
    ]

    arm = arm_of(rows, n_draws=10)

    assert (arm.brier_skill.value, arm.brier_difference.value) == (pytest.approx(0.2), pytest.approx(0.05))
    assert arm.market_brier.value == pytest.approx(0.25)
    assert arm.market_log_score.value == pytest.approx(np.log(2))
    assert arm.brier.value == pytest.approx((0.04 + 0.36 + 0.01) / 3)  # the row without a price has an answer too
    assert arm.log_score.value == pytest.approx(-(np.log(0.8) + np.log(0.4) + np.log(0.9)) / 3)
    assert (arm.hit_at_resolution.value, arm.hit_at_resolution.null, arm.brier_skill.n) == (0.5, 0.5, 2)


def test_the_status_quo_knows_only_what_was_known_by_then():
    """Each market once, of its own category, from when its answer was stored: no later one, no void, no row's own."""
    ended = NOON - timedelta(days=2)
    over = {"predicted_at": NOON - timedelta(days=9), "known_at": ended}
    rows = [
        make_row(1, resolution=Resolution.YES, **over),
        make_row(2, market_key="kalshi:M-1", resolution=Resolution.YES, **over),  # the same market, asked twice
        make_row(3, resolution=Resolution.YES, **over),
        make_row(4, resolution=Resolution.VOID, **over),
        make_row(5, resolution=Resolution.NO, known_at=NOON + timedelta(days=2)),
        make_row(6, resolution=Resolution.YES, category="Sports", **over),
        make_row(7, predicted_at=ended),
        make_row(8, category=None),
        make_row(9, resolution=Resolution.YES, known_at=NOON + timedelta(days=9), category="Sports"),
    ]

    assert status_quo(rows) == [0.5, 0.5, 0.5, 0.5, 3 / 4, 0.5, 0.5, 0.5, 2 / 3]
    (reference,) = [one for one in arm_of(rows, n_draws=10).references if one.name == "status_quo"]
    assert reference.brier == pytest.approx((4 * 0.25 + 0.75**2 + (1 / 3) ** 2) / 6)


def test_in_a_fair_world_the_honest_measures_centre_on_their_nulls():
    """Forty worlds without skill: the mean of each honest measure lies within what chance leaves of its null."""
    arms = [arm_of(list(fair_worlds(150, seed=seed)), n_draws=50) for seed in range(40)]

    for horizon in HORIZONS:
        for name in ("signed_move", "closure_slope", "lift", "gap_closed"):
            values = np.array([getattr(at(arm, horizon), name).value for arm in arms])
            assert abs(values.mean()) < 3.5 * values.std(ddof=1) / np.sqrt(40), (horizon, name)
    for horizon in (Horizon.H1, Horizon.H24, Horizon.H168):
        moves = [at(arm, horizon) for arm in arms]
        costs = np.array([one.signed_move_exec.value + one.mean_cost for one in moves])
        assert abs(costs.mean()) < 3.5 * costs.std(ddof=1) / np.sqrt(40)
    lift = np.array([arm.lift_at_resolution.value for arm in arms])
    rank = np.array([arm.confidence.partial_correlation.value for arm in arms])
    assert abs(lift.mean()) < 3.5 * lift.std(ddof=1) / np.sqrt(40)
    assert abs(rank.mean()) < 3.5 * rank.std(ddof=1) / np.sqrt(40)


def test_in_a_fair_world_the_descriptive_measures_look_like_failure():
    """The gap to any forecast grows by itself: without skill, far more predictions diverge than converge."""
    arm = arm_of(list(fair_worlds(1_500, seed=5)))

    week = at(arm, Horizon.H168)
    assert week.convergence.high < 0
    assert week.converging.high < 0.40
    assert week.convergence.null == pytest.approx(week.convergence.value, abs=0.01)
    assert week.converging.null == pytest.approx(week.converging.value, abs=0.03)
    assert {week.convergence.state, week.converging.state} == {Evidence.SHOWN}


def test_in_a_fair_world_little_is_found():
    """Twenty worlds, each with two primary moves: a test at 5 % may err, but not much more often than that."""
    arms = [arm_of(list(fair_worlds(200, seed=100 + seed))) for seed in range(20)]
    said = [at(arm, horizon).signed_move.state for arm in arms for horizon in (Horizon.H24, Horizon.CLOSE)]

    assert sum(state is not Evidence.NO_EVIDENCE for state in said) <= 6


def test_a_forecaster_who_knows_a_point_is_found_with_the_stated_power():
    """Moves scatter by some six points, so 300 events show a mean of one point in most samples."""
    found = 0
    for seed in range(30):
        rng = np.random.Generator(np.random.PCG64(seed))
        moves = 0.01 + 0.06 * rng.normal(size=300)
        rows = [make_row(n, horizons={Horizon.H24: quote(0.5 + float(m))}) for n, m in enumerate(moves)]
        found += at(arm_of(rows, n_draws=200), Horizon.H24).signed_move.state is Evidence.BETTER

    assert found >= 18  # the expected power is 0.82; 18 of 30 is four standard errors below


def test_knowing_part_of_the_next_day_shows_in_every_honest_measure():
    """Half of tomorrow's move is a lot: slope, lift, skill and executable move all find it, and the market loses."""
    arm = arm_of(list(fair_worlds(1_200, seed=3, knows=2.0)))

    day = at(arm, Horizon.H24)
    assert {day.signed_move.state, day.closure_slope.state, day.lift.state} == {Evidence.BETTER}
    assert arm.lift_at_resolution.value > 0
    assert day.signed_move.value > 0.01
    assert day.direction_hit.value > day.direction_hit.null + 0.1


def test_fewer_than_thirty_events_are_too_early_however_many_rows():
    """Three hundred forecasts on 29 events say nothing yet, and the arm says that in one word."""
    rows = [
        make_row(n, market_key=f"kalshi:M-{n % 29}", event_key=f"E-{n % 29}", horizons={Horizon.H24: quote(0.58)})
        for n in range(300)
    ]

    arm = arm_of(rows)

    assert (arm.n, arm.events) == (300, 29)
    assert arm.state is Evidence.TOO_EARLY
    assert at(arm, Horizon.H24).signed_move.state is Evidence.TOO_EARLY
    assert arm_of([*rows, make_row(999, horizons={Horizon.H24: quote(0.58)})]).events == MIN_EVENTS


def test_the_badge_needs_two_hundred_events_and_money_left_after_costs():
    """A move of five points that costs two is worth a badge, one of half a point is not."""

    def world(n: int, mid: float, horizon: Horizon = Horizon.H24) -> list[Row]:
        rng = np.random.Generator(np.random.PCG64(9))
        mids = [mid + 0.02 * float(rng.normal()) for _ in range(n)]
        return [make_row(i, horizons={horizon: quote(m, m - 0.5 - 0.02)}) for i, m in enumerate(mids)]

    assert arm_of(world(220, 0.55)).badge
    assert not arm_of(world(190, 0.55)).badge
    assert not arm_of(world(220, 0.505)).badge
    assert not arm_of(world(220, 0.55, Horizon.H6)).badge  # looked for afterwards


def test_versions_models_and_sight_are_never_pooled():
    """A forecaster that saw the price copies it; mixed with blind ones it would look like foresight."""
    rows = [
        make_row(1),
        make_row(2, saw_price=True),
        make_row(3, version="2"),
        make_row(4, model="other"),
        make_row(5, experiment="coin"),
    ]

    report = experiment_report(rows, "single_model", now=NOON, n_draws=10)

    assert [(a.version, a.model, a.saw_price, a.n) for a in report.arms] == [
        ("1", "m", False, 1), ("1", "m", True, 1), ("1", "other", False, 1), ("2", "m", False, 1),
    ]  # fmt: skip
    assert report.n == 4


def test_voids_are_counted_and_in_no_score():
    """An annulled market has no outcome; half a point of Brier would be invented."""
    rows = list(fair_worlds(60, seed=2))
    voided = [replace(row, resolution=Resolution.VOID, resolution_value=0.5) for row in rows[:10]]

    arm, without = arm_of([*voided, *rows[10:]]), arm_of(rows[10:])

    assert arm.n_excluded["void"] == 10
    assert arm.n_resolved == len(rows) - 10
    assert arm.brier.value == pytest.approx(without.brier.value)


def test_the_more_horizons_and_models_are_looked_at_the_more_it_takes():
    """Secondary horizons are corrected over all arms; the two declared in advance are not."""
    one = list(fair_worlds(200, seed=7))
    others = [replace(row, model=f"m{number}") for number in range(4) for row in fair_worlds(200, seed=20 + number)]

    alone = experiment_report(one, "single_model", now=NOON, n_draws=DRAWS).arms[0]
    among = experiment_report([*one, *others], "single_model", now=NOON, n_draws=DRAWS).arms[0]

    assert at(among, Horizon.H6).signed_move.p >= at(alone, Horizon.H6).signed_move.p
    assert at(among, Horizon.H6).signed_move.corrected
    assert at(among, Horizon.H24).signed_move.p == at(alone, Horizon.H24).signed_move.p
    assert not at(among, Horizon.H24).signed_move.corrected


def test_the_market_a_day_before_its_end_is_scored_beside():
    """Its price then is what a late forecast would have to beat; it is an anchor, no horizon of its own."""
    rows = [
        make_row(
            n,
            resolution=Resolution.YES,
            horizons={Horizon.DAY_BEFORE: quote(0.9), Horizon.H1: HorizonQuote(missing=NoQuote.WIDE)},
        )
        for n in range(3)
    ]

    arm = arm_of(rows)

    assert arm.market_brier_before_close.value == pytest.approx(0.01)
    assert [one.horizon for one in arm.horizons] == list(HORIZONS)
    assert (at(arm, Horizon.H1).n_due, at(arm, Horizon.H1).n_missing) == (3, {"wide": 3})


def test_standouts_show_the_best_and_the_worst_and_take_sides():
    """Illustrations only; a forecast at the price is neither."""
    rows = [make_row(n, horizons={Horizon.H24: quote(0.5 + n / 100)}) for n in range(-7, 8)]
    rows.append(make_row(99, probability=0.5, horizons={Horizon.H24: quote(0.9)}))

    arm = arm_of(rows)

    assert [one.prediction_id for one in arm.top] == [f"prd-{n}" for n in (7, 6, 5, 4, 3)]
    assert [one.prediction_id for one in arm.poor] == [f"prd-{n}" for n in (-7, -6, -5, -4, -3)]
    assert arm.top[0].signed_move == 0.07


def test_slices_name_their_rows_and_recent_means_thirty_days():
    """Per category, per time to the end, and lately."""
    rows = [
        make_row(1, category="Sports", closes_at=NOON + timedelta(hours=20)),
        make_row(2, category=None, closes_at=None),
        make_row(3, predicted_at=NOON - timedelta(days=31)),
    ]

    arm = arm_of(rows)

    assert {one.name: one.n for one in arm.by_category} == {"Politics": 1, "Sports": 1, "none": 1}
    assert {one.name: one.n for one in arm.by_days_to_close} == {
        "up to 1 day": 1, "over 30 days": 1, "end unknown": 1,
    }  # fmt: skip
    assert arm.recent.n == 2


def test_bands_count_gaps_and_what_shuffled_sides_give():
    """Every gap of five points falls into one band, by itself and in expectation."""
    arm = arm_of(list(fair_worlds(200, seed=4)))

    assert sum(band.n for band in arm.distribution.bands) == arm.distribution.n
    assert sum(band.expected for band in arm.distribution.bands) == pytest.approx(arm.distribution.n)


def test_reports_and_leaderboards_survive_json():
    """They are what commands print and the cloud keeps: nan would not survive."""
    rows = [*fair_worlds(40, seed=1), make_row(900, probability=float("nan")), make_row(901)]

    report = experiment_report(rows, "single_model", now=NOON, n_draws=20)
    board = leaderboard(rows, sort=Sort.RECENT, now=NOON, n_draws=20)

    assert msgspec.json.decode(msgspec.json.encode(report), type=ExperimentReport) == report
    assert msgspec.json.decode(msgspec.json.encode(board), type=Leaderboard) == board


def test_the_same_rows_give_the_same_report():
    """Seeded draws: a replay must print what the first run printed."""
    rows = list(fair_worlds(80, seed=6, legs=2))

    first, second = (experiment_report(rows, "single_model", now=NOON, n_draws=100) for _ in range(2))

    assert first == second


def test_rows_nothing_can_be_said_of_make_an_empty_report():
    """All invalid: counted, and every measure is NOT_MEASURED or too early; no exception, no zero."""
    arm = arm_of([make_row(n, probability=float("nan")) for n in range(3)])

    assert (arm.n, arm.events, arm.state) == (3, 0, Evidence.TOO_EARLY)
    assert arm.n_excluded["invalid"] == 3
    assert (arm.brier.value, arm.brier.state) == (None, Evidence.NOT_MEASURED)
    assert experiment_report([], "single_model", now=NOON).arms == ()


@pytest.mark.parametrize("sort", Sort)
def test_a_leaderboard_ranks_what_can_be_ranked(sort):
    """The skilled arm comes first; an arm with a handful of events stands last, however lucky, and has no rank."""
    skilled = [
        replace(
            r,
            model="skilled",
            confidence=90 if (r.probability > r.initial_mid) == (r.latest_mid > r.initial_mid) else 20,
        )
        for r in fair_worlds(300, seed=1, knows=1.0)
    ]
    lucky = [
        replace(r, model="lucky", probability=0.99) for r in fair_worlds(60, seed=8) if r.resolution is Resolution.YES
    ][:8]
    plain = [replace(row, model="plain") for row in fair_worlds(300, seed=2)]

    board = leaderboard([*lucky, *plain, *skilled], sort=sort, now=NOON, n_draws=DRAWS)

    assert [(entry.rank, entry.model) for entry in board.entries] == [(1, "skilled"), (2, "plain"), (None, "lucky")]
