"""A process that runs one job of paid units to its end, on the ledger or on DBOS, for whoever kills it.

Each unit appends its number and its worker to a file when its "paid call" has been answered, and one row to the table
`paid` when it is saved. Exits 0 when the run ended well.
"""

import asyncio
import os
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import agent.jobs.dbos  # noqa: F401 - imported before a nursery forks
from agent.jobs.context import RunContext, Unit
from agent.jobs.dbos import DbosRunner, on_dbos
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from agent.store.tx import Tx

SLOT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LEDGER = "ledger"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What to do: `n_units` calls of `shortest_s` to `longest_s`, `at_once` of them."""

    database: Path
    calls: Path
    backend: str = LEDGER  # or the address of a Postgres
    host: str = "home"
    lane: str = "model"
    n_units: int = 240
    at_once: int = 8
    shortest_s: float = 0.005
    longest_s: float = 0.03

    def arguments(self) -> list[str]:
        """For a command line."""
        return [f"{name}={value}" for name, value in vars(self).items()]

    @classmethod
    def told(cls, arguments: list[str]) -> "Work":
        """From a command line."""
        given = dict(one.split("=", 1) for one in arguments)
        kinds = {
            "database": Path,
            "calls": Path,
            "n_units": int,
            "at_once": int,
            "shortest_s": float,
            "longest_s": float,
        }
        return cls(**{name: kinds.get(name, str)(value) for name, value in given.items()})


async def do(work: Work) -> int:
    """Recover what a killed predecessor left, or begin; returns the exit code."""
    calls = os.open(work.calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def ask(n: int) -> Unit:
        await asyncio.sleep(random.uniform(work.shortest_s, work.longest_s))  # the call; nothing waits for it
        os.write(calls, f"{n} {work.host}\n".encode())  # answered and paid from here on

        async def save(tx: Tx) -> None:
            await tx.execute("INSERT INTO paid VALUES (?)", (n,))

        return Unit(n, save)

    async def job(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(range(work.n_units), key=str, fn=ask, lane=work.lane)

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(work.database, clock=lambda: SLOT))
        async with store.write() as tx:
            await tx.execute("CREATE TABLE IF NOT EXISTS paid (n INTEGER NOT NULL) STRICT")
        spec = JobSpec(
            name="job", run=job, schedule="* * * * *", missed="all", timeout_s=120, max_catch_up=timedelta(days=1)
        )
        lanes = {"default": work.at_once}
        if work.backend == LEDGER:
            runner = Runner(store, lambda: SLOT, [spec], lanes)
        else:
            shared = DbosRunner(store, lambda: SLOT, [spec], lanes, host_id=work.host)
            runner = await stack.enter_async_context(on_dbos(shared, work.backend))
        trigger = "recovery" if await runner.recover() else "timer"
        result = await runner.run("job", SLOT, trigger)
    return 0 if result.state == "ok" else 1


def main(arguments: list[str]) -> int:
    """Called in a nursery's child."""
    random.seed()  # a fork would repeat its siblings' lengths
    return asyncio.run(do(Work.told(arguments)))
