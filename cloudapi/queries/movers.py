"""What moved most within the last hour, and how many markets are watched: the live page's own questions.

Law: a market's price of an hour ago is the one that stood then, if it was quoted within the day before (`LOOK_BACK`),
or the first of the hour where there was none: a house that has just begun has movers too. Looked at are the most traded
markets alone: an hour of all of them would be read from the whole day's partition.
"""

from datetime import datetime, timedelta

import msgspec

from cloudapi.db import Pool, from_row

SPAN = timedelta(hours=1)
LOOK_BACK = timedelta(hours=25)  # an older quote was no price an hour ago
N_TRADED = 200
N_SHOWN = 10

LOAD_MOVERS = """
with traded as materialized (
    select market_id, mid, fetched_at from price_latest
    where fetched_at > $1 and mid is not null order by volume_24h desc nulls last limit $3
)
select market_key, title, traded.mid, coalesce(before.mid, seen.mid) as mid_before, traded.fetched_at
from traded join market using (market_id)
left join lateral price_as_of(traded.market_id, $1, $2) as before on true
left join lateral ( -- met within the hour: its move since then; not looked for where it was met before
    select mid from price_snapshot
    where before.mid is null and market_id = traded.market_id and fetched_at > $1 and mid is not null
    order by fetched_at limit 1
) as seen on true
where coalesce(before.mid, seen.mid) <> traded.mid and title is not null -- a stub has no question yet
order by abs(traded.mid - coalesce(before.mid, seen.mid)) desc, market_key limit $4
"""
COUNT_OPEN = "select count(*) from market where status = 'open' and title is not null"


class Mover(msgspec.Struct, frozen=True, kw_only=True):
    """One market and what it did."""

    market_key: str
    title: str
    mid: float
    mid_before: float
    fetched_at: datetime

    @property
    def move(self) -> float:
        """Up or down, as a difference of probabilities."""
        return self.mid - self.mid_before


class Movers(msgspec.Struct, frozen=True, kw_only=True):
    """The live page's answer of the shelf."""

    n_markets: int
    movers: list[Mover]


async def load_movers(pool: Pool, now: datetime) -> Movers:
    """The strongest moves of the hour before `now`, strongest first."""
    since = now - SPAN
    async with pool.acquire() as connection:
        rows = await connection.fetch(LOAD_MOVERS, since, since - LOOK_BACK, N_TRADED, N_SHOWN)
        n_markets = await connection.fetchval(COUNT_OPEN)
    return Movers(n_markets=n_markets, movers=[from_row(row, Mover) for row in rows])
