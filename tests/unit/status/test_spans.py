"""Durations, moments and counts in words."""

from datetime import timedelta
from decimal import Decimal

import pytest

from agent.status.spans import ago, clock, counted, due, size, span, usd
from tests.unit.status.house import NOW


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.9, "0 s"),
        (41, "41 s"),
        (60, "1 min"),
        (119, "1 min"),
        (17 * 60, "17 min"),
        (3600, "1 h"),
        (3 * 3600 + 5 * 60, "3 h 5 min"),
        (3 * 3600 + 5, "3 h"),
        (86400, "1 d"),
        (6 * 86400 + 3 * 3600 + 59 * 60, "6 d 3 h"),
        (6 * 86400 + 59 * 60, "6 d"),
    ],
)
def test_span_keeps_the_two_units_that_matter(seconds, words) -> None:
    """A person wants "6 d 3 h", not seconds; minutes beside days are noise."""
    assert span(timedelta(seconds=seconds)) == words


def test_moments_carry_the_date_only_on_another_day() -> None:
    """ "14:15" of yesterday must not look like today's."""
    yesterday = NOW - timedelta(days=1)

    assert clock(NOW, NOW) == "14:15:43"
    assert clock(yesterday, NOW) == "16 Mar 14:15:43"
    assert due(NOW, NOW) == "14:15"
    assert due(NOW + timedelta(days=1), NOW) == "18 Mar 14:15"
    assert ago(NOW - timedelta(seconds=41), NOW) == "14:15:02 (41 s ago)"
    assert ago(None, NOW) == "never"


def test_counts_sizes_and_money() -> None:
    """Nouns agree with their numbers, small sums keep their tenth of a cent."""
    assert counted(1, "row") == "1 row"
    assert counted(4998, "row") == "4,998 rows"
    assert counted(2, "batch", "batches") == "2 batches"
    assert size(640) == "640 B"
    assert size(812_400) == "812 kB"
    assert size(1_240_000_000) == "1.2 GB"
    assert usd(Decimal("0.0314")) == "$0.031"
    assert usd(Decimal("12.4")) == "$12.40"
