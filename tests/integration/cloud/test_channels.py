"""Channels over real sockets: what each service is sent, to its own host, over TLS that is checked; and what no is.

The services stand on loopback with a certificate for their own name; names are resolved there, and no other name is.
"""

import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import asyncpg
import pytest

from cloudapi.flags import Flag, set_flag
from cloudapi.notifications import MAX_FAILURES, RETRY_S, SEND_S
from cloudapi.queries.notifications import load_overdue
from cloudapi.tiers import Tier
from tests.fakes.asgi import serve
from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.receiver import Receiver
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import Person, make_person, settings_of
from tests.integration.cloud.test_webhooks import idle_courier, tell

TOKEN = "xUXZvB3jB6cVpVQpPy9TcD0y"
BOT = "123456789:AAE-abcdefghijklmnopqrstuvwxyz012345"
# Each would wake somebody, hide a link or carry mark-up; apprise makes Slack's mentions of the escaped forms too.
HOSTILE = "@everyone <!here> !channel> &lt;!here&gt; <@U012AB3CD> @U012AB3CD> <https://evil.example|bank> <b>x</b> & so"
WAKERS = ("@everyone", "<!", "<@", "<http", "<b>x")

CHANNEL = """
insert into notification_channel (channel_id, account_id, kind, address, topics, watched_only, per_hour)
values (gen_random_uuid(), $1, 'ntfy', 'secret-topic-1', array['insight'], false, 20)
"""

# apprise imports it itself, on a Python that still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@dataclass(frozen=True)
class Case:
    """A service as people give it and as it is asked."""

    kind: str
    address: str
    host: str
    path: str
    answer: bytes


SERVICES = (
    Case("slack", f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}", "hooks.slack.com",
         f"/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}", b"ok"),
    Case("discord", f"https://discord.com/api/webhooks/417429632418316298/{TOKEN}", "discord.com",
         f"/api/webhooks/417429632418316298/{TOKEN}", b""),
    Case("telegram", f"{BOT}/12315544", "api.telegram.org", f"/bot{BOT}/sendMessage", b'{"ok":true,"result":{}}'),
    Case("ntfy", "secret-topic-1", "ntfy.sh", "/", b"{}"),
)  # fmt: skip


def only_here(monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> list[str]:
    """Resolve one name to our stand-in and no other; returns what was asked for."""
    asked: list[str] = []
    real, port = socket.getaddrinfo, int(url.rpartition(":")[2])

    def resolve(name: Any, service: Any, *rest: Any, **more: Any) -> Any:
        if name in {"127.0.0.1", "localhost", None}:
            return real(name, service, *rest, **more)
        asked.append(str(name))
        if name != host:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} is not of this test")
        return real("127.0.0.1", port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def said_in(body: bytes) -> str:
    """Every text of a message, as its service will read it."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, str):
            found.append(value)

    walk(json.loads(body))
    return "\n".join(found)


async def told(person: Person, case: Case) -> str:
    """A channel of this person's; returns its id."""
    asked = {"kind": case.kind, "address": case.address, "topics": ["session"], "per_hour": 60}
    made = await person.ask("POST", "/v1/channels", asked)
    assert made.status_code == 201, made.text
    return str(made.json()["channel_id"])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("case", SERVICES, ids=lambda case: case.kind)
async def test_each_service_is_asked_as_it_wants_to_be(  # noqa: PLR0917
    replica: Replica, dsns: tuple[str, str], owner: asyncpg.Connection, tmp_path: Path, case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One POST to the service's own host and path, the certificate checked; a stranger's words wake nobody."""
    ann = await make_person(replica, tier=Tier.PRO)
    authority = make_authority(tmp_path, "test")
    make_certificate(tmp_path, "test", case.host)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    service = Receiver(status=200, body=case.answer)
    service.headers = [(b"content-type", b"application/json")]
    channel = await told(ann, case)
    await tell(replica, ann, "one", title=HOSTILE)

    async with serve(service, certificate=tmp_path) as url, idle_courier(settings_of(dsns[0])) as work:
        asked = only_here(monkeypatch, case.host, url)
        await work.send_notification(channel, "session:one")
        await work.send_notification(channel, "session:one")

    assert await owner.fetchval("select state from notification") == "sent", await owner.fetchrow(
        "select * from notification"
    )
    assert set(asked) == {case.host}
    assert [unquote(path) for path in service.paths] == [case.path]
    ((headers, body),) = service.got
    assert headers["host"] == case.host
    said = said_in(body)
    assert "Your predictions: completed" in said
    assert [waker for waker in WAKERS if waker in said] == []
    assert "apprise" not in said
    if case.kind == "ntfy":
        assert json.loads(body)["topic"] == case.address
    if case.kind == "telegram":
        assert json.loads(body)["chat_id"] == 12315544


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_a_service_with_somebody_elses_certificate_is_told_nothing(
    replica: Replica, dsns: tuple[str, str], owner: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who answers for a name without its certificate gets neither the token nor the words."""
    ann = await make_person(replica, tier=Tier.PRO)
    authority, case = make_authority(tmp_path, "test"), SERVICES[0]
    make_certificate(tmp_path, "test", "evil.example")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    service = Receiver(status=200)
    channel = await told(ann, case)
    await tell(replica, ann, "one")

    async with serve(service, certificate=tmp_path) as url, idle_courier(settings_of(dsns[0])) as work:
        only_here(monkeypatch, case.host, url)
        await work.send_notification(channel, "session:one")

    assert service.got == []
    row = await owner.fetchrow("select state, last_error from notification")
    assert tuple(row) == ("pending", "the service did not take it")


@pytest.fixture
async def ntfy(dsns: tuple[str, str]) -> Any:
    """An ntfy server of the operator's own, and the settings that name it."""
    service = Receiver(status=500)
    async with serve(service) as url:
        yield service, settings_of(dsns[0], ntfy_url=url)


async def test_a_service_that_takes_nothing_is_tried_again_and_then_left(
    replica: Replica, owner: asyncpg.Connection, ntfy: Any
) -> None:
    """Each message after its waits and no sooner, then given up; after so many in a row the channel is off, and says so."""
    service, settings = ntfy
    ann = await make_person(replica, tier=Tier.PRO)
    channel = await told(ann, SERVICES[-1])
    waits = []
    async with idle_courier(settings) as work:
        for ref in ("one", "two"):
            await tell(replica, ann, ref)
            for _ in range(len(RETRY_S) + 3):
                await work.send_notification(channel, f"session:{ref}")
                row = await owner.fetchrow(
                    "select state, extract(epoch from next_at - now())::float8 as wait_s from notification"
                    " where event_ref = $1", f"session:{ref}",
                )  # fmt: skip
                if row["state"] == "pending" and row["wait_s"] > 1:
                    waits.append(round(row["wait_s"] / 10) * 10)
                    n_before = len(service.got)
                    await work.send_notification(channel, f"session:{ref}")
                    assert len(service.got) == n_before, "tried again before its time"
                    await owner.execute("update notification set next_at = now()")

    assert waits[: len(RETRY_S)] == list(RETRY_S)
    assert len(service.got) == MAX_FAILURES
    (shown,) = (await ann.ask("GET", "/v1/channels")).json()["data"]
    assert shown["disabled_why"] == f"it did not take {MAX_FAILURES} messages in a row"
    lines = (await ann.ask("GET", "/v1/audit")).json()["data"]
    assert [line["detail"] for line in lines if line["action"] == "channel_disabled"] == [{"id": channel}]


async def test_a_service_that_does_not_answer_is_not_told_again(
    replica: Replica, owner: asyncpg.Connection, ntfy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been taken: silence is not a no, and nobody reads the same line twice."""
    service, settings = ntfy
    ann = await make_person(replica, tier=Tier.PRO)
    channel = await told(ann, SERVICES[-1])
    await tell(replica, ann, "one")
    assert SEND_S > 1
    monkeypatch.setattr("cloudapi.notifications.SEND_S", 0.0)

    async with idle_courier(settings) as work:
        for _ in range(3):
            await work.send_notification(channel, "session:one")

    assert len(service.got) <= 1
    assert await load_overdue(replica.services.pool, older_than_s=-60, tiers=[Tier.PRO]) == []
    assert await owner.fetchval("select state from notification") == "sending"


async def test_the_kill_switch_holds_channels_and_webhooks_and_what_is_owed_waits(
    replica: Replica, owner: asyncpg.Connection, ntfy: Any
) -> None:
    """One row stops everything that leaves the house; nothing is lost, each is told once afterwards."""
    service, settings = ntfy
    service.status = 200
    settings |= {"webhook_exceptions": (settings["ntfy_url"].removeprefix("http://"),)}
    ann = await make_person(replica, tier=Tier.PRO)
    channel = await told(ann, SERVICES[-1])
    await owner.execute(
        "insert into webhook_endpoint (endpoint_id, account_id, url, topics, watched_only, secret)"
        " values (gen_random_uuid(), $1, $2, '{session}', false, 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')",
        ann.account_id, f"{settings['ntfy_url']}/hook",
    )  # fmt: skip
    message = await tell(replica, ann, "one")

    async with idle_courier(settings) as work:
        for flag in (Flag.OUTSIDE, None):
            switches = (flag,) if flag else (Flag.WEBHOOKS, Flag.NOTIFICATIONS)
            for one in switches:
                await set_flag(owner, one, is_on=False)
            await work.send_notification(channel, "session:one")
            await work.send_webhook(message)
            assert service.got == []
            for one in switches:
                await set_flag(owner, one, is_on=True)
        await work.send_notification(channel, "session:one")
        await work.send_webhook(message)

    assert sorted(service.paths) == ["/", "/hook"]


async def test_a_share_decides_who_is_told_and_nobody_waits_behind_the_others(
    replica: Replica, owner: asyncpg.Connection
) -> None:
    """Whoever is left out owes the queue nothing: no row is made that could never leave it."""
    ann = await make_person(replica, tier=Tier.PRO)
    await told(ann, SERVICES[-1])
    hook = await ann.ask("POST", "/v1/webhooks", {"url": "https://example.com/h", "topics": ["session"]})
    assert hook.status_code == 201
    for flag in (Flag.WEBHOOKS, Flag.NOTIFICATIONS):
        await set_flag(owner, flag, is_on=True, share=0)
    await tell(replica, ann, "one")
    for flag in (Flag.WEBHOOKS, Flag.NOTIFICATIONS):
        await set_flag(owner, flag, is_on=True, share=100)
    await tell(replica, ann, "two")

    for table in ("notification", "webhook_message"):
        rows = await owner.fetch(f"select event_ref from {table}")
        assert [row["event_ref"] for row in rows] == ["session:two"]


async def test_what_waits_for_an_account_that_pays_no_more_is_not_taken_up_again(
    replica: Replica, owner: asyncpg.Connection
) -> None:
    """It would be handed out each minute for ever, and before long there were room for nothing else."""
    pro, gone = await make_person(replica, "pro@example.org", Tier.PRO), await make_person(replica, tier=Tier.BASIC)
    for person in (pro, gone):
        await owner.execute(CHANNEL, person.account_id)
    await owner.execute(
        "insert into notification (channel_id, account_id, event_ref, title, body)"
        " select channel_id, account_id, 'insight:1', 'Insight', 'said' from notification_channel"
    )

    found = await load_overdue(replica.services.pool, older_than_s=-60, tiers=[Tier.PRO])

    channel = await owner.fetchval("select channel_id from notification_channel where account_id = $1", pro.account_id)
    assert found == [(channel, "insight:1")]
