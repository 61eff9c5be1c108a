"""From an event to everyone who wants to hear of it: webhook messages and notifications, each once.

Law: messages, their tasks and the cursor move in one transaction, so an event is handed on exactly once however many
workers run and whenever one dies. What belongs to one account is told in the transaction that made it happen
(`tell_account`). The feed keeps ten minutes: what a longer outage of the worker missed is said in the log, not told.
"""

import uuid
from datetime import UTC, datetime

import msgspec
import structlog

from cloudapi import notifications, tasks, webhooks
from cloudapi.db import Connection, Pool
from cloudapi.flags import Flag, is_in, load_share
from cloudapi.queries import notifications as channel_rows
from cloudapi.queries import watch
from cloudapi.queries import webhooks as webhook_rows
from cloudapi.queries.webhooks import Listener
from cloudapi.webhooks import LANDED, TIERS, Topic

log = structlog.get_logger(__name__)

CHUNK = 100  # events in one transaction

CURSOR = "select event_id from courier_cursor for update skip locked"
MOVE = "update courier_cursor set event_id = $1"
OLDEST = "select min(event_id) from live_event"
AFTER = """
select event_id, topic, body, at from live_event where event_id > $1 order by event_id limit $2
"""
# How an event is recognised when it comes again: what it is about, not when it was told.
REFS = {
    Topic.INSIGHT: "insight_id",
    Topic.ARBITRAGE: "arbitrage_id",
    Topic.SIGNAL: "signal_id",
    Topic.PREDICTION: "prediction_id",
    Topic.DIGEST: "digest_id",
}


async def hand_on(pool: Pool) -> int:
    """Tell what has landed since the last time. Returns: how many events were seen; 0: none, or another is at it."""
    async with pool.acquire() as connection, connection.transaction():
        position = await connection.fetchval(CURSOR)
        if position is None:
            return 0
        rows = await connection.fetch(AFTER, position, CHUNK)
        if not rows:
            return 0
        oldest = await connection.fetchval(OLDEST)
        if oldest is not None and position and oldest > position + 1:
            log.warning("events were swept before they were told", action="events_missed", n=oldest - position - 1)
        for row in rows:
            if row["topic"] in LANDED:
                await _tell_landed(connection, Topic(row["topic"]), row["body"], row["at"])
        await connection.execute(MOVE, rows[-1]["event_id"])
    return len(rows)


async def tell_account(
    connection: Connection,
    account_id: uuid.UUID,
    topic: Topic,
    event_ref: str,
    data: msgspec.Struct | dict[str, object],
) -> None:
    """Tell one account of something of its own, inside the transaction that makes it so.

    Args:
        event_ref: names the event; told once however often this is called.
    """
    body = msgspec.json.encode(data).decode()
    await _tell(connection, topic, f"{topic.value}:{event_ref}", body, datetime.now(UTC), only=account_id)


async def _tell_landed(connection: Connection, topic: Topic, body: str, told_at: datetime) -> None:
    about = notifications.decoded(body).get(REFS[topic])
    if isinstance(about, str):
        await _tell(connection, topic, f"{topic.value}:{about}"[:200], body, told_at, only=None)


async def _tell(
    connection: Connection, topic: Topic, ref: str, body: str, told_at: datetime, *, only: uuid.UUID | None
) -> None:
    hooks = [
        one for one in await webhook_rows.load_listeners(connection, topic.value, list(TIERS))
        if only in {None, one.account_id}
    ]  # fmt: skip
    channels = [
        one for one in await channel_rows.load_listeners(connection, topic.value, list(TIERS))
        if only in {None, one.account_id}
    ]  # fmt: skip
    hooks = await _in_share(connection, Flag.WEBHOOKS, hooks)
    channels = await _in_share(connection, Flag.NOTIFICATIONS, channels)
    if not hooks and not channels:
        return
    data = notifications.decoded(body)
    if only is None:
        following = await _followers(connection, data, hooks + channels)
        hooks = [one for one in hooks if not one.watched_only or one.account_id in following]
        channels = [one for one in channels if not one.watched_only or one.account_id in following]
    sealed = webhooks.body_of(topic.value, told_at, msgspec.Raw(body.encode()))
    added = await webhook_rows.add_messages(connection, hooks, event_ref=ref, topic=topic.value, body=sealed)
    await tasks.defer(connection, tasks.SEND_WEBHOOK, *({"message_id": str(one)} for one in added))
    title, said = notifications.words(topic.value, data)
    new = await channel_rows.add(
        connection, [(one.endpoint_id, one.account_id) for one in channels], event_ref=ref, title=title, body=said
    )
    waiting = ({"channel_id": str(one), "event_ref": ref} for one in new)
    await tasks.defer(connection, tasks.SEND_NOTIFICATION, *waiting)


async def _in_share(connection: Connection, flag: Flag, listeners: list[Listener]) -> list[Listener]:
    """Those of these for whom a capability is."""
    if not listeners:
        return []
    share = await load_share(connection, flag)
    return [one for one in listeners if is_in(flag, one.account_id, share)]


async def _followers(connection: Connection, data: dict[str, object], listeners: list[Listener]) -> set[uuid.UUID]:
    """Who of those that hear of their watch list only follows this market; of nobody's market nobody is spared."""
    choosy = [one.account_id for one in listeners if one.watched_only]
    market_key = data.get("market_key")
    if not choosy or not isinstance(market_key, str):
        return set(choosy)
    return await watch.load_followers(connection, market_key, choosy)
