"""The edge database: one SQLite file, one connection that writes, one that reads.

Law: every change happens inside `write()`, one transaction at a time, durable when the block ends
(synchronous=FULL); records handed to `Tx.emit` are sealed into outbox batches in that same transaction, so data and
its obligation to travel can never part. Readers see the last commit. Nobody else opens the file.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite

from agent.core.instants import Clock, to_ms
from agent.errors import SchemaMismatch, StoreBusy, StoreError, StoreFull
from agent.store import outbox
from sync.records import Record

APPLICATION_ID = 0x0DD5D  # recognises our file among others
Row = sqlite3.Row
Params = Sequence[Any] | dict[str, Any]

_WRITER_PRAGMAS = """
PRAGMA busy_timeout = 30000;          -- a backup may hold the file for seconds; 5 s left work stuck
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8192;
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA wal_autocheckpoint = 1000;
PRAGMA journal_size_limit = 8388608;  -- the WAL shrinks again after a burst
PRAGMA synchronous = FULL;            -- NORMAL loses the last commits in a power cut, and re-issues their numbers
"""
_READER_PRAGMAS = """
PRAGMA busy_timeout = 30000;
PRAGMA query_only = ON;
PRAGMA wal_autocheckpoint = 0;        -- only the writer checkpoints: two at once can corrupt SQLite before 3.51.3
PRAGMA cache_size = -4096;
"""


class Reader:
    """Something that answers queries: the reading connection, or a transaction in progress."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows of a query. Raises: StoreError."""
        try:
            return list(await self._connection.execute_fetchall(sql, params))
        except sqlite3.Error as exc:
            raise _mapped(exc, sql) from exc

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
        self.emitted: list[Record] = []

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement; returns the number of rows it changed. Raises: StoreError."""
        try:
            async with self._connection.execute(sql, params) as cursor:
                return cursor.rowcount
        except sqlite3.Error as exc:
            raise _mapped(exc, sql) from exc

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        """Run one statement for each row; returns the number of rows changed in all. Raises: StoreError."""
        try:
            async with self._connection.executemany(sql, rows) as cursor:
                return cursor.rowcount
        except sqlite3.Error as exc:
            raise _mapped(exc, sql) from exc

    def emit(self, *records: Record) -> None:
        """Let records travel: they are sealed into the outbox when this transaction commits."""
        self.emitted.extend(records)


class Store:
    """The open database. Use as `async with await Store.open(path, clock=...) as store`."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.sealed = asyncio.Event()  # set at each commit that put something into the outbox; the sender clears it
        self._writer = writer
        self._lock = asyncio.Lock()
        self._reader_connection = reader
        self.reader = Reader(reader)

    @classmethod
    async def open(cls, path: Path, *, clock: Clock) -> Self:
        """Open or make the file and bring its schema up to date.

        Raises: SchemaMismatch for a foreign or newer file (left untouched), StoreError otherwise.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        writer = await _connect(path)
        try:
            await _migrate(writer, path)
            await writer.executescript(_WRITER_PRAGMAS)
            await _assert_full(writer, path)
            reader = await _connect(path)
        except BaseException:
            await writer.close()
            raise
        await reader.executescript(_READER_PRAGMAS)
        store = cls(path, writer, reader, clock)
        async with store.write() as tx:
            await outbox.ensure_stream(tx, now_ms=to_ms(clock()))
        return store

    async def close(self) -> None:
        """Finish the transaction in progress, fold the WAL into the file and let go of it."""
        async with self._lock:
            await self._reader_connection.close()
            try:
                await self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                await self._writer.close()  # its thread would keep the process from ending

    async def __aenter__(self) -> Self:
        """The store itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, whatever happened inside."""
        await self.close()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        """One transaction: all of the block and its outbox batches, or nothing of it.

        Raises: StoreBusy, StoreFull, StoreError; whatever the block raises rolls back and passes through.
        """
        async with self._lock:
            tx = Tx(self._writer)
            try:
                # Inside: a cancelled await does not stop the statement, which the worker thread still runs.
                await tx.execute("BEGIN IMMEDIATE")
                yield tx
                if tx.emitted:
                    await outbox.seal(tx, tx.emitted, now_ms=to_ms(self.clock()))
                # A cancellation between the commit's start and its end must not leave the outcome open.
                await asyncio.shield(asyncio.ensure_future(self._commit()))
            except BaseException:
                await asyncio.shield(asyncio.ensure_future(self._rollback()))
                raise
            if tx.emitted:
                self.sealed.set()

    async def _commit(self) -> None:
        try:
            await self._writer.commit()
        except sqlite3.Error as exc:
            raise _mapped(exc, "COMMIT") from exc

    async def _rollback(self) -> None:
        # Queued behind whatever was under way, and nothing where no transaction is left: whether one is open cannot
        # be known here, for a cancelled BEGIN or COMMIT may still be waiting for the worker thread.
        await self._writer.rollback()


async def _connect(path: Path) -> aiosqlite.Connection:
    try:
        connection = await aiosqlite.connect(path, isolation_level=None)
    except sqlite3.Error as exc:
        raise _mapped(exc, "open") from exc
    connection.row_factory = sqlite3.Row
    return connection


async def _assert_full(connection: aiosqlite.Connection, path: Path) -> None:
    """Read the durability back: the setting is per connection and silently ignored when misspelt."""
    if await _value(connection, "PRAGMA synchronous") != 2:
        raise StoreError(f"store {path}: synchronous=FULL was not accepted")


async def _value(connection: aiosqlite.Connection, sql: str) -> Any:
    rows = list(await connection.execute_fetchall(sql))
    return rows[0][0] if rows else None


def _migrations() -> list[tuple[int, str]]:
    folder = resources.files("agent.store") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(int(f.name[:4]), f.read_text(encoding="utf-8")) for f in files]


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    """Apply what is missing, each migration in a transaction of its own; an existing file is backed up first."""
    migrations = _migrations()
    newest = migrations[-1][0]
    try:
        found, version = (
            await _value(connection, "PRAGMA application_id"),
            await _value(connection, "PRAGMA user_version"),
        )
        empty = not await _value(connection, "SELECT count(*) FROM sqlite_schema")
    except sqlite3.DatabaseError as exc:
        raise SchemaMismatch(f"store {path}: not a database of ours: {exc}") from exc
    if not empty and found != APPLICATION_ID:
        raise SchemaMismatch(f"store {path}: a database of another program (application_id {found:#x})")
    if version > newest:
        raise SchemaMismatch(
            f"store {path}: schema {version} is newer than this program's {newest}",
            advice="install the newer oddsd again, or point data_dir elsewhere; the file was not touched",
        )
    if version == newest:
        return
    if empty:
        await connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")
    else:
        await connection.execute("VACUUM INTO ?", (str(path.with_suffix(f".before-{newest}.db")),))
    for number, sql in migrations:
        if number > version:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )


def _mapped(exc: sqlite3.Error, sql: str) -> StoreError:
    """The one place where SQLite's errors become ours."""
    name = getattr(exc, "sqlite_errorname", None) or type(exc).__name__
    statement = " ".join(sql.split())[:80]
    message = f"store: {statement}: {name}: {exc}"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(message, advice="another process holds the database; stop it")
    if name == "SQLITE_FULL":
        return StoreFull(message, advice="free disk space; nothing stored was lost")
    return StoreError(message)
