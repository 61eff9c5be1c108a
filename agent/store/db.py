"""The edge database: one SQLite file, one connection that writes, one that reads.

Law: every change happens inside `write()`, one transaction at a time, durable when the block ends
(synchronous=FULL); records handed to `Tx.emit` are sealed into outbox batches in that same transaction, so data and
its obligation to travel can never part. Readers see the last commit. Nobody else opens the file.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiosqlite
import structlog

from agent.core.instants import Clock, to_ms
from agent.errors import DeviceFailed, SchemaMismatch, StoreBroken, StoreError, StoreFull
from agent.store import outbox, witness
from agent.store.tx import NOT_FOR_US, Reader, Tx, in_one_line, mapped

APPLICATION_ID = 0x0DD5D  # recognises our file among others

_WRITER_PRAGMAS = """
PRAGMA busy_timeout = 30000;          -- a backup may hold the file for seconds; 5 s left work stuck
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -32768;           -- 32 MB: the indexes of 50,000 markets; with 8 each page was read again
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA wal_autocheckpoint = 4000;     -- 16 MB: a cycle rewrites the same pages, and they are copied back less often
PRAGMA journal_size_limit = 8388608;  -- the WAL shrinks again after a burst
PRAGMA synchronous = FULL;            -- NORMAL loses the last commits in a power cut, and re-issues their numbers
"""
_READER_PRAGMAS = """
PRAGMA busy_timeout = 30000;
PRAGMA query_only = ON;
PRAGMA wal_autocheckpoint = 0;        -- only the writer checkpoints: two at once can corrupt SQLite before 3.51.3
PRAGMA cache_size = -4096;
"""


log = structlog.get_logger("store")

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_RECOVER = "oddsd recover moves it aside and carries over what can still be read"


class Store:
    """The open database. Use as `async with await Store.open(path, clock=...) as store`."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.sealed = asyncio.Event()  # set at each commit that put something into the outbox; the sender clears it
        self.full = asyncio.Event()  # set when a write failed for want of room; whoever makes room clears it
        self._writer = writer
        self._lock = asyncio.Lock()
        self._reader_connection = reader
        self.reader = Reader(reader)
        self._failed: DeviceFailed | None = None  # after it nothing is written: a later sync would succeed all the same

    @classmethod
    async def open(cls, path: Path, *, clock: Clock) -> Self:
        """Open or make the file and bring its schema up to date.

        Raises: SchemaMismatch for a foreign or newer file (left untouched), StoreError otherwise.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as exc:
            raise StoreError(f"store {path}: {exc.strerror}", advice=NOT_FOR_US) from exc
        if not looks_like_sqlite(path):
            raise StoreBroken(f"store {path}: not a database of ours: no SQLite file", advice=_RECOVER)
        found = witness.question(path)
        if found.doubt is None:
            witness.dismiss(path)
        writer, reader = await _connect(path), None
        try:
            await _migrate(writer, path)
            await writer.executescript(_WRITER_PRAGMAS)
            await _assert_full(writer, path)
            await _assert_whole(writer, path, found)
            reader = await _connect(path)
            await reader.executescript(_READER_PRAGMAS)
            store = cls(path, writer, reader, clock)
            async with store.write() as tx:
                await outbox.ensure_stream(tx, now_ms=to_ms(clock()))
                if found.doubt is not None:
                    log.critical("the log of writes is not the database's own", action="log_doubted", why=found.doubt)
                    await outbox.rotate(
                        tx, await outbox.load_stream(tx), reason=found.doubt, now_ms=to_ms(clock())
                    )  # its numbers may have been given to other rows
            witness.install(path)
        except BaseException as exc:
            for connection in filter(None, (reader, writer)):
                await connection.close()  # its thread would keep the process from ending
            if isinstance(exc, sqlite3.Error):
                raise _not_opened(exc, path) from exc
            raise
        return store

    async def close(self) -> None:
        """Finish the transaction in progress, fold the WAL into the file and let go of it."""
        async with self._lock:
            await self._reader_connection.close()
            try:
                if self._failed is None:
                    with contextlib.suppress(sqlite3.Error):  # a full disk: the next start looks the file over
                        await self._writer.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('clean', '1')")
                witness.dismiss(self.path)
                if self._failed is None:
                    await self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as exc:
                raise mapped(exc, "the checkpoint at closing") from exc  # the WAL keeps what the file did not take
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
            if self._failed is not None:
                told = DeviceFailed(f"nothing is written any more: {self._failed}", advice=self._failed.advice)
                raise told from self._failed.__cause__
            tx = Tx(self._writer)
            try:
                # Inside: a cancelled await does not stop the statement, which the worker thread still runs.
                await tx.execute("BEGIN IMMEDIATE")
                yield tx
                if tx.emitted:
                    await outbox.seal(tx, tx.emitted, now_ms=to_ms(self.clock()))
                # A cancellation between the commit's start and its end must not leave the outcome open.
                await asyncio.shield(asyncio.ensure_future(self._commit(tx)))
            except BaseException as exc:
                await asyncio.shield(asyncio.ensure_future(self._rollback()))
                self._note(exc)
                raise

    async def checkpoint(self) -> None:
        """Fold the WAL into the file and give its room back. Raises: StoreError."""
        async with self._lock:
            try:
                await self._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as exc:
                raise mapped(exc, "checkpoint") from exc

    async def _commit(self, tx: Tx) -> None:
        # What comes of it is noted here: whoever asked for it may have been cancelled meanwhile.
        try:
            await self._writer.commit()
        except sqlite3.Error as exc:
            told = mapped(exc, "COMMIT")
            self._note(told)
            raise told from exc
        if tx.emitted:
            self.sealed.set()

    def _note(self, exc: BaseException) -> None:
        if isinstance(exc, StoreFull):
            self.full.set()
        elif isinstance(exc, DeviceFailed):
            self._failed = exc

    async def _rollback(self) -> None:
        # Queued behind whatever was under way, and nothing where no transaction is left: whether one is open cannot
        # be known here, for a cancelled BEGIN or COMMIT may still be waiting for the worker thread.
        await self._writer.rollback()


def is_there(path: Path) -> bool:
    """Whether there is a database. Raises: StoreError where this user may not look."""
    try:
        return path.exists()
    except OSError as exc:
        raise StoreError(f"store {path}: {exc.strerror}", advice=NOT_FOR_US) from exc


def looks_like_sqlite(path: Path) -> bool:
    """Whether the file may be opened at all: SQLite deletes the `-wal` beside a file it then finds to be none.

    Raises: StoreError where it cannot be read.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return True
        if path.with_name(f"{path.name}-journal").exists():
            return True  # a power cut while the file was being made: half a first page, which SQLite itself takes back
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError as exc:
        raise StoreError(f"store {path}: {exc.strerror}", advice=NOT_FOR_US) from exc


def _not_opened(exc: sqlite3.Error, path: Path) -> StoreError:
    """SQLite calls a disk without inodes a file it cannot open."""
    told, room = mapped(exc, "open"), os.statvfs(path.parent)
    if room.f_files and not room.f_favail:  # some file systems have no fixed number of them
        return StoreFull(f"{told} ({path}): no inodes are left", advice="see df -i, and remove files from that disk")
    return type(told)(f"{told} ({path})", advice=told.advice)


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = aiosqlite.connect(path, isolation_level=None)
    try:
        await connection
    except BaseException as exc:
        # The library does not wait for its thread, whose last word would find this loop closed and say so at length.
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001
        if isinstance(exc, sqlite3.Error):
            raise mapped(exc, "open") from exc
        raise
    connection.row_factory = sqlite3.Row
    return connection


async def _assert_full(connection: aiosqlite.Connection, path: Path) -> None:
    """Read the durability back: the setting is per connection and silently ignored when misspelt."""
    if await _value(connection, "PRAGMA synchronous") != 2:
        raise StoreError(f"store {path}: synchronous=FULL was not accepted")


async def _assert_whole(connection: aiosqlite.Connection, path: Path, found: witness.Testimony) -> None:
    """After a stop that was none, look the file over before anything is built on it. Raises: StoreBroken.

    A log of writes that is gone or another's may have left pages of two times: then row by row, however long it takes.
    """
    look = "PRAGMA quick_check(1)" if found.doubt is None else "PRAGMA integrity_check(1)"
    try:
        if await connection.execute_fetchall("DELETE FROM meta WHERE key = 'clean' RETURNING 1") and not found.unclean:
            return
        verdict = in_one_line(await _value(connection, look))
    except sqlite3.DatabaseError as exc:
        if not getattr(exc, "sqlite_errorname", "").startswith(_DAMAGED):
            raise mapped(exc, look) from exc
        verdict = str(exc)
    if verdict != "ok":
        raise StoreBroken(f"store {path}: damaged: {verdict}", advice=_RECOVER)


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
        if not getattr(exc, "sqlite_errorname", "").startswith(_DAMAGED):
            raise  # a device that cannot be read says nothing about the file
        raise StoreBroken(f"store {path}: not a database of ours: {exc}", advice=_RECOVER) from exc
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
        await _back_up(connection, path.with_suffix(f".before-{newest}.db"))
    for number, sql in migrations:
        if number > version:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )


async def _back_up(connection: aiosqlite.Connection, backup: Path) -> None:
    """A copy from before the migrations, whole or not there: a start that was killed meanwhile stops no later one."""
    if (part := _unfinished(backup)) is not None:
        await connection.execute("VACUUM INTO ?", (str(part),))
        part.replace(backup)


def _unfinished(backup: Path) -> Path | None:
    """Where to copy to; None where an earlier start has copied already, before the first of these migrations."""
    if backup.exists():
        return None
    part = backup.with_suffix(".part")
    part.unlink(missing_ok=True)
    return part
