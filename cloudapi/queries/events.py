"""Live events as the database numbered them, in the order of commit."""

import msgspec

from cloudapi.db import Pool, from_row

LOAD_AFTER = "select event_id, topic, body from live_event where event_id > $1 order by event_id limit $2"

# Whole if nothing behind this number was swept away, and it is not from another database's future.
IS_WHOLE = """
select case when count(*) = 0 then $1 = 0 else $1 >= min(event_id) - 1 and $1 <= max(event_id) end from live_event
"""
NEWEST = "select coalesce(max(event_id), 0) from live_event"


class EventRow(msgspec.Struct, frozen=True):
    """One event as it was written."""

    event_id: int
    topic: str
    body: str


async def load_after(pool: Pool, event_id: int, *, limit: int) -> tuple[list[EventRow], bool]:
    """The events behind this number, and whether they are all there were.

    The events are read first: what is swept between the two reads makes the answer careful, not wrong.
    """
    async with pool.acquire() as connection:
        rows = [from_row(row, EventRow) for row in await connection.fetch(LOAD_AFTER, event_id, limit)]
        is_whole = bool(await connection.fetchval(IS_WHOLE, event_id))
    return rows, is_whole


async def load_newest(pool: Pool) -> int:
    """The number of the newest event; 0 before the first."""
    return int(await pool.fetchval(NEWEST))
