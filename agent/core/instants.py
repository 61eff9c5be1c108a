"""Moments as the program speaks of them: aware UTC in code, integer milliseconds in SQLite. Pure.

Whoever decides something takes `now` as an argument; the shell reads it once from a `Clock` and hands it on.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down; exact where a float of seconds would not be."""
    return (moment - EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """The aware UTC moment of a number written by to_ms."""
    return EPOCH + ms * _MILLISECOND


def moment(ms: int | None) -> datetime | None:
    """The same for a number that may be missing."""
    return None if ms is None else from_ms(ms)


def to_the_ms(moment: datetime) -> datetime:
    """Cut to whole milliseconds, so that a moment survives the store unchanged."""
    return from_ms(to_ms(moment))
