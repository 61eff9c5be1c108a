"""The sign of life of one loop: it beats each time round, and says so when it is going to rest.

Law: an absent network is not a hang, and neither is a rest on purpose. Time here is the timer's, which no set clock and
no sleep of the machine moves. Whoever feeds a watchdog asks `is_late` first: a loop beyond its own deadline starves it.
"""

import time
from collections.abc import Callable


class Pulse:
    """One loop's."""

    def __init__(self, name: str, deadline_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`deadline_s` is the longest silence that is still healthy; before the first beat nothing is late."""
        self.name = name
        self._deadline_s, self._monotonic = deadline_s, monotonic
        self._late_at = float("inf")

    def beat(self, rest_s: float = 0.0) -> None:
        """Alive; asleep on purpose for the next `rest_s`."""
        self._late_at = self._monotonic() + rest_s + self._deadline_s

    def is_late(self) -> bool:
        """Whether it has been silent for too long."""
        return self._monotonic() > self._late_at
