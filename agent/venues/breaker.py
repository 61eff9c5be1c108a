"""A breaker: after several failed calls in a row a host is left alone for a while, then one call may try. Pure.

Law: time comes from the caller; a call that was admitted is answered by exactly one of succeeded, failed, released.
"""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """What a status report says about a host."""

    CLOSED = "closed"  # calls go through
    OPEN = "open"  # left alone
    HALF_OPEN = "half_open"  # the wait is over: one call is let through to see


@dataclass(slots=True)
class Breaker:
    """The memory of one host. `now_s` is any clock that never goes back."""

    n_failures_to_open: int
    open_s: float
    n_failures: int = 0
    opened_at_s: float | None = None
    probing: bool = False

    def state(self, now_s: float) -> BreakerState:
        """Where it stands at `now_s`."""
        if self.opened_at_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self.opened_at_s + self.open_s else BreakerState.HALF_OPEN

    def admit(self, now_s: float) -> float | None:
        """None if a call may go through, else the seconds until it is worth asking again."""
        match self.state(now_s):
            case BreakerState.CLOSED:
                return None
            case BreakerState.HALF_OPEN if not self.probing:
                self.probing = True
                return None
            case BreakerState.HALF_OPEN:
                return self.open_s
        return self.opened_at_s + self.open_s - now_s if self.opened_at_s is not None else None

    def succeeded(self) -> None:
        """The host answered: forget the failures."""
        self.n_failures, self.opened_at_s, self.probing = 0, None, False

    def failed(self, now_s: float) -> None:
        """A call failed for good; opens at the limit, and again at once when it was the probe."""
        self.n_failures += 1
        if self.n_failures >= self.n_failures_to_open:
            self.opened_at_s = now_s
        self.probing = False

    def released(self) -> None:
        """The call was given up by its caller and says nothing about the host."""
        self.probing = False
