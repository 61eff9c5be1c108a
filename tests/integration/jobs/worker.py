"""A process that runs one job of 240 units to its end, for the kill test: `python worker.py DATABASE CALLS`.

Each unit appends its key to the file CALLS when its "paid call" has been answered, and one row to the table `paid`
when it is saved. Exits 0 when the run ended well.
"""

import asyncio
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.jobs.context import RunContext, Unit
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from agent.store.tx import Tx

N_UNITS = 240
SLOT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def main(database: Path, calls: int) -> int:
    """Recover what a killed predecessor left, or begin; returns the exit code."""

    async def ask(n: int) -> Unit:
        await asyncio.sleep(random.uniform(0.005, 0.03))  # the call; its length is not the test's subject
        os.write(calls, f"{n}\n".encode())  # answered and paid from here on

        async def save(tx: Tx) -> None:
            await tx.execute("INSERT INTO paid VALUES (?)", (n,))

        return Unit(n, save)

    async def job(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(range(N_UNITS), key=str, fn=ask)

    async with await Store.open(database, clock=lambda: SLOT) as store:
        async with store.write() as tx:
            await tx.execute("CREATE TABLE IF NOT EXISTS paid (n INTEGER NOT NULL) STRICT")
        spec = JobSpec(
            name="job", run=job, schedule="* * * * *", missed="all", timeout_s=60, max_catch_up=timedelta(days=1)
        )
        runner = Runner(store, lambda: SLOT, [spec], {"default": 8})
        trigger = "recovery" if await runner.recover() else "timer"
        result = await runner.run("job", SLOT, trigger)
    return 0 if result.state == "ok" else 1


if __name__ == "__main__":
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.exit(asyncio.run(main(Path(sys.argv[1]), log)))
