"""The real API over a real database, on loopback, with a key that may deliver."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from cloudapi.app import create_app
from cloudapi.keys import N_RANDOM_BYTES, make_key
from cloudapi.queries.accounts import save_key
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier
from tests.fakes.asgi import serve


async def make_edge_key(owner_dsn: str, scope: str = "ingest") -> str:
    """A key of this scope, known to the database."""
    key = make_key(secrets.token_bytes(N_RANDOM_BYTES))
    connection = await asyncpg.connect(owner_dsn)
    try:
        await save_key(connection, key=key, name="edge", tier=Tier.BASIC, scopes=(scope,))
    finally:
        await connection.close(timeout=5)
    return key


@asynccontextmanager
async def serving(owner_dsn: str) -> AsyncIterator[tuple[str, str]]:
    """Yield address and key."""
    app = create_app(CloudSettings.load(database_url=owner_dsn, redis_url=None))
    async with serve(app, lifespan="on") as url:
        yield url, await make_edge_key(owner_dsn)
