"""The edge's login is on the public internet: it can say hello and apply, and nothing else."""

import asyncpg
import pytest

from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_quote


async def test_edge_role_can_say_hello_and_apply(edge: HandEdge) -> None:
    """The other tests here would pass for a role that can do nothing at all."""
    await edge.hello()

    assert (await edge.send([make_quote()]))["result"] == "applied"
    assert await edge.connection.fetchval("select current_user") == "edge_ingest"


async def test_edge_role_can_touch_no_table(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Reading is as forbidden as writing: other hosts' data and the key hashes live here."""
    tables = await owner.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    )
    assert len(tables) > 15

    for row in tables:
        for statement in ("select 1 from {} limit 1", "delete from {}", "insert into {} default values", "truncate {}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await edge.connection.execute(statement.format(row["relname"]))


async def test_edge_role_can_execute_exactly_the_road_of_sync(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """A function made anew is executable by everybody until it is revoked: the list is checked, not the intention."""
    granted = await owner.fetch(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace "
        "and has_function_privilege('edge_ingest', oid, 'execute') order by 1"
    )

    assert [row["proname"] for row in granted] == [
        "edge_apply",
        "edge_attend",
        "edge_audit",
        "edge_complete",
        "edge_hello",
        "edge_lease",
        "edge_renew",
        "edge_tell",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "create table own (a int)",
        "create temporary table own (a int)",
        "create schema own",
        "create function own() returns int language sql as 'select 1'",
        "set role postgres",
        "alter role edge_ingest superuser",
        "create database own",
        "copy (select 1) to '/tmp/own'",
        "select pg_read_file('PG_VERSION')",
    ],
)
async def test_edge_role_can_make_nothing(edge: HandEdge, statement: str) -> None:
    """Nothing of its own either: no table to hide things in, no function to trick the owner with."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await edge.connection.execute(statement)


async def test_search_path_of_the_caller_is_ignored(edge: HandEdge) -> None:
    """A security definer function that trusts the caller's search_path runs the caller's code as the owner."""
    await edge.connection.execute("set search_path = pg_temp")

    reply = await edge.connection.fetchval(
        "select public.edge_hello('home-1', gen_random_uuid(), null, gen_random_uuid(), 'b', now(), 1, '0', 0)"
    )

    assert '"status": "ok"' in reply
