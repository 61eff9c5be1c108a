"""How prices are stored: six operations behind one interface, chosen when a database is made, never changed after.

Law: the choice stands in `storage_backend`; readers and the edge's functions use the same names on both, so nobody but
the worker and the migrations knows which one it is. Create: the revision's SQL file of that name, and the file of its
functions. The other five are below; all SQL runs with the rights of the role `worker`.
"""

from datetime import date
from enum import StrEnum
from typing import Protocol

import msgspec

from cloudapi.errors import StorageMismatch


class Backend(StrEnum):
    """The two ways: plain PostgreSQL, or TimescaleDB's hypertables."""

    NATIVE = "native"
    TIMESCALE = "timescale"


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """What one part of the prices takes on disk, indexes included."""

    part: str  # rows, packed, hours
    n_bytes: int
    n_tables: int


class StorageBackend(Protocol):
    """What the worker asks for. Each call may be repeated at any time and does only what is still to do."""

    backend: Backend

    async def ensure_ahead(self) -> int:
        """Room for the coming week. Returns: days made."""

    async def roll_up(self) -> int:
        """Hours up to the last but one, and those owed to late rows. Returns: hours written."""

    async def compact(self) -> dict[date, int]:
        """Closed days into their small form. Returns: rows per day."""

    async def retain(self, keep_days: int) -> int:
        """Take quotes of days more than `keep_days` ago. Returns: rows taken."""

    async def sizes(self) -> list[Size]:
        """What is where, for the operator."""


def refuse_other(recorded: Backend | None, wanted: Backend | None) -> None:
    """Raises: StorageMismatch if a choice was made and this is another."""
    if recorded is not None and wanted is not None and recorded is not wanted:
        raise StorageMismatch(
            f"this database stores prices as {recorded} and STORAGE_BACKEND asks for {wanted}; the choice is made "
            f"once, with the schema: leave STORAGE_BACKEND unset, or move to a new database"
        )
