"""Markets: one by key, a filtered page newest first, the best of a search. Stubs (no title yet) are never shown.

Law of the search: at most 1,000 of those that match are ranked, so a word that is everywhere costs no more than a rare
one. What a reader is still typing is found by its beginning.
"""

import re
from typing import Literal, NamedTuple

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
SORTED = 5000  # matches a list sorts; where there are more, walking back from the newest meets a page of them soon

# The question stands in a subquery of its own: parsed once instead of once a row, and unknown to the planner, which
# would walk the table where it takes two words for a frequent pair (300 ms for a pair that is nowhere). Two reads: the
# ranking touches only the text vectors, the full rows are those of the answer.
RANKED = """
with asked as materialized (
    select {parse}('english', $1) as query
), candidates as materialized (
    select market_id, ts_rank_cd(search, (select query from asked)) as rank
    from market
    where search @@ (select query from asked) and title is not null
    limit {most}
), best as (
    select market_id, rank from candidates
    where $3::real is null or (rank, market_id) < ($3, $4::bigint)
    order by rank desc, market_id desc limit $2
)
select rank, market_id, {columns} from best join market using (market_id) order by rank desc, market_id desc
"""
MATCHES = "search @@ (select websearch_to_tsquery('english', $1))"
PARSERS = {"words": "websearch_to_tsquery", "beginnings": "to_tsquery"}
RANKINGS = {by: RANKED.format(parse=parse, most=CANDIDATES, columns=COLUMNS) for by, parse in PARSERS.items()}


class Place(NamedTuple):
    """Where a page of a search ends, and by what was searched."""

    rank: float
    market_id: int
    by: Literal["words", "beginnings"]


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
    narrow(MATCHES.replace("$1", "{}"), filters.q)
    if filters.q is not None:
        found = await pool.fetch(
            f"select market_id from market where {' and '.join(conditions)} limit {SORTED + 1}", *arguments
        )
        if len(found) <= SORTED:
            newest = sorted((row["market_id"] for row in found), reverse=True)
            kept = [each for each in newest if before_id is None or each < before_id][: limit + 1]
            conditions, arguments = ["market_id = any($1)"], [kept]
    narrow("market_id < {}", before_id)
    arguments.append(limit + 1)
    rows = await pool.fetch(
        f"select market_id, {COLUMNS} from market where {' and '.join(conditions)} "
        f"order by market_id desc limit ${len(arguments)}",
        *arguments,
    )
    page = rows[:limit]
    return [from_row(row, Market) for row in page], page[-1]["market_id"] if len(rows) > limit else None


async def search_markets(
    pool: Pool, text: str, *, limit: int, behind: Place | None = None
) -> tuple[list[Market], Place | None]:
    """What matches what a reader typed, best first: by words; by beginnings where no market has the words.

    Args:
        behind: the place to continue behind.
    Returns: a page, and its last place, or None at the end.
    """
    rank, market_id, by = behind or (None, None, "words")
    rows = await pool.fetch(RANKINGS[by], text if by == "words" else _beginnings(text), limit + 1, rank, market_id)
    if not rows and behind is None and (beginnings := _beginnings(text)):
        by = "beginnings"
        rows = await pool.fetch(RANKINGS[by], beginnings, limit + 1, None, None)
    page = rows[:limit]
    last = Place(page[-1]["rank"], page[-1]["market_id"], by) if len(rows) > limit else None
    return [from_row(row, Market) for row in page], last


def _beginnings(text: str) -> str:
    """The words as a query in which the last one may go on."""
    words = re.findall(r"\w+", text)
    return " & ".join(words) + ":*" if words else ""
