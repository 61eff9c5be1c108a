"""Pairs of markets that ask the same: the newest verdict on each."""

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from cloudapi.db import Pool
from sync.records import Match, Relation

COLUMNS = """
match_id, kalshi_key, polymarket_key, relation, yes_maps_to, judged_by, judged_at, score, by_time, reasons, differences,
rules_hash, model, prompt_version
"""

# Both keys have an index, so a market's pairs are found without knowing its venue.
LOAD_MATCHES = f"""
select {COLUMNS} from market_match as m
where ($1::text is null or kalshi_key = $1 or polymarket_key = $1)
  and ($2::text is null or relation = $2)
  and ($3::timestamptz is null or (judged_at, match_id) < ($3, $4))
  and not exists (
      select from market_match as newer
      where newer.kalshi_key = m.kalshi_key and newer.polymarket_key = m.polymarket_key
        and (newer.judged_at, newer.match_id) > (m.judged_at, m.match_id)
  )
order by judged_at desc, match_id desc limit $5
"""


class MatchFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of pairs is narrowed to."""

    market: str | None = None
    relation: Relation | None = None


async def load_matches(
    pool: Pool, filters: MatchFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Match]:
    """A page, newest first, one row longer than `limit` if there are more."""
    moment, match_id = before or (None, None)
    relation = None if filters.relation is None else filters.relation.value
    rows = await pool.fetch(LOAD_MATCHES, filters.market, relation, moment, match_id, limit + 1)
    return [_from_row(row) for row in rows]


def _from_row(row: asyncpg.Record) -> Match:
    """The driver hands jsonb over as text."""
    values: dict[str, Any] = dict(row)
    return msgspec.convert(values | {"differences": msgspec.json.decode(values["differences"])}, Match)
