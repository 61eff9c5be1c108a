"""What a venue shows before anybody traded is not a price."""

from dataclasses import dataclass

import pytest

from agent.core.placeholders import without_leading_placeholder


@dataclass
class Point:
    """A price."""

    price: float | None


@pytest.mark.parametrize(
    ("prices", "kept"),
    [
        ([0.5, 0.5, 0.5, 0.97, 0.5, 0.96], [0.97, 0.5, 0.96]),
        ([0.495, 0.495, 0.02], [0.02]),  # "about 0.50"
        ([0.5, 0.5], []),
        ([0.5], []),
        ([0.42, 0.5, 0.5], [0.42, 0.5, 0.5]),
        ([0.5, 0.501, 0.502], [0.501, 0.502]),  # it moves: only the constant run goes
        ([None, 0.5], [None, 0.5]),
        ([], []),
    ],
)
def test_only_the_leading_constant_half_is_dropped(prices: list[float | None], kept: list[float | None]) -> None:
    """It made 47-cent gaps that were never there; a half in the middle of a life is a price."""
    assert [point.price for point in without_leading_placeholder([Point(price) for price in prices])] == kept
