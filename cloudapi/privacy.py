"""An account's own data: all of it handed out, or all of it taken away.

Law: which tables there are is asked of the database, those that name the account and those that hang on them, so a
table that comes later is exported without being named here; columns that open something are never exported. Deleting
leaves what `STAYS` lists, under an id that no longer names a person; the audit log keeps its deeds without the account.
A test reads the schema: whatever can hold something of an account is exported, and erased or listed.
"""

import uuid
from typing import Any

import msgspec

from cloudapi.audit import Actor, note
from cloudapi.db import Connection
from cloudapi.queries.accounts import announce

# Hashes are of type bytea and left out by type; these are text.
SECRETS = frozenset({"password_hash", "secret", "address", "unsubscribe_key", "fingerprint"})
KEPT = 10_000  # rows of one table in an export; nobody has more of anything

# What names the account; and what names one of those rows by a single column, such as a session's steps.
TABLES = """
with named as (
    select c.oid, c.relname::text as name, 'account_id = $1' as own
    from pg_class as c join pg_attribute as k on k.attrelid = c.oid and k.attname = 'account_id'
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not k.attisdropped
), hanging as (
    select distinct on (c.oid) c.oid, c.relname::text as name, format(
        '%I in (select %I from %I where account_id = $1)', own.attname, their.attname, parent.name) as own
    from pg_constraint as f join pg_class as c on c.oid = f.conrelid join named as parent on parent.oid = f.confrelid
    join pg_attribute as own on own.attrelid = f.conrelid and own.attnum = f.conkey[1]
    join pg_attribute as their on their.attrelid = f.confrelid and their.attnum = f.confkey[1]
    where f.contype = 'f' and cardinality(f.conkey) = 1 and c.relname not in (select name from named)
    order by c.oid, f.oid
)
select t.name, t.own, array_agg(a.attname::text order by a.attnum) as columns
from (select * from named union all select * from hanging) as t
join pg_attribute as a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.atttypid <> 'bytea'::regtype
group by t.name, t.own order by t.name
"""

# What deleting leaves, and why.
STAYS = {
    "account": "its id, without name, e-mail or password: what is booked hangs on it",
    "api_key": "revoked and without its label: a key that was once given is never given again",
    "credit_entry": "the ledger: an entry is never changed",
}

# In this order: what names another comes first.
ERASED = (
    """update edge_request set state = 'expired', finished_at = now(), reason = 'the account is gone'
    where state = 'waiting' and request_id in (select request_id from prediction_session where account_id = $1)""",
    "delete from prediction_session where account_id = $1",
    "delete from account_usage where account_id = $1",
    "delete from notification where account_id = $1",
    "delete from notification_channel where account_id = $1",
    "delete from webhook_message where account_id = $1",
    "delete from webhook_endpoint where account_id = $1",
    "delete from watch_entry where account_id = $1",
    "delete from mail_daily where account_id = $1",
    "delete from mail_preference where account_id = $1",
    "delete from subscription where account_id = $1",
    "delete from billing_customer where account_id = $1",
    "update stripe_event set account_id = null, customer_id = null where account_id = $1",
    "update trial_use set account_id = null where account_id = $1",
    "delete from idempotency_key where account_id = $1",
    "delete from live_ticket where account_id = $1",
    "delete from account_login where account_id = $1",
    "update api_key set revoked_at = coalesce(revoked_at, now()), label = '' where account_id = $1",
    "delete from login_failure where subject = (select 'account:' || email from account where account_id = $1)",
    "update audit_log set account_id = null where account_id = $1",
    """update account set email = null, password_hash = null, name = 'deleted', tier = 'basic', closed_at = now()
    where account_id = $1""",
)


async def export(connection: Connection, account_id: uuid.UUID) -> dict[str, list[dict[str, Any]]]:
    """Everything kept about an account, by table, without what opens anything."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in await connection.fetch(TABLES):
        columns = ", ".join(f'"{name}"' for name in table["columns"] if name not in SECRETS)
        rows = await connection.fetch(
            f'select to_jsonb(r)::text as row from (select {columns} from "{table["name"]}" '
            f"where {table['own']} limit {KEPT}) as r",
            account_id,
        )
        if rows:
            found[table["name"]] = [msgspec.json.decode(row["row"]) for row in rows]
    return found


async def erase(connection: Connection, account_id: uuid.UUID) -> None:
    """Take away what names or serves a person; every key and login ends, on every replica at once."""
    async with connection.transaction():
        for statement in ERASED:
            await connection.execute(statement, account_id)
        await announce(connection, "deleted")
        await note(connection, None, "account_deleted", actor=Actor.ACCOUNT)
