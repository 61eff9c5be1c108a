"""A mail that was taken and comes back: its reader's mails end, and nobody else's."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from cloudapi.db import make_pool
from cloudapi.mailing import Mailing
from cloudapi.settings import CloudSettings
from tests.fakes.smtp import FakeMailServer, mail_server
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.subscribed import Person, make_person, settings_of
from tests.integration.cloud.test_mail import follows, news
from tests.unit.cloudapi.test_bounces import report

MAILBOX = "bounces@odds.example"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd")


@pytest.fixture
async def replica(start_replica: Any) -> Replica:
    return await start_replica(mail_bounces=MAILBOX)


@pytest.fixture
async def server() -> AsyncIterator[FakeMailServer]:
    async with mail_server() as serving:
        yield serving


@pytest.fixture
async def mailed(
    edge: HandEdge, replica: Replica, server: FakeMailServer, dsns: tuple[str, str]
) -> tuple[Person, Person]:
    """Two readers who got today's mail."""
    people = await make_person(replica), await make_person(replica, "bob@example.org")
    for person in people:
        await follows(person)
    await news(edge, replica)
    given = {"smtp_url": server.url, "mail_from": "Odds <odds@odds.example>", "mail_bounces": MAILBOX}
    settings = CloudSettings.load(**settings_of(dsns[0], mails_per_minute=10_000, **given))
    async with make_pool(settings, role="worker") as pool:
        mailing = Mailing(settings, pool, now=lambda: datetime.now(UTC))
        await mailing.plan()
        assert await mailing.send_chunk() == 2
    return people


async def came_back(replica: Replica, raw: bytes) -> httpx.Response:
    return await replica.http.post("/webhooks/mail", content=raw, headers={"content-type": "message/rfc822"})


async def is_on(person: Person) -> dict[str, Any]:
    return dict((await person.ask("GET", "/v1/mail")).json())


async def test_a_late_bounce_ends_that_readers_mails(
    replica: Replica, server: FakeMailServer, mailed: tuple[Person, Person], owner: asyncpg.Connection
) -> None:
    """The mail server took it and said so hours later: as if it had refused at once; a second report changes nothing."""
    ann, bob = mailed
    raw = report(server.senders["ann@example.org"])

    said = [(await came_back(replica, raw)).json()["outcome"] for _ in range(2)]

    assert said == ["switched off", "off before"]
    assert (await is_on(ann))["off_why"] == "bounced"
    assert (await is_on(bob))["is_on"] is True
    states = await owner.fetch("select account_id, state, answer from mail_daily")
    assert {row["account_id"]: (row["state"], row["answer"]) for row in states} == {
        uuid.UUID(str(ann.account_id)): ("bounced", "5.1.1"),
        uuid.UUID(str(bob.account_id)): ("sent", None),
    }
    (line,) = [one for one in (await ann.ask("GET", "/v1/audit")).json()["data"] if one["action"] == "mail_bounced"]
    assert (line["actor"], line["detail"]) == ("worker", {"why": "5.1.1"})


async def test_a_full_mailbox_is_noted_and_keeps_its_mails(
    replica: Replica, server: FakeMailServer, mailed: tuple[Person, Person], owner: asyncpg.Connection
) -> None:
    """Tomorrow there may be room."""
    ann, _ = mailed

    said = await came_back(replica, report(server.senders["ann@example.org"], status="5.2.2", quoted="smtp; 552 full"))

    assert said.json()["outcome"] == "noted"
    assert (await is_on(ann))["is_on"] is True
    assert await owner.fetchval("select answer from mail_daily where account_id = $1", ann.account_id) == "5.2.2"


async def test_nobody_can_end_another_readers_mails(
    replica: Replica, server: FakeMailServer, mailed: tuple[Person, Person]
) -> None:
    """Whoever knows an account's id does not know its mark; a reader's own return address speaks for him alone."""
    ann, bob = mailed
    anns, bobs = (server.senders[f"{name}@example.org"] for name in ("ann", "bob"))
    forged = anns.partition(".")[0] + "." + bobs.partition(".")[2]

    assert (await came_back(replica, report(forged))).json()["outcome"] == "nobody's"
    assert (await came_back(replica, report("odds@odds.example"))).status_code == 422
    assert [(await is_on(person))["is_on"] for person in (ann, bob)] == [True, True]


async def test_without_a_mailbox_nothing_is_taken(start_replica: Any, server: FakeMailServer) -> None:
    """Mails come back to their sender, where a person reads them."""
    replica = await start_replica()

    assert (await came_back(replica, report())).status_code == 503


@pytest.mark.parametrize("mailbox", ["Bounces@odds.example", "much-too-long-a-name@odds.example", "nobody"])
def test_a_mailbox_whose_return_addresses_would_not_fit_is_refused(mailbox: str) -> None:
    """At the start, not by the first mail server that counts to sixty-four."""
    from cloudapi.errors import ConfigError

    with pytest.raises(ConfigError) as refused:
        CloudSettings.load(database_url="postgresql://localhost/none", mail_bounces=mailbox)

    assert "MAIL_BOUNCES" in str(refused.value.faults)
