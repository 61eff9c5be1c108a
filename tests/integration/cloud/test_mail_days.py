"""One mail per reader and day, by the reader's own clock: nights the clocks change, both sides of the date line."""

import uuid
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from cloudapi.db import make_pool
from cloudapi.flags import Flag, is_in, set_flag
from cloudapi.mail import CHUNK
from cloudapi.mailing import Mailing
from cloudapi.queries.accounts import new_id
from cloudapi.settings import CloudSettings
from tests.fakes.smtp import mail_server
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY
from tests.integration.cloud.subscribed import settings_of
from tests.integration.cloud.test_mail import news

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Pago_Pago",
    "Asia/Kathmandu", "Africa/Casablanca",
)  # fmt: skip
HOURS = (0, 2, 3, 7, 23)
# The nights Berlin changes its clocks forth and back, and Lord Howe by half an hour.
NIGHTS = (date(2026, 3, 29), date(2026, 10, 25), date(2026, 4, 5))
LOOK = timedelta(minutes=30)

READER = "insert into account (account_id, name, tier, email) values ($1, 'reader', 'pro', $2)"
PREFERENCE = """
insert into mail_preference (account_id, time_zone, hour, unsubscribe_key)
values ($1, $2, $3, replace(gen_random_uuid()::text, '-', '') || 'and-more')
"""
ENTRY = """
insert into watch_entry (watch_id, account_id, kind, subject, min_move, min_confidence)
values (gen_random_uuid(), $1, 'market', $2, 0.05, 60)
"""

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd")


async def make_reader(owner: asyncpg.Connection, zone: str = "UTC", hour: int = 0) -> uuid.UUID:
    account_id = new_id()
    await owner.execute(READER, account_id, f"{account_id.hex}@example.org")
    await owner.execute(PREFERENCE, account_id, zone, hour)
    await owner.execute(ENTRY, account_id, KEY)
    return account_id


class Clock:
    """Turned by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.parametrize("night", NIGHTS, ids=str)
async def test_every_reader_has_one_mail_on_every_day_and_none_before_his_hour(
    dsns: tuple[str, str], owner: asyncpg.Connection, night: date
) -> None:
    """An hour that does not exist, one that comes twice, a day of 23 hours: each day is planned once, after its hour."""
    readers = {await make_reader(owner, zone, hour): (zone, hour) for zone in ZONES for hour in HOURS}
    clock = Clock(datetime(night.year, night.month, night.day, tzinfo=UTC) - timedelta(days=1))
    planned: dict[tuple[uuid.UUID, date], datetime] = {}
    settings = CloudSettings.load(**settings_of(dsns[0]))
    async with make_pool(settings, role="worker") as pool:
        mailing = Mailing(settings, pool, now=clock)
        for _ in range(int(timedelta(days=3) / LOOK)):
            await mailing.plan()
            clock.now += LOOK
    for row in await owner.fetch("select account_id, day, due_at from mail_daily"):
        planned[row["account_id"], row["day"]] = row["due_at"]

    n_days = Counter(account_id for account_id, _ in planned)
    assert set(n_days) == set(readers)
    for (account_id, day), due_at in planned.items():
        zone, hour = readers[account_id]
        there = due_at.astimezone(ZoneInfo(zone))
        assert there.date() == day, (zone, hour)
        assert there.hour >= hour, (zone, hour)
    for account_id, (zone, hour) in readers.items():
        days = sorted(day for reader, day in planned if reader == account_id)
        assert {later - day for day, later in pairwise(days)} == {timedelta(days=1)}
        assert len(days) >= 3, f"{zone} at {hour}: {days}"


async def test_a_reader_who_moves_house_gets_no_second_mail_that_day(
    dsns: tuple[str, str], owner: asyncpg.Connection
) -> None:
    """From Kiritimati to Pago Pago his clock falls back a day: the day he had is not mailed again."""
    reader = await make_reader(owner, "Pacific/Kiritimati", 0)
    clock = Clock(datetime(2026, 6, 1, 12, tzinfo=UTC))
    settings = CloudSettings.load(**settings_of(dsns[0]))
    async with make_pool(settings, role="worker") as pool:
        mailing = Mailing(settings, pool, now=clock)
        await mailing.plan()
        await owner.execute("update mail_preference set time_zone = 'Pacific/Pago_Pago' where account_id = $1", reader)
        for _ in range(48):
            await mailing.plan()
            clock.now += timedelta(hours=1)

    days = [row["day"] for row in await owner.fetch("select day from mail_daily order by day")]
    assert len(days) == len(set(days))
    assert days == [date(2026, 6, 1) + timedelta(days=number) for number in range(len(days))]


@pytest.fixture
async def many(edge: HandEdge, replica: Replica, owner: asyncpg.Connection) -> list[uuid.UUID]:
    """More readers than go over one connection, and news for all."""
    await news(edge, replica)
    return [await make_reader(owner) for _ in range(CHUNK * 2 + 7)]


async def test_many_readers_are_mailed_chunk_by_chunk(
    many: list[uuid.UUID], dsns: tuple[str, str], owner: asyncpg.Connection
) -> None:
    """A connection carries so many and no more; each full chunk asks for the next; each reader has his one mail."""
    async with mail_server() as server:
        given: dict[str, Any] = {"smtp_url": server.url, "mail_from": "o@odds.example", "mails_per_minute": 10_000}
        settings = CloudSettings.load(**settings_of(dsns[0], **given))
        async with make_pool(settings, role="worker") as pool:
            mailing = Mailing(settings, pool, now=lambda: datetime.now(UTC))
            await mailing.plan()
            n_tasks, sizes = [], []
            while n_sent := await mailing.send_chunk():
                sizes.append(n_sent)
                n_tasks.append(await owner.fetchval("select count(*) from procrastinate_jobs"))

    assert sizes == [CHUNK, CHUNK, 7]
    assert n_tasks == [2, 3, 3]  # one of the plan, one of each full chunk
    assert server.n_connections == 3
    assert {address for address, _ in server.taken} == {f"{one.hex}@example.org" for one in many}
    assert len(server.taken) == len(many)


async def test_a_share_of_readers_is_mailed_and_the_rest_hold_up_nobody(
    many: list[uuid.UUID], dsns: tuple[str, str], owner: asyncpg.Connection
) -> None:
    """Those left out have no row: were theirs waiting in front, no chunk would ever reach the others."""
    await set_flag(owner, Flag.MAIL, is_on=True, share=10)
    wanted = {f"{one.hex}@example.org" for one in many if is_in(Flag.MAIL, one, 10)}
    async with mail_server() as server:
        given: dict[str, Any] = {"smtp_url": server.url, "mail_from": "o@odds.example", "mails_per_minute": 10_000}
        settings = CloudSettings.load(**settings_of(dsns[0], **given))
        async with make_pool(settings, role="worker") as pool:
            mailing = Mailing(settings, pool, now=lambda: datetime.now(UTC))
            await mailing.plan()
            await mailing.send_chunk()

    assert 0 < len(wanted) < CHUNK
    assert {address for address, _ in server.taken} == wanted


async def test_an_address_no_header_can_hold_holds_up_no_other(
    edge: HandEdge, replica: Replica, dsns: tuple[str, str], owner: asyncpg.Connection
) -> None:
    """An account may be older than the rule of its address: its mail is given up, and those behind it go out."""
    await news(edge, replica)
    for address in ("a@[b.<", "a:b@c.org", "ü@b.org"):
        await owner.execute("update account set email = $2 where account_id = $1", await make_reader(owner), address)
    last = await make_reader(owner)
    async with mail_server() as server:
        given: dict[str, Any] = {"smtp_url": server.url, "mail_from": "o@odds.example", "mails_per_minute": 10_000}
        settings = CloudSettings.load(**settings_of(dsns[0], **given))
        async with make_pool(settings, role="worker") as pool:
            mailing = Mailing(settings, pool, now=lambda: datetime.now(UTC))
            await mailing.plan()
            await mailing.send_chunk()

    assert [address for address, _ in server.taken] == [f"{last.hex}@example.org"]
    assert await owner.fetchval("select count(*) from mail_daily where state = 'failed'") == 3
