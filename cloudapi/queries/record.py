"""The record of predictions in its order, and where it ends."""

from datetime import datetime
from typing import Any

import msgspec

from cloudapi.db import Pool, from_row
from cloudapi.queries.predictions import COLUMNS
from sync.records import Prediction

# A backlog drains newest first: the highest number may be here before the ones below it.
LOAD_HEADS = """
select distinct on (p.chain) p.chain, p.chain_seq as seq, p.record_hash, p.predicted_at, p.landed_at, n.n_landed
from prediction as p
join (select chain, count(distinct chain_seq) as n_landed from prediction group by chain) as n
    on n.chain is not distinct from p.chain
order by p.chain, p.chain_seq desc, p.landed_at
"""

LOAD_RECORD = f"""
select {COLUMNS}, prediction.extra from prediction join market using (market_id)
where chain is not distinct from $1 and chain_seq >= $2 order by chain_seq limit $3
"""


class HeadRow(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one edge's record, as far as it has landed."""

    chain: str | None
    seq: int
    record_hash: str
    predicted_at: datetime
    landed_at: datetime
    n_landed: int


async def load_heads(pool: Pool) -> list[HeadRow]:
    """One for each edge, the one that spoke last first."""
    heads = [from_row(row, HeadRow) for row in await pool.fetch(LOAD_HEADS)]
    return sorted(heads, key=lambda head: head.landed_at, reverse=True)


async def load_record(pool: Pool, chain: str | None, *, from_seq: int, limit: int) -> list[dict[str, Any]]:
    """A stretch in its order, one longer than `limit` if there are more; every field that was hashed, known or not."""
    rows = await pool.fetch(LOAD_RECORD, chain, from_seq, limit + 1)
    return [_whole(dict(row)) for row in rows]


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    extra = row.pop("extra")
    known: dict[str, Any] = msgspec.to_builtins(msgspec.convert(row, Prediction))
    return known | (msgspec.json.decode(extra) if extra else {})
