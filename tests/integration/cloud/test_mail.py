"""The daily mail end to end: a watch list, a worker's mailing, a real mail server. Nobody is mailed twice."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from cloudapi import mail as words
from cloudapi.db import make_pool
from cloudapi.flags import Flag, set_flag
from cloudapi.mailing import Mailing
from cloudapi.queries import watch
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier
from tests.fakes.smtp import FakeMailServer, mail_server
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY, NOW, make_insight, make_market, make_quote
from tests.integration.cloud.subscribed import Person, make_person, settings_of, until
from tests.integration.cloud.test_api import land

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd")


@pytest.fixture
async def server() -> AsyncIterator[FakeMailServer]:
    async with mail_server() as serving:
        yield serving


@pytest.fixture
def mailing(replica: Replica, server: FakeMailServer, dsns: tuple[str, str]) -> Iterator[Any]:
    def make(*, now: datetime | None = None, **changes: Any) -> Mailing:
        given = {"smtp_url": server.url, "mail_from": "Odds <odds@odds.example>", "mails_per_minute": 10_000} | changes
        settings = CloudSettings.load(**settings_of(dsns[0], **given))
        return Mailing(settings, replica.services.pool, now=lambda: now or datetime.now(UTC))

    return make


async def follows(person: Person, subject: str = KEY, kind: str = "market") -> None:
    made = await person.ask("POST", "/v1/watchlist", {"kind": kind, "subject": subject})
    assert made.status_code == 201, made.text
    chosen = await person.ask("PUT", "/v1/mail", {"time_zone": "UTC", "hour": 0})
    assert chosen.status_code == 200, chosen.text


async def news(edge: HandEdge, replica: Replica) -> None:
    """A market that moved twelve points within the day, and an insight about it."""
    before = make_quote(fetched_at=NOW - timedelta(hours=30), mid=0.30, bid=0.29, ask=0.31)
    after = make_quote(fetched_at=NOW - timedelta(minutes=20), mid=0.42, bid=0.41, ask=0.43)
    await land(edge, replica, [make_market(), before, after, make_insight(created_at=NOW - timedelta(minutes=20))])


async def test_a_reader_gets_one_mail_a_day_whoever_sends(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any
) -> None:
    """Planned twice, sent by two workers at once, sent again afterwards: one mail, with what happened."""
    ann = await make_person(replica, tier=Tier.PRO)
    await follows(ann)
    await news(edge, replica)

    await asyncio.gather(mailing().plan(), mailing().plan())
    await asyncio.gather(mailing().send_chunk(), mailing().send_chunk())
    await mailing().plan()
    await mailing().send_chunk()

    (mail,) = server.to("ann@example.org")
    text = mail.get_payload()[0].get_payload(decode=True).decode()
    assert "30.0 % -> 42.0 %" in text
    assert "NEW INSIGHTS" in text


async def test_the_mail_shows_what_the_tier_shows(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any
) -> None:
    """Prices of the last quarter of an hour are not told to basic by a back door."""
    ann, bob = await make_person(replica), await make_person(replica, "bob@example.org", Tier.PREMIUM)
    for person in (ann, bob):
        await follows(person)
    before = make_quote(fetched_at=NOW - timedelta(hours=30), mid=0.30, bid=0.29, ask=0.31)
    calm = make_quote(fetched_at=NOW - timedelta(minutes=30), mid=0.31, bid=0.30, ask=0.32)
    fresh = make_quote(fetched_at=NOW - timedelta(minutes=2), mid=0.60, bid=0.59, ask=0.61)
    await land(edge, replica, [make_market(), before, calm, fresh])

    await mailing(now=NOW).plan()  # however long other tests took: two minutes after the last price
    await mailing(now=NOW).send_chunk()

    assert server.to("ann@example.org") == []
    assert len(server.to("bob@example.org")) == 1


async def test_nothing_to_tell_is_no_mail(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection
) -> None:
    """An empty mail teaches people not to read the next one."""
    ann = await make_person(replica)
    await follows(ann, "Sports", "category")
    await news(edge, replica)

    await mailing().plan()
    await mailing().send_chunk()

    assert server.taken == []
    assert await owner.fetchval("select state from mail_daily") == "empty"


async def test_a_mailbox_that_is_gone_is_not_mailed_again(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection
) -> None:
    """A bounce switches the mail off, and says so to its reader and the audit log; others get theirs."""
    ann, bob = await make_person(replica), await make_person(replica, "bob@example.org")
    for person in (ann, bob):
        await follows(person, "rain", "keyword")
    await news(edge, replica)
    server.answers["ann@example.org"] = "550 5.1.1 ann@example.org is no more"

    await mailing().plan()
    await mailing().send_chunk()

    assert (await ann.ask("GET", "/v1/mail")).json() == {
        "time_zone": "UTC",
        "hour": 0,
        "is_on": False,
        "off_why": "bounced",
    }
    (line,) = [one for one in (await ann.ask("GET", "/v1/audit")).json()["data"] if one["action"] == "mail_bounced"]
    assert line["detail"] == {"why": "550 5.1.1"}
    assert len(server.to("bob@example.org")) == 1


@pytest.mark.parametrize("where", ["rcpt", "data"])
async def test_a_full_mailbox_waits_and_gets_its_mail(  # noqa: PLR0917
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection, where: str
) -> None:
    """4xx is "not now": tried again after five minutes, not before, and nothing is switched off."""
    ann = await make_person(replica)
    await follows(ann)
    await news(edge, replica)
    refusing = server.answers if where == "rcpt" else server.refuse_data
    refusing["ann@example.org"] = "451 4.7.1 greylisted"
    now = datetime.now(UTC)

    await mailing(now=now).plan()
    await mailing(now=now).send_chunk()
    refusing.clear()
    await mailing(now=now + timedelta(seconds=words.DELAYS_S[0] - 1)).send_chunk()
    assert server.taken == []
    await owner.execute("update mail_daily set day = current_date + 1")  # not stopped by a midnight during the test
    await mailing(now=now + timedelta(seconds=words.DELAYS_S[0])).send_chunk()

    assert len(server.to("ann@example.org")) == 1


async def test_a_mail_that_may_have_left_is_never_sent_again(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection
) -> None:
    """The line breaks after the text and before the answer: one mail is better than two."""
    ann = await make_person(replica)
    await follows(ann)
    await news(edge, replica)
    server.drop_after_data = True

    await mailing().plan()
    await mailing().send_chunk()
    server.drop_after_data = False
    await mailing().plan()
    await mailing().send_chunk()

    assert len(server.to("ann@example.org")) == 1
    assert await owner.fetchval("select state from mail_daily") == "sending"


async def test_a_mail_server_that_is_away_blames_no_reader(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection
) -> None:
    """Nothing is claimed before the server answers; the day's mail leaves when it is back."""
    ann = await make_person(replica)
    await follows(ann)
    await news(edge, replica)
    await mailing().plan()

    assert await mailing(smtp_url="smtp://127.0.0.1:1").send_chunk() == 0
    assert await owner.fetchrow("select state, n_attempts from mail_daily") == ("due", 0)
    await mailing().send_chunk()

    assert len(server.to("ann@example.org")) == 1


async def test_a_day_that_takes_too_long_to_read_holds_up_no_other(  # noqa: PLR0917
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each reader whose watch list cannot be read in time waits by himself, and gets his mail when it can."""
    for name in ("ann", "bob"):
        await follows(await make_person(replica, f"{name}@example.org"))
    await news(edge, replica)
    now = datetime.now(UTC)
    await mailing(now=now).plan()

    monkeypatch.setattr(watch, "READ_S", 0.1)
    async with owner.transaction():
        await owner.execute("lock table insight in access exclusive mode")
        assert await mailing(now=now).send_chunk() == 0
    waiting = await owner.fetch("select state, n_attempts, due_at from mail_daily")
    later = now + timedelta(seconds=words.DELAYS_S[0])
    assert [tuple(row) for row in waiting] == [("due", 0, later)] * 2
    monkeypatch.undo()
    await owner.execute("update mail_daily set day = current_date + 1")  # not stopped by a midnight during the test
    await mailing(now=later).send_chunk()

    assert len(server.taken) == 2


async def test_a_mail_may_read_longer_than_a_request_may(dsns: tuple[str, str], owner: asyncpg.Connection) -> None:
    """The limit of a request would end the reading of a long watch list every day anew."""
    pool = make_pool(CloudSettings.load(database_url=dsns[0], statement_timeout_s=0.2))
    looking = await asyncpg.connect(dsns[0])  # one that may see what others do
    waits = (
        "select exists (select from pg_stat_activity where wait_event = 'relation' and now() - query_start > '0.4s')"
    )

    async with pool:
        async with owner.transaction():
            await owner.execute("lock table insight in access exclusive mode")
            reading = asyncio.create_task(watch.load_notes(pool, uuid.uuid4(), until=NOW))
            await until(lambda: looking.fetchval(waits))
        found = await reading
    await looking.close(timeout=5)

    assert found == []


async def test_a_mail_server_slow_to_say_goodbye_holds_up_nothing(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any
) -> None:
    """The worker's loop turns while the server thinks: webhooks and money do not wait for the end of a mail session."""
    ann = await make_person(replica)
    await follows(ann)
    await news(edge, replica)
    await mailing().plan()
    server.may_leave.clear()

    sending = asyncio.create_task(mailing().send_chunk())
    async with asyncio.timeout(words.CONNECT_S / 2):  # a loop that waits for the answer is held for all of it
        await server.leaving.wait()
    assert not sending.done()
    server.may_leave.set()

    assert await sending == 1


async def test_one_click_ends_the_mails_and_a_look_does_not(
    replica: Replica, edge: HandEdge, server: FakeMailServer, mailing: Any
) -> None:
    """Link scanners open every address in a mail; only a POST unsubscribes, and it needs no login."""
    ann = await make_person(replica)
    await follows(ann)
    await news(edge, replica)
    await mailing().plan()
    await mailing().send_chunk()
    leave = server.to("ann@example.org")[0]["List-Unsubscribe"].strip("<>").removeprefix("https://odds.example")

    assert (await replica.http.get(leave)).status_code == 200
    assert (await ann.ask("GET", "/v1/mail")).json()["is_on"] is True
    clicked = await replica.http.post(leave, data={"List-Unsubscribe": "One-Click"})
    assert clicked.status_code == 200
    assert (await ann.ask("GET", "/v1/mail")).json()["off_why"] == "unsubscribed"
    assert (await replica.http.post(leave[:-1])).status_code == 404


async def test_the_providers_cap_holds_over_workers(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection
) -> None:
    """Two workers take turns from one row: six mails at 1,200 a minute cannot leave within a quarter of a second."""
    people = [await make_person(replica, f"p{number}@example.org") for number in range(6)]
    for person in people:
        await follows(person)
    await news(edge, replica)
    await mailing().plan()

    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(mailing(mails_per_minute=1200).send_chunk() for _ in range(2)))

    assert asyncio.get_running_loop().time() - began >= 5 * 0.05
    assert len({address for address, _ in server.taken}) == len(server.taken) == 6


async def test_the_kill_switch_stops_every_mail(
    edge: HandEdge, replica: Replica, server: FakeMailServer, mailing: Any, owner: asyncpg.Connection
) -> None:
    """One row, no deployment; what is owed leaves when it is switched on again."""
    ann = await make_person(replica)
    await follows(ann)
    await news(edge, replica)
    await mailing().plan()

    await set_flag(owner, Flag.OUTSIDE, is_on=False)
    await mailing().send_chunk()
    assert server.taken == []
    await set_flag(owner, Flag.OUTSIDE, is_on=True)
    await mailing().send_chunk()

    assert len(server.taken) == 1


async def test_a_zone_nobody_knows_is_refused(replica: Replica) -> None:
    """One wrong name in the table would stop everybody's mail."""
    ann = await make_person(replica)

    for name in ("Mars/Olympus", "../../etc/passwd", "Europe/Berlin'; --"):
        assert (await ann.ask("PUT", "/v1/mail", {"time_zone": name})).status_code == 422
