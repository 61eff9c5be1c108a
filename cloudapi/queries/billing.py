"""Customers, subscriptions and Stripe's events."""

import uuid
from datetime import datetime

import msgspec

from cloudapi.billing import Standing
from cloudapi.db import Connection, Pool, from_row

# The id first and once: a replay, or the same event on another replica, inserts nothing.
INSERT_EVENT = """
insert into stripe_event (event_id, event_type, customer_id, account_id)
values ($1, $2, $3, (select account_id from billing_customer where customer_id = $3))
on conflict (event_id) do nothing returning true
"""
LOAD_EVENT = "select event_id, event_type, customer_id, processed_at from stripe_event where event_id = $1"
FINISH_EVENT = "update stripe_event set processed_at = now(), outcome = $2 where event_id = $1"
WAITING = """
select event_id from stripe_event
where processed_at is null and received_at < now() - make_interval(secs => $1) order by received_at limit 100
"""
LOAD_CUSTOMER = "select customer_id from billing_customer where account_id = $1"
OWNER = "select account_id from billing_customer where customer_id = $1"
SAVE_CUSTOMER = """
insert into billing_customer (account_id, customer_id) values ($1, $2)
on conflict (account_id) do nothing
"""
LOAD_SUBSCRIPTION = """
select status, tier, period_end_at, trial_end_at, grace_until, ends_at_period_end, read_at
from subscription where account_id = $1
"""
NEXT_READING = "select nextval('subscription_reading')"

# Of two readings at once the one begun later counts; the change that came between them sends an event of its own.
SAVE_SUBSCRIPTION = """
insert into subscription (account_id, customer_id, subscription_id, status, tier, period_end_at, trial_end_at,
    grace_until, ends_at_period_end, reading, read_at)
values ($1, $2, $3, $4, coalesce($5, (select tier from account where account_id = $1)), $6, $7, $8, $9, $10, $11)
on conflict (account_id) do update set
    customer_id = excluded.customer_id, subscription_id = excluded.subscription_id, status = excluded.status,
    tier = coalesce($5, subscription.tier), period_end_at = excluded.period_end_at,
    trial_end_at = excluded.trial_end_at, grace_until = excluded.grace_until,
    ends_at_period_end = excluded.ends_at_period_end, reading = excluded.reading, read_at = excluded.read_at
where subscription.reading < excluded.reading
returning tier
"""
SET_TIER = """
update account as a set tier = $2 from account as b
where a.account_id = $1 and b.account_id = $1 and a.tier <> $2 returning b.tier
"""
# Nobody told us: a period that ended an hour ago, or a grace that is over.
OVERDUE = """
select customer_id from subscription
where (grace_until < $1 and tier <> 'basic')
   or (period_end_at < $1 - interval '1 hour' and tier <> 'basic' and read_at < $1 - interval '1 hour')
order by read_at limit 100
"""
HAD_TRIAL = """
select exists (select from subscription where account_id = $1 and trial_end_at is not null)
    or exists (select from trial_use where account_id = $1)
"""
NOTE_TRIAL = "insert into trial_use (fingerprint, account_id) values ($1, $2) on conflict do nothing"
TRIALS_OF_OTHERS = """
select fingerprint from trial_use where fingerprint = any ($1) and account_id is distinct from $2
"""


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was received."""

    event_id: str
    event_type: str
    customer_id: str | None
    processed_at: datetime | None


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as its payer may see it."""

    status: str
    tier: str
    period_end_at: datetime | None
    trial_end_at: datetime | None
    grace_until: datetime | None
    ends_at_period_end: bool
    read_at: datetime


async def save_event(connection: Connection, event_id: str, event_type: str, customer_id: str | None) -> bool:
    """Note an event. Returns: False if it was here before."""
    return bool(await connection.fetchval(INSERT_EVENT, event_id, event_type, customer_id))


async def load_event(pool: Pool, event_id: str) -> EventRow | None:
    """One event."""
    row = await pool.fetchrow(LOAD_EVENT, event_id)
    return None if row is None else from_row(row, EventRow)


async def finish_event(pool: Pool, event_id: str, outcome: str) -> None:
    """The event has had its effect."""
    await pool.execute(FINISH_EVENT, event_id, outcome)


async def load_waiting(pool: Pool, *, older_than_s: float) -> list[str]:
    """Events whose task was lost or failed."""
    return [row["event_id"] for row in await pool.fetch(WAITING, older_than_s)]


async def customer_of(pool: Pool, account_id: uuid.UUID) -> str | None:
    """The account's name at Stripe."""
    found: str | None = await pool.fetchval(LOAD_CUSTOMER, account_id)
    return found


async def owner_of(pool: Pool, customer_id: str) -> uuid.UUID | None:
    """The account behind a customer of ours."""
    found: uuid.UUID | None = await pool.fetchval(OWNER, customer_id)
    return found


async def save_customer(pool: Pool, account_id: uuid.UUID, customer_id: str) -> str:
    """Keep the account's customer. Returns: the one that counts, the earlier of two."""
    await pool.execute(SAVE_CUSTOMER, account_id, customer_id)
    return await customer_of(pool, account_id) or customer_id


async def load_subscription(pool: Pool, account_id: uuid.UUID) -> SubscriptionRow | None:
    """What was read last."""
    row = await pool.fetchrow(LOAD_SUBSCRIPTION, account_id)
    return None if row is None else from_row(row, SubscriptionRow)


async def next_reading(pool: Pool) -> int:
    """A number for a reading that begins now."""
    return int(await pool.fetchval(NEXT_READING))


async def save_standing(
    connection: Connection, account_id: uuid.UUID, customer_id: str, found: Standing, *, reading: int, at: datetime
) -> bool:
    """Keep what was read. Returns: False if a later reading is kept already."""
    tier = await connection.fetchval(
        SAVE_SUBSCRIPTION,
        account_id,
        customer_id,
        found.subscription_id,
        found.status,
        found.tier,
        found.period_end_at,
        found.trial_end_at,
        found.grace_until,
        found.ends_at_period_end,
        reading,
        at,
    )
    return tier is not None


async def set_tier(connection: Connection, account_id: uuid.UUID, tier: str) -> str | None:
    """Move an account to a tier. Returns: the tier before, None if it had this one."""
    before: str | None = await connection.fetchval(SET_TIER, account_id, tier)
    return before


async def load_overdue(pool: Pool, now: datetime) -> list[str]:
    """Customers to be read again though nobody said so."""
    return [row["customer_id"] for row in await pool.fetch(OVERDUE, now)]


async def had_trial(pool: Pool, account_id: uuid.UUID) -> bool:
    """Whether an account has had its trial."""
    return bool(await pool.fetchval(HAD_TRIAL, account_id))


async def note_trials(pool: Pool, account_id: uuid.UUID, fingerprints: list[str]) -> frozenset[str]:
    """Keep the cards of a trial. Returns: those that had theirs under another account."""
    await pool.executemany(NOTE_TRIAL, [(one, account_id) for one in fingerprints])
    return frozenset(row["fingerprint"] for row in await pool.fetch(TRIALS_OF_OTHERS, fingerprints, account_id))
