"""Insights: a page newest first, or the strongest of a day."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from cloudapi.db import Pool, from_row
from sync.records import Insight, Position, Recommendation, TimeSensitivity

COLUMNS = """
insight_id, market_key, pattern_id, detector, recommendation, confidence, one_liner, reasoning, edge_explanation,
risk_factors, suggested_position, time_sensitivity, actionable, model, prompt_version, cost_usd, created_at, expires_at,
clamps, i.bid, i.ask, what_happened, why_it_matters, leave_it_if, probability_yes, edge
"""

# In the words of the index `insight_actionable`: with a parameter in them it could not serve.
ACTIONABLE = "i.actionable and i.confidence > 60"

# What the price of the highest tier pays for: how we came to it, and our own number.
DEEP = ("reasoning", "edge_explanation", "probability_yes", "edge", "model", "prompt_version", "cost_usd")


Asked: TypeAlias = tuple[str, *tuple[object, ...]]  # a statement, then its arguments

LOAD_INSIGHT = f"""
select {COLUMNS} from insight as i join market as m using (market_id)
where i.insight_id = $1 and ($2::timestamptz is null or i.created_at < $2)
"""


class InsightBrief(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="insight_brief"
):
    """An insight without the analysis behind it: what it says, not how we came to it."""

    insight_id: str
    market_key: str
    pattern_id: str
    detector: str
    recommendation: Recommendation
    confidence: int
    one_liner: str
    risk_factors: tuple[str, ...]
    suggested_position: Position
    time_sensitivity: TimeSensitivity
    actionable: bool
    created_at: datetime
    expires_at: datetime
    clamps: tuple[str, ...] = ()
    bid: float | None = None
    ask: float | None = None
    what_happened: str | None = None
    why_it_matters: str | None = None
    leave_it_if: str | None = None


class InsightFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of insights is narrowed to."""

    market: str | None = None
    category: str | None = None
    min_confidence: int | None = None
    since: datetime | None = None
    until: datetime | None = None  # not shown from here on
    actionable: bool = False  # only those one may act on


async def load_insights(
    pool: Pool, filters: InsightFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Insight]:
    """A page, newest first, one row longer than `limit` if there are more."""
    rows = await pool.fetch(*page_query(filters, before=before, limit=limit))
    return [from_row(row, Insight) for row in rows]


def page_query(filters: InsightFilters, *, before: tuple[datetime, str] | None, limit: int) -> Asked:
    """What a page is asked with."""
    conditions, arguments = _narrowed(filters)
    if before is not None:
        arguments += before
        conditions.append(f"(i.created_at, i.insight_id) < (${len(arguments) - 1}, ${len(arguments)})")
    return _statement(conditions, "i.created_at desc, i.insight_id desc", [*arguments, limit + 1])


async def load_insight(pool: Pool, insight_id: str, *, until: datetime | None) -> Insight | None:
    """One insight, if it is older than `until`."""
    row = await pool.fetchrow(LOAD_INSIGHT, insight_id, until)
    return None if row is None else from_row(row, Insight)


async def load_strongest(pool: Pool, filters: InsightFilters, *, since: datetime, limit: int) -> list[Insight]:
    """The most confident ones since an instant."""
    conditions, arguments = _narrowed(filters)
    arguments.append(since)
    conditions.append(f"i.created_at >= ${len(arguments)}")
    order = "i.confidence desc, i.created_at desc, i.insight_id desc"
    rows = await pool.fetch(*_statement(conditions, order, [*arguments, limit]))
    return [from_row(row, Insight) for row in rows]


def _narrowed(filters: InsightFilters) -> tuple[list[str], list[object]]:
    wanted = (
        ("m.market_key = {}", filters.market),
        ("lower(m.category) = lower({})", filters.category),
        ("i.confidence >= {}", filters.min_confidence),
        ("i.created_at >= {}", filters.since),
        ("i.created_at < {}", filters.until),
    )
    given = [(condition, value) for condition, value in wanted if value is not None]
    conditions = [condition.format(f"${number}") for number, (condition, _) in enumerate(given, start=1)]
    if filters.actionable:
        conditions.append(ACTIONABLE)
    return conditions, [value for _, value in given]


def _statement(conditions: list[str], order: str, arguments: list[object]) -> Asked:
    where = f"where {' and '.join(conditions)}" if conditions else ""
    query = (
        f"select {COLUMNS} from insight as i join market as m using (market_id) "
        f"{where} order by {order} limit ${len(arguments)}"
    )
    return query, *arguments
