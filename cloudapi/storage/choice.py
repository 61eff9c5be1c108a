"""Which storage backend a database has, read from its record."""

import asyncpg

from cloudapi.db import Connection
from cloudapi.errors import StorageMismatch
from cloudapi.storage.base import Backend, StorageBackend, refuse_other
from cloudapi.storage.native import NativeStorage
from cloudapi.storage.timescale import TimescaleStorage

KINDS: dict[Backend, type[NativeStorage] | type[TimescaleStorage]] = {
    Backend.NATIVE: NativeStorage,
    Backend.TIMESCALE: TimescaleStorage,
}


async def load_storage(connection: Connection, wanted: Backend | None = None) -> StorageBackend:
    """The storage of this database. Raises: StorageMismatch if another is wanted, or the schema is too old."""
    try:
        recorded = await connection.fetchval("select backend from storage_backend")
    except asyncpg.UndefinedTableError:
        raise StorageMismatch("this database does not say how it stores prices: run oddsd-cloud migrate") from None
    backend = Backend(recorded)
    refuse_other(backend, wanted)
    return KINDS[backend](connection)
