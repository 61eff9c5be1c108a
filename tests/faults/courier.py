"""A process that stores ticks and sends them at the same time, to be stopped, killed and fed with other clocks.

    python -m tests.faults.courier FOLDER DSN FIRST TICKS [PORT]

Law: as the worker's: the diary gets a line only when the commit has returned. Sends until nothing is pending, then ends;
SIGTERM stops intake, sends what is held and ends. PORT leads through a proxy on loopback.
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog

from agent import log
from sync.transports import postgres as road
from tests.faults.house import House, through
from tests.faults.promises import as_line, produce
from tests.faults.worker import DIARY

DEADLINE_S = 2.0  # a stalled line is given up within a test's patience


async def _live(folder: Path, dsn: str, first: int, n_ticks: int, port: int | None) -> None:
    for name in ("CONNECT_S", "HELLO_S", "APPLY_S"):
        setattr(road, name, DEADLINE_S)
    diary = os.open(folder / DIARY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with House(folder, lambda: datetime.now(UTC)) as house:
        transport = road.PostgresTransport(dsn, host_id="faults") if port is None else through(dsn, port)
        sender = house.sender(transport, jitter=lambda: 0.02)
        sending = asyncio.create_task(sender.run(), name="sender")
        for number in range(first, first + n_ticks):
            if stop.is_set():
                break
            os.write(diary, as_line(attempted=number))
            await produce(house.store, number)
            os.write(diary, as_line(promised=number))
            await asyncio.sleep(0)
        while await house.pending():
            await asyncio.sleep(0.01)
        sender.stop()
        await sending
        os.write(diary, as_line(drained=True))


def main(arguments: list[str]) -> int:
    """Run to the end."""
    log.configure(json=True, level="debug")
    structlog.get_logger("faults").info("at_work")
    folder, dsn, first, n_ticks, *port = arguments
    asyncio.run(_live(Path(folder), dsn, int(first), int(n_ticks), int(port[0]) if port else None))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
