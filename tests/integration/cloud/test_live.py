"""The live feed as a subscriber meets it: events in order, resumed anywhere, ended politely."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from cloudapi.feed import BACKLOG, Event, Feed, Listener
from cloudapi.queries.accounts import revoke_key
from cloudapi.routes import live
from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import NOW, make_insight, make_market, make_one_of_each, make_quote


class Stream:
    """An open SSE response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def event(self) -> dict[str, str]:
        """The next event; comments are heartbeats and named so."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith(":"):
                    fields["comment"] = line
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    return fields
        raise EOFError

    async def rest(self) -> list[dict[str, str]]:
        seen = []
        try:
            while True:
                seen.append(await self.event())
        except EOFError:
            return seen


@asynccontextmanager
async def opened(replica: Replica, path: str = "/v1/live", **headers: str) -> AsyncIterator[Stream]:
    sent = {"authorization": f"Bearer {replica.keys[Tier.PRO]}"} | headers
    async with replica.http.stream("GET", path, headers=sent) as response:
        assert response.status_code == 200, await response.aread()
        stream = Stream(response)
        assert await stream.event() == {"retry": "2000"}
        yield stream


async def ready(replica: Replica) -> None:
    async with asyncio.timeout(5):
        while replica.services.feed._position is None:
            await asyncio.sleep(0.005)


async def test_what_lands_is_told_in_order_and_only_the_public_part(edge: HandEdge, replica: Replica) -> None:
    """Prices by the hundred, the others one by one, by market_key; numbers rise."""
    await ready(replica)
    async with opened(replica) as stream:
        await edge.hello()
        await edge.send(make_one_of_each())
        events = [await stream.event() for _ in range(6)]

    told = {event["event"]: json.loads(event["data"]) for event in events}
    numbers = [int(event["id"]) for event in events]
    assert set(told) == {"prices", "insight", "prediction", "digest", "arbitrage", "signal"}
    assert numbers == sorted(numbers)
    (price,) = told["prices"]["data"]
    assert (price["market_key"], price["bid"]) == ("kalshi:KXRAIN-26", 0.4123)
    assert told["insight"]["market_key"] == "kalshi:KXRAIN-26"
    assert not {"market_id", "landed_at", "extra"} & set(told["insight"])


async def test_reader_resumes_on_the_other_replica_without_gap_or_repeat(
    edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """The numbers are the database's: any replica can tell what was missed."""
    first, second = await start_replica(), await start_replica()
    await ready(first)
    await edge.hello()
    await edge.send([make_market()])
    async with opened(first, "/v1/live?topics=insight") as stream:
        await edge.send([make_insight(insight_id="one")])
        seen = await stream.event()
    await edge.send([make_insight(insight_id=f"missed-{i}") for i in range(3)])

    async with opened(second, "/v1/live?topics=insight", **{"last-event-id": seen["id"]}) as stream:
        await edge.send([make_insight(insight_id="after")])
        told = [json.loads((await stream.event())["data"])["insight_id"] for _ in range(4)]

    assert sorted(told[:3]) == ["missed-0", "missed-1", "missed-2"]
    assert told[3] == "after"


async def test_reader_whose_place_is_gone_is_told_to_start_anew(
    owner: asyncpg.Connection, edge: HandEdge, replica: Replica
) -> None:
    """A gap nobody mentions is worse than none: also for a number of another database's future."""
    await edge.hello()
    await edge.send([make_market(), *(make_insight(insight_id=f"i{n}") for n in range(4))])
    await owner.execute("delete from live_event where event_id < (select max(event_id) from live_event)")

    for behind in ("1", "99999"):
        async with opened(replica, **{"last-event-id": behind}) as stream:
            assert (await stream.event())["event"] == "reset"


async def test_feed_is_for_those_whose_tier_has_it_three_times_at_most(replica: Replica) -> None:
    """Refused with the tier that would do; the fourth stream with what to do."""
    for tier in (Tier.BASIC, Tier.PREMIUM):
        refused = await replica.get("/v1/live", tier=tier)
        assert refused.status_code == 403
        assert "pro" in refused.json()["detail"]

    async with opened(replica), opened(replica), opened(replica):
        assert (await replica.get("/v1/live")).status_code == 429
    async with asyncio.timeout(5):
        while replica.services.feed.n_listeners:
            await asyncio.sleep(0.005)
    async with opened(replica):
        pass
    assert (await replica.get("/v1/live?topics=weather")).status_code == 422
    assert (await replica.get("/v1/live", headers={"last-event-id": "x"})).status_code == 422


async def remaining(replica: Replica) -> int:
    """How many live streams the account may open yet."""
    return int((await replica.get("/v1/usage")).json()["live_streams"]["remaining"])


async def test_streams_of_an_account_are_counted_over_all_replicas(
    start_replica: Callable[..., Awaitable[Replica]], redis_url: str
) -> None:
    """Behind a balancer nobody chooses his replica: three would be six, by luck."""
    first, second = [await start_replica(redis_url=redis_url) for _ in range(2)]

    async with opened(first), opened(second):
        async with opened(first):
            refused = [await each.get("/v1/live") for each in (first, second)]
            left = [await remaining(each) for each in (first, second)]
        async with asyncio.timeout(5):
            while first.services.feed.n_listeners > 1:
                await asyncio.sleep(0.005)
        async with opened(second):
            pass

    assert [answer.status_code for answer in refused] == [429, 429]
    assert left == [0, 0]


async def test_streams_are_counted_by_replica_while_redis_is_away(
    start_replica: Callable[..., Awaitable[Replica]],
) -> None:
    """Nobody is shut out because something that only counts is down."""
    first, second = [await start_replica(redis_url="redis://127.0.0.1:1/0") for _ in range(2)]

    async with opened(first), opened(first), opened(first), opened(second):
        assert (await first.get("/v1/live")).status_code == 429
        assert await remaining(second) == 2


async def test_ticket_opens_one_stream_once(owner: asyncpg.Connection, replica: Replica) -> None:
    """An EventSource cannot send a key; a ticket in an address must not be worth keeping."""
    headers = {"authorization": f"Bearer {replica.keys[Tier.PRO]}"}
    ticket = (await replica.http.post("/v1/live/tickets", headers=headers)).json()["ticket"]
    old = (await replica.http.post("/v1/live/tickets", headers=headers)).json()["ticket"]
    await owner.execute("update live_ticket set expires_at = now() where ticket_hash <> sha256($1)", ticket.encode())

    async with replica.http.stream("GET", f"/v1/live?ticket={ticket}") as response:
        assert response.status_code == 200
    for spent in (ticket, old, "odds_ticket_invented"):
        assert (await replica.http.get(f"/v1/live?ticket={spent}")).status_code == 401
    assert (await replica.http.get(f"/v1/markets?ticket={ticket}")).status_code == 401


async def test_stream_says_goodbye_and_the_process_stops_in_time(replica: Replica) -> None:
    """uvicorn alone waits for ever on an open stream; the platform kills after that."""
    async with opened(replica) as stream, opened(replica):
        started = time.monotonic()
        replica.services.stopping.set()
        replica.server.should_exit = True
        (bye,) = await stream.rest()
        async with asyncio.timeout(2):
            while replica.server.server_state.connections:
                await asyncio.sleep(0.01)

    assert (bye["event"], json.loads(bye["data"])["reason"]) == ("bye", "stopping")
    assert time.monotonic() - started < 2


async def test_silent_stream_lives_and_ends_before_a_proxy_cuts_it(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment now and then, and an orderly end."""
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(live, "LASTS_S", 0.2)

    async with opened(replica) as stream:
        *beats, bye = await stream.rest()

    assert beats
    assert all(beat == {"comment": ":"} for beat in beats)
    assert json.loads(bye["data"])["reason"] == "time"


async def test_revoked_key_loses_its_open_stream(
    owner: asyncpg.Connection, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream must not outlive what opened it."""
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)

    async with opened(replica) as stream:
        await revoke_key(owner, replica.keys[Tier.PRO][:18])
        *_, bye = await stream.rest()

    assert json.loads(bye["data"])["reason"] == "not allowed any more"


async def test_websocket_tells_the_same(edge: HandEdge, replica: Replica) -> None:
    """One JSON object per event; refused before it is a socket, with a problem."""
    await ready(replica)
    url = replica.url.replace("http", "ws") + "/v1/live/ws"
    await edge.hello()
    await edge.send([make_market()])

    def bearer(tier: Tier) -> dict[str, str]:
        return {"authorization": f"Bearer {replica.keys[tier]}"}

    async with connect(f"{url}?topics=insight", additional_headers=bearer(Tier.PRO)) as socket:
        await edge.send([make_quote(), make_insight()])
        async with asyncio.timeout(5):
            told = json.loads(await socket.recv())
        replica.services.feed.close()
        async with asyncio.timeout(5):
            bye = json.loads(await socket.recv())

    assert (told["event"], told["data"]["insight_id"]) == ("insight", "ins-1")
    assert (bye["event"], bye["data"]["reason"]) == ("bye", "stopping")
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, additional_headers={})
    assert caught.value.response.status_code == 401
    with pytest.raises(InvalidStatus):
        await connect(url, additional_headers=bearer(Tier.BASIC))


async def test_slow_reader_loses_the_oldest_and_is_told() -> None:
    """A queue without an end would be everybody's memory."""
    listener = Listener(uuid.uuid4(), frozenset())
    for number in range(1, BACKLOG + 8):
        listener.put(Event.of(number, "insight", "{}"))

    told = await listener.take(1)

    assert told[0].text == '{"event":"dropped","data":{"count":7}}'
    assert [event.event_id for event in told[1:]] == list(range(8, BACKLOG + 8))


async def test_stalled_client_does_not_hold_up_the_others_or_the_stop(edge: HandEdge, replica: Replica) -> None:
    """One that opens a stream and never reads: others hear at once, and a stop does not wait for it."""
    await ready(replica)
    host, port = replica.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1)
    writer.transport.pause_reading()
    writer.write(f"GET /v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {replica.keys[Tier.PRO]}\r\n\r\n".encode())
    async with opened(replica, "/v1/live?topics=insight") as stream:
        async with asyncio.timeout(5):
            while replica.services.feed.n_listeners < 2:
                await asyncio.sleep(0.005)
        flood = Event.of(0, "prices", json.dumps({"data": "x" * 200_000}))
        for _ in range(40):
            replica.services.feed._tell(flood)
            await asyncio.sleep(0)
        await edge.hello()
        await edge.send([make_market(), make_insight(created_at=NOW - timedelta(minutes=1))])
        while (told := await stream.event()).get("event") != "insight":
            pass

        started = time.monotonic()
        replica.services.stopping.set()
        await replica.server.shutdown()

    assert json.loads(told["data"])["insight_id"] == "ins-1"
    assert time.monotonic() - started < 2.5
    writer.transport.abort()


async def test_many_idle_listeners_cost_little(replica: Replica) -> None:
    """Ten thousand who hear nothing must not slow an event for one, nor a request."""
    feed: Feed = replica.services.feed
    account = uuid.uuid4()
    listeners = [await feed.join(account, frozenset({"digest"}), None) for _ in range(10_000)]
    waiting = [asyncio.create_task(listener.take(30)) for listener in listeners]
    one = await feed.join(account, frozenset({"insight"}), None)
    await asyncio.sleep(0)

    started = time.perf_counter()
    feed._tell(Event.of(1, "insight", "{}"))
    (told,) = await one.take(1)
    answered = await replica.get("/health", tier=None)
    took_s = time.perf_counter() - started

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for listener in (*listeners, one):
        feed.leave(listener)
    assert told.topic == "insight"
    assert answered.status_code == 200
    assert took_s < 1
