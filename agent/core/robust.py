"""Robust statistics: what is usual in a few dozen numbers, some of them wild. Pure.

Law: medians only. One earlier spike moves a mean and a deviation so far that it hides the next one; it moves a median
hardly at all. Written out because the library's median checks types one by one and a pass asks tens of thousands.
"""

from collections.abc import Sequence

MAD_TO_SIGMA = 1.4826  # the median absolute deviation of a normal series, scaled to its standard deviation


def middle(values: Sequence[float]) -> float:
    """The median. Raises: ValueError if there is no value."""
    if not values:
        raise ValueError("the middle of nothing")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def habit(values: Sequence[float]) -> tuple[float, float]:
    """What is usual, and how far off is usual: median, and median absolute deviation on the scale of a sigma."""
    centre = middle(values)
    return centre, MAD_TO_SIGMA * middle([abs(value - centre) for value in values])
