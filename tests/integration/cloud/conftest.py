"""One embedded server for the session, one database per test, and an edge that speaks the protocol by hand."""

import asyncio
import gc
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import pytest
import uvicorn

from cloudapi.app import create_app
from cloudapi.keys import N_RANDOM_BYTES, make_key
from cloudapi.queries.accounts import save_key
from cloudapi.server import CloudServer
from cloudapi.services import Services
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.edge import HandEdge


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres().start()
    yield server
    server.stop()


@pytest.fixture
def dsns(postgres: EmbeddedPostgres) -> tuple[str, str]:
    return postgres.create_database()


@pytest.fixture
async def owner(dsns: tuple[str, str]) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsns[0])
    yield connection
    await connection.close(timeout=5)


@pytest.fixture
async def edge(dsns: tuple[str, str]) -> AsyncIterator[HandEdge]:
    connection = await asyncpg.connect(dsns[1])
    yield HandEdge(connection)
    await connection.close(timeout=5)


class Clock:
    """Now, until a test says otherwise."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def __call__(self) -> datetime:
        return self.moment or datetime.now(UTC)


class Replica:
    """One running copy of the service, on loopback, behind a real server."""

    def __init__(self, url: str, services: Services, server: CloudServer, keys: dict[Tier, str]) -> None:
        self.url = url
        self.services = services
        self.server = server
        self.keys = keys
        self.http = httpx.AsyncClient(base_url=url, timeout=10)

    async def get(self, path: str, *, tier: Tier | None = Tier.PRO, **options: object) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if tier is not None:
            headers["authorization"] = f"Bearer {self.keys[tier]}"
        return await self.http.get(path, headers=headers, **options)

    async def landed(self, n_rows: int) -> None:
        """Wait until this replica has heard of so many rows."""
        async with asyncio.timeout(5):
            while sum(self.services.versions.n_landed.values()) < n_rows:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(settings: CloudSettings, keys: dict[Tier, str], clock: Clock) -> AsyncIterator[Replica]:
    """Serve until the block ends, then stop as a signal would."""
    app = create_app(settings, now=clock)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=2
    )
    server = CloudServer(config, app.state.services, ready.set_result)
    threshold = gc.get_threshold()
    task = asyncio.create_task(server.serve(), name="replica")
    replica = Replica(f"http://127.0.0.1:{await ready}", app.state.services, server, keys)
    try:
        yield replica
    finally:
        await replica.http.aclose()
        server.should_exit = True
        await task
        gc.unfreeze()
        gc.set_threshold(*threshold)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(owner: asyncpg.Connection) -> dict[Tier, str]:
    made = {tier: make_key(secrets.token_bytes(N_RANDOM_BYTES)) for tier in Tier}
    for tier, key in made.items():
        await save_key(owner, key=key, name=f"{tier} reader", tier=tier)
    return made


@pytest.fixture
async def start_replica(
    dsns: tuple[str, str], keys: dict[Tier, str], clock: Clock
) -> AsyncIterator[Callable[..., Awaitable[Replica]]]:
    async with AsyncExitStack() as stack:

        async def start(**changes: object) -> Replica:
            settings = CloudSettings.load(**({"database_url": dsns[0]} | changes))
            replica = await stack.enter_async_context(running(settings, keys, clock))
            async with asyncio.timeout(5):
                # Until it listens, a landing could go unheard.
                while not replica.services.versions.is_hearing:
                    await asyncio.sleep(0.005)
            return replica

        yield start


@pytest.fixture
async def replica(start_replica: Callable[..., Awaitable[Replica]]) -> Replica:
    return await start_replica()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian package redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen([binary, *options], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "Ready to accept" in line:
            break
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.communicate(timeout=10)
