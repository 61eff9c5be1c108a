"""Waits between tries: bounded, growing, spread over the whole interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.backoff import next_delay_s


def test_the_upper_end_doubles_until_the_cap():
    """A service that stays away is asked less and less often, but never given up for hours."""
    delays = [next_delay_s(attempt, 1.0, 10.0, 1.0) for attempt in range(1, 7)]

    assert delays == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter_takes_a_share_of_the_whole_interval():
    """Callers that failed together come back spread from zero on."""
    assert next_delay_s(3, 1.0, 10.0, 0.0) == 0.0
    assert next_delay_s(3, 1.0, 10.0, 0.25) == 1.0


@given(st.integers(1, 10**9), st.floats(0.001, 60), st.floats(0.001, 3600), st.floats(0, 1))
def test_a_wait_is_never_negative_nor_above_its_cap(attempt: int, base_s: float, cap_s: float, jitter: float):
    """A counter that has run for years must not overflow into a crash or an endless wait."""
    assert 0 <= next_delay_s(attempt, base_s, cap_s, jitter) <= cap_s


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.5), (1, -0.1), (1, 1.1), (1, float("nan"))])
def test_nonsense_is_refused(attempt: int, jitter: float):
    """A caller that counts from zero would silently wait half as long as meant."""
    with pytest.raises(ValueError, match="next_delay_s"):
        next_delay_s(attempt, 1.0, 10.0, jitter)
