"""One embedded server for the session, one database per test, and an edge that speaks the protocol by hand."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

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
