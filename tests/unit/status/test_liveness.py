"""The watchdog is fed only while every loop keeps its own deadline; sleeping on purpose is not hanging."""

from datetime import timedelta

from agent.status.liveness import Pulse, overdue
from tests.factories import NOON

MINUTE = timedelta(minutes=1)


def test_a_loop_silent_beyond_its_deadline_is_overdue():
    """A hung loop must starve the watchdog, or nobody restarts it."""
    late = Pulse("clock", NOON - 2 * MINUTE, MINUTE)
    well = Pulse("sender", NOON - MINUTE, MINUTE)

    assert overdue([late, well], NOON) == ["clock"]


def test_a_loop_asleep_on_purpose_is_alive_until_after_its_wake_time():
    """The sender may rest for minutes while the line is away."""
    asleep = Pulse("sender", NOON - 10 * MINUTE, MINUTE, wakes_at=NOON + MINUTE)
    overslept = Pulse("sender", NOON - 10 * MINUTE, MINUTE, wakes_at=NOON - 2 * MINUTE)

    assert overdue([asleep], NOON) == []
    assert overdue([overslept], NOON) == ["sender"]


def test_a_loop_that_has_not_started_is_not_a_hang():
    """READY comes before the first pass."""
    assert overdue([Pulse("sender", None, MINUTE)], NOON) == []
