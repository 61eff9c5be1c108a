"""Prices: the newest quote of a market, as of now or of a while ago, and its series as columns.

Law: `price_history`, `price_as_of` and `price_1h` are the same names on both storage backends; every question bounds
its time. A series from the hours and one from the quotes are the same points.
"""

from datetime import datetime, timedelta

import msgspec

from cloudapi.db import Pool, from_row
from cloudapi.tiers import INTERVAL_S, Interval
from sync.records import Quote

SCALE = 1_000_000  # a half-tick mid of Polymarket needs five decimals, so four would round it
MAX_POINTS = 5000
LOOK_BACK = timedelta(days=8)  # a delayed price older than this is no price; also bounds the days read

QUOTE = "q.fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd"

LOAD_LATEST = f"select market_key, {QUOTE} from price_latest as q join market using (market_id) where market_key = $1"

LOAD_AS_OF = """
select market_key, q.* from market, price_as_of(market_id, $2, $3) as q where market_key = $1
"""

# Many at once, in the order asked: as many round trips as markets would be a quarter of a second on a far network.
MANY = "unnest($1::text[]) with ordinality as asked (market_key, place) join market using (market_key)"

LOAD_EACH_LATEST = f"select market_key, {QUOTE} from {MANY} join price_latest as q using (market_id) order by place"

LOAD_EACH_AS_OF = f"""
select market_key, q.* from {MANY} cross join lateral price_as_of(market_id, $2, $3) as q order by place
"""

# One point per interval: the last quote in it. Aggregated here: half the time and half the bytes of row objects.
POINTS = f"""
select
    coalesce(array_agg(t order by t), '{{}}') as t,
    coalesce(array_agg(round(bid * {SCALE})::integer order by t), '{{}}') as bid,
    coalesce(array_agg(round(ask * {SCALE})::integer order by t), '{{}}') as ask,
    coalesce(array_agg(round(last_price * {SCALE})::integer order by t), '{{}}') as last,
    coalesce(array_agg(round(mid * {SCALE})::integer order by t), '{{}}') as mid
from points
"""

SERIES = f"""
with points as (
    select distinct on (t)
        extract(epoch from date_bin($4::interval, fetched_at, '2000-01-01T00:00:00Z'))::bigint as t,
        bid, ask, last_price, mid
    from price_history(market.market_id, $2, $3)
    order by t, fetched_at desc
    limit {MAX_POINTS + 1}
)
{POINTS}
"""

# Whole hours that are rolled up come from there, what is left at both ends from the quotes: the same points, for each
# hour carries its last quote as it stood.
HOURLY_SERIES = f"""
with whole as materialized (
    select
        first,
        greatest(first, least(
            (select coalesce(rolled_until, '-infinity') from storage_backend),
            date_bin('1 hour', $3::timestamptz, '2000-01-01T00:00:00Z')
        )) as until
    from date_bin(
        '1 hour', $2::timestamptz + interval '1 hour' - interval '1 microsecond', '2000-01-01T00:00:00Z'
    ) as first
), quotes as (
    select h.fetched_at, h.bid, h.ask, h.last_price, h.mid
    from whole, price_1h as h
    where h.market_id = market.market_id and h.bucket >= whole.first and h.bucket < whole.until
    union all
    select q.* from whole, price_history(market.market_id, $2, least(whole.first, $3)) as q
    union all
    select q.* from whole, price_history(market.market_id, whole.until, $3) as q
), points as (
    select distinct on (t)
        extract(epoch from date_bin($4::interval, fetched_at, '2000-01-01T00:00:00Z'))::bigint as t,
        bid, ask, last_price, mid
    from quotes
    order by t, fetched_at desc
    limit {MAX_POINTS + 1}
)
{POINTS}
"""

LOAD_SERIES, LOAD_HOURLY_SERIES = (
    f"select market_key, s.* from {MANY} cross join lateral ({each}) as s order by place"
    for each in (SERIES, HOURLY_SERIES)
)

FROM_HOURS = (Interval.H1, Interval.D1)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A market's quotes as columns, oldest first; prices are integers in 1/scale, null where a side was empty."""

    market_id: str
    interval: Interval
    scale: int = SCALE
    t: list[int]  # epoch seconds, start of the interval
    bid: list[int | None]
    ask: list[int | None]
    last: list[int | None]
    mid: list[int | None]


async def load_price(pool: Pool, market_key: str, *, as_of: datetime | None) -> Quote | None:
    """The newest quote, or the newest not after `as_of`."""
    if as_of is None:
        row = await pool.fetchrow(LOAD_LATEST, market_key)
    else:
        row = await pool.fetchrow(LOAD_AS_OF, market_key, as_of, as_of - LOOK_BACK)
    return None if row is None else from_row(row, Quote)


async def load_prices(pool: Pool, market_keys: list[str], *, as_of: datetime | None) -> list[Quote]:
    """The same of many in one statement, in their order; markets without a quote are left out."""
    if as_of is None:
        rows = await pool.fetch(LOAD_EACH_LATEST, market_keys)
    else:
        rows = await pool.fetch(LOAD_EACH_AS_OF, market_keys, as_of, as_of - LOOK_BACK)
    return [from_row(row, Quote) for row in rows]


async def load_series(
    pool: Pool, market_keys: list[str], interval: Interval, *, start: datetime, end: datetime
) -> list[Series]:
    """The columns of each from `start` (in) to `end` (out), in the order asked; unknown markets are left out.

    One point more than MAX_POINTS says there were too many.
    """
    query = LOAD_HOURLY_SERIES if interval in FROM_HOURS else LOAD_SERIES
    rows = await pool.fetch(query, market_keys, start, end, timedelta(seconds=INTERVAL_S[interval]))
    return [_series(dict(row), interval) for row in rows]


def _series(row: dict[str, object], interval: Interval) -> Series:
    return msgspec.convert(row | {"market_id": row["market_key"], "interval": interval}, Series)
