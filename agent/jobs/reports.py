"""Reports: what each experiment's predictions have shown so far, and all of them in order. Daily.

Law: the edge works them out and the cloud only serves them; one that says nothing new is not made again. Load, decide
(core/scoring), save.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import uuid_utils

from agent.core.scoring.rows import Row
from agent.jobs.context import Job, RunContext, Unit
from agent.store.db import Store
from agent.store.passes import save_reports
from agent.store.score_rows import load_rows
from agent.store.tx import Tx
from sync.records import BenchmarkReport


def reports_job(store: Store) -> Job:
    """Wire the job."""

    async def reports(ctx: RunContext, slot: datetime) -> None:
        rows = await load_rows(store.reader)
        ctx.count(predictions=len(rows), reports=0)
        if rows:
            key = f"reports:{_fingerprint(rows)}:{slot.date().isoformat()}"
            ctx.count(reports=await ctx.step(key, lambda: _report(rows, ctx.now)))

    return reports


def _fingerprint(rows: Iterable[Row]) -> str:
    """Names what the reports would be made of."""
    digest = hashlib.blake2b(digest_size=8)
    for row in rows:
        digest.update(repr((row.prediction_id, row.latest_mid, len(row.horizons), row.resolution)).encode())
    return digest.hexdigest()


async def _report(rows: Sequence[Row], now: datetime) -> Unit:
    made = await asyncio.to_thread(_made, rows, now)

    async def save(tx: Tx) -> None:
        await save_reports(tx, made)

    return Unit(len(made), save)


def _made(rows: Sequence[Row], now: datetime) -> list[BenchmarkReport]:
    """One report per experiment and one order per way to sort; numpy is loaded here, not at the daemon's start."""
    from agent.core.scoring.cuts import all_boards
    from agent.core.scoring.report import experiment_report

    names = sorted({row.experiment for row in rows})
    bodies: dict[str, msgspec.Struct] = {f"experiment:{name}": experiment_report(rows, name, now=now) for name in names}
    bodies |= {
        BenchmarkReport.leaderboard(board.sort, board.category, board.frame): board
        for board in all_boards(rows, now=now)
    }
    return [
        BenchmarkReport(report_id=str(uuid_utils.uuid7()), scope=scope, made_at=now, body=msgspec.to_builtins(body))
        for scope, body in bodies.items()
    ]
