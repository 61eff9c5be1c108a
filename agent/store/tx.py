"""What a query runs on: a reader, or a transaction in progress. Made by db.py alone.

Law: SQLite's errors become ours here and nowhere else; records travel only through `Tx.emit`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import aiosqlite
from msgspec import Raw

from agent.errors import DeviceFailed, StoreBusy, StoreError, StoreFull
from sync.records import Record

Row = sqlite3.Row
Params = Sequence[Any] | dict[str, Any]


class Reader:
    """Something that answers queries: the reading connection, or a transaction in progress."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows of a query. Raises: StoreError."""
        try:
            return list(await self._connection.execute_fetchall(sql, params))
        except sqlite3.Error as exc:
            raise mapped(exc, sql) from exc

    async def fetch_one(self, sql: str, params: Params = ()) -> Row | None:
        """The first row of a query, or None. Raises: StoreError."""
        rows = await self.fetch(sql, params)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row; None where there is no row. Raises: StoreError."""
        row = await self.fetch_one(sql, params)
        return None if row is None else row[0]


class Tx(Reader):
    """One open transaction. Reads through it see its own writes."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        super().__init__(connection)
        self.emitted: list[Record | Raw] = []

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement; returns the number of rows it changed. Raises: StoreError."""
        try:
            async with self._connection.execute(sql, params) as cursor:
                return cursor.rowcount
        except sqlite3.Error as exc:
            raise mapped(exc, sql) from exc

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        """Run one statement for each row; returns the number of rows changed in all. Raises: StoreError."""
        try:
            async with self._connection.executemany(sql, rows) as cursor:
                return cursor.rowcount
        except sqlite3.Error as exc:
            raise mapped(exc, sql) from exc

    def emit(self, *records: Record | Raw) -> None:
        """Let records travel: they are sealed into the outbox when this transaction commits. Raw: encoded already."""
        self.emitted.extend(records)


# Not the whole SQLITE_IOERR family: a full disk and a lock are in it too.
_DEVICE = {
    f"SQLITE_IOERR_{what}" for what in ("READ", "WRITE", "FSYNC", "DIR_FSYNC", "TRUNCATE", "FSTAT", "DATA", "CORRUPTFS")
}


NOT_FOR_US = "run this as the user oddsd runs as, and see that data_dir is that user's and its disk can be written"


def in_one_line(verdict: object) -> str:
    """What a check of SQLite's found, as a part of a sentence: "ok", or the first fault."""
    return " ".join(str(verdict).replace("*** in database main ***", "").split())


def mapped(exc: sqlite3.Error, sql: str) -> StoreError:
    """The one place where SQLite's errors become ours."""
    name = getattr(exc, "sqlite_errorname", None) or type(exc).__name__
    statement = " ".join(sql.split())[:80]
    message = f"store: {statement}: {name}: {exc}"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(message, advice="another process holds the database; stop it")
    if name == "SQLITE_FULL":
        return StoreFull(message, advice="free disk space; nothing stored was lost")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError(message, advice=NOT_FOR_US)
    if name in _DEVICE:
        return DeviceFailed(message, advice="look at the device: dmesg, smartctl; what was committed before is safe")
    return StoreError(message)
