"""What an account may have so many of, asked for by several at the same moment: never one more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from cloudapi.queries import notifications
from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import make_person, until

WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""
CHANNEL = {"kind": "ntfy", "address": "secret-topic-1", "topics": ["session"]}
CAPPED = (
    ("cloudapi.routes.accounts.MAX_KEYS", "/v1/api-keys", {"label": "{}"}),
    ("cloudapi.routes.watch.MAX_ENTRIES", "/v1/watchlist", {"kind": "keyword", "subject": "rain {}"}),
    ("cloudapi.routes.webhooks.MAX_ENDPOINTS", "/v1/webhooks", {"url": "https://{}.example/", "topics": ["session"]}),
    ("cloudapi.routes.webhooks.MAX_CHANNELS", "/v1/channels", CHANNEL),
)


@asynccontextmanager
async def all_at_once(
    owner: asyncpg.Connection, dsn: str, row: str, id_: object, *asked: Awaitable[Any]
) -> AsyncIterator[list[Any]]:
    """Answers to what is asked while somebody else holds the row, who lets go when all of them wait for it."""
    holder = await asyncpg.connect(dsn)
    try:
        held = holder.transaction()
        await held.start()
        await holder.execute(row, id_)
        answers = asyncio.gather(*asked)

        async def all_wait() -> bool:
            return bool(await owner.fetchval(WAITING) == len(asked))

        await until(all_wait)
        await held.rollback()
        yield await answers
    finally:
        await holder.close()


@pytest.mark.parametrize(("most", "path", "body"), CAPPED, ids=[path for _, path, _ in CAPPED])
async def test_two_at_once_cannot_both_add_the_last_one(  # noqa: PLR0917
    replica: Replica, owner: asyncpg.Connection, dsns: tuple[str, str], monkeypatch: pytest.MonkeyPatch, most: str,
    path: str, body: dict[str, Any],
) -> None:  # fmt: skip
    """Whoever had to wait counts what the one before added, not what there was when he began to wait."""
    monkeypatch.setattr(most, 1)
    ann = await make_person(replica, tier=Tier.PRO)
    bodies = [
        {key: value.format(f"no{i}") if isinstance(value, str) else value for key, value in body.items()}
        for i in range(3)
    ]

    async with all_at_once(
        owner, dsns[0], "select from account where account_id = $1 for update", ann.account_id,
        *(ann.ask("POST", path, each) for each in bodies),
    ) as answers:  # fmt: skip
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409], [each.text for each in answers]


async def test_two_at_once_cannot_both_take_the_hours_last_message(
    replica: Replica, owner: asyncpg.Connection, dsns: tuple[str, str]
) -> None:
    """A channel's cap of messages an hour holds however many workers take at the same moment."""
    ann = await make_person(replica, tier=Tier.PRO)
    pool = replica.services.pool
    async with pool.acquire() as connection, connection.transaction():
        made = await notifications.save_channel(
            connection, ann.account_id, kind="ntfy", address="a", topics=["session"], watched_only=False, per_hour=1
        )
        for i in range(3):
            await notifications.add(
                connection, [(made.channel_id, ann.account_id)], event_ref=f"session:{i}", title="t", body="b"
            )

    async with all_at_once(
        owner, dsns[0], "select from notification_channel where channel_id = $1 for update", made.channel_id,
        *(notifications.take(pool, made.channel_id, f"session:{i}", tiers=[Tier.PRO]) for i in range(3)),
    ) as taken:  # fmt: skip
        assert len([each for each in taken if each is not None]) == 1
    states = await owner.fetch("select state from notification order by state")
    assert [row["state"] for row in states] == ["sending", "skipped", "skipped"]
