"""The watchdog is fed only while every loop keeps its own deadline; resting on purpose is not hanging."""

import pytest

from sync.pulse import Pulse


class Timer:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The present."""
        return self.now_s


@pytest.fixture
def timer() -> Timer:
    """Standing still."""
    return Timer()


@pytest.fixture
def pulse(timer: Timer) -> Pulse:
    """A loop that may be silent for a minute."""
    return Pulse("sender", 60.0, monotonic=timer)


def test_a_loop_silent_beyond_its_deadline_is_late(timer, pulse):
    """A hung loop must starve the watchdog, or nobody restarts it."""
    pulse.beat()
    timer.now_s += 60
    assert not pulse.is_late()
    timer.now_s += 1
    assert pulse.is_late()


def test_a_loop_at_rest_on_purpose_is_alive_until_after_its_rest(timer, pulse):
    """The sender may rest for minutes while the line is away."""
    pulse.beat(rest_s=300)
    timer.now_s += 360
    assert not pulse.is_late()
    timer.now_s += 1
    assert pulse.is_late()


def test_a_beat_ends_the_rest(timer, pulse):
    """Woken early, it owes the next beat as soon as ever."""
    pulse.beat(rest_s=300)
    timer.now_s += 1
    pulse.beat()
    timer.now_s += 61
    assert pulse.is_late()


def test_a_loop_that_has_not_started_is_not_a_hang(timer, pulse):
    """READY comes before the first pass."""
    timer.now_s += 10**6
    assert not pulse.is_late()
