"""Signals: forecasts and prices that disagree with conviction or come together fast. Hourly, after the benchmark.

Law: a signal without its forecaster's record is not made; the record is reckoned once a day per experiment and only
where an experiment has something to say. Load, decide (core/signals), save.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import uuid_utils

from agent.core import signals as core
from agent.core.scoring.rows import Row
from agent.jobs.context import Job, RunContext, Unit
from agent.store.db import Store
from agent.store.score_rows import load_rows
from agent.store.signals import Candidate, load_accelerating, load_disagreeing, save_signals
from agent.store.tx import Reader, Tx
from sync.records import Prediction, Signal, SignalKind, TrackRecord

FRESH = timedelta(minutes=30)  # two collections: an older book is nobody's offer

_Arm = tuple[str, str | None, bool]  # version, model, saw the price: never pooled


class _Record(msgspec.Struct, frozen=True):
    """One arm's record as a kept result."""

    arm: _Arm
    record: TrackRecord


def signals_job(store: Store) -> Job:
    """Wire the job."""

    async def signals(ctx: RunContext, slot: datetime) -> None:
        candidates = await _load(store.reader, ctx.now)
        ctx.count(candidates=len(candidates), signals=0)
        named = sorted({one.prediction.experiment for one in candidates})
        records = {name: await _records(ctx, store, name) for name in named}
        found = [one for case in candidates if (one := _decide(case, records, ctx.now)) is not None]
        if found:
            n_saved = await ctx.step(f"signals:{slot.isoformat()}", lambda: _save(found))
            ctx.count(signals=n_saved)

    return signals


async def _load(reader: Reader, now: datetime) -> list[Candidate]:
    fresh = now - FRESH
    far = await load_disagreeing(
        reader, now=now, fresh=fresh, since=now - core.MAX_AGE, confidence=core.MIN_CONFIDENCE, edge=core.MIN_EDGE
    )
    fast = await load_accelerating(
        reader, now=now, fresh=fresh, recent=core.RECENT, before=core.BEFORE, move=core.MIN_RECENT_MOVE
    )
    return [*far, *fast]


async def _records(ctx: RunContext, store: Store, experiment: str) -> dict[_Arm, TrackRecord]:
    """What each arm of an experiment has to show, as of today's first signal."""

    async def reckon() -> Unit:
        rows = await load_rows(store.reader, experiment)
        return Unit(await asyncio.to_thread(_reckoned, rows, experiment, ctx.now))

    kept = await ctx.step(f"signals:record:{ctx.now.date()}:{experiment}", reckon)
    return {one.arm: one.record for one in msgspec.convert(kept, list[_Record])}


def _reckoned(rows: Sequence[Row], experiment: str, now: datetime) -> list[_Record]:
    from agent.core.scoring.report import experiment_report  # numpy: only where there is something to say
    from agent.core.scoring.track import track_record

    arms = experiment_report(rows, experiment, now=now).arms
    return [_Record((arm.version, arm.model, arm.saw_price), track_record(arm)) for arm in arms]


def _decide(case: Candidate, records: dict[str, dict[_Arm, TrackRecord]], now: datetime) -> Signal | None:
    prediction = case.prediction
    record = records[prediction.experiment].get(_arm(prediction), core.NO_RECORD)
    asked = core.Case(
        signal_id=str(uuid_utils.uuid7()), prediction=prediction, offer=case.offer, record=record, now=now
    )
    if case.kind is SignalKind.DISAGREEMENT:
        return core.disagreement(asked)
    return None if case.path is None else core.acceleration(asked, case.path)


def _arm(prediction: Prediction) -> _Arm:
    return prediction.experiment_version, prediction.model, prediction.saw_price


async def _save(found: Sequence[Signal]) -> Unit:
    async def save(tx: Tx) -> None:
        await save_signals(tx, found)

    return Unit(len(found), save)
