"""The local exchange with a made world, and a client of each venue on it."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from agent.venues.base import VenueClient
from agent.venues.http import HttpPolicy, VenueHttp
from agent.venues.kalshi import Kalshi
from agent.venues.polymarket import Polymarket
from tests.factories import NOON
from tests.fakes.exchange import ExchangeServer, world_frames
from tests.fakes.exchange_recordings import Frame
from tests.fakes.world import World


@pytest.fixture(scope="session")
def frames() -> list[Frame]:
    """The ticks of the made world, built once."""
    return world_frames(World())


@pytest.fixture
async def exchange(frames: list[Frame]) -> AsyncIterator[ExchangeServer]:
    """A running exchange at its first tick."""
    async with ExchangeServer(frames) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[VenueHttp]:
    """A client that is as patient as a test may be."""
    policy = HttpPolicy(answer_s=0.4, first_wait_s=0.001, max_tries=3, other_requests_per_s=10_000)
    transport = httpx.AsyncHTTPTransport(verify=False)  # loopback is not encrypted; a trust store costs 0.1 s to load
    async with VenueHttp(policy, transport=transport) as client:
        yield client


@pytest.fixture(params=["polymarket", "kalshi"])
def client(request: pytest.FixtureRequest, exchange: ExchangeServer, http: VenueHttp) -> VenueClient:
    """Each venue's client in turn."""
    clients: dict[str, Callable[[], VenueClient]] = {
        "polymarket": lambda: Polymarket(http, base_url=exchange.polymarket_url, now=lambda: NOON),
        "kalshi": lambda: Kalshi(http, base_url=exchange.kalshi_url, now=lambda: NOON),
    }
    return clients[request.param]()
