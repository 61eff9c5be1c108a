"""Speaks to the service manager; silent where there is none.

Law: nothing here raises, for a lost notice must not stop the work. A reload is announced with the clock's reading, as
systemd from 253 on waits for that pair; a long start or end asks for more time while it lasts.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sdnotify

MORE_TIME_S = 60.0  # asked for again each third of it
_US = 1_000_000


class ServiceManager:
    """systemd's notification socket, as named by NOTIFY_SOCKET."""

    def __init__(self) -> None:
        # Asked here: sdnotify 0.3.2 leaves a socket open behind it where the name is missing.
        self._notifier = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None

    @property
    def watchdog_s(self) -> float | None:
        """How long systemd waits for a sign of life; None where it does not wait for one of this process."""
        if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        given = os.environ.get("WATCHDOG_USEC", "")
        return int(given) / _US if given.isdecimal() and int(given) else None

    def tell(self, *states: str) -> None:
        """Send state lines such as READY=1 in one datagram."""
        if self._notifier is not None:
            # It also encodes as Latin-1 and drops what does not fit, but systemd reads UTF-8: hand over the UTF-8
            # bytes as the characters Latin-1 turns back into them.
            self._notifier.notify("\n".join(states).encode().decode("latin-1"))

    def reloading(self) -> None:
        """The configuration is being read again; READY=1 ends it, whatever came of it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    @asynccontextmanager
    async def more_time(self) -> AsyncIterator[None]:
        """Keep systemd's limits away while the block works: a migration, a check, a last fold of a large file."""
        asking = asyncio.create_task(self._ask_for_time(), name="more-time")
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.wait({asking})

    async def _ask_for_time(self) -> None:
        while True:
            self.tell(f"EXTEND_TIMEOUT_USEC={int(MORE_TIME_S * _US)}")
            await asyncio.sleep(MORE_TIME_S / 3)

    def close(self) -> None:
        """Let go of the socket; nothing is told afterwards."""
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()
