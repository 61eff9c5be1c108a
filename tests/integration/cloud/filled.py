"""Many rows made by the server itself: markets with titles, days of quotes in order of arrival, insights."""

from datetime import date, timedelta

import asyncpg

MARKETS = """
insert into market (market_key, venue, venue_market_id, title, status, fetched_at, category, event_title)
select 'kalshi:M-' || n, 'kalshi', 'M-' || n, 'Will number ' || n || ' come true?', 'open', now(), 'Numbers', 'Numbers'
from generate_series($1::int, $2::int) as n
"""

# As a venue is walked: all markets at one stamp, then all at the next, so that one market lies all over the heap.
QUOTES = """
insert into price_snapshot
    (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
select m, $1::date::timestamp at time zone 'UTC' + (86400000 / $3::int * tick + 137) * interval '1 millisecond',
       nullif(price, 0), nullif(price, 0) + 0.0113, price, price + 0.00565,
       case when (m + tick) % 7 > 0 then 1000.25 * m + tick end, 17 * m, null
from generate_series(0, $3::int - 1) as tick, generate_series(1, $2::int) as m,
     lateral (select ((m * 7 + tick / 6) % 90) / 100.0) as made (price)
order by tick, m
"""


async def fill_markets(db: asyncpg.Connection, n_markets: int, *, first: int = 1) -> None:
    await db.execute(MARKETS, first, first + n_markets - 1)
    await db.execute("analyze market")


async def fill_day(db: asyncpg.Connection, day: date, n_markets: int, n_ticks: int) -> None:
    """A day of quotes of the markets 1 to n_markets, `n_ticks` of each."""
    async with db.transaction():
        await db.execute("set local timezone = 'UTC'")
        await db.execute("select price_receive(array[$1::date::timestamptz], '{}')", day)
        await db.execute(QUOTES, day, n_markets, n_ticks)


async def today(db: asyncpg.Connection) -> date:
    return await db.fetchval("select (now() at time zone 'UTC')::date")


async def days_ago(db: asyncpg.Connection, n_days: int) -> date:
    return await today(db) - timedelta(days=n_days)
