"""The TimescaleDB backend: on a server that has the extension where `ODDSD_TEST_TIMESCALE_URL` names one, and always on
plain PostgreSQL with its functions standing in, so that no statement of ours is first read on somebody's new server.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from cloudapi.errors import StorageMismatch
from cloudapi.migrations import runner
from cloudapi.migrations.runner import migrate
from cloudapi.queries.edge import count_landed
from cloudapi.queries.prices import load_price, load_prices, load_series
from cloudapi.storage.base import Backend, StorageBackend
from cloudapi.storage.choice import load_storage
from cloudapi.tiers import Interval
from tests.fakes import timescale as stand_in
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY, NOW, make_market, make_quote

REVISION = runner.HERE / "sql" / "0009_timescale.sql"


@pytest.fixture(params=["stand-in", "real"])
async def timescale(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.Connection]:
    """A database made for TimescaleDB, on its own server or on ours."""
    named = os.environ.get("ODDSD_TEST_TIMESCALE_URL")
    if request.param == "stand-in":
        ours = postgres.create_empty_database()
        stand_in.pretend(ours)
        monkeypatch.setattr(runner, "HERE", stand_in.copy_migrations(tmp_path))
    elif named is None:
        pytest.skip("ODDSD_TEST_TIMESCALE_URL names no server with TimescaleDB")
    else:
        server = await asyncpg.connect(named)
        await server.execute("drop database if exists oddsd_test_timescale with (force)")
        await server.execute("create database oddsd_test_timescale")
        await server.close(timeout=5)
        ours = named.rsplit("/", 1)[0] + "/oddsd_test_timescale"
    await asyncio.to_thread(migrate, ours, storage=Backend.TIMESCALE)
    connection = await asyncpg.connect(ours)
    yield connection
    await connection.close(timeout=5)


@pytest.fixture
async def storage(timescale: asyncpg.Connection) -> StorageBackend:
    return await load_storage(timescale, Backend.TIMESCALE)


async def send_quotes(db: asyncpg.Connection, *ages: timedelta) -> None:
    """One market, a quote of each age."""
    edge = HandEdge(db)
    await edge.hello()
    quotes = [make_quote(fetched_at=NOW - age, bid=round(0.1 + n / 100, 2)) for n, age in enumerate(ages)]
    receipt = await edge.send([make_market(), *quotes])
    assert receipt["quarantined"] == 0


async def test_timescale_lands_reads_and_takes_like_native(
    timescale: asyncpg.Connection, storage: StorageBackend
) -> None:
    """Readers and the edge's functions know one set of names; both backends must have all of them."""
    await send_quotes(timescale, *(timedelta(days=n) for n in (40, 3, 0)))

    found = await timescale.fetch("select * from price_history(1, $1, $2)", NOW - timedelta(days=4), NOW)
    hours = await timescale.fetchval("select sum(n) from price_1h")
    done = (await storage.ensure_ahead(), await storage.roll_up(), await storage.compact(), await storage.retain(30))

    assert (len(found), hours) == (1, 3)
    assert done == (0, 0, {}, 1)
    assert (await count_landed(timescale)).adds_up


async def test_prices_and_series_of_timescale_are_those_of_its_quotes(timescale: asyncpg.Connection) -> None:
    """The hours come from the aggregate here: a chart of hours is the last quote of each, as on the native one."""
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    minutes = (NOW - hour + timedelta(minutes=n) for n in (170, 160, 130, 100))  # in three hours, two of them whole
    await send_quotes(timescale, *minutes)
    start, end = hour - timedelta(hours=3), hour

    (raw,) = await load_series(timescale, [KEY], Interval.RAW, start=start, end=end)
    (by_hour,) = await load_series(timescale, [KEY], Interval.H1, start=start, end=end)
    newest = await load_price(timescale, KEY, as_of=None)
    late = await load_prices(timescale, [KEY], as_of=hour - timedelta(minutes=101))

    assert raw.bid == [100_000, 110_000, 120_000, 130_000]
    assert by_hour.bid == [120_000, 130_000]
    assert newest.bid == 0.13
    assert [quote.bid for quote in late] == [0.12]


@pytest.mark.parametrize("timescale", ["stand-in"], indirect=True)  # the real one's jobs do not fail to order
async def test_a_policy_that_failed_is_told(timescale: asyncpg.Connection, storage: StorageBackend) -> None:
    """The extension rolls up and packs by itself; when it does not, nobody else would notice."""
    await timescale.execute(
        "insert into timescaledb_information.jobs (job_id, proc_name) values"
        " (1, 'policy_refresh_continuous_aggregate'), (2, 'policy_compression')"
    )
    await timescale.execute(
        "insert into timescaledb_information.job_stats (job_id, last_run_status) values (1, 'Success'), (2, 'Failed')"
    )

    assert await storage.roll_up() == 0
    with pytest.raises(StorageMismatch, match="policy_compression failed"):
        await storage.compact()


async def test_sizes_are_asked_of_the_extension(storage: StorageBackend) -> None:
    """An operator asks where the disk went."""
    (rows,) = await storage.sizes()

    assert rows.part == "rows"
    assert rows.n_bytes > 0


@pytest.mark.parametrize("grammar", [stand_in.COMPRESS, stand_in.CONTINUOUS])
async def test_the_statements_the_stand_in_rewords_are_sql_as_they_stand(
    owner: asyncpg.Connection, grammar: re.Pattern[str]
) -> None:
    """All others run here; these two the server reads without running them, as the body of a function nobody calls."""
    found = grammar.search(REVISION.read_text("utf-8"))
    reading = "create or replace function reading() returns void language plpgsql as $read$begin {} end$read$"

    await owner.execute(reading.format(found[0]))

    with pytest.raises(asyncpg.PostgresSyntaxError):
        await owner.execute(reading.format(found[0].replace("(", "((", 1)))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("compress_segmentby", "compress_segmentation"),
        ("timescaledb.continuous", "timescaledb.continous"),
        ("with (timescaledb", "with (timescale"),
    ],
)
def test_options_timescaledb_does_not_have_are_refused(right: str, wrong: str) -> None:
    """The stand-in must not wave through what a real server would refuse."""
    text = REVISION.read_text("utf-8")

    stand_in.in_plain_sql(text)

    with pytest.raises(ValueError, match=r"option|were read"):
        stand_in.in_plain_sql(text.replace(right, wrong))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("compress_segmentby = 'market_id'", "compress_segmentby = 'market'"),
        ("compress_after =>", "compress_later =>"),
        ("by_range('fetched_at'", "by_range('fetched'"),
        ("last(bid, fetched_at)", "last(bit, fetched_at)"),
        ("time_bucket(interval", "time_buckets(interval"),
    ],
)
async def test_a_misspelt_word_of_the_revision_fails_here(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    """What the stand-in is for: found on this machine, not at somebody's first start."""
    dsn = postgres.create_empty_database()
    stand_in.pretend(dsn)
    here = stand_in.copy_migrations(tmp_path)
    revision = here / "sql" / REVISION.name
    revision.write_text(stand_in.in_plain_sql(REVISION.read_text("utf-8").replace(right, wrong)), "utf-8")
    monkeypatch.setattr(runner, "HERE", here)

    with pytest.raises((psycopg.Error, SQLAlchemyError)):
        await asyncio.to_thread(migrate, dsn, storage=Backend.TIMESCALE)
