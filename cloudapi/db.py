"""The connection pool, rows to records, and the daily partitions.

Law: plain SQL through asyncpg with its statement cache; every statement has a server-side timeout; a row becomes a
record in `from_row` and nowhere else. Foreign errors that mean "the database is away" are listed here once.
"""

import asyncio
from typing import TypeAlias, TypeVar

import asyncpg
import msgspec
import structlog

from cloudapi.behalf import EVERYBODY, SETTING, PooledConnection, confine
from cloudapi.settings import CloudSettings

log = structlog.get_logger(__name__)

# As text: asyncpg's classes take a parameter in their stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
T = TypeVar("T")

ACQUIRE_TIMEOUT_S = 3.0
CONNECT_TIMEOUT_S = 3.0
LOCK_TIMEOUT = "2s"  # as the roles have it when they log in themselves
PARTITIONS_EVERY_S = 3600.0
PARTITIONS_RETRY_S = 10.0

# Away, restarting, full or too slow: the caller may try again. Anything else is our bug.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says where the server died in the middle of its answer
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


def make_pool(settings: CloudSettings, *, role: str = "api_rw") -> Pool:
    """A pool that connects when first asked, so the service starts (and says 503) while the database is away.

    Args:
        role: what a login that may do more is reduced to, unless DATABASE_ROLES says otherwise.
    """
    return asyncpg.create_pool(
        settings.database_url.get_secret_value(),
        min_size=0,
        max_size=settings.pool_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=settings.statement_timeout_s + 1,
        setup=confine,
        connection_class=PooledConnection,
        server_settings={
            "application_name": "oddsd-cloud",
            "timezone": "UTC",
            "statement_timeout": str(int(settings.statement_timeout_s * 1000)),
            "lock_timeout": LOCK_TIMEOUT,
            SETTING: EVERYBODY,
        }
        | ({"role": role} if settings.database_roles else {}),
    )


def from_row(row: asyncpg.Record, kind: type[T]) -> T:
    """A record from a row whose columns are named as its fields. Raises: msgspec.ValidationError (our bug)."""
    return msgspec.convert(dict(row), kind)


async def keep_partitions(pool: Pool) -> None:
    """Make tomorrow's partitions before tomorrow: now, then hourly, for ever."""
    is_failing = False
    while True:
        try:
            made = await pool.fetchval("select ensure_partitions()", timeout=30)
        except (*AWAY, asyncpg.PostgresError) as exc:
            if not is_failing:
                log.warning("no price partitions made", action="partitions_failed", cause=str(exc))
            is_failing = True
            await asyncio.sleep(PARTITIONS_RETRY_S)
        else:
            if made or is_failing:
                log.info("price partitions are ahead", action="partitions_made", n_made=made)
            is_failing = False
            await asyncio.sleep(PARTITIONS_EVERY_S)
