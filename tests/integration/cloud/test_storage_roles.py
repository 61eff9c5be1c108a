"""Who may do what in the database: the owner migrates, the API reads, the worker works, reports never see accounts."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from cloudapi import migrations
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY, make_one_of_each

SERVICE = {
    "alembic_version", "applied_functions", "edge_duty", "edge_host", "edge_quarantine", "edge_standing", "edge_stream",
    "edge_view", "worker_run",
}  # fmt: skip
DELIVERED = {
    "arbitrage", "arbitrage_look", "benchmark_pass", "benchmark_report", "digest", "edge_batch", "insight", "live_event",
    "market", "market_match", "market_revision", "pattern", "prediction", "prediction_check", "prediction_mark",
    "prediction_score", "price_1h", "price_all", "price_day", "price_dropped", "price_late", "price_latest",
    "price_snapshot", "signal", "storage_backend",
}  # fmt: skip

RIGHTS = """
select array_agg(c.relname::text) from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition
  and has_table_privilege($1, c.oid, $2)
"""
FUNCTIONS = """
select array_agg(distinct proname::text) from pg_proc
where pronamespace = 'public'::regnamespace and has_function_privilege($1, oid, 'execute')
"""


async def allowed(owner: asyncpg.Connection, role: str, right: str) -> set[str]:
    return set(await owner.fetchval(RIGHTS, role, right) or [])


async def test_no_table_that_names_an_account_is_shown_to_reports(owner: asyncpg.Connection) -> None:
    """The role people look around with holds nobody's e-mail; a table nobody thought of is hidden."""
    await owner.execute("create table thought_of_by_nobody (a int)")
    await owner.execute((Path(migrations.__file__).parent / "sql" / "roles.sql").read_text("utf-8"))
    named = await owner.fetch("select table_name from information_schema.columns where column_name = 'account_id'")

    shown = await allowed(owner, "api_ro", "select")

    assert shown == DELIVERED | {"alembic_version"}
    assert len(named) > 5
    assert not shown & {row["table_name"] for row in named}
    for right in ("insert", "update", "delete", "truncate"):
        assert await allowed(owner, "api_ro", right) == set()


async def test_api_writes_what_belongs_to_accounts_and_nothing_that_was_delivered(owner: asyncpg.Connection) -> None:
    """An API that is broken into must not be able to rewrite the record."""
    own = await allowed(owner, "postgres", "select") - DELIVERED - SERVICE

    assert {"account", "api_key", "account_login"} <= own
    assert await allowed(owner, "api_rw", "select") == DELIVERED | own | {"alembic_version"}
    for right in ("insert", "update"):
        assert await allowed(owner, "api_rw", right) == own
    assert await allowed(owner, "api_rw", "delete") == own | {"live_event"}
    assert await allowed(owner, "api_rw", "truncate") == set()


async def test_worker_moves_prices_by_its_duties_alone(owner: asyncpg.Connection) -> None:
    """It works for accounts as the API does; of what was delivered it changes nothing but through the duties."""
    duties = {"price_days", "price_drop", "price_pack", "price_packable", "price_roll_up"}
    own = await allowed(owner, "api_rw", "insert")

    assert await allowed(owner, "worker", "insert") == own | {"worker_run"}
    assert await allowed(owner, "worker", "update") == own | {"worker_run"}
    functions = {name for name in await owner.fetchval(FUNCTIONS, "worker") if name.startswith("price_")}
    assert functions == duties | {"price_history", "price_as_of"}


async def test_functions_that_move_prices_are_closed_to_the_api(owner: asyncpg.Connection) -> None:
    """They run as their owner: whoever may call them may empty the history."""
    for role in ("api_rw", "api_ro"):
        callable_ = set(await owner.fetchval(FUNCTIONS, role))
        assert {name for name in callable_ if name.startswith("price_")} == {"price_history", "price_as_of"}


async def test_service_needs_no_more_than_api_rw(
    postgres: EmbeddedPostgres,
    dsns: tuple[str, str],
    edge: HandEdge,
    start_replica: Callable[..., Awaitable[Replica]],
) -> None:
    """The rights are for the service to run with: one that needs the owner's would be given the owner's."""
    await edge.hello()
    await edge.send(make_one_of_each())
    database = dsns[0].split("@/")[1].split("?")[0]
    replica = await start_replica(database_url=postgres.server.dsn(database, user="api_rw"))

    answers = {
        path: (await replica.get(path)).status_code
        for path in (
            "/v1/markets", f"/v1/markets/{KEY}/price", f"/v1/markets/{KEY}/series?interval=1h", "/v1/insights",
            "/v1/arbitrage", "/v1/signals", "/v1/digests", "/v1/predictions", "/v1/experiments", "/v1/record", "/health",
        )
    }  # fmt: skip

    assert set(answers.values()) == {200}, answers


@pytest.mark.parametrize("role", ["api_rw", "api_ro", "worker"])
async def test_roles_can_make_nothing_and_wait_for_nobody(
    postgres: EmbeddedPostgres, dsns: tuple[str, str], role: str
) -> None:
    """No table of their own, no other role, and limits that come with the login and not with the client's goodwill."""
    database = dsns[0].split("@/")[1].split("?")[0]
    connection = await asyncpg.connect(postgres.server.dsn(database, user=role))

    for statement in ("create table own (a int)", "create temporary table own (a int)", "set role postgres"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    assert await connection.fetchval("show lock_timeout") == "2s"
    assert await connection.fetchval("show statement_timeout") == {"worker": "0"}.get(role, "2s")
    await connection.close(timeout=5)
