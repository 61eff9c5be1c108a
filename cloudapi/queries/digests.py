"""Digests: a page, the newest first."""

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from cloudapi.db import Pool
from sync.records import Digest

LOAD_DIGESTS = """
select digest_id, day, created_at, sentiment, summary, top_picks, avoid, watch, arbitrage, markdown, n_considered,
       n_dropped, model, prompt_version, cost_usd
from digest
where $1::timestamptz is null or (created_at, digest_id) < ($1, $2)
order by created_at desc, digest_id desc limit $3
"""

_LISTS = ("top_picks", "avoid", "watch", "arbitrage")


async def load_digests(pool: Pool, *, before: tuple[datetime, str] | None, limit: int) -> list[Digest]:
    """A page, newest first, one row longer than `limit` if there are more."""
    moment, digest_id = before or (None, None)
    return [_from_row(row) for row in await pool.fetch(LOAD_DIGESTS, moment, digest_id, limit + 1)]


def _from_row(row: asyncpg.Record) -> Digest:
    """The driver hands jsonb over as text."""
    values: dict[str, Any] = dict(row)
    return msgspec.convert(values | {name: msgspec.json.decode(values[name]) for name in _LISTS}, Digest)
