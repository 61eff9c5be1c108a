"""Plans, counted in pages: what an index or a packed day is for shows here, not in warm milliseconds.

A page in memory costs nothing and a page on a cold network volume a millisecond: the number of pages is what stays the
same on every machine.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from cloudapi.queries.insights import InsightFilters, page_query
from cloudapi.queries.movers import LOAD_MOVERS, LOOK_BACK, N_SHOWN, N_TRADED, SPAN
from cloudapi.queries.prices import LOAD_AS_OF, LOAD_HOURLY_SERIES, LOAD_LATEST, LOAD_SERIES
from cloudapi.storage.choice import load_storage
from tests.integration.cloud.filled import days_ago, fill_day, fill_markets

N_MARKETS = 300
N_TICKS = 288  # five minutes
N_BUSY = 2_000
GOAL_PAGES = 20


class Plan:
    """What a statement touched, as the server says."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.root = found["Plan"]

    @property
    def n_pages(self) -> int:
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes() if "Index Name" in node}

    def nodes(self) -> Iterator[dict[str, Any]]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += node.get("Plans", [])
            yield node


async def explain(db: asyncpg.Connection, query: str, *arguments: object) -> Plan:
    # Asked twice: the first time a connection looks things up in the catalogue, which counts as pages too.
    for _ in range(2):
        text = await db.fetchval(f"explain (analyze, buffers, format json) {query}", *arguments)
    return Plan(json.loads(text)[0])


@pytest.fixture
async def closed_day(owner: asyncpg.Connection) -> datetime:
    """Midnight of a day that is over, its quotes as they came."""
    await fill_markets(owner, N_MARKETS)
    for n_days in (3, 2):
        await fill_day(owner, await days_ago(owner, n_days), N_MARKETS, N_TICKS)
    await owner.execute("analyze")
    return datetime.combine(await days_ago(owner, 3), time(), UTC)


async def test_closed_24_hours_are_twenty_pages_at_most(owner: asyncpg.Connection, closed_day: datetime) -> None:
    """As they arrive, a market's quotes lie one to a page; packed, a day of them is one."""
    start = closed_day + timedelta(hours=9)
    asked = (LOAD_SERIES, ["kalshi:M-7"], start, start + timedelta(days=1), timedelta(seconds=1))
    before = await explain(owner, *asked)

    storage = await load_storage(owner)
    await storage.roll_up()
    await storage.compact()
    await owner.execute("analyze")
    after = await explain(owner, *asked)

    assert before.n_pages > 5 * GOAL_PAGES
    assert after.n_pages <= GOAL_PAGES
    assert {node.get("Function Name") for node in after.nodes()} <= {None, "unnest"}, "price_history was not inlined"


async def test_hours_of_a_week_are_few_pages(owner: asyncpg.Connection, closed_day: datetime) -> None:
    """A chart of hours must not read twelve times its points."""
    raw = (LOAD_SERIES, ["kalshi:M-7"], closed_day, closed_day + timedelta(days=2), timedelta(hours=1))
    before = await explain(owner, *raw)

    await (await load_storage(owner)).roll_up()
    await owner.execute("analyze")
    after = await explain(owner, LOAD_HOURLY_SERIES, *raw[1:])

    assert "price_1h_pkey" in after.indexes
    assert after.n_pages < before.n_pages / 4


async def test_latest_price_is_a_handful_of_pages(owner: asyncpg.Connection, closed_day: datetime) -> None:
    """It is what everybody asks; the history must not be touched for it."""
    await owner.execute(
        "insert into price_latest select distinct on (market_id) * from price_snapshot order by market_id, fetched_at desc"
    )
    await owner.execute("analyze price_latest")

    plan = await explain(owner, LOAD_LATEST, "kalshi:M-7")

    assert plan.n_pages <= 6
    assert plan.indexes == {"market_market_key_key", "price_latest_pkey"}


async def test_delayed_price_reads_one_packed_day(owner: asyncpg.Connection, closed_day: datetime) -> None:
    """Looking back eight days must stop at the first answer."""
    storage = await load_storage(owner)
    await storage.roll_up()
    await storage.compact()
    await owner.execute("analyze")
    at = closed_day + timedelta(days=1, hours=5)

    plan = await explain(owner, LOAD_AS_OF, "kalshi:M-7", at, at - timedelta(days=8))

    assert plan.n_pages <= 2 * GOAL_PAGES


@pytest.fixture
async def busy_evening(owner: asyncpg.Connection) -> datetime:
    """Eleven at night after two days of 2,000 markets, quoted every quarter of an hour."""
    await fill_markets(owner, N_BUSY)
    for n_days in (3, 2):
        await fill_day(owner, await days_ago(owner, n_days), N_BUSY, 96)
    at = datetime.combine(await days_ago(owner, 2), time(23), UTC)
    await owner.execute(
        "insert into price_latest select distinct on (market_id) * from price_snapshot"
        " where fetched_at <= $1 order by market_id, fetched_at desc",
        at,
    )
    await owner.execute("analyze")
    return at


async def test_what_moved_within_the_hour_reads_the_most_traded_markets_alone(
    owner: asyncpg.Connection, busy_evening: datetime
) -> None:
    """Every reader of the live page asks it: a few pages for each market looked at, never a day from end to end, packed
    or not.
    """
    since = busy_evening - SPAN
    asked = (LOAD_MOVERS, since, since - LOOK_BACK, N_TRADED, N_SHOWN)
    raw = await explain(owner, *asked)
    storage = await load_storage(owner)
    await storage.roll_up()
    await storage.compact()
    await owner.execute("analyze")
    packed = await explain(owner, *asked)

    days = [node for node in raw.nodes() if node.get("Relation Name", "").startswith("price_snapshot")]
    read = [node for node in days if node["Actual Loops"]]
    assert {node["Node Type"] for node in read} == {"Index Scan"}
    assert {node["Actual Loops"] for node in read} == {N_TRADED}, (
        "a price of the hour is looked for where none is missing"
    )
    assert raw.n_pages <= 8 * N_TRADED
    assert packed.n_pages <= GOAL_PAGES * N_TRADED
    assert raw.root["Actual Rows"] == packed.root["Actual Rows"] == N_SHOWN


async def test_markets_of_a_rare_venue_are_found_by_their_index(owner: asyncpg.Connection) -> None:
    """Newest first by number alone passes every market of the other venue on the way."""
    await fill_markets(owner, 20)
    await owner.execute(
        "insert into market (market_key, venue) select 'polymarket:' || n, 'polymarket' from generate_series(1, 20000) n"
    )
    await owner.execute("analyze market")
    query = "select * from market where venue = $1 and title is not null order by market_id desc limit 21"
    with_index = await explain(owner, query, "kalshi")

    await owner.execute("drop index market_venue")
    without = await explain(owner, query, "kalshi")

    assert with_index.indexes == {"market_venue"}
    assert with_index.n_pages <= GOAL_PAGES < without.n_pages / 5


async def test_actionable_insights_above_sixty_are_found_by_their_index(owner: asyncpg.Connection) -> None:
    """One in seventy is worth acting on: the newest of them are read, not the newest of all."""
    await fill_markets(owner, 5)
    await owner.execute("""
        insert into insight (
            insight_id, market_id, pattern_id, detector, recommendation, confidence, one_liner, reasoning, edge_explanation,
            risk_factors, suggested_position, time_sensitivity, actionable, model, prompt_version, cost_usd, created_at,
            expires_at
        )
        select 'ins-' || n, 1 + n % 5, 'p', 'd', 'CAUTION', case when n % 7 = 0 then 70 else 40 end, 'o', repeat('r', 800),
               'e', '{}',
               'WAIT', 'DAYS', n % 10 = 0, 'm', '1', 0, now() - n * interval '1 minute', now()
        from generate_series(1, 20000) as n
    """)
    await owner.execute("analyze insight")
    first = page_query(InsightFilters(actionable=True), before=None, limit=20)
    follow = page_query(InsightFilters(actionable=True), before=(datetime.now(UTC), "ins-1"), limit=20)
    with_index = await explain(owner, *first)
    following = await explain(owner, *follow)

    await owner.execute("drop index insight_actionable")
    without = await explain(owner, *first)

    assert "insight_actionable" in with_index.indexes & following.indexes
    assert with_index.n_pages < without.n_pages / 2


async def test_active_arbitrage_is_found_by_its_partial_index(owner: asyncpg.Connection) -> None:
    """Nearly all packages there ever were are over; the few that stand are what is asked for."""
    await owner.execute("""
        insert into arbitrage (
            arbitrage_id, arbitrage_kind, status, detected_at, computed_at, legs, size, payout_usd, cost_usd, gross_usd,
            fees_usd, net_usd, net_edge, confidence, steps, risks, reasons, assumptions
        )
        select 'arb-' || n, 'HEDGE', case when n > 19990 then 'ACTIVE' else 'EXPIRED' end,
               now() - (n % 20000) * interval '1 minute', now(), '[1]', 1, 1, 1, 0, 0, 0, 0, 50, '{}', '{}', '{}', '{}'
        from generate_series(1, 20000) as n
    """)
    await owner.execute("analyze arbitrage")
    query = "select * from arbitrage where status = 'ACTIVE' order by detected_at desc, arbitrage_id desc limit 21"

    plan = await explain(owner, query)

    assert plan.indexes == {"arbitrage_active"}
    assert plan.n_pages <= GOAL_PAGES
