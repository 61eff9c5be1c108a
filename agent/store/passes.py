"""Passes of the benchmark, each in numbers, and the reports made of all of them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from agent.core.instants import to_ms
from agent.store.tx import Reader, Tx
from sync.records import BenchmarkPass, BenchmarkReport

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BenchmarkPass).decode


async def save_pass(tx: Tx, one: BenchmarkPass) -> None:
    """Store a pass and let it travel."""
    await tx.execute(
        "INSERT INTO benchmark_passes VALUES (?, ?, ?)", (one.pass_id, to_ms(one.checked_at), _encode(one))
    )
    tx.emit(one)


async def load_passes(reader: Reader, *, since: datetime | None = None, limit: int = 1) -> list[BenchmarkPass]:
    """The newest passes, newest first."""
    rows = await reader.fetch(
        "SELECT body FROM benchmark_passes WHERE checked_at >= ? ORDER BY checked_at DESC, pass_id DESC LIMIT ?",
        (0 if since is None else to_ms(since), limit),
    )
    return [_decode(row[0]) for row in rows]


async def save_reports(tx: Tx, reports: Sequence[BenchmarkReport]) -> None:
    """Store reports and let them travel."""
    await tx.execute_many(
        "INSERT INTO benchmark_reports VALUES (?, ?, ?, ?)",
        [(one.report_id, one.scope, to_ms(one.made_at), _encode(one)) for one in reports],
    )
    tx.emit(*reports)
