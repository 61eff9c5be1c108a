"""Ten thousand readers who wait, as sockets of a real server: what everybody else notices of them."""

import asyncio
import gc
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from statistics import median

import pytest
from msgspec.structs import replace

from cloudapi.tiers import ENTITLEMENTS, Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_insight, make_market

WANTED = 10_000
AT_ONCE = 100
RESERVED = 500  # files of everything else in this process


class Idle(asyncio.Protocol):
    """A client that asks for a stream and then only listens."""

    def __init__(self, request: bytes, opened: asyncio.Future[bool]) -> None:
        self._request, self._opened = request, opened
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self._opened.done():
            self._opened.set_result(data.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self._opened.done():
            self._opened.set_result(False)


@pytest.fixture
def n_streams() -> Iterator[int]:
    """As many as the machine lets one process hold, both ends of each; the limit is put back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * WANTED + RESERVED
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):  # not root: what is allowed
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield min(WANTED, (allowed - RESERVED) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, allowed)))


@pytest.fixture
async def crowd(
    start_replica: Callable[..., Awaitable[Replica]], n_streams: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Replica, int]:
    # One account opens them all, so that what is measured is sockets and not three thousand registrations.
    right = replace(ENTITLEMENTS[Tier.PRO], live_streams=n_streams + 10, requests_per_minute=10 * WANTED)
    monkeypatch.setitem(ENTITLEMENTS, Tier.PRO, right)
    return await start_replica(streams=n_streams + 1), n_streams


async def open_streams(replica: Replica, n_streams: int) -> list[Idle]:
    host, _, port = replica.url.removeprefix("http://").partition(":")
    request = (
        f"GET /v1/live?topics=digest HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {replica.keys[Tier.PRO]}\r\n\r\n"
    ).encode()
    loop, idle = asyncio.get_running_loop(), []

    async def open_one() -> None:
        opened: asyncio.Future[bool] = loop.create_future()
        _, client = await loop.create_connection(lambda: Idle(request, opened), host, int(port))
        assert await opened
        idle.append(client)

    for begun in range(0, n_streams, AT_ONCE):
        await asyncio.gather(*(open_one() for _ in range(min(AT_ONCE, n_streams - begun))))
    return idle


async def usual_s(replica: Replica) -> float:
    """What one request takes, of thirty."""
    took = []
    for _ in range(30):
        began = time.perf_counter()
        assert (await replica.get("/v1/markets", tier=Tier.BASIC)).status_code == 200
        took.append(time.perf_counter() - began)
    return median(took)


@pytest.mark.slow
async def test_ten_thousand_idle_streams_do_not_stop_others(
    crowd: tuple[Replica, int], edge: HandEdge, record_property: Callable[[str, object], None]
) -> None:
    """A request is answered as before, an event reaches the one who waits for it, one more stream is told to go away."""
    replica, n_streams = crowd
    await edge.hello()
    await edge.send([make_market()])
    await replica.landed(1)
    before_s = await usual_s(replica)
    idle = await open_streams(replica, n_streams)
    record_property("n_streams", n_streams)
    assert replica.services.feed.n_listeners == n_streams, f"this machine allows {n_streams} of {WANTED}"
    gc.freeze()  # ours is one process: the clients' objects are not the service's

    beside_s = await usual_s(replica)
    listener = await replica.services.feed.join(next(iter(replica.services.feed._n_of)), frozenset({"insight"}), None)
    began = time.perf_counter()
    await edge.send([make_insight()])
    async with asyncio.timeout(5):
        told = await listener.take(5)
    told_s = time.perf_counter() - began
    refused = await replica.get("/v1/live")

    replica.services.feed.leave(listener)
    gc.unfreeze()
    assert [event.topic for event in told] == ["insight"]
    assert told_s < 2
    assert beside_s < max(10 * before_s, 0.25), (before_s, beside_s)
    assert not any(client.lost for client in idle)
    assert refused.status_code == 503
    for client in idle:
        client.transport.abort()
    async with asyncio.timeout(20):
        while replica.services.feed.n_listeners:
            await asyncio.sleep(0.05)


async def test_a_replica_keeps_so_many_streams_and_says_when_to_come_back(
    start_replica: Callable[..., Awaitable[Replica]],
) -> None:
    """What one process can hold is bounded whoever asks; the other replica has room of its own."""
    replica = await start_replica(streams=2)
    idle = await open_streams(replica, 2)

    refused = await replica.get("/v1/live")
    idle[0].transport.abort()
    async with asyncio.timeout(5):
        while replica.services.feed.n_listeners == 2:
            await asyncio.sleep(0.01)
    idle += await open_streams(replica, 1)

    assert refused.status_code == 503
    assert refused.json()["type"] == "/docs#problem-unavailable"
    assert int(refused.headers["retry-after"]) > 0
    for client in idle:
        client.transport.abort()
