"""Horizons: read the market at each prediction's fixed moments, and score it when the answer is there. Quarter-hourly.

Law: a mark is written once, by the first usable look within its window; a pause by the operator stops the hourly
checks and never these, for nobody may choose which forecasts count. A closed market's predictions are completed with
what was marked; its answer adds the score. Load, decide (core/horizons, core/settlement), save.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.core.horizons import Look, Window, end_windows, mark, next_due, timed_windows
from agent.core.settlement import ended_at, score
from agent.jobs.context import Job, RunContext, Unit
from agent.store.db import Store
from agent.store.marks import (
    Watched,
    load_looks,
    load_marks,
    load_owing_marks,
    load_unscored,
    load_watched,
    save_due,
    save_marks,
    save_scores,
)
from agent.store.standings import complete_closed, enrol_predictions
from agent.store.tx import Tx
from sync.records import Horizon, Mark

CHUNK = 2_000  # predictions per transaction


def horizons_job(store: Store) -> Job:
    """Wire the job."""

    async def horizons(ctx: RunContext, slot: datetime) -> None:
        async with store.write() as tx:
            await enrol_predictions(tx)
        await settle_marks(ctx, store, slot)

    return horizons


async def settle_marks(ctx: RunContext, store: Store, slot: datetime) -> dict[str, int]:
    """Write every mark that can be written, complete what is over, score what has its answer; returns the numbers."""
    counts = dict.fromkeys(("marks", "missing", "scores", "excluded"), 0)
    owing = _chunks(await load_owing_marks(store.reader, ctx.now))
    outcomes = await ctx.map(
        owing.items(),
        key=lambda chunk: f"marks:{slot.isoformat()}:{chunk[0]}",
        fn=lambda chunk: _mark_chunk(store, chunk[1], ctx.now),
    )
    async with store.write() as tx:
        ctx.count(completed=await complete_closed(tx))
    unscored = _chunks(await load_unscored(store.reader))
    outcomes += await ctx.map(
        unscored.items(),
        key=lambda chunk: f"scores:{slot.isoformat()}:{chunk[0]}",
        fn=lambda chunk: _score_chunk(store, chunk[1], ctx.now),
    )
    for outcome in outcomes:
        for name, n in (outcome.value or {}).items():
            counts[name] += n
    ctx.count(**counts)
    return counts


def _chunks(places: Sequence[int]) -> dict[int, list[int]]:
    """Stretches of the record: a run that was cut off finds the same ones again."""
    chunks: dict[int, list[int]] = defaultdict(list)
    for place in places:
        chunks[place // CHUNK].append(place)
    return chunks


async def _mark_chunk(store: Store, places: Sequence[int], now: datetime) -> Unit:
    watched = await load_watched(store.reader, places)
    held = await load_marks(store.reader, places)
    pending = {one.chain_seq: _pending(one, held.get(one.chain_seq, {}), now) for one in watched}
    by_market: dict[int, list[Window]] = defaultdict(list)
    for one in watched:
        by_market[one.market_id] += pending[one.chain_seq]
    looks = await load_looks(store.reader, {market: windows for market, windows in by_market.items() if windows})
    made = await asyncio.to_thread(_marks, watched, pending, looks, now)
    ready = {one.chain_seq: set(held.get(one.chain_seq, {})) for one in watched}
    for place, one_mark in made:
        ready[place].add(one_mark.horizon)
    due = {one.chain_seq: next_due(one.start.predicted_at, ready[one.chain_seq]) for one in watched}
    done = [place for place, horizons in ready.items() if len(horizons) == len(Horizon)]

    async def save(tx: Tx) -> None:
        await save_marks(tx, made)
        await save_due(tx, due, done)

    return Unit({"marks": len(made), "missing": sum(one.missing is not None for _, one in made)}, save)


def _pending(one: Watched, held: Mapping[Horizon, Mark], now: datetime) -> list[Window]:
    """The horizons that can be looked for now: timed ones that have begun, all of them once the market is over."""
    windows = [window for window in timed_windows(one.start.predicted_at) if one.over or window.opens_at <= now]
    if one.over:
        windows += end_windows(ended_at(one.market, one.ends_at, one.changed_at))
    return [window for window in windows if window.horizon not in held]


def _marks(
    watched: Sequence[Watched],
    pending: Mapping[int, Sequence[Window]],
    looks: Mapping[int, Sequence[Look]],
    now: datetime,
) -> list[tuple[int, Mark]]:
    made = list[tuple[int, Mark]]()
    for one in watched:
        end = ended_at(one.market, one.ends_at, one.changed_at) if one.over else one.ends_at
        for window in pending[one.chain_seq]:
            found = mark(one.start, window, looks.get(one.market_id, ()), end, now)
            if found is not None:
                made.append((one.chain_seq, found))
    return made


async def _score_chunk(store: Store, places: Sequence[int], now: datetime) -> Unit:
    watched = await load_watched(store.reader, places)
    held = await load_marks(store.reader, places)
    made = [
        (one.chain_seq, scored)
        for one in watched
        if (
            scored := score(
                one.start,
                one.market,
                closes_at=one.closes_at,
                day_before=_mid(held.get(one.chain_seq, {}).get(Horizon.DAY_BEFORE)),
                now=now,
            )
        )
    ]

    async def save(tx: Tx) -> None:
        await save_scores(tx, made)

    return Unit({"scores": len(made), "excluded": sum(one.excluded is not None for _, one in made)}, save)


def _mid(found: Mark | None) -> float | None:
    return None if found is None else found.mid
