"""An account's own data: all of it, nothing that opens anything, and its end. Which tables there are says the schema."""

import json

import asyncpg
import pytest

from cloudapi.privacy import SECRETS, STAYS
from cloudapi.queries.accounts import new_id
from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY, make_market
from tests.integration.cloud.subscribed import PASSWORD, Person, make_person
from tests.integration.cloud.test_webhooks import tell

# Every table in which a row can belong to an account, however long the chain of references to it.
BELONGING = """
with recursive reach as (
    select c.oid from pg_class as c join pg_attribute as a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and a.attname in ('account_id', 'email') and not a.attisdropped
    union
    select f.conrelid from pg_constraint as f join reach on reach.oid = f.confrelid where f.contype = 'f'
)
select reach.oid::regclass::text from reach
"""
# What no route of a first evening leaves: payments, a day's mail, a trial, a login that failed, the feed's ticket.
REST = """
insert into billing_customer (account_id, customer_id) values ($1, 'cus_1');
insert into subscription (account_id, customer_id, status, tier, reading, read_at)
    values ($1, 'cus_1', 'active', 'pro', 1, now());
insert into stripe_event (event_id, account_id, event_type, customer_id) values ('evt_1', $1, 'invoice.paid', 'cus_1');
insert into trial_use (fingerprint, account_id) values ('canary-card', $1);
insert into mail_daily (account_id, day) values ($1, current_date);
insert into live_ticket (ticket_hash, account_id, expires_at) values (sha256('t'), $1, now() + interval '1 minute');
insert into account_usage (account_id, month, n_requests) values ($1, date_trunc('month', now())::date, 3)
    on conflict (account_id, month) do nothing;
insert into prediction_session_event (session_id, event_no, model, state)
    select session_id, 1, 'm', 'QUEUED' from prediction_session where account_id = $1;
"""
SECRET_WORDS = ("canary-topic", "canary-card", "argon2", "whsec_", PASSWORD)


@pytest.fixture
async def ann(replica: Replica, owner: asyncpg.Connection, edge: HandEdge) -> Person:
    """Somebody who has used everything."""
    await edge.hello()
    await edge.send([make_market()])
    person = await make_person(replica, tier=Tier.PRO)
    for path, body in (
        ("/v1/watchlist", {"kind": "keyword", "subject": "rain"}),
        ("/v1/webhooks", {"url": "https://example.com/h", "topics": ["session"]}),
        ("/v1/channels", {"kind": "ntfy", "address": "canary-topic-1", "topics": ["session"]}),
        ("/v1/api-keys", {"label": "at home"}),
        ("/v1/predictions", {"market_key": KEY}),
    ):
        made = await person.ask("POST", path, body)
        assert made.is_success, f"{path}: {made.text}"
    await person.ask("PUT", "/v1/mail", {"time_zone": "Europe/Berlin"})
    await tell(replica, person, "one")
    for statement in filter(str.strip, REST.split(";")):
        await owner.execute(statement, person.account_id)
    return person


async def belonging(owner: asyncpg.Connection) -> set[str]:
    return {row[0] for row in await owner.fetch(BELONGING)}


async def test_an_export_holds_every_table_an_account_can_have_a_row_in(ann: Person, owner: asyncpg.Connection) -> None:
    """Read off the schema: a table that comes later is exported, or this test has no row of it and says so."""
    given = await ann.ask("GET", "/v1/account/export")

    assert given.status_code == 200, given.text
    assert await belonging(owner) - given.json().keys() == set(), "not exported, or make a row of it in `ann`"
    assert given.json()["prediction_session_model"][0]["model"] == "openai/gpt-oss-20b"


async def test_an_export_opens_nothing(ann: Person, owner: asyncpg.Connection) -> None:
    """Neither by its values nor by a column that a later revision adds under a name of that kind."""
    given = await ann.ask("GET", "/v1/account/export")
    key = await owner.fetchval("select unsubscribe_key from mail_preference")

    for secret in (*SECRET_WORDS, key):
        assert secret not in given.text
    columns = {name for rows in given.json().values() for row in rows for name in row}
    suspicious = {
        name for name in columns for word in ("secret", "hash", "token", "password", "key") if word in name.split("_")
    }
    assert suspicious - {"market_key", "key", "key_id"} == set()
    assert not columns & SECRETS
    # `key` is what the client itself called a request; nothing opens with it.
    assert {name for name, rows in given.json().items() if rows and "key" in rows[0]} <= {"idempotency_key"}


async def test_another_accounts_rows_are_in_nobody_elses_export(
    ann: Person, replica: Replica, owner: asyncpg.Connection
) -> None:
    """Also where a table does not name the account itself."""
    bob = await make_person(replica, "bob@example.org", Tier.PRO)

    given = json.dumps((await bob.ask("GET", "/v1/account/export")).json())

    assert "prediction_session_model" not in given
    assert str(ann.account_id) not in given


async def test_deleting_leaves_what_is_listed_and_no_name(
    ann: Person, replica: Replica, owner: asyncpg.Connection
) -> None:
    """Read off the schema too: a table nobody erases from must be listed with its reason."""
    before = await owner.fetchval("select count(*) from credit_entry")
    assert (await ann.ask("POST", "/v1/account/delete", {"confirm": "yes"})).status_code == 422
    assert (await ann.ask("POST", "/v1/account/delete", {"confirm": "delete my account"})).status_code == 204

    left = set()
    for table in await belonging(owner):
        rows = "".join(row[0] for row in await owner.fetch(f"select t::text from {table} as t"))
        assert "ann@example.org" not in rows, table
        if str(ann.account_id) in rows:
            left.add(table)
    assert left == STAYS.keys()
    for table in await belonging(owner) - STAYS.keys() - {"audit_log", "stripe_event", "trial_use"}:
        own = "name <> 'pro reader' and name not like '%reader'" if table == "account" else "true"
        assert await owner.fetchval(f"select count(*) from {table} where {own}") == 0, table
    names = await owner.fetch("select account_id, name, email from account where closed_at is not null")
    assert [tuple(row)[1:] for row in names] == [("deleted", None)]
    opening = "select count(*) from api_key where account_id = $1 and (revoked_at is null or label <> '')"
    assert await owner.fetchval(opening, ann.account_id) == 0
    again = await replica.http.post("/v1/auth/login", json={"email": "ann@example.org", "password": PASSWORD})
    assert again.status_code == 401
    assert (await ann.ask("GET", "/v1/me")).status_code == 401
    # What no edge had begun is called off, and booked back before the books are closed.
    assert await owner.fetchval("select count(*) from credit_entry") == before + 1
    assert await owner.fetchval("select state from edge_request") == "expired"


async def test_what_an_edge_says_later_of_a_deleted_session_changes_nothing(
    ann: Person, replica: Replica, owner: asyncpg.Connection, edge: HandEdge
) -> None:
    """It may be at work when the account goes: its steps land, and nobody is told, charged or brought back."""
    from sync.records import SessionState
    from tests.integration.cloud.made import make_session_step

    session = str(await owner.fetchval("select session_id from prediction_session"))
    await ann.ask("POST", "/v1/account/delete", {"confirm": "delete my account"})

    sent = await edge.send([make_session_step(step_id=str(new_id()), session_id=session, state=SessionState.COMPLETED)])

    assert sent["result"] == "applied"
    assert await owner.fetchval("select count(*) from prediction_session") == 0
