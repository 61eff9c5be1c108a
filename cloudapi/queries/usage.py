"""What accounts have used, what was answered to a request with an idempotency key, and sweeping out what is over."""

import uuid
from datetime import date

import msgspec

from cloudapi.db import Connection, Pool, from_row

TAKE = "select account_take($1, $2, $3, $4)"
GIVE_BACK = """
update account_usage set n_requests = greatest(n_requests - $3, 0) where account_id = $1 and month = $2
"""
LOAD_USED = "select n_requests from account_usage where account_id = $1 and month = $2"

# False while the same key is being worked on elsewhere; let go at the end of the transaction.
CLAIM_KEY = "select pg_try_advisory_xact_lock(hashtextextended($1::uuid::text || ':' || $2, 0))"
LOAD_ANSWER = """
select request_digest, status, body from idempotency_key
where account_id = $1 and key = $2 and created_at > now() - interval '1 day'
"""
SAVE_ANSWER = """
insert into idempotency_key (account_id, key, request_digest, status, body) values ($1, $2, $3, $4, $5)
on conflict (account_id, key) do update set
    request_digest = excluded.request_digest, status = excluded.status, body = excluded.body, created_at = now()
"""

# The newest event stays: its number tells a reader whether anything was missed.
SWEEP = """
delete from live_event where at < now() - interval '10 minutes' and event_id < (select max(event_id) from live_event);
delete from live_ticket where expires_at < now();
delete from idempotency_key where created_at < now() - interval '1 day';
delete from login_failure where last_at < now() - interval '1 day';
delete from account_login where expires_at < now() - interval '30 days';
"""


class Answered(msgspec.Struct, frozen=True):
    """What was answered to the first request with a key."""

    request_digest: bytes
    status: int
    body: str


async def take(pool: Pool, account_id: uuid.UUID, month: date, *, quota: int, most: int) -> int:
    """A block of this month's requests; 0 when there are none left."""
    return int(await pool.fetchval(TAKE, account_id, month, quota, most))


async def give_back(pool: Pool, account_id: uuid.UUID, month: date, n_requests: int) -> None:
    """Return what was taken and not used."""
    await pool.execute(GIVE_BACK, account_id, month, n_requests)


async def load_used(pool: Pool, account_id: uuid.UUID, month: date) -> int:
    """How many requests of the month are taken."""
    return int(await pool.fetchval(LOAD_USED, account_id, month) or 0)


async def claim_key(connection: Connection, account_id: uuid.UUID, key: str) -> bool:
    """Whether nobody else is working on a request with this key."""
    return bool(await connection.fetchval(CLAIM_KEY, account_id, key))


async def load_answer(connection: Connection, account_id: uuid.UUID, key: str) -> Answered | None:
    """What was answered before, for a day."""
    row = await connection.fetchrow(LOAD_ANSWER, account_id, key)
    return None if row is None else from_row(row, Answered)


async def save_answer(connection: Connection, account_id: uuid.UUID, key: str, answer: Answered) -> None:
    """Keep an answer in the transaction of what it created."""
    await connection.execute(SAVE_ANSWER, account_id, key, answer.request_digest, answer.status, answer.body)


async def sweep(pool: Pool) -> None:
    """Remove what is over. Any replica may do it, at any time."""
    await pool.execute(SWEEP)
