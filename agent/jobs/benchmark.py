"""Benchmark: hold every active prediction against the market. Hourly, some minutes after a collection.

Law: all checks of a pass come from one price table and one `now`; hours are the hours that really passed. Load,
decide (core/movement), save. A chunk is a stretch of the record, so a pass that was cut off finds the same chunks
again and repeats none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from agent.core import movement
from agent.core.movement import Standing
from agent.jobs.context import Job, RunContext, Unit
from agent.store.checks import load_standings, save_checks
from agent.store.db import Store
from agent.store.tx import Tx
from sync.records import Check, Movement

CHUNK = 5000  # predictions per transaction: the writer is free again within a tenth of a second


def benchmark_job(store: Store) -> Job:
    """Wire the job."""

    async def benchmark(ctx: RunContext, slot: datetime) -> None:
        standings = await load_standings(store.reader)
        chunks = await asyncio.to_thread(_checks_by_chunk, standings, ctx.now)
        outcomes = await ctx.map(
            chunks.items(),
            key=lambda chunk: f"benchmark:{slot.isoformat()}:{chunk[0]}",
            fn=lambda chunk: _save(chunk[1]),
        )
        for outcome in outcomes:
            ctx.count(**(outcome.value or {}))
        checks = [check for chunk in chunks.values() for check in chunk]
        await ctx.step(f"benchmark:{slot.isoformat()}:summary", lambda: _summary(checks))

    return benchmark


def _checks_by_chunk(standings: Sequence[tuple[int, Standing]], now: datetime) -> dict[int, list[Check]]:
    chunks: dict[int, list[Check]] = defaultdict(list)
    for chain_seq, standing in standings:
        chunks[chain_seq // CHUNK].append(movement.check(standing, now))
    return chunks


async def _save(checks: Sequence[Check]) -> Unit:
    async def save(tx: Tx) -> None:
        await save_checks(tx, checks)

    numbers = dict.fromkeys(("checks", *(word.lower() for word in Movement)), 0) | {"checks": len(checks)}
    for check in checks:
        numbers[check.movement_direction.lower()] += 1
    return Unit(numbers, save)


async def _summary(checks: Sequence[Check]) -> Unit:
    return Unit(await asyncio.to_thread(movement.summary, checks))
