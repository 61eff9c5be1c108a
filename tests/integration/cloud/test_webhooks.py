"""Webhooks and channels end to end: what lands is told once, signed, retried, and given up. Real sockets throughout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook

from cloudapi.courier import Courier
from cloudapi.settings import CloudSettings
from cloudapi.telling import hand_on, tell_account
from cloudapi.tiers import Tier
from cloudapi.webhooks import DELAYS_S, Topic
from tests.fakes.asgi import serve
from tests.fakes.receiver import Receiver
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_insight, make_market
from tests.integration.cloud.subscribed import Person, courier, make_person, settings_of, until
from tests.integration.cloud.test_api import land

# apprise imports it itself, on a Python that still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    async with serve(made) as url:
        made.url = url
        yield made


@pytest.fixture
def settings(dsns: tuple[str, str], receiver: Receiver) -> dict[str, Any]:
    return settings_of(dsns[0], webhook_exceptions=(receiver.url.removeprefix("http://"),), ntfy_url=receiver.url)


@pytest.fixture
async def replica(start_replica: Any, settings: dict[str, Any]) -> Replica:
    return await start_replica(**settings)


@asynccontextmanager
async def idle_courier(settings: dict[str, Any], **replaced: Any) -> AsyncIterator[Courier]:
    """A courier whose tasks the test calls itself."""
    made = Courier(CloudSettings.load(**settings), **replaced)
    await made.pool
    yield made
    made.pool.terminate()


async def listening(person: Person, receiver: Receiver, *topics: str, **changes: Any) -> dict[str, Any]:
    asked = {"url": f"{receiver.url}/hook", "topics": list(topics or ("insight",))} | changes
    answer = await person.ask("POST", "/v1/webhooks", asked)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def messages(person: Person, made: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = await person.ask("GET", f"/v1/webhooks/{made['endpoint_id']}/messages{query}")
    return list(answer.json()["data"])


async def test_what_lands_arrives_signed_and_once(
    edge: HandEdge, replica: Replica, receiver: Receiver, settings: dict[str, Any]
) -> None:
    """Two couriers, and the same insight landing twice: one message, which the standard's library verifies."""
    ann = await make_person(replica, tier=Tier.PRO)
    made = await listening(ann, receiver)
    async with courier(settings), courier(settings):
        await land(edge, replica, [make_market(), make_insight()])
        await until(lambda: _delivered(ann, made))
        await hand_on(replica.services.pool)

    ((headers, body),) = receiver.got
    told = Webhook(made["secret"]).verify(body, headers)
    assert (told["type"], told["data"]["insight_id"]) == ("insight", "ins-1")
    (message,) = await messages(ann, made)
    assert (message["state"], message["last_status"], message["n_attempts"]) == ("delivered", 204, 1)


async def _delivered(person: Person, made: dict[str, Any]) -> bool:
    return any(one["state"] == "delivered" for one in await messages(person, made))


async def tell(replica: Replica, person: Person, ref: str, **more: str) -> str:
    """Something of this account's own; returns the message's id."""
    async with replica.services.pool.acquire() as connection, connection.transaction():
        for _ in range(2):
            data = {"state": "COMPLETED", "ref": ref} | more
            await tell_account(connection, person.account_id, Topic.SESSION, ref, data)
        return str(
            await connection.fetchval("select message_id from webhook_message where event_ref = $1", f"session:{ref}")
        )


async def test_a_message_dies_after_its_last_attempt_and_can_be_sent_again(
    replica: Replica, receiver: Receiver, settings: dict[str, Any], owner: asyncpg.Connection
) -> None:
    """The dead letter: kept with its reason, sent again by hand under the same id."""
    ann = await make_person(replica, tier=Tier.PRO)
    made = await listening(ann, receiver, "session")
    message_id = await tell(replica, ann, "one")
    receiver.status = 500
    async with idle_courier(settings) as work:
        for _ in range(12):
            await owner.execute("update webhook_message set next_at = now()")
            await work.send_webhook(message_id)
        (dead,) = await messages(ann, made, "?dead=true")
        assert (dead["state"], dead["n_attempts"], dead["last_status"]) == ("dead", 10, 500)

        receiver.status = 200
        assert (await ann.ask("POST", f"/v1/webhook-messages/{message_id}/redeliver")).status_code == 202
        await work.send_webhook(message_id)

    assert [one["state"] for one in await messages(ann, made)] == ["delivered"]
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {message_id}


async def test_three_days_of_retries_by_a_clock_turned_by_hand(
    replica: Replica, receiver: Receiver, settings: dict[str, Any], owner: asyncpg.Connection
) -> None:
    """Nothing is tried before its time, each attempt is signed anew; a weekend without an answer loses the message, not
    the endpoint; the next one that fails after three days of nothing switches it off.
    """
    ann = await make_person(replica, tier=Tier.PRO)
    made = await listening(ann, receiver, "session")
    message_id = await tell(replica, ann, "one")
    receiver.status, waits = 503, []
    moment = {"at": datetime.now(UTC)}
    due = "select next_at from webhook_message where message_id = $1"
    async with idle_courier(settings, now=lambda: moment["at"]) as work:
        while True:
            await work.send_webhook(message_id)
            (message,) = await messages(ann, made)
            if message["state"] == "dead":
                break
            await work.send_webhook(message_id)  # too early
            wait = await owner.fetchval(due, message_id) - moment["at"]
            waits.append(wait.total_seconds())
            moment["at"] += wait
            await owner.execute("update webhook_message set next_at = now()")
        (endpoint,) = (await ann.ask("GET", "/v1/webhooks")).json()["data"]
        still_on = endpoint["disabled_at"] is None
        passed_s = sum(waits)
        moment["at"] += timedelta(days=3) - timedelta(seconds=passed_s)
        await work.send_webhook(await tell(replica, ann, "two"))

    days = timedelta(seconds=passed_s) / timedelta(days=1)
    assert 2.7 <= days <= 3.0, waits
    assert [0.9 * most < wait <= most for wait, most in zip(waits, DELAYS_S, strict=True)] == [True] * len(DELAYS_S)
    assert len(receiver.got) == len(waits) + 2
    stamps = [int(headers["webhook-timestamp"]) for headers, _ in receiver.got]
    assert stamps == sorted(stamps)
    assert stamps[-2] - stamps[0] == pytest.approx(passed_s, abs=2)
    assert still_on
    (endpoint,) = (await ann.ask("GET", "/v1/webhooks")).json()["data"]
    assert endpoint["disabled_why"] == "nothing arrived for three days"


async def test_one_attempt_is_made_by_one_worker(
    replica: Replica, receiver: Receiver, settings: dict[str, Any]
) -> None:
    """A task that came twice, on two workers at once, is one request."""
    ann = await make_person(replica, tier=Tier.PRO)
    await listening(ann, receiver, "session")
    message_id = await tell(replica, ann, "one")

    async with idle_courier(settings) as first, idle_courier(settings) as second:
        await asyncio.gather(*(work.send_webhook(message_id) for work in (first, second) * 5))

    assert len(receiver.got) == 1


@pytest.mark.parametrize(("status", "age", "why"), [(410, "0 days", "410"), (500, "3 days", "three days")])
async def test_an_endpoint_that_takes_nothing_is_switched_off(  # noqa: PLR0917
    replica: Replica,
    receiver: Receiver,
    settings: dict[str, Any],
    owner: asyncpg.Connection,
    status: int,
    age: str,
    why: str,
) -> None:
    """After three days of nothing, or at once where it says Gone; its owner reads why and may switch it on."""
    ann = await make_person(replica, tier=Tier.PRO)
    made = await listening(ann, receiver, "session")
    message_id = await tell(replica, ann, "one")
    await tell(replica, ann, "two")
    await owner.execute(
        f"update webhook_endpoint set failing_since = now() - interval '{age}' where '{age}' <> '0 days'"
    )
    receiver.status = status

    async with idle_courier(settings) as work:
        await work.send_webhook(message_id)

    (endpoint,) = (await ann.ask("GET", "/v1/webhooks")).json()["data"]
    assert why in endpoint["disabled_why"]
    assert [one["state"] for one in await messages(ann, made)] == ["dead", "dead"]
    assert (await ann.ask("POST", f"/v1/webhooks/{made['endpoint_id']}/enable")).status_code == 204


async def test_a_feed_that_never_rests_keeps_no_session_untold(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one account waits for does not queue behind what all of them are told."""
    looked = asyncio.Event()

    async def endless(_: object) -> int:
        await asyncio.sleep(0)
        return 1

    async def tell(_: object) -> int:
        looked.set()
        return 0

    monkeypatch.setattr("cloudapi.courier.hand_on", endless)
    monkeypatch.setattr("cloudapi.courier.tell_ended", tell)
    async with courier(settings), asyncio.timeout(10):
        await looked.wait()


async def test_a_strangers_things_are_not_there(replica: Replica, receiver: Receiver) -> None:
    """Ownership in SQL: every id of another account is the same 404, or an empty list, and nothing changes."""
    ann, eve = await make_person(replica, tier=Tier.PRO), await make_person(replica, "eve@example.org", Tier.PRO)
    made = await listening(ann, receiver, "session")
    message_id = await tell(replica, ann, "one")
    watch = (await ann.ask("POST", "/v1/watchlist", {"kind": "keyword", "subject": "rain"})).json()["watch_id"]
    channel = (
        await ann.ask("POST", "/v1/channels", {"kind": "ntfy", "address": "secret-topic-1", "topics": ["session"]})
    ).json()
    hook = f"/v1/webhooks/{made['endpoint_id']}"

    refused = [
        await eve.ask("DELETE", hook),
        await eve.ask("POST", f"{hook}/enable"),
        await eve.ask("POST", f"/v1/webhook-messages/{message_id}/redeliver"),
        await eve.ask("DELETE", f"/v1/watchlist/{watch}"),
        await eve.ask("PATCH", f"/v1/watchlist/{watch}", {"min_move": 0.5, "min_confidence": 1}),
        await eve.ask("DELETE", f"/v1/channels/{channel['channel_id']}"),
    ]

    assert [answer.status_code for answer in refused] == [404] * 6
    assert (await eve.ask("GET", f"{hook}/messages")).status_code == 404
    assert (await eve.ask("GET", "/v1/webhooks")).json()["data"] == []
    assert len((await ann.ask("GET", "/v1/watchlist")).json()["data"]) == 1
    assert "address" not in channel


async def test_addresses_inside_are_refused_and_lower_tiers_told_what_they_need(replica: Replica) -> None:
    """What is typed is checked when it is typed; below pro there is nothing to type."""
    ann, bob = await make_person(replica, tier=Tier.PRO), await make_person(replica, "bob@example.org", Tier.PREMIUM)
    for url in ("http://example.com/", "https://169.254.169.254/latest", "https://localhost/", "https://2130706433/"):
        assert (await ann.ask("POST", "/v1/webhooks", {"url": url, "topics": ["insight"]})).status_code == 422
    refused = await bob.ask("POST", "/v1/webhooks", {"url": "https://example.com/", "topics": ["insight"]})

    assert refused.status_code == 403
    assert "pro" in refused.json()["detail"]


async def test_who_leaves_pro_is_told_no_more(
    replica: Replica, receiver: Receiver, settings: dict[str, Any], owner: asyncpg.Connection
) -> None:
    """The tier is asked at each attempt, so a downgrade ends the deliveries too."""
    ann = await make_person(replica, tier=Tier.PRO)
    await listening(ann, receiver, "session")
    message_id = await tell(replica, ann, "one")
    await owner.execute("update account set tier = 'basic' where account_id = $1", ann.account_id)

    async with idle_courier(settings) as work:
        await work.send_webhook(message_id)

    assert receiver.got == []


async def test_a_channel_tells_each_event_once_and_so_many_an_hour(
    replica: Replica, receiver: Receiver, settings: dict[str, Any], owner: asyncpg.Connection
) -> None:
    """Through apprise to a real socket; the second of an hour of one is skipped, not kept for later."""
    ann = await make_person(replica, tier=Tier.PRO)
    asked = {"kind": "ntfy", "address": "secret-topic-1", "topics": ["session"], "per_hour": 1}
    made = (await ann.ask("POST", "/v1/channels", asked)).json()
    receiver.status = 200
    for ref in ("one", "two"):
        await tell(replica, ann, ref)

    async with idle_courier(settings) as work:
        for ref in ("one", "one", "two", "two"):
            await work.send_notification(made["channel_id"], f"session:{ref}")

    assert len(receiver.got) == 1
    assert b"Your predictions: completed" in receiver.got[0][1] or "Your predictions: completed" in str(
        receiver.got[0][0]
    )
    states = await owner.fetch("select state from notification order by event_ref")
    assert [row["state"] for row in states] == ["sent", "skipped"]


async def test_watched_only_hears_of_the_watch_list(
    edge: HandEdge, replica: Replica, receiver: Receiver, owner: asyncpg.Connection
) -> None:
    """A firehose nobody asked for is switched off by its reader; a follower hears of his market alone."""
    ann = await make_person(replica, tier=Tier.PRO)
    made = await listening(ann, receiver, watched_only=True)
    await ann.ask("POST", "/v1/watchlist", {"kind": "keyword", "subject": "snow"})
    await land(edge, replica, [make_market(), make_market("KXSNOW-26", title="Will it snow?")])
    await land(edge, replica, [make_insight(), make_insight(insight_id="ins-2", market_key="kalshi:KXSNOW-26")])

    while await hand_on(replica.services.pool):
        pass

    assert len(await messages(ann, made)) == 1
    assert '"ins-2"' in await owner.fetchval("select body from webhook_message")
