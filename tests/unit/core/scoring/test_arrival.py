"""Time to convergence with those that have not arrived yet."""

import numpy as np
import pytest

from agent.core.scoring.arrival import median_hours, share_arrived, watched
from agent.core.scoring.columns import columns
from tests.unit.core.scoring.made import make_row


def rows_of(cases):
    return columns(
        [make_row(n, hours_to_convergence=arrived, hours_watched=seen) for n, (arrived, seen) in enumerate(cases)]
    )


CASES = [(2.0, 9.0), (None, 3.0), (4.0, 9.0), (None, 5.0), (8.0, 9.0)]


@pytest.mark.parametrize(("within_h", "share"), [(1, 0.0), (2, 0.2), (4, 1 - 0.8 * 2 / 3), (8, 1.0)])
def test_the_share_is_kaplan_and_meiers(within_h, share):
    """By hand: 4/5 stay after 2 h, of the three still watched 2/3 after 4 h, of the last one none after 8 h."""
    rows, hours, arrived = watched(rows_of(CASES))

    found = share_arrived(hours, arrived, rows, within_h=within_h)

    assert found.of(np.ones((1, 5)))[0] == pytest.approx(share)


def test_censored_rows_are_not_failures():
    """Counting them as never arriving would give 3/5; leaving them out 1."""
    rows, hours, arrived = watched(rows_of([(4.0, 9.0), (None, 1.0)]))

    assert share_arrived(hours, arrived, rows, within_h=24).of(np.ones((1, 2)))[0] == 1.0
    assert median_hours(hours, arrived, rows) == 4.0


def test_a_watch_that_ends_as_another_arrives_was_still_at_risk():
    """The order within one hour must not decide: both were watched up to then."""
    rows, hours, arrived = watched(rows_of([(None, 4.0), (4.0, 9.0)]))

    assert share_arrived(hours, arrived, rows, within_h=4).of(np.ones((1, 2)))[0] == 0.5


def test_the_median_is_missing_where_half_never_arrived():
    """A median of those that arrived would flatter."""
    rows, hours, arrived = watched(rows_of([(2.0, 9.0), (None, 9.0), (None, 9.0)]))

    assert median_hours(hours, arrived, rows) is None


def test_a_row_without_a_side_or_a_watch_does_not_count():
    """A forecast at the price has arrived before it started."""
    table = columns([make_row(1, probability=0.5, hours_watched=4.0), make_row(2)])

    assert not watched(table)[0].any()


def test_a_weight_is_as_good_as_a_copy():
    """A draw that takes a row twice must read as two rows."""
    rows, hours, arrived = watched(rows_of(CASES))
    doubled, hours_2, arrived_2 = watched(rows_of([*CASES, CASES[2]]))

    weighted = share_arrived(hours, arrived, rows, within_h=4).of(np.array([[1.0, 1, 2, 1, 1]]))

    assert weighted[0] == pytest.approx(share_arrived(hours_2, arrived_2, doubled, within_h=4).of(np.ones((1, 6)))[0])
