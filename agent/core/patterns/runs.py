"""How a price walked: parts of a history by time, and how one-sided a walk was. Pure.

A walk's z is its net move over the root of its summed squared steps. Steps whose signs are a coin's give a z of about
normal size whatever their sizes; one wild step gives at most 1. So it measures direction, not volatility, and a jump
cannot pass for a trend.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from math import hypot
from operator import attrgetter, ne, sub

from agent.core.patterns.base import History

_stored_at = attrgetter("fetched_at")


def mids_since(history: History, since: datetime) -> list[float]:
    """The mids stored since a moment, led by the one that stood then."""
    whole = len(history.mids) == len(history.quotes)  # then the few rows a bisection meets are enough
    place = bisect_left(history.quotes, since, key=_stored_at) if whole else bisect_left(history.mid_times, since)
    return history.mids[max(place - 1, 0) :]


def walk_z(mids: Sequence[float]) -> float:
    """Signed one-sidedness of a walk; 0 where nothing moved."""
    steps = list(map(sub, mids[1:], mids))
    length = hypot(*steps)
    return (mids[-1] - mids[0]) / length if length > 0 else 0.0


def n_moves(mids: Sequence[float]) -> int:
    """How many steps of a walk moved at all."""
    return sum(map(ne, mids[1:], mids))
