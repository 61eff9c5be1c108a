"""Watch entries, and what happened to what they follow.

Law: every statement names the account; a stranger's entry is no entry.
"""

import uuid
from datetime import datetime, timedelta

import asyncpg
import msgspec

from cloudapi.db import Connection, Pool, from_row
from cloudapi.queries.accounts import hold
from cloudapi.watching import Move, Note, WatchKind

READ_S = 20.0  # for a mail, which nobody waits for: longer than a request may ask

COLUMNS = "watch_id, kind, subject, min_move, min_confidence, created_at"

COUNT = "select count(*) from watch_entry where account_id = $1"
INSERT = f"""
insert into watch_entry (watch_id, account_id, kind, subject, min_move, min_confidence) values ($1, $2, $3, $4, $5, $6)
on conflict (account_id, kind, subject) do nothing returning {COLUMNS}
"""
LIST = f"select {COLUMNS} from watch_entry where account_id = $1 order by created_at desc, watch_id desc"
CHANGE = f"""
update watch_entry set min_move = $3, min_confidence = $4
where account_id = $1 and watch_id = $2 returning {COLUMNS}
"""
DELETE = "delete from watch_entry where account_id = $1 and watch_id = $2 returning true"

# The markets an account follows, each with the mildest thresholds of the entries that name it.
FOLLOWED = """
with followed as (
    select m.market_id, min(w.min_move) as min_move, min(w.min_confidence) as min_confidence
    from watch_entry as w join market as m on m.title is not null and (
        (w.kind = 'market' and m.market_key = w.subject)
        or (w.kind = 'category' and lower(m.category) = lower(w.subject) and m.status = 'open')
        or (w.kind = 'keyword' and m.search @@ plainto_tsquery('english', w.subject) and m.status = 'open'))
    where w.account_id = $1
    group by m.market_id
)
"""

# The newest prices a reader may see against those of a day before; only what was quoted within the day can have moved.
MOVES = (
    FOLLOWED
    + """
select m.market_key, m.title, m.url, b.mid as before, n.mid as after
from followed as f
join price_latest as l on l.market_id = f.market_id and l.fetched_at > $2::timestamptz - interval '1 day'
join market as m on m.market_id = f.market_id
cross join lateral price_as_of(f.market_id, $2, $2::timestamptz - interval '1 day') as n
cross join lateral price_as_of(
    f.market_id, $2::timestamptz - interval '1 day', $2::timestamptz - interval '3 days') as b
where abs(n.mid - b.mid) >= f.min_move
order by abs(n.mid - b.mid) desc, m.market_key limit 200
"""
)

NOTES = (
    FOLLOWED
    + """
select m.market_key, m.title, m.url, i.one_liner, i.confidence
from followed as f
join insight as i on i.market_id = f.market_id and i.confidence >= f.min_confidence
    and i.created_at > $2::timestamptz - interval '1 day' and i.created_at <= $2
join market as m on m.market_id = f.market_id
order by i.confidence desc, i.created_at desc limit 200
"""
)

# Which accounts follow a market, for what is told at once.
FOLLOWERS = """
select distinct w.account_id from watch_entry as w join market as m on m.market_key = $1 and (
    (w.kind = 'market' and w.subject = m.market_key)
    or (w.kind = 'category' and lower(w.subject) = lower(m.category))
    or (w.kind = 'keyword' and m.search @@ plainto_tsquery('english', w.subject)))
where w.account_id = any ($2)
"""


class WatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a watch list."""

    watch_id: uuid.UUID
    kind: WatchKind
    subject: str
    min_move: float
    min_confidence: int
    created_at: datetime


async def count_entries(connection: Connection, account_id: uuid.UUID) -> int:
    """How many entries an account has; holds the account."""
    await hold(connection, account_id)
    return int(await connection.fetchval(COUNT, account_id))


async def save_entry(
    connection: Connection, account_id: uuid.UUID, watch_id: uuid.UUID, kind: WatchKind, subject: str, *,
    min_move: float, min_confidence: int,
) -> WatchRow | None:  # fmt: skip
    """Follow something. Returns: None if the account follows it already."""
    row = await connection.fetchrow(INSERT, watch_id, account_id, kind.value, subject, min_move, min_confidence)
    return None if row is None else from_row(row, WatchRow)


async def load_entries(pool: Pool, account_id: uuid.UUID) -> list[WatchRow]:
    """What an account follows, newest first."""
    return [from_row(row, WatchRow) for row in await pool.fetch(LIST, account_id)]


async def change_entry(
    pool: Pool, account_id: uuid.UUID, watch_id: uuid.UUID, *, min_move: float, min_confidence: int
) -> WatchRow | None:
    """New thresholds. Returns: None if this account has no such entry."""
    row = await pool.fetchrow(CHANGE, account_id, watch_id, min_move, min_confidence)
    return None if row is None else from_row(row, WatchRow)


async def delete_entry(pool: Pool, account_id: uuid.UUID, watch_id: uuid.UUID) -> bool:
    """Follow it no more. Returns: False if this account has no such entry."""
    return bool(await pool.fetchval(DELETE, account_id, watch_id))


async def load_moves(pool: Pool, account_id: uuid.UUID, *, now: datetime, price_delay_s: int) -> list[Move]:
    """What moved within a day, as late as the account's tier sees prices. Raises: what is raised after `READ_S`."""
    seen = now - timedelta(seconds=price_delay_s)
    return [from_row(row, Move) for row in await _read(pool, MOVES, account_id, seen)]


async def load_notes(pool: Pool, account_id: uuid.UUID, *, until: datetime) -> list[Note]:
    """The insights of the day that ends with `until`. Raises: what is raised after `READ_S`."""
    return [from_row(row, Note) for row in await _read(pool, NOTES, account_id, until)]


async def _read(pool: Pool, statement: str, account_id: uuid.UUID, until: datetime) -> list[asyncpg.Record]:
    async with pool.acquire() as connection:
        for limit in ("statement_timeout", "lock_timeout"):  # both: the role's own two seconds would end it first
            await connection.execute(f"set {limit} = {int(READ_S * 1000)}")  # reset when it is released
        return await connection.fetch(statement, account_id, until, timeout=READ_S + 1)


async def load_followers(connection: Connection, market_key: str, among: list[uuid.UUID]) -> set[uuid.UUID]:
    """Which of these accounts follow a market."""
    return {row["account_id"] for row in await connection.fetch(FOLLOWERS, market_key, among)}
