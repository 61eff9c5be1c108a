"""What the process was asked from outside: to stop, or to read its configuration again.

Law: a configuration is taken whole or not at all. A wrong one, or one that changes what only a restart can change,
is refused with a sentence, and the running one stays. Signals only set flags; a storm of them is one wish.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from agent.errors import ConfigError, ReloadRefused
from agent.settings import Settings

# The lock, the socket and the name in the cloud are taken at start.
FIXED = ("host_id", "data_dir", "runtime_dir")


class Wishes:
    """Stop and reload, as the service manager asks for them."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop, SIGHUP reloads, while the block lasts."""
        loop = asyncio.get_running_loop()
        hears = {signal.SIGTERM: self.stop.set, signal.SIGINT: self.stop.set, signal.SIGHUP: self.reload.set}
        for number, listener in hears.items():
            loop.add_signal_handler(number, listener)
        try:
            yield
        finally:
            for number in hears:
                loop.remove_signal_handler(number)

    async def next(self) -> bool:
        """Wait for a wish; True: reload, False: stop, which wins where both are there."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.stop, self.reload)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self.reload.clear()
        return not self.stop.is_set()


def read_again(reread: Callable[[], Settings], current: Settings) -> Settings:
    """The configuration as it stands now; `current` itself where nothing changed. Raises: ReloadRefused."""
    try:
        found = reread()
    except ConfigError as exc:
        raise ReloadRefused("; ".join(exc.faults)) from exc
    except FileNotFoundError as exc:
        raise ReloadRefused(f"no configuration file at {exc}") from exc
    fixed = [name for name in FIXED if getattr(found, name) != getattr(current, name)]
    if fixed:
        raise ReloadRefused(f"{', '.join(fixed)}: taken at start only (systemctl restart oddsd)")
    return current if found == current else found
