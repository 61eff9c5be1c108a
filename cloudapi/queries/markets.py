"""Markets: one by key, a filtered page newest first, full-text search. Stubs (no title yet) are never shown."""

import msgspec

from cloudapi.db import Pool, from_row
from sync.records import Market, MarketStatus, Venue

COLUMNS = """
market_key, venue, venue_market_id, title, status, fetched_at, event_id, event_title, series_id, proposition,
outcome_labels, token_ids, category, rules_text, url, tick_size, mutually_exclusive, open_set, open_time, close_time,
expected_time, closed_time, resolution, resolution_value
"""

LOAD_MARKET = f"select {COLUMNS} from market where market_key = $1 and title is not null"


class MarketFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of markets is narrowed to."""

    venue: Venue | None = None
    status: MarketStatus | None = None
    category: str | None = None
    q: str | None = None


async def load_market(pool: Pool, market_key: str) -> Market | None:
    """The newest version of one market."""
    row = await pool.fetchrow(LOAD_MARKET, market_key)
    return None if row is None else from_row(row, Market)


async def load_markets(
    pool: Pool, filters: MarketFilters, *, before_id: int | None, limit: int
) -> tuple[list[Market], int | None]:
    """A page, newest listed first. Returns: the markets, and the id to continue before, or None at the end."""
    # Conditions are added only when asked for: with "($1 is null or ...)" a cached plan would not use the indexes.
    conditions, arguments = ["title is not null"], list[object]()

    def narrow(condition: str, value: object) -> None:
        if value is not None:
            arguments.append(value)
            conditions.append(condition.format(f"${len(arguments)}"))

    narrow("venue = {}", filters.venue)
    narrow("status = {}", filters.status)
    narrow("lower(category) = lower({})", filters.category)
    narrow("search @@ websearch_to_tsquery('english', {})", filters.q)
    narrow("market_id < {}", before_id)
    arguments.append(limit + 1)
    rows = await pool.fetch(
        f"select market_id, {COLUMNS} from market where {' and '.join(conditions)} "
        f"order by market_id desc limit ${len(arguments)}",
        *arguments,
    )
    page = rows[:limit]
    return [from_row(row, Market) for row in page], page[-1]["market_id"] if len(rows) > limit else None
