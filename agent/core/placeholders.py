"""Drops from a price history what a venue invents before anybody traded. Pure. Called by the venues' readers."""

from collections.abc import Sequence
from itertools import dropwhile
from typing import Final, Protocol, TypeVar

NEAR_EVEN: Final = 0.005
"""Polymarket's series sits at "about 0.50" before the first trade; it made fake 47-cent gaps (market-lens, 2026)."""


class Priced(Protocol):
    """Something with a price."""

    @property
    def price(self) -> float | None:
        """None where there is none."""


Point = TypeVar("Point", bound=Priced)


def without_leading_placeholder(points: Sequence[Point]) -> list[Point]:
    """The series without the constant run near one half it may begin with; a series that is nothing else is empty.

    A market that really opened at one half and stood there loses those points: they cannot be told apart.
    """
    first = points[0].price if points else None
    if first is None or abs(first - 0.5) > NEAR_EVEN + 1e-9:  # float dust
        return list(points)
    return list(dropwhile(lambda point: point.price == first, points))
