"""The breaker: when it opens, how long, and who may try first."""

from agent.llm.breaker import Breaker


def make_breaker(n_to_open: int = 1) -> Breaker:
    """A minute's pause, at most four."""
    return Breaker(n_to_open=n_to_open, open_s=60.0, cap_s=240.0)


def test_it_opens_at_its_number_of_failures_in_a_row():
    """One success in between proves the service is there."""
    breaker = make_breaker(n_to_open=2)

    assert breaker.failed(0.0) == 0.0
    breaker.succeeded()
    assert breaker.failed(1.0) == 0.0
    assert breaker.admit(1.0) is None
    assert breaker.failed(2.0) == 60.0
    assert breaker.admit(3.0) == 59.0


def test_one_question_is_the_trial_and_the_others_wait():
    """A service that just came back is not met by everyone who waited."""
    breaker = make_breaker()
    breaker.failed(0.0)

    assert breaker.admit(60.0) is None
    assert breaker.admit(60.0) == 60.0
    breaker.succeeded()
    assert breaker.admit(60.0) is None
    assert breaker.admit(60.0) is None


def test_a_trial_that_says_nothing_leaves_the_trial_to_the_next():
    """A question that was cancelled or had no money would else block the model for good."""
    breaker = make_breaker()
    breaker.failed(0.0)
    breaker.admit(60.0)

    breaker.released()

    assert breaker.admit(60.0) is None


def test_each_failed_trial_doubles_the_pause_up_to_the_cap():
    """A day without service costs a handful of trials."""
    breaker, at, pauses = make_breaker(), 0.0, []
    for _ in range(5):
        pauses.append(breaker.failed(at))
        at += pauses[-1]
        assert breaker.admit(at) is None

    assert pauses == [60.0, 120.0, 240.0, 240.0, 240.0]


def test_failures_side_by_side_are_one():
    """Four questions under way when the service falls are no reason to stay away for sixteen minutes."""
    breaker = make_breaker()

    assert [breaker.failed(at) for at in (0.0, 1.0, 2.0)] == [60.0, 59.0, 58.0]
