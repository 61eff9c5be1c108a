"""Notification channels and what they were told.

Law: every statement a caller reaches names the account; an event is one row per channel; the hour's cap is counted
under the channel's lock, in a statement after the one that waited for it.
"""

import uuid
from datetime import datetime

import msgspec

from cloudapi.db import Connection, Pool, from_row
from cloudapi.queries.accounts import hold, new_id
from cloudapi.queries.webhooks import Listener

CHANNEL = "channel_id, kind, topics, watched_only, per_hour, created_at, disabled_at, disabled_why"
COUNT = "select count(*) from notification_channel where account_id = $1"
INSERT = f"""
insert into notification_channel (channel_id, account_id, kind, address, topics, watched_only, per_hour)
values ($1, $2, $3, $4, $5, $6, $7) returning {CHANNEL}
"""
LIST = f"select {CHANNEL} from notification_channel where account_id = $1 order by created_at desc, channel_id desc"
DELETE = "delete from notification_channel where account_id = $1 and channel_id = $2 returning true"
LISTENERS = """
select c.channel_id as endpoint_id, c.account_id, c.watched_only
from notification_channel as c join account as a using (account_id)
where $1 = any (c.topics) and c.disabled_at is null and a.tier = any ($2) and a.closed_at is null
"""
ADD = """
insert into notification (channel_id, account_id, event_ref, title, body)
select unnest($1::uuid[]), unnest($2::uuid[]), $3, $4, $5
on conflict do nothing returning channel_id
"""
LOCK = """
select c.kind, c.address, c.per_hour from notification_channel as c join account as a using (account_id)
where c.channel_id = $1 and c.disabled_at is null and a.tier = any ($2) and a.closed_at is null
for no key update of c
"""
COUNT_TOLD = """
select count(*) from notification where channel_id = $1 and event_ref <> $2
    and (sent_at > now() - interval '1 hour' or state = 'sending')
"""
CLAIM = """
update notification set state = $3, n_attempts = n_attempts + 1, next_at = now()
where channel_id = $1 and event_ref = $2 and state = 'pending' and next_at <= now() + interval '1 second'
returning account_id, title, body, n_attempts
"""
FINISH = """
update notification set state = $3, last_error = $4, next_at = coalesce($5, next_at),
    sent_at = case when $3 = 'sent' then now() end
where channel_id = $1 and event_ref = $2
"""
WORKS = "update notification_channel set n_failures = 0 where channel_id = $1 and n_failures > 0"
FAILS = """
update notification_channel set n_failures = n_failures + 1,
    disabled_at = case when n_failures + 1 >= $2 then now() end,
    disabled_why = case when n_failures + 1 >= $2 then 'it did not take ' || $2 || ' messages in a row' end
where channel_id = $1 returning disabled_at is not null
"""
OVERDUE = """
select n.channel_id, n.event_ref from notification as n join notification_channel as c using (channel_id)
join account as a on a.account_id = c.account_id
where n.state = 'pending' and n.next_at < now() - make_interval(secs => $1) and c.disabled_at is null
  and a.tier = any ($2) and a.closed_at is null
order by n.next_at limit 500
"""
TRIM = "delete from notification where state <> 'pending' and next_at < now() - make_interval(days => $1)"


class ChannelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as its owner may see it again: never its address."""

    channel_id: uuid.UUID
    kind: str
    topics: list[str]
    watched_only: bool
    per_hour: int
    created_at: datetime
    disabled_at: datetime | None
    disabled_why: str | None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One message to be sent."""

    account_id: uuid.UUID
    kind: str
    address: str
    title: str
    body: str
    n_attempts: int


async def count_channels(connection: Connection, account_id: uuid.UUID) -> int:
    """How many channels an account has; holds the account."""
    await hold(connection, account_id)
    return int(await connection.fetchval(COUNT, account_id))


async def save_channel(
    connection: Connection, account_id: uuid.UUID, *, kind: str, address: str, topics: list[str], watched_only: bool,
    per_hour: int,
) -> ChannelRow:  # fmt: skip
    """A new channel."""
    row = await connection.fetchrow(INSERT, new_id(), account_id, kind, address, topics, watched_only, per_hour)
    return msgspec.convert(dict(row or {}), ChannelRow)


async def load_channels(pool: Pool, account_id: uuid.UUID) -> list[ChannelRow]:
    """An account's channels, newest first."""
    return [from_row(row, ChannelRow) for row in await pool.fetch(LIST, account_id)]


async def delete_channel(connection: Connection, account_id: uuid.UUID, channel_id: uuid.UUID) -> bool:
    """Remove a channel. Returns: False if this account has no such channel."""
    return bool(await connection.fetchval(DELETE, account_id, channel_id))


async def load_listeners(connection: Connection, topic: str, tiers: list[str]) -> list[Listener]:
    """The channels that want a topic, `endpoint_id` being the channel's."""
    return [from_row(row, Listener) for row in await connection.fetch(LISTENERS, topic, tiers)]


async def add(
    connection: Connection, channels: list[tuple[uuid.UUID, uuid.UUID]], *, event_ref: str, title: str, body: str
) -> list[uuid.UUID]:
    """One message for each of these (channel, account). Returns: the channels it is news to."""
    rows = await connection.fetch(
        ADD, [one for one, _ in channels], [account for _, account in channels], event_ref, title, body
    )
    return [row["channel_id"] for row in rows]


async def take(pool: Pool, channel_id: uuid.UUID, event_ref: str, *, tiers: list[str]) -> Taken | None:
    """Take a message for one attempt; None if it is not to be sent now, or is skipped because the hour is full."""
    async with pool.acquire() as connection, connection.transaction():
        channel = await connection.fetchrow(LOCK, channel_id, tiers)
        if channel is None:
            return None
        n_told = await connection.fetchval(COUNT_TOLD, channel_id, event_ref)
        state = "sending" if n_told < channel["per_hour"] else "skipped"
        row = await connection.fetchrow(CLAIM, channel_id, event_ref, state)
    if row is None or state == "skipped":
        return None
    return msgspec.convert(dict(row) | {"kind": channel["kind"], "address": channel["address"]}, Taken)


async def note_sent(connection: Connection, channel_id: uuid.UUID, event_ref: str) -> None:
    """The service took it."""
    await connection.execute(FINISH, channel_id, event_ref, "sent", None, None)
    await connection.execute(WORKS, channel_id)


async def note_failed(
    connection: Connection, channel_id: uuid.UUID, event_ref: str, *, error: str, next_at: datetime | None, most: int
) -> bool:
    """The service did not take it; with `next_at` it is tried again. Returns: whether the channel is now off."""
    state = "failed" if next_at is None else "pending"
    await connection.execute(FINISH, channel_id, event_ref, state, error, next_at)
    return bool(await connection.fetchval(FAILS, channel_id, most))


async def load_overdue(pool: Pool, *, older_than_s: float, tiers: list[str]) -> list[tuple[uuid.UUID, str]]:
    """Messages whose task was lost."""
    return [(row["channel_id"], row["event_ref"]) for row in await pool.fetch(OVERDUE, older_than_s, tiers)]


async def trim(pool: Pool, *, days: int) -> None:
    """Forget messages that are settled and old."""
    await pool.execute(TRIM, days)
