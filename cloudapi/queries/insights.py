"""Insights: a page newest first, or the strongest of a day."""

from datetime import datetime

import msgspec

from cloudapi.db import Pool, from_row
from sync.records import Insight

COLUMNS = """
insight_id, market_key, pattern_id, detector, recommendation, confidence, one_liner, reasoning, edge_explanation,
risk_factors, suggested_position, time_sensitivity, actionable, model, prompt_version, cost_usd, created_at, expires_at,
clamps, i.bid, i.ask, what_happened, why_it_matters, leave_it_if, probability_yes, edge
"""


class InsightFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of insights is narrowed to."""

    market: str | None = None
    category: str | None = None
    min_confidence: int | None = None
    since: datetime | None = None


async def load_insights(
    pool: Pool, filters: InsightFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Insight]:
    """A page, newest first, one row longer than `limit` if there are more."""
    conditions, arguments = _narrowed(filters)
    if before is not None:
        arguments += before
        conditions.append(f"(i.created_at, i.insight_id) < (${len(arguments) - 1}, ${len(arguments)})")
    return await _load(pool, conditions, "i.created_at desc, i.insight_id desc", [*arguments, limit + 1])


async def load_strongest(pool: Pool, filters: InsightFilters, *, since: datetime, limit: int) -> list[Insight]:
    """The most confident ones since an instant."""
    conditions, arguments = _narrowed(filters)
    arguments.append(since)
    conditions.append(f"i.created_at >= ${len(arguments)}")
    return await _load(pool, conditions, "i.confidence desc, i.created_at desc, i.insight_id desc", [*arguments, limit])


def _narrowed(filters: InsightFilters) -> tuple[list[str], list[object]]:
    wanted = (
        ("m.market_key = {}", filters.market),
        ("lower(m.category) = lower({})", filters.category),
        ("i.confidence >= {}", filters.min_confidence),
        ("i.created_at >= {}", filters.since),
    )
    given = [(condition, value) for condition, value in wanted if value is not None]
    conditions = [condition.format(f"${number}") for number, (condition, _) in enumerate(given, start=1)]
    return conditions, [value for _, value in given]


async def _load(pool: Pool, conditions: list[str], order: str, arguments: list[object]) -> list[Insight]:
    where = f"where {' and '.join(conditions)}" if conditions else ""
    rows = await pool.fetch(
        f"select {COLUMNS} from insight as i join market as m using (market_id) "
        f"{where} order by {order} limit ${len(arguments)}",
        *arguments,
    )
    return [from_row(row, Insight) for row in rows]
