"""When a host is left alone, and when it may be asked again."""

from agent.venues.breaker import Breaker, BreakerState


def opened() -> Breaker:
    """A breaker that opened at second 100."""
    breaker = Breaker(n_failures_to_open=3, open_s=60)
    for _ in range(3):
        breaker.failed(100.0)
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    """A success in between says the host is alive."""
    breaker = Breaker(n_failures_to_open=3, open_s=60)
    for outcome in ("failed", "failed", "succeeded", "failed", "failed"):
        breaker.failed(0.0) if outcome == "failed" else breaker.succeeded()
    assert breaker.state(0.0) is BreakerState.CLOSED
    breaker.failed(0.0)
    assert breaker.state(0.0) is BreakerState.OPEN


def test_an_open_one_says_how_long_to_wait() -> None:
    """The caller passes it on as retry_after_s."""
    breaker = opened()
    assert breaker.admit(110.0) == 50.0
    assert breaker.state(159.9) is BreakerState.OPEN


def test_after_the_wait_one_call_may_try() -> None:
    """A crowd at the door is what knocked the host over."""
    breaker = opened()
    assert breaker.state(160.0) is BreakerState.HALF_OPEN
    assert breaker.admit(160.0) is None
    assert breaker.admit(160.0) is not None


def test_the_probe_decides() -> None:
    """One failure opens it again at once, one success forgets everything."""
    failing, recovering = opened(), opened()
    failing.admit(160.0)
    failing.failed(161.0)
    recovering.admit(160.0)
    recovering.succeeded()
    assert failing.state(170.0) is BreakerState.OPEN
    assert recovering.state(170.0) is BreakerState.CLOSED
    recovering.failed(170.0)
    assert recovering.state(170.0) is BreakerState.CLOSED


def test_a_probe_given_up_leaves_room_for_the_next() -> None:
    """A cancelled call must not lock the host out for ever."""
    breaker = opened()
    breaker.admit(160.0)
    breaker.released()
    assert breaker.admit(160.0) is None
