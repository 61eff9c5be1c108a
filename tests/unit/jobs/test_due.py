"""What a job owes after a gap: the policies for missed slots, decided without a clock or a database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.jobs.clock import MOST_SLOTS, Due, due
from agent.jobs.runner import JobSpec

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def make_spec(**over: Any) -> JobSpec:
    """A job every quarter hour that makes up for the latest missed slot."""

    async def nothing(ctx: Any, slot: datetime) -> None: ...

    values = {"name": "collect", "run": nothing, "schedule": "*/15 * * * *", "missed": "latest", "timeout_s": 60}
    return JobSpec(**values | over)


def at(hour: int, minute: int, second: int = 0) -> datetime:
    """A moment of the day."""
    return NOON.replace(hour=hour, minute=minute, second=second)


def test_nothing_is_due_between_slots():
    """The loop looks every five seconds; most looks find nothing."""
    assert due(make_spec(), at(12, 0), at(12, 14, 59)) == Due()


@pytest.mark.parametrize("missed", ["none", "latest", "all"])
def test_a_slot_on_time_is_run_whatever_the_policy(missed):
    """The policy speaks of missed slots only."""
    assert due(make_spec(missed=missed), at(12, 0), at(12, 15, 20)) == Due(run=(at(12, 15),))


def test_latest_runs_the_newest_slot_and_gives_up_the_others():
    """After a night without power one collection is worth making, not forty."""
    owed = due(make_spec(missed="latest"), at(12, 0), at(13, 7))

    assert owed == Due(run=(at(13, 0),), missed=(at(12, 15), at(12, 30), at(12, 45)))


def test_none_runs_no_slot_that_is_late():
    """A session check of half an hour ago answers nobody's question."""
    owed = due(make_spec(missed="none"), at(12, 0), at(12, 37))

    assert owed == Due(missed=(at(12, 15), at(12, 30)))


def test_none_still_runs_the_slot_that_is_on_time_after_a_gap():
    """A machine that wakes just after a slot must not skip that one too."""
    owed = due(make_spec(missed="none"), at(12, 0), at(12, 30, 45))

    assert owed == Due(run=(at(12, 30),), missed=(at(12, 15),))


def test_all_runs_every_slot_within_its_reach_oldest_first():
    """A day of predictions is wanted for each day, but not for a month away."""
    spec = make_spec(missed="all", schedule="0 7 * * *", max_catch_up=timedelta(days=2))

    owed = due(spec, NOON - timedelta(days=5), NOON)

    sevens = tuple(at(7, 0) - timedelta(days=days) for days in (4, 3, 2, 1, 0))
    assert owed == Due(run=sevens[3:], missed=sevens[:3])


def test_a_fresh_install_runs_a_latest_job_at_once():
    """Nobody waits a quarter of an hour to see the first market."""
    assert due(make_spec(missed="latest"), None, at(12, 7)) == Due(run=(at(12, 0),))


@pytest.mark.parametrize("missed", ["none", "all"])
def test_a_fresh_install_owes_nothing_from_before_it_existed(missed):
    """Slots before the installation were nobody's."""
    assert due(make_spec(missed=missed), None, at(12, 7)) == Due()


def test_a_clock_that_started_in_1970_makes_one_run_and_no_burst():
    """A board without a battery wakes at the epoch and then jumps: half a century is not replayed."""
    owed = due(make_spec(), datetime(1970, 1, 1, tzinfo=UTC), NOON)

    assert owed.run == (NOON,)
    assert len(owed.missed) == MOST_SLOTS - 1


def test_a_rare_schedule_ends_its_walk_at_the_last_slot():
    """Walking on past it would run out of years before it ran out of slots."""
    spec = make_spec(schedule="0 0 29 2 *")

    assert due(spec, datetime(2023, 1, 1, tzinfo=UTC), NOON) == Due(run=(datetime(2024, 2, 29, tzinfo=UTC),))


def test_a_schedule_cron_cannot_read_is_a_configuration_fault():
    """Found when the daemon starts, not at the first slot."""
    with pytest.raises(ConfigError, match="job collect: schedule '61"):
        make_spec(schedule="61 * * * *")


@given(
    st.sampled_from(["none", "latest", "all"]),
    st.integers(0, 3 * 86_400),
    st.lists(st.integers(1, 7200), min_size=1, max_size=8),
)
def test_every_slot_is_run_or_missed_exactly_once(missed: str, start: int, looks: list[int]):
    """However the looks are spaced, no slot is counted twice and none is forgotten."""
    spec, begin = make_spec(missed=missed, max_catch_up=timedelta(hours=1)), NOON + timedelta(seconds=start)
    last = now = begin
    accounted = list[datetime]()

    for seconds in looks:
        now += timedelta(seconds=seconds)
        owed = due(spec, last, now)
        accounted += [*owed.missed, *owed.run]
        last = max([*owed.missed, *owed.run], default=last)

    n_slots = int(now.timestamp() // 900 - begin.timestamp() // 900)
    assert len(accounted) == len(set(accounted)) == n_slots
    assert accounted == sorted(accounted)
