"""Prices on plain PostgreSQL: daily partitions made ahead, closed days packed into one row per market, hours rolled up.

Law: every step is one SQL function in one transaction (migrations/sql/storage_native.sql), so a worker killed anywhere
leaves a step done or not begun. A step that finds the table busy gives up and is tried again at the next slot.
"""

from datetime import date

from cloudapi.db import Connection, from_row
from cloudapi.storage.base import Backend, Size

STEP_S = 600.0  # a day of a large database; the functions set the same limit

# A day after its end a day is closed: what comes later opens the markets it speaks of.
PACKABLE = "select price_packable(current_date - 1)"

SIZES = """
select part, count(*)::integer as n_tables, coalesce(sum(pg_total_relation_size(oid)), 0)::bigint as n_bytes
from (
    select c.oid, case c.relname when 'price_day' then 'packed' when 'price_1h' then 'hours' else 'rows' end
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
      and (c.relname in ('price_day', 'price_1h') or c.relname like 'price\\_snapshot\\_%')
) as parts (oid, part)
group by 1 order by 1
"""


class NativeStorage:
    """The default."""

    backend = Backend.NATIVE

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    async def ensure_ahead(self) -> int:
        made: int = await self._db.fetchval("select ensure_partitions()", timeout=STEP_S)
        return made

    async def roll_up(self) -> int:
        n_hours, is_done = 0, False
        while not is_done:  # at most a day in one transaction
            row = await self._db.fetchrow("select n_hours, is_done from price_roll_up()", timeout=STEP_S)
            if row is None:
                raise RuntimeError("a roll-up without an answer")
            n_hours, is_done = n_hours + row["n_hours"], row["is_done"]
        return n_hours

    async def compact(self) -> dict[date, int]:
        packed = {}
        for row in await self._db.fetch(PACKABLE, timeout=STEP_S):
            packed[row[0]] = await self._db.fetchval("select price_pack($1)", row[0], timeout=STEP_S)
        return packed

    async def retain(self, keep_days: int) -> int:
        taken: int = await self._db.fetchval(
            "select price_drop((now() at time zone 'UTC')::date - $1::integer)", keep_days, timeout=STEP_S
        )
        return taken

    async def sizes(self) -> list[Size]:
        return [from_row(row, Size) for row in await self._db.fetch(SIZES)]
