"""Benchmark: hold every active prediction against the market. Hourly, some minutes after a collection.

Law: all checks of a pass come from one price table and one `now`; hours are the hours that really passed. Load,
decide (core/movement), save. A chunk is a stretch of the record, so a pass that was cut off finds the same chunks
again and repeats none.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import uuid_utils

from agent.core import movement
from agent.core.movement import Tally, View
from agent.jobs.context import Job, Outcome, RunContext, Unit
from agent.jobs.horizons import settle_marks
from agent.store.checks import load_checks_between, save_checks
from agent.store.db import Store
from agent.store.passes import save_pass
from agent.store.standings import (
    MarketBook,
    count_states,
    enrol_predictions,
    load_books,
    load_one,
    load_owing,
    move_on,
    standing_from_row,
)
from agent.store.tx import Row, Tx
from sync.records import BenchmarkPass, BenchmarkStatus, Check, Movement

CHUNK = 5000  # predictions per transaction: the writer is free again within a tenth of a second

Views = Mapping[int, tuple[str, View]]  # market key and view by the market's row id


def benchmark_job(store: Store) -> Job:
    """Wire the job."""

    async def benchmark(ctx: RunContext, slot: datetime) -> None:
        async with store.write() as tx:
            await enrol_predictions(tx)
        views, rows = await _load(store, ctx.now)
        chunks = await asyncio.to_thread(_chunks, rows, views)
        ctx.count(checks=0)
        tally = Tally()
        outcomes = await ctx.map(
            chunks.items(),
            key=lambda chunk: f"benchmark:{slot.isoformat()}:{chunk[0]}",
            fn=lambda chunk: _check_chunk(chunk[1], views, tally, ctx.now),
        )
        for outcome in outcomes:
            ctx.count(**{name: n for name, n in (outcome.value or {}).items() if name != "at"})
        await _add_kept(store, tally, outcomes)
        settled = await settle_marks(ctx, store, slot)
        await ctx.step(f"benchmark:{slot.isoformat()}:summary", lambda: _summary(store, tally, settled, ctx.now))

    return benchmark


async def check_one(store: Store, prediction_id: str, now: datetime) -> Check | None:
    """Check one prediction beside the hours, whatever its state; None where there is no such prediction."""
    row = await load_one(store.reader, prediction_id)
    if row is None:
        return None
    views = _views(await load_books(store.reader, row["market_id"]), now)
    checks, converged = _checks([row], views, now)
    async with store.write() as tx:
        await save_checks(tx, checks)
        await move_on(tx, checks, converged)
    return checks[0][1]


async def _load(store: Store, now: datetime) -> tuple[Views, list[Row]]:
    """The price table, looked at once per market, and what is held against it."""
    views = _views(await load_books(store.reader), now)
    return views, await load_owing(store.reader)


def _views(books: Mapping[int, MarketBook], now: datetime) -> Views:
    return {market: (one.market_key, movement.view(one.book, now)) for market, one in books.items()}


def _chunks(rows: Sequence[Row], views: Views) -> dict[int, list[Row]]:
    """By stretch of the record. What was recorded since the price table was read waits for the next pass."""
    chunks: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if row[1] in views:
            chunks[row[0] // CHUNK].append(row)
    return chunks


async def _check_chunk(rows: Sequence[Row], views: Views, tally: Tally, now: datetime) -> Unit:
    checks, converged = await asyncio.to_thread(_checks, rows, views, now)
    counts = tally.add(check for _, check in checks)

    async def save(tx: Tx) -> None:
        await save_checks(tx, checks)
        await move_on(tx, checks, converged)

    numbers = {word.lower(): counts[word] for word in Movement}
    return Unit(numbers | {"checks": len(checks), "at": now.isoformat()}, save)


def _checks(rows: Sequence[Row], views: Views, now: datetime) -> tuple[list[tuple[int, Check]], list[int]]:
    """The checks of some predictions, and which of them the price has reached."""
    checks, converged = list[tuple[int, Check]](), list[int]()
    for row in rows:
        market_key, seen = views[row[1]]
        check = movement.check(standing_from_row(row, market_key), seen, now)
        checks.append((row[0], check))
        if movement.has_converged(check, seen):
            converged.append(row[0])
    return checks, converged


async def _add_kept(store: Store, tally: Tally, outcomes: Sequence[Outcome]) -> None:
    """Chunks of a pass that was cut off were checked before; the summary speaks of them too."""
    for at in {outcome.value["at"] for outcome in outcomes if outcome.from_kept and outcome.value}:
        moment = datetime.fromisoformat(at)
        tally.add(await load_checks_between(store.reader, moment, moment))


async def _summary(store: Store, tally: Tally, settled: Mapping[str, int], now: datetime) -> Unit:
    states, counts = await count_states(store.reader), tally.counts
    n_active, n_paused = states[BenchmarkStatus.ACTIVE], states[BenchmarkStatus.PAUSED]
    one = BenchmarkPass(
        pass_id=str(uuid_utils.uuid7()),
        checked_at=now,
        status=movement.overall(n_active, n_paused),
        n_active=n_active,
        n_paused=n_paused,
        n_completed=states[BenchmarkStatus.COMPLETED],
        n_checks=counts.total(),
        n_converging=counts[Movement.CONVERGING],
        n_diverging=counts[Movement.DIVERGING],
        n_stable=counts[Movement.STABLE],
        n_overshot=counts[Movement.OVERSHOT],
        n_stale=counts[Movement.STALE],
        n_settled=counts[Movement.SETTLED],
        n_marks=settled["marks"],
        n_scores=settled["scores"],
        n_excluded=settled["excluded"],
        mean_rate=tally.mean_rate,
        max_rate=tally.max_rate,
        convergence_percentage=tally.convergence_percentage,
    )

    async def save(tx: Tx) -> None:
        await save_pass(tx, one)

    return Unit(msgspec.to_builtins(one), save)
