"""The second line: what a query that forgot its account may see, with real rights on a real server."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from cloudapi import migrations
from cloudapi.behalf import on_behalf_of
from cloudapi.keys import make_key
from cloudapi.queries import accounts
from cloudapi.queries.accounts import LOAD_KEY, save_key
from cloudapi.queries.logins import LOAD_LOGIN, LOAD_SESSION
from cloudapi.tiers import Tier
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import make_person
from tests.integration.cloud.test_explain import explain

NAMING = """
select array_agg(c.relname::text) from pg_class as c join pg_attribute as a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'account_id'
"""
LEDGERS = {"stripe_event", "trial_use"}  # the service looks in them for somebody it does not know yet


async def test_a_query_that_forgets_its_account_finds_its_own_rows_only(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake itself, over HTTP: the list of keys without its `where`."""
    ann, eve = await make_person(replica), await make_person(replica, "eve@example.org")
    for person in (ann, eve):
        made = await person.ask("POST", "/v1/api-keys", {"label": str(person.account_id)})
        assert made.status_code == 201
    forgetful = accounts.LIST_OWN_KEYS.replace("account_id = $1", "$1::uuid is not null")
    assert forgetful != accounts.LIST_OWN_KEYS
    monkeypatch.setattr(accounts, "LIST_OWN_KEYS", forgetful)

    seen = (await ann.ask("GET", "/v1/api-keys")).json()["data"]

    assert [key["label"] for key in seen] == [str(ann.account_id)]


async def test_nothing_is_written_for_another_account(replica: Replica) -> None:
    """Not a row under its name, not a change to one, not a row handed over to it."""
    ann, eve = await make_person(replica), await make_person(replica, "eve@example.org")
    pool = replica.services.pool

    with on_behalf_of(ann.account_id):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await pool.execute("insert into mail_preference (account_id) values ($1)", eve.account_id)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await pool.execute("update account_login set account_id = $1", eve.account_id)
        assert await pool.execute("update account set name = 'mine'") == "UPDATE 1"
        assert await pool.execute("delete from account_login") == "DELETE 1"

    assert await pool.fetchval("select count(*) from account_login") == 1


async def test_a_connection_given_back_is_nobodys(replica: Replica) -> None:
    """One connection serves everybody in turn: the word said for one must not hold for the next."""
    ann = await make_person(replica)
    pool = replica.services.pool
    n_all = await pool.fetchval("select count(*) from account")
    assert n_all > 1

    for _ in range(replica.services.settings.pool_size):  # whichever it is
        with on_behalf_of(ann.account_id):
            assert await pool.fetchval("select count(*) from account") == 1
        assert await pool.fetchval("select count(*) from account") == n_all


async def test_a_question_for_nobody_is_one_round_trip(replica: Replica, owner: asyncpg.Connection) -> None:
    """Nothing was said, so nothing is taken back: the question stays the last thing the connection was asked."""
    ann = await make_person(replica)
    last = "select query from pg_stat_activity where pid = $1"

    pid, asked = await replica.services.pool.fetchval("select row(pg_backend_pid(), 'for nobody')")
    assert asked in await owner.fetchval(last, pid)
    with on_behalf_of(ann.account_id):
        pid, asked = await replica.services.pool.fetchval("select row(pg_backend_pid(), 'for Ann')")
    assert "RESET ALL" in await owner.fetchval(last, pid)


async def test_a_login_that_says_nothing_sees_no_account(
    postgres: EmbeddedPostgres, dsns: tuple[str, str], owner: asyncpg.Connection, keys: dict[Tier, str]
) -> None:
    """Whoever logs in as the API without being the API gets empty tables, not everybody's."""
    database = dsns[0].split("@/")[1].split("?")[0]
    assert keys
    login = await asyncpg.connect(postgres.server.dsn(database, user="api_rw"))

    for table in set(await owner.fetchval(NAMING)) - LEDGERS:
        assert await login.fetchval(f'select count(*) from "{table}"') == 0
    await login.execute("select set_config('app.account_id', 'any', false)")

    assert await login.fetchval("select count(*) from account") == len(keys)
    await login.close(timeout=5)


async def test_a_table_that_names_an_account_is_closed_without_being_listed(owner: asyncpg.Connection) -> None:
    """Who adds a table adds a column and nothing else; migrating twice says it once."""
    await owner.execute("create table thought_of_by_nobody (account_id uuid)")
    for _ in range(2):
        await owner.execute((Path(migrations.__file__).parent / "sql" / "roles.sql").read_text("utf-8"))

    closed = await owner.fetch(
        "select relname from pg_class where relrowsecurity and relnamespace = 'public'::regnamespace"
    )
    policies = await owner.fetch(
        "select tablename, policyname from pg_policies where tablename = 'thought_of_by_nobody'"
    )

    assert {row["relname"] for row in closed} == set(await owner.fetchval(NAMING)) - LEDGERS
    assert {row["policyname"] for row in policies} == {"own", "works"}


async def test_the_service_works_with_fewer_rights_than_its_login(
    dsns: tuple[str, str], start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """A hosting platform hands out one login, the owner's: the service takes off what it does not need."""
    reduced, whole = await start_replica(), await start_replica(database_roles=False)

    assert await reduced.services.pool.fetchval("select current_user") == "api_rw"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reduced.services.pool.execute("create table own (a int)")
    assert await whole.services.pool.fetchval("select current_user") == "postgres"


async def test_looking_somebody_up_still_goes_by_an_index(
    postgres: EmbeddedPostgres, dsns: tuple[str, str], owner: asyncpg.Connection
) -> None:
    """A policy in front of every row must not turn each request's look-up into a scan."""
    for number in range(3):
        await save_key(owner, key=make_key(bytes([number]) * 32), name="one", tier=Tier.BASIC)
    await owner.execute("""
        insert into account (account_id, name, tier) select gen_random_uuid(), 'n', 'basic' from generate_series(1, 5000);
        insert into api_key (key_id, account_id, key_hash, prefix, last_four, label)
        select gen_random_uuid(), account_id, sha256(account_id::text::bytea), 'p' || row_number() over (), 'last', ''
        from account where name = 'n';
        insert into account_login (login_id, account_id, session_hash, expires_at)
        select gen_random_uuid(), account_id, sha256(account_id::text::bytea), now() + interval '1 day'
        from account where name = 'n';
        analyze account; analyze api_key; analyze account_login;
    """)
    database = dsns[0].split("@/")[1].split("?")[0]
    login = await asyncpg.connect(
        postgres.server.dsn(database, user="api_rw"), server_settings={"app.account_id": "any"}
    )
    key_hash = await owner.fetchval("select key_hash from api_key limit 1 offset 2000")
    session = await owner.fetchrow("select login_id, session_hash from account_login limit 1")

    for query, argument in (
        (LOAD_KEY, key_hash),
        (LOAD_SESSION, session["session_hash"]),
        (LOAD_LOGIN, session["login_id"]),
    ):
        plan = await explain(login, query, argument)
        assert plan.n_pages <= 12, query
        assert not [node for node in plan.nodes() if node["Node Type"] == "Seq Scan"], query
    await login.close(timeout=5)
