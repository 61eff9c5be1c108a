"""How prices are stored: packed and opened again without losing a bit, rolled up, taken, and never seen to change."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest

from cloudapi.db import Pool
from cloudapi.errors import StorageMismatch
from cloudapi.migrations.runner import migrate
from cloudapi.queries.edge import count_landed
from cloudapi.queries.prices import Series, load_price, load_prices, load_series
from cloudapi.storage.base import Backend, StorageBackend
from cloudapi.storage.choice import load_storage
from cloudapi.tiers import Interval
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.filled import days_ago, fill_day, fill_markets
from tests.integration.cloud.made import NOW, make_quote

EVERYTHING = "select * from price_all order by market_id, fetched_at"


@pytest.fixture
async def storage(owner: asyncpg.Connection) -> StorageBackend:
    return await load_storage(owner)


@pytest.fixture
async def pool(dsns: tuple[str, str]) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=4) as made:
        yield made


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


async def parts(db: asyncpg.Connection) -> tuple[int, int]:
    """Rows as they landed, and rows in packed days."""
    packed = "select coalesce(sum(cardinality(at)), 0)::int from price_day"
    return await db.fetchval("select count(*)::int from price_snapshot"), await db.fetchval(packed)


async def test_packing_a_day_changes_no_bit_of_it(owner: asyncpg.Connection, storage: StorageBackend) -> None:
    """Packed days replace the rows for good: what they do not hold exactly is lost."""
    await fill_markets(owner, 20)
    day = await days_ago(owner, 3)
    await fill_day(owner, day, 20, 96)
    odd = (1, noon(day) + timedelta(microseconds=1), 0.1 + 0.2, None, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, None)
    await owner.execute("insert into price_snapshot values ($1, $2, $3, $4, $5, $6, $7, $8, $9)", *odd)
    before = await owner.fetch(EVERYTHING)

    await storage.roll_up()
    packed = await storage.compact()

    assert packed[day] == len(before) == 20 * 96 + 1
    assert await parts(owner) == (0, len(before))
    assert await owner.fetch(EVERYTHING) == before
    assert await owner.fetchval("select to_regclass($1)", f"price_snapshot_{day:%Y%m%d}") is None


async def test_today_and_yesterday_stay_rows(owner: asyncpg.Connection, storage: StorageBackend) -> None:
    """The edge is a little late every day; a day is closed when the next one is over too."""
    await fill_markets(owner, 2)
    for n_days in (0, 1):
        await fill_day(owner, await days_ago(owner, n_days), 2, 4)

    await storage.roll_up()

    assert not any((await storage.compact()).values())
    assert await parts(owner) == (16, 0)


async def test_day_is_not_packed_before_it_is_rolled_up(owner: asyncpg.Connection, storage: StorageBackend) -> None:
    """Hours are worked out from rows: a day packed too early would have none for ever."""
    await fill_markets(owner, 2)
    await fill_day(owner, await days_ago(owner, 3), 2, 4)

    assert await storage.compact() == {}

    await storage.roll_up()
    assert sum((await storage.compact()).values()) == 8


async def test_late_quote_opens_its_market_day_and_a_known_one_stays_known(
    edge: HandEdge, owner: asyncpg.Connection, storage: StorageBackend
) -> None:
    """A backlog may repeat what a packed day has: counted twice, the ledger would no longer add up."""
    await edge.hello()
    long_ago = NOW - timedelta(days=4)
    first, other = make_quote(fetched_at=long_ago), make_quote("OTHER", fetched_at=long_ago)
    await edge.send([first, other])
    await storage.roll_up()
    await storage.compact()

    receipt = await edge.send([first, make_quote(fetched_at=long_ago + timedelta(seconds=1))])

    assert (receipt["inserted"], receipt["known"]) == (1, 1)
    assert await parts(owner) == (2, 1)
    assert (await count_landed(owner)).adds_up
    await storage.roll_up()
    await storage.compact()
    assert await parts(owner) == (0, 3)
    assert (await count_landed(owner)).adds_up


async def test_late_quote_reaches_its_hour(edge: HandEdge, owner: asyncpg.Connection, storage: StorageBackend) -> None:
    """An hour rolled up once is worked out again when rows arrive for it days later."""
    await edge.hello()
    at = noon((NOW - timedelta(days=4)).date())
    await edge.send([make_quote(fetched_at=at, mid=0.4)])
    await storage.roll_up()

    await edge.send([make_quote(fetched_at=at + timedelta(minutes=20), mid=0.6)])
    assert await storage.compact() == {}, "a day with late rows owed was packed"
    await storage.roll_up()

    hour = await owner.fetchrow("select n, open, high, low, close, average from price_1h where bucket = $1", at)
    assert tuple(hour.values()) == (2, 0.4, 0.6, 0.4, 0.6, 0.5)
    assert await owner.fetchval("select count(*) from price_late") == 0


async def test_retention_takes_whole_days_and_keeps_count(
    edge: HandEdge, owner: asyncpg.Connection, storage: StorageBackend
) -> None:
    """What landed equals what is here plus what was taken, or an audit would cry loss."""
    await edge.hello()
    for n_days in (40, 39, 3, 0):
        await edge.send([make_quote(fetched_at=NOW - timedelta(days=n_days))])
    await storage.roll_up()
    await storage.compact()
    await edge.send([make_quote(fetched_at=NOW - timedelta(days=39, seconds=1))])  # opens its day again

    taken = await storage.retain(30)

    assert taken == 3
    assert await owner.fetchval("select count(*) from price_all") == 2
    assert await owner.fetchval("select count(*) from price_1h where bucket < now() - interval '35 days'") == 2
    landed = await count_landed(owner)
    assert (landed.quotes, landed.adds_up) == (5, True)
    assert await storage.retain(30) == 0


async def test_row_that_lands_while_its_day_is_packed_is_not_lost(
    dsns: tuple[str, str], edge: HandEdge, owner: asyncpg.Connection, storage: StorageBackend
) -> None:
    """The partition is dropped after it was read: a row that slipped in between would be gone."""
    await edge.hello()
    long_ago = NOW - timedelta(days=4)
    await edge.send([make_quote(fetched_at=long_ago)])
    await storage.roll_up()
    packer = await asyncpg.connect(dsns[0])
    async with packer.transaction():
        await packer.execute("select price_pack($1)", long_ago.astimezone(UTC).date())

        landing = asyncio.create_task(edge.send([make_quote(fetched_at=long_ago + timedelta(seconds=5))]))
        waiting = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
        async with asyncio.timeout(5):
            while not await owner.fetchval(waiting):
                await asyncio.sleep(0.005)
    receipt = await landing
    await packer.close(timeout=5)

    assert receipt["inserted"] == 1
    assert await parts(owner) == (2, 0), "the packed row was not opened for the late one"


async def test_series_is_the_same_however_its_days_are_stored(
    owner: asyncpg.Connection, pool: Pool, storage: StorageBackend
) -> None:
    """Readers must not see the worker work: points from rows, from hours and from packed days are equal."""
    await fill_markets(owner, 3)
    for n_days in (5, 4, 3, 2, 1):
        await fill_day(owner, await days_ago(owner, n_days), 3, 96)
    start = noon(await days_ago(owner, 5)) + timedelta(minutes=7, seconds=3)
    keys = ["kalshi:M-2", "kalshi:NOBODY", "kalshi:M-1"]  # in this order, and without the one that is not there
    asked = [
        (interval, start, end)
        for interval in Interval
        for end in (start + timedelta(minutes=20), start + timedelta(hours=30), start + timedelta(days=4, minutes=31))
    ]

    async def answers() -> list[list[Series]]:
        return [await load_series(pool, keys, interval, start=a, end=b) for interval, a, b in asked]

    raw = await answers()
    await storage.roll_up()
    rolled = await answers()
    await storage.compact()
    packed = await answers()

    assert all([one.market_id for one in found] == ["kalshi:M-2", "kalshi:M-1"] for found in raw)
    assert len(raw[2][0].t) > 300
    assert raw == rolled
    assert raw == packed


async def test_hours_are_read_and_not_only_kept(owner: asyncpg.Connection, pool: Pool, storage: StorageBackend) -> None:
    """An hourly series that never looks at the hours would pass every comparison."""
    await fill_markets(owner, 1)
    day = await days_ago(owner, 2)
    await fill_day(owner, day, 1, 96)
    await storage.roll_up()
    await owner.execute("update price_1h set mid = 0.123456 where bucket = $1", noon(day))

    (series,) = await load_series(
        pool, ["kalshi:M-1"], Interval.H1, start=noon(day), end=noon(day) + timedelta(hours=2)
    )

    assert series.mid[0] == 123456
    assert series.mid[1] != 123456


async def test_late_price_is_found_in_rows_and_in_packed_days(
    owner: asyncpg.Connection, pool: Pool, storage: StorageBackend
) -> None:
    """The basic tier reads a quarter of an hour late; a market quoted days ago last is in a packed day."""
    await fill_markets(owner, 2)
    day = await days_ago(owner, 3)
    await fill_day(owner, day, 2, 96)
    moments = [
        noon(day),
        noon(day) + timedelta(seconds=1),
        noon(day) + timedelta(days=2),
        noon(day) + timedelta(days=30),
    ]

    rows = [await load_price(pool, "kalshi:M-2", as_of=moment) for moment in moments]
    await storage.roll_up()
    await storage.compact()
    packed = [await load_price(pool, "kalshi:M-2", as_of=moment) for moment in moments]

    assert rows == packed
    assert rows[0].fetched_at < rows[1].fetched_at < rows[2].fetched_at
    assert rows[3] is None


async def test_another_storage_than_the_recorded_one_is_refused(
    dsns: tuple[str, str], owner: asyncpg.Connection
) -> None:
    """A partitioned table cannot become a hypertable: a wish that comes too late must not half happen."""
    assert await owner.fetchval("select backend from storage_backend") == "native"

    with pytest.raises(StorageMismatch, match="STORAGE_BACKEND asks for timescale"):
        await asyncio.to_thread(migrate, dsns[0], storage=Backend.TIMESCALE)
    with pytest.raises(StorageMismatch, match="made once"):
        await load_storage(owner, Backend.TIMESCALE)
    assert await asyncio.to_thread(migrate, dsns[0], storage=Backend.NATIVE) == []


async def test_sizes_name_every_part(owner: asyncpg.Connection, storage: StorageBackend) -> None:
    """An operator asks where the disk went."""
    sizes = {size.part: size for size in await storage.sizes()}

    assert set(sizes) == {"rows", "packed", "hours"}
    assert sizes["rows"].n_tables == 10  # nine days and the default
    assert all(size.n_bytes > 0 for size in sizes.values())


async def test_prices_of_many_are_one_statement(owner: asyncpg.Connection) -> None:
    """Twenty-five markets one after the other would be twenty-five ways to the database and back."""
    await fill_markets(owner, 25)
    day = await days_ago(owner, 3)
    await fill_day(owner, day, 25, 4)
    keys = [f"kalshi:M-{n}" for n in range(25, 0, -1)]
    asked: list[str] = []

    with owner.query_logger(lambda record: asked.append(record.query)):
        found = await load_prices(owner, keys, as_of=noon(day) + timedelta(days=1))

    assert [quote.market_key for quote in found] == keys
    assert found == [await load_price(owner, key, as_of=noon(day) + timedelta(days=1)) for key in keys]
    assert len(asked) == 1
