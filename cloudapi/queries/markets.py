"""Markets: one by key, a filtered page newest first, the best of a search. Stubs (no title yet) are never shown.

Law of the search: at most 1,000 candidates are ranked, the newest of those that match, so a word that is everywhere
costs no more than a rare one. What a reader is still typing is found by its beginning, what is misspelt by its letters
where the server has pg_trgm.
"""

import re

import msgspec

from cloudapi.db import Pool, from_row
from sync.records import Market, MarketStatus, Venue

COLUMNS = """
market_key, venue, venue_market_id, title, status, fetched_at, event_id, event_title, series_id, proposition,
outcome_labels, token_ids, category, rules_text, url, tick_size, mutually_exclusive, open_set, open_time, close_time,
expected_time, closed_time, resolution, resolution_value
"""

LOAD_MARKET = f"select {COLUMNS} from market where market_key = $1 and title is not null"

CANDIDATES = 1000

# Words first. Two reads: the ranking touches only the text vectors, the full rows are those of the answer.
RANKED = f"""
with candidates as materialized (
    select market_id, ts_rank_cd(search, to_tsquery('english', $1)) as rank
    from (
        select market_id, search from market
        where search @@ to_tsquery('english', $1) and title is not null
        limit {CANDIDATES}
    ) as matching
), best as (
    select market_id, rank from candidates order by rank desc, market_id desc limit $2
)
select {COLUMNS} from best join market using (market_id) order by rank desc, market_id desc
"""
AS_WORDS = "select websearch_to_tsquery('english', $1)::text"


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


async def search_markets(pool: Pool, text: str, *, limit: int) -> list[Market]:
    """The best matches of what a reader typed, best first: by words, else by beginnings."""
    async with pool.acquire() as connection:
        words = await connection.fetchval(AS_WORDS, text)
        rows = await connection.fetch(RANKED, words, limit) if words else []
        if not rows and (beginnings := _beginnings(text)):
            rows = await connection.fetch(RANKED, beginnings, limit)
    return [from_row(row, Market) for row in rows]


def _beginnings(text: str) -> str:
    """The words as a query in which the last one may go on."""
    words = re.findall(r"\w+", text)
    return " & ".join(words) + ":*" if words else ""
