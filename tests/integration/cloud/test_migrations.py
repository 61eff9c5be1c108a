"""Migrations: from nothing, again, at once from two sides, and with functions that changed."""

import asyncio

import asyncpg
import pytest

from cloudapi.errors import DatabaseAway
from cloudapi.migrations.runner import migrate
from tests.fakes.postgres import EmbeddedPostgres


def test_migrating_twice_does_nothing_the_second_time(postgres: EmbeddedPostgres) -> None:
    """It runs before every release, whether or not anything changed."""
    dsn = postgres.create_empty_database()

    first, second = migrate(dsn), migrate(dsn)

    assert first[0].startswith("schema empty -> ")
    assert second == []


async def test_two_releases_at_once_do_not_collide(postgres: EmbeddedPostgres) -> None:
    """Two replicas may be deployed at the same moment: one migrates, the other waits and finds it done."""
    dsn = await asyncio.to_thread(postgres.create_empty_database)

    done = await asyncio.gather(*(asyncio.to_thread(migrate, dsn) for _ in range(3)))

    assert sorted(len(sentences) for sentences in done) == [0, 0, 3]


async def test_changed_function_is_put_back(dsns: tuple[str, str], owner: asyncpg.Connection) -> None:
    """Functions follow the files of the release; the digest of their text says when."""
    await owner.execute("create or replace function edge_max_rows() returns integer language sql as 'select 1'")
    await owner.execute("update applied_functions set digest = 'of another release'")

    done = await asyncio.to_thread(migrate, dsns[0])

    assert [sentence.split(" (")[0] for sentence in done] == ["functions refreshed"]
    assert await owner.fetchval("select edge_max_rows()") == 5000


async def test_partitions_reach_a_week_ahead_and_a_day_back(owner: asyncpg.Connection) -> None:
    """A service that is down for a week must still land what arrives at its end."""
    await owner.execute("set timezone = 'UTC'")

    assert await owner.fetchval("select ensure_partitions()") == 0
    for days in (-1, 0, 7):
        name = await owner.fetchval("select to_char(current_date + $1::int, 'YYYYMMDD')", days)
        assert await owner.fetchval("select to_regclass($1)::text", f"price_snapshot_{name}") is not None


async def test_unreachable_database_is_an_error_not_a_hang() -> None:
    """A pre-deploy command that hangs blocks every release."""
    with pytest.raises(DatabaseAway, match="refused"):
        await asyncio.to_thread(migrate, "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
