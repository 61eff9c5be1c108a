"""What is usual must not depend on one wild number."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.robust import habit, middle


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_middle_is_the_median(values):
    """Written out for speed, so held against the library's."""
    assert middle(values) == pytest.approx(statistics.median(values))


def test_one_wild_number_moves_neither_the_centre_nor_the_spread_far():
    """A mean of these would be 1,400 and their deviation 3,000: it would hide the next spike."""
    assert habit([10, 11, 9, 10, 12, 8, 10_000]) == pytest.approx((10, 1.4826))


def test_the_middle_of_nothing_is_refused():
    """No number is made of none."""
    with pytest.raises(ValueError, match="nothing"):
        middle([])
