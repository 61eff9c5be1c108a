"""The sliding minute of one process."""

from hypothesis import given
from hypothesis import strategies as st

from cloudapi.windows import WINDOW_S, Windows

START = 1000.0 * WINDOW_S


def test_what_fits_is_let_through_and_no_more() -> None:
    """The limit is the limit, and one subject's count is not another's."""
    windows = Windows()

    passed = [windows.take("a", 3, START + n) for n in range(5)]

    assert passed == [True, True, True, False, False]
    assert windows.take("b", 3, START + 5)


def test_minute_before_fades_by_its_share() -> None:
    """Halfway through the next minute half of it counts, so nobody doubles the limit at the turn."""
    windows = Windows()
    for _ in range(10):
        windows.take("a", 10, START)

    assert not windows.take("a", 10, START + WINDOW_S)
    assert sum(windows.take("a", 10, START + 1.5 * WINDOW_S) for _ in range(20)) == 5
    assert sum(windows.take("a", 10, START + 4 * WINDOW_S) for _ in range(20)) == 10


def test_refused_request_is_not_counted() -> None:
    """Knocking on a closed door must not keep it closed."""
    windows = Windows()
    for _ in range(50):
        windows.take("a", 2, START)

    assert sum(windows.take("a", 2, START + 1.5 * WINDOW_S) for _ in range(20)) == 1


def test_wait_ends_when_one_more_fits() -> None:
    """Retry-After is kept: whoever waits that long is let in."""
    windows = Windows()
    for _ in range(6):
        windows.take("a", 6, START)
    later = START + 1.25 * WINDOW_S
    while windows.take("a", 6, later):
        pass

    left, wait_s = windows.left("a", 6, later)

    assert left == 0
    assert 0 < wait_s <= WINDOW_S
    assert windows.take("a", 6, later + wait_s + 0.001)


def test_nobody_who_came_waits_for_nothing() -> None:
    """An unknown subject has all of its requests."""
    assert Windows().left("a", 7, START) == (7, 0.0)


def test_who_is_gone_is_forgotten() -> None:
    """Subjects come and go; memory holds two minutes of them."""
    windows = Windows()
    for n in range(100):
        windows.take(f"a{n}", 5, START)

    windows.take("b", 5, START + 2 * WINDOW_S)

    assert (len(windows._before), len(windows._here)) == (0, 1)


@given(
    limit=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 30, allow_nan=False), max_size=120),
)
def test_any_caller_gets_what_is_said_to_be_left_and_never_more_than_the_limit(limit: int, pauses: list[float]) -> None:
    """What is told as left is what is let through, and no minute of the clock sees more than the limit."""
    windows, now, minutes = Windows(), START, dict[float, int]()

    for pause_s in pauses:
        now += pause_s
        left, _ = windows.left("a", limit, now)
        passed = windows.take("a", limit, now)
        assert passed == (left > 0)
        minutes[now // WINDOW_S] = minutes.get(now // WINDOW_S, 0) + passed

    assert all(count <= limit for count in minutes.values())
