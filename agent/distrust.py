"""A device that failed is not written to: the process ends, and after a second failure within an hour it waits.

Law: after an I/O error pages may be gone although the next sync succeeds, so nothing is written any more: the process
ends with 74 and the next start reads the file anew. Two within an hour are no accident: then nothing is opened until an
hour has passed, the service manager hears why, and a stop is obeyed. Known over restarts by a file beside the database;
it is written as well as can be, for the device may not take it. Called by daemon.py.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from agent.core.instants import Clock
from agent.errors import DeviceFailed
from agent.reload import Wishes
from agent.status.systemd import ServiceManager

NAME = "device-errors"
WITHIN = timedelta(hours=1)
LOOK_AGAIN_S = 10.0  # a third of the service manager's patience, and soon enough for whoever removes the file
_KEPT = 10  # lines

log = structlog.get_logger("daemon")


@contextlib.contextmanager
def noted(folder: Path, clock: Clock) -> Iterator[None]:
    """Write down a failure of the device that ends the block, and let it pass."""
    try:
        yield
    except BaseException as exc:
        if (failure := _failure_in(exc)) is not None:
            note(folder, clock(), str(failure))
        raise


def note(folder: Path, now: datetime, what: str) -> None:
    """Remember one failure."""
    path, part = folder / NAME, folder / f".{NAME}.part"
    with contextlib.suppress(OSError):
        known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        part.write_text("\n".join([*known[1 - _KEPT :], f"{now.isoformat()} {what}", ""]), encoding="utf-8")
        part.replace(path)


def resting_until(folder: Path, now: datetime) -> datetime | None:
    """When a device that failed twice within an hour may be tried again; None: now.

    A moment that lies ahead is from a clock that was put back since: it counts as long as it is near.
    """
    moments = sorted(_moments(folder))
    if len(moments) < 2 or moments[-1] - moments[-2] > WITHIN or abs(now - moments[-1]) >= WITHIN:
        return None
    return moments[-1] + WITHIN


async def trusted(folder: Path, systemd: ServiceManager, wishes: Wishes, clock: Clock) -> bool:
    """Wait while the device is not to be written to; False where a stop came first."""
    is_told = False
    while (until := resting_until(folder, clock())) is not None:
        why = f"two I/O errors within an hour: nothing is read or written before {until:%H:%M} UTC"
        if not is_told:
            advice = f"look at the device (dmesg, smartctl); {folder / NAME} has the errors, without it oddsd goes on"
            log.critical("the device is not trusted", action="device_distrusted", why=why, advice=advice)
            is_told = True
        systemd.tell("READY=1", f"STATUS=held · {why}", "WATCHDOG=1")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                if not await wishes.next():
                    return False
    return True


def _moments(folder: Path) -> Iterator[datetime]:
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(line.partition(" ")[0])
            if moment.tzinfo is not None:
                yield moment


def _failure_in(exc: BaseException) -> BaseException | None:
    if isinstance(exc, DeviceFailed):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        return next(filter(None, map(_failure_in, exc.exceptions)), None)
    return None
