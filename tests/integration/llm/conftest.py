"""A model service on loopback and gateways that ask it."""

import socket
from collections.abc import AsyncIterator

import pytest

from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.llm.prompt import Prompt
from agent.store.db import Store
from tests.fakes.groq import GroqServer

PROMPT = Prompt(
    system="You answer in json.", user="DATA-77\nWill it rain?\nDATA-77", version="test-v1@1", marker="DATA-77"
)


class Waits:
    """Stands in for sleeping: remembers how long, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Note the wait."""
        self.seconds.append(seconds)


@pytest.fixture
async def groq() -> AsyncIterator[GroqServer]:
    """The service."""
    async with GroqServer() as server:
        yield server


@pytest.fixture
def waits() -> Waits:
    """Every backoff of the gateway."""
    return Waits()


@pytest.fixture
def make_gateway(store: Store, groq: GroqServer, waits: Waits):
    """Gateways over the same store and service; options by keyword. Full jitter, so waits are known."""

    def make(*, kill_switch=lambda: None, **over) -> Gateway:
        options = GatewayOptions(**{"api_key": "secret-key", "base_url": groq.url, **over})
        return Gateway(store, options, kill_switch=kill_switch, sleep=waits, jitter=lambda: 1.0)

    return make


@pytest.fixture
async def gateway(make_gateway) -> AsyncIterator[Gateway]:
    """A gateway as configured by default."""
    async with make_gateway() as opened:
        yield opened


@pytest.fixture
def load_calls(store: Store):
    """Every row of llm_calls, in the order of the calls."""

    async def load() -> list[dict]:
        return [dict(row) for row in await store.reader.fetch("SELECT * FROM llm_calls ORDER BY call_id")]

    return load


@pytest.fixture
def unused_port() -> int:
    """A loopback port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
