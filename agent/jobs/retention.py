"""Retention: thins the history of prices and lets go of what nobody needs any more. Daily.

Law: every deletion is a small transaction, so a collect beside it waits milliseconds; a run cut off goes on where it
was. How long what is kept stands in the settings' [retention] table.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from agent.jobs import ledger
from agent.jobs.context import Job, RunContext, Unit
from agent.store import retention
from agent.store.db import Store
from agent.store.retention import DAY, HOUR
from agent.store.tx import Tx

Prune = Callable[[Tx, datetime], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionOptions:
    """How long what is kept, in days; the settings' [retention] table gives them, with reasons."""

    quotes_all_days: int = 14
    quotes_hourly_days: int = 60
    quotes_daily_days: int = 730
    raw_days: int = 30
    acked_days: int = 14
    runs_days: int = 90
    patterns_days: int = 180
    checks_days: int = 90
    markets_days: int = 365


def retention_job(store: Store, options: RetentionOptions) -> Job:
    """Wire the job."""

    async def retain(ctx: RunContext, slot: datetime) -> None:
        prunes: dict[str, tuple[Prune, int]] = {
            "quotes": (retention.prune_quotes, options.quotes_daily_days),
            "rejects": (retention.prune_rejects, options.raw_days),
            "raw": (retention.prune_raw, options.raw_days),
            "batches": (retention.prune_batches, options.acked_days),
            "patterns": (retention.prune_patterns, options.patterns_days),
            "checks": (retention.prune_checks, options.checks_days),
            "signals": (retention.prune_signals, options.patterns_days),
            "arbitrage": (retention.prune_arbitrage, options.patterns_days),
            "markets": (retention.prune_markets, options.markets_days),
            "runs": (_prune_runs, options.runs_days),
        }

        async def step(name: str, work: Callable[[], Awaitable[int]]) -> None:
            ctx.count(**{name: await ctx.step(f"{name}:{slot.isoformat()}", lambda: _unit(work))})

        await step("thinned_to_hours", partial(_thin, store, "hourly", ctx.now, options.quotes_all_days, HOUR))
        await step("thinned_to_days", partial(_thin, store, "daily", ctx.now, options.quotes_hourly_days, DAY))
        for name, (prune, days) in prunes.items():
            before = ctx.now - timedelta(days=days)
            await step(f"{name}_deleted", partial(_until_none, store, prune, before))
        await step("pages_freed", partial(_until_none, store, _vacuum, ctx.now))

    return retain


async def _unit(work: Callable[[], Awaitable[int]]) -> Unit:
    return Unit(await work())


async def _thin(store: Store, name: str, now: datetime, after_days: int, keep_last_of: timedelta) -> int:
    """Thin every full hour with quotes that has become old enough since the last time."""
    # A day that is being filled knows its last quote only when it is over.
    end = _floor(now - timedelta(days=after_days), keep_last_of)
    since, n = await retention.load_mark(store.reader, name), 0
    while (first := await retention.load_first_quote_at(store.reader, since)) is not None and first < end:
        hour = _floor(first, HOUR)
        n += await retention.thin_hour(store, hour, keep_last_of)
        since = hour + HOUR
        async with store.write() as tx:
            await retention.save_mark(tx, name, since)
    return n


async def _until_none(store: Store, prune: Prune, before: datetime) -> int:
    n = 0
    while True:
        async with store.write() as tx:
            gone = await prune(tx, before)
        if not gone:
            return n
        n += gone


async def _vacuum(tx: Tx, _: datetime) -> int:
    return await retention.vacuum(tx)


async def _prune_runs(tx: Tx, before: datetime) -> int:
    return await ledger.prune(tx, older_than=timedelta(), now=before)


def _floor(moment: datetime, period: timedelta) -> datetime:
    start = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - start) % period
