"""Prices: the newest quote of a market, as of now or of a while ago, and its series as columns."""

from datetime import datetime, timedelta

import msgspec

from cloudapi.db import Pool, from_row
from cloudapi.tiers import INTERVAL_S, Interval
from sync.records import Quote

SCALE = 1_000_000  # a half-tick mid of Polymarket needs five decimals, so four would round it
MAX_POINTS = 5000
LOOK_BACK = timedelta(days=8)  # a delayed price older than this is no price; also bounds the partitions read

QUOTE = "q.fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd"

LOAD_LATEST = f"select market_key, {QUOTE} from price_latest as q join market using (market_id) where market_key = $1"

LOAD_AS_OF = f"""
select market_key, {QUOTE} from price_snapshot as q join market using (market_id)
where market_key = $1 and q.fetched_at <= $2 and q.fetched_at > $3
order by q.fetched_at desc limit 1
"""

# One point per interval: the last quote in it. Aggregated here: half the time and half the bytes of row objects.
LOAD_SERIES = f"""
with points as (
    select distinct on (t)
        extract(epoch from date_bin($4::interval, fetched_at, '2000-01-01T00:00:00Z'))::bigint as t,
        bid, ask, last_price, mid
    from price_snapshot
    where market_id = $1 and fetched_at >= $2 and fetched_at < $3
    order by t, fetched_at desc
    limit {MAX_POINTS + 1}
)
select
    coalesce(array_agg(t order by t), '{{}}') as t,
    coalesce(array_agg(round(bid * {SCALE})::integer order by t), '{{}}') as bid,
    coalesce(array_agg(round(ask * {SCALE})::integer order by t), '{{}}') as ask,
    coalesce(array_agg(round(last_price * {SCALE})::integer order by t), '{{}}') as last,
    coalesce(array_agg(round(mid * {SCALE})::integer order by t), '{{}}') as mid
from points
"""

FIND_MARKET = "select market_id from market where market_key = $1"


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


async def load_series(
    pool: Pool, market_key: str, interval: Interval, *, start: datetime, end: datetime
) -> Series | None:
    """The columns from `start` (in) to `end` (out); one point more than MAX_POINTS says there were too many."""
    market_id = await pool.fetchval(FIND_MARKET, market_key)
    if market_id is None:
        return None
    row = await pool.fetchrow(LOAD_SERIES, market_id, start, end, timedelta(seconds=INTERVAL_S[interval]))
    return msgspec.convert({"market_id": market_key, "interval": interval, **dict(row or {})}, Series)
