"""Arbitrage: a page as it stands now, the newest find first."""

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from cloudapi.db import Pool
from sync.records import Arbitrage, ArbitrageKind, ArbitrageStatus

COLUMNS = """
arbitrage_id, arbitrage_kind, status, detected_at, computed_at, legs, size, payout_usd, cost_usd, gross_usd, fees_usd,
net_usd, net_edge, confidence, steps, risks, reasons, assumptions, annualised, pays_at, match_id, ended_reason
"""


class ArbitrageFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of arbitrage is narrowed to."""

    status: ArbitrageStatus | None = None
    kind: ArbitrageKind | None = None
    market: str | None = None
    min_net_edge: float | None = None
    until: datetime | None = None  # not shown from here on


async def load_arbitrage(
    pool: Pool, filters: ArbitrageFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Arbitrage]:
    """A page, newest first, one row longer than `limit` if there are more."""
    conditions, arguments = _narrowed(filters)
    if before is not None:
        arguments += before
        conditions.append(f"(detected_at, arbitrage_id) < (${len(arguments) - 1}, ${len(arguments)})")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    rows = await pool.fetch(
        f"select {COLUMNS} from arbitrage {where} order by detected_at desc, arbitrage_id desc"
        f" limit ${len(arguments) + 1}",
        *arguments,
        limit + 1,
    )
    return [_from_row(row) for row in rows]


def _narrowed(filters: ArbitrageFilters) -> tuple[list[str], list[object]]:
    leg = None if filters.market is None else msgspec.json.encode([{"market_key": filters.market}]).decode()
    wanted = (
        ("status = {}", None if filters.status is None else filters.status.value),
        ("arbitrage_kind = {}", None if filters.kind is None else filters.kind.value),
        ("legs @> {}::jsonb", leg),
        ("net_edge >= {}", filters.min_net_edge),
        ("detected_at < {}", filters.until),
    )
    given = [(condition, value) for condition, value in wanted if value is not None]
    conditions = [condition.format(f"${number}") for number, (condition, _) in enumerate(given, start=1)]
    return conditions, [value for _, value in given]


def _from_row(row: asyncpg.Record) -> Arbitrage:
    """The driver hands jsonb over as text."""
    values: dict[str, Any] = dict(row)
    return msgspec.convert(values | {"legs": msgspec.json.decode(values["legs"])}, Arbitrage)
