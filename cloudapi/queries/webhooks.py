"""Webhook endpoints and their messages.

Law: every statement a caller reaches names the account. A message is inserted once per endpoint and event, and taken
by moving its `next_at` ahead: two workers never send the same attempt.
"""

import uuid
from datetime import datetime

import msgspec

from cloudapi.db import Connection, Pool, from_row
from cloudapi.queries.accounts import hold, new_id

ENDPOINT = "endpoint_id, url, topics, watched_only, created_at, failing_since, disabled_at, disabled_why"
COUNT = "select count(*) from webhook_endpoint where account_id = $1"
INSERT = f"""
insert into webhook_endpoint (endpoint_id, account_id, url, topics, watched_only, secret)
values ($1, $2, $3, $4, $5, $6) returning {ENDPOINT}
"""
LIST = f"select {ENDPOINT} from webhook_endpoint where account_id = $1 order by created_at desc, endpoint_id desc"
DELETE = "delete from webhook_endpoint where account_id = $1 and endpoint_id = $2 returning true"
ENABLE = """
update webhook_endpoint set disabled_at = null, disabled_why = null, failing_since = null
where account_id = $1 and endpoint_id = $2 returning true
"""
MESSAGES = """
select message_id, topic, state, n_attempts, created_at, next_at, delivered_at, last_status, last_error
from webhook_message
where account_id = $1 and endpoint_id = $2 and ($3::text is null or state = $3)
  and ($4::uuid is null or message_id < $4)
order by message_id desc limit $5
"""
# A dead or delivered message starts anew, under the same id: the receiver knows it as the same.
REDELIVER = """
update webhook_message as m set state = 'pending', n_attempts = 0, next_at = now()
from webhook_endpoint as e
where m.account_id = $1 and m.message_id = $2 and m.state <> 'pending'
  and e.endpoint_id = m.endpoint_id and e.disabled_at is null
returning true
"""
LISTENERS = """
select e.endpoint_id, e.account_id, e.watched_only from webhook_endpoint as e join account as a using (account_id)
where $1 = any (e.topics) and e.disabled_at is null and a.tier = any ($2) and a.closed_at is null
"""
ADD = """
insert into webhook_message (message_id, endpoint_id, account_id, event_ref, topic, body)
select unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), $4, $5, $6
on conflict (endpoint_id, event_ref) do nothing returning message_id
"""
# Taken for as long as an attempt can last; a worker that dies with it leaves it to the next look.
TAKE = """
update webhook_message as m set next_at = now() + make_interval(secs => $2), n_attempts = m.n_attempts + 1
from webhook_endpoint as e join account as a using (account_id)
where m.message_id = $1 and m.state = 'pending' and m.next_at <= now() + interval '1 second'
  and e.endpoint_id = m.endpoint_id and e.disabled_at is null and a.tier = any ($3) and a.closed_at is null
returning m.message_id, m.endpoint_id, m.account_id, m.body, m.n_attempts, e.url, e.secret, e.failing_since
"""
FINISH = """
update webhook_message set state = $2, last_status = $3, last_error = $4, delivered_at = $5,
    next_at = coalesce($6, next_at)
where message_id = $1
"""
WORKS = "update webhook_endpoint set failing_since = null where endpoint_id = $1 and failing_since is not null"
FAILS = """
update webhook_endpoint set failing_since = coalesce(failing_since, $2) where endpoint_id = $1 returning failing_since
"""
DISABLE = """
update webhook_endpoint set disabled_at = $2, disabled_why = $3 where endpoint_id = $1 and disabled_at is null
returning true
"""
BURY = "update webhook_message set state = 'dead', last_error = $2 where endpoint_id = $1 and state = 'pending'"
OVERDUE = """
select m.message_id from webhook_message as m join webhook_endpoint as e using (endpoint_id)
join account as a on a.account_id = m.account_id
where m.state = 'pending' and m.next_at < now() - make_interval(secs => $1) and e.disabled_at is null
  and a.tier = any ($2) and a.closed_at is null
order by m.next_at limit 500
"""
TRIM = "delete from webhook_message where state <> 'pending' and created_at < now() - make_interval(days => $1)"


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as its owner may see it again: never its secret."""

    endpoint_id: uuid.UUID
    url: str
    topics: list[str]
    watched_only: bool
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message and how it fared."""

    message_id: uuid.UUID
    topic: str
    state: str
    n_attempts: int
    created_at: datetime
    next_at: datetime
    delivered_at: datetime | None
    last_status: int | None
    last_error: str | None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to be made."""

    message_id: uuid.UUID
    endpoint_id: uuid.UUID
    account_id: uuid.UUID
    body: str
    n_attempts: int
    url: str
    secret: str
    failing_since: datetime | None


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that wants a topic."""

    endpoint_id: uuid.UUID
    account_id: uuid.UUID
    watched_only: bool


async def count_endpoints(connection: Connection, account_id: uuid.UUID) -> int:
    """How many endpoints an account has; holds the account."""
    await hold(connection, account_id)
    return int(await connection.fetchval(COUNT, account_id))


async def save_endpoint(
    connection: Connection, account_id: uuid.UUID, *, url: str, topics: list[str], watched_only: bool, secret: str
) -> EndpointRow:
    """A new endpoint."""
    row = await connection.fetchrow(INSERT, new_id(), account_id, url, topics, watched_only, secret)
    return msgspec.convert(dict(row or {}), EndpointRow)


async def load_endpoints(pool: Pool, account_id: uuid.UUID) -> list[EndpointRow]:
    """An account's endpoints, newest first."""
    return [from_row(row, EndpointRow) for row in await pool.fetch(LIST, account_id)]


async def delete_endpoint(connection: Connection, account_id: uuid.UUID, endpoint_id: uuid.UUID) -> bool:
    """Remove an endpoint and its messages. Returns: False if this account has no such endpoint."""
    return bool(await connection.fetchval(DELETE, account_id, endpoint_id))


async def enable_endpoint(connection: Connection, account_id: uuid.UUID, endpoint_id: uuid.UUID) -> bool:
    """Switch an endpoint on again. Returns: False if this account has no such endpoint."""
    return bool(await connection.fetchval(ENABLE, account_id, endpoint_id))


async def load_messages(
    pool: Pool,
    account_id: uuid.UUID,
    endpoint_id: uuid.UUID,
    *,
    state: str | None,
    before: uuid.UUID | None,
    limit: int,
) -> list[MessageRow]:
    """An endpoint's messages, newest first; one more than `limit` if there are more."""
    rows = await pool.fetch(MESSAGES, account_id, endpoint_id, state, before, limit + 1)
    return [from_row(row, MessageRow) for row in rows]


async def redeliver(connection: Connection, account_id: uuid.UUID, message_id: uuid.UUID) -> bool:
    """Send a message once more. Returns: False if this account has none that could be."""
    return bool(await connection.fetchval(REDELIVER, account_id, message_id))


async def load_listeners(connection: Connection, topic: str, tiers: list[str]) -> list[Listener]:
    """The endpoints that want a topic."""
    return [from_row(row, Listener) for row in await connection.fetch(LISTENERS, topic, tiers)]


async def add_messages(
    connection: Connection, listeners: list[Listener], *, event_ref: str, topic: str, body: str
) -> list[uuid.UUID]:
    """One message for each of these endpoints. Returns: those that are new."""
    rows = await connection.fetch(
        ADD,
        [new_id() for _ in listeners],
        [one.endpoint_id for one in listeners],
        [one.account_id for one in listeners],
        event_ref,
        topic,
        body,
    )
    return [row["message_id"] for row in rows]


async def take(pool: Pool, message_id: uuid.UUID, *, for_s: float, tiers: list[str]) -> Taken | None:
    """Take a message whose time has come, for one attempt; None if there is nothing to do."""
    row = await pool.fetchrow(TAKE, message_id, for_s, tiers)
    return None if row is None else from_row(row, Taken)


async def finish(
    connection: Connection,
    message_id: uuid.UUID,
    state: str,
    *,
    status: int | None,
    error: str | None,
    delivered_at: datetime | None = None,
    next_at: datetime | None = None,
) -> None:
    """Write what became of an attempt."""
    await connection.execute(FINISH, message_id, state, status, error, delivered_at, next_at)


async def note_success(connection: Connection, endpoint_id: uuid.UUID) -> None:
    """The endpoint takes messages."""
    await connection.execute(WORKS, endpoint_id)


async def note_failure(connection: Connection, endpoint_id: uuid.UUID, at: datetime) -> datetime:
    """The endpoint did not take one. Returns: since when it takes nothing."""
    since: datetime = await connection.fetchval(FAILS, endpoint_id, at)
    return since


async def disable(connection: Connection, endpoint_id: uuid.UUID, at: datetime, why: str) -> bool:
    """Switch an endpoint off; what was waiting for it is dead."""
    if not await connection.fetchval(DISABLE, endpoint_id, at, why):
        return False
    await connection.execute(BURY, endpoint_id, why)
    return True


async def load_overdue(pool: Pool, *, older_than_s: float, tiers: list[str]) -> list[uuid.UUID]:
    """Messages whose task was lost."""
    return [row["message_id"] for row in await pool.fetch(OVERDUE, older_than_s, tiers)]


async def trim(pool: Pool, *, days: int) -> None:
    """Forget messages that are settled and old."""
    await pool.execute(TRIM, days)
