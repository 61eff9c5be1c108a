"""Signals: a page, the newest first."""

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from cloudapi.db import Pool
from sync.records import Signal, SignalKind

COLUMNS = """
signal_id, market_key, signal_kind, prediction_id, experiment, experiment_version, model, side, summary, probability,
bid, ask, cost, edge, believed, kelly_fraction, assumptions, record, evidence, created_at, expires_at
"""


class SignalFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of signals is narrowed to."""

    market: str | None = None
    kind: SignalKind | None = None
    experiment: str | None = None
    at: datetime | None = None  # those that have not expired by then


async def load_signals(
    pool: Pool, filters: SignalFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Signal]:
    """A page, newest first, one row longer than `limit` if there are more."""
    conditions, arguments = _narrowed(filters)
    if before is not None:
        arguments += before
        conditions.append(f"(created_at, signal_id) < (${len(arguments) - 1}, ${len(arguments)})")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    rows = await pool.fetch(
        f"select {COLUMNS} from signal {where} order by created_at desc, signal_id desc limit ${len(arguments) + 1}",
        *arguments,
        limit + 1,
    )
    return [_from_row(row) for row in rows]


def _narrowed(filters: SignalFilters) -> tuple[list[str], list[object]]:
    wanted = (
        ("market_key = {}", filters.market),
        ("signal_kind = {}", None if filters.kind is None else filters.kind.value),
        ("experiment = {}", filters.experiment),
        ("expires_at > {}", filters.at),
    )
    given = [(condition, value) for condition, value in wanted if value is not None]
    conditions = [condition.format(f"${number}") for number, (condition, _) in enumerate(given, start=1)]
    return conditions, [value for _, value in given]


def _from_row(row: asyncpg.Record) -> Signal:
    """The driver hands jsonb over as text."""
    values: dict[str, Any] = dict(row)
    decoded = {name: msgspec.json.decode(values[name]) for name in ("record", "evidence")}
    return msgspec.convert(values | decoded, Signal)
