"""A deadline that moves with every event and costs no timer each time it moves.

Law: one timer is under way; when it rings too early, because the deadline has moved on, it is set anew for the rest.
Rings at most once per deadline and never before it.
"""

import asyncio
from collections.abc import Callable


class Patience:
    """Calls back when what was begun has not ended in time. Made and used inside a running loop."""

    def __init__(self, on_lost: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._until: float | None = None  # of the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, most_s: float) -> None:
        """From now on there is this much time."""
        self._until = self._loop.time() + most_s
        if self._timer is None or self._timer.when() > self._until:
            self._arm(self._until)

    def end(self) -> None:
        """It came to its end: nothing is waited for."""
        self._until = None

    def close(self) -> None:
        """Take the timer back."""
        self._until = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._until is None:
            return
        if self._loop.time() < self._until:
            self._arm(self._until)
            return
        self._until = None
        self._on_lost()
