"""Getting on after damage: a broken file moved aside whole, a copy put in its place, what waited carried over.

Law: database, `-wal` and `-shm` move together and are never deleted: they belong to one another, and somebody may yet
read them. Whatever can still be read of the broken file's waiting batches is sealed again under a new stream; the
cloud's natural keys remove what it has already. Runs without the daemon, under its lock.
"""

import asyncio
import contextlib
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from agent.core.instants import Clock, to_ms
from agent.errors import StoreBusy, StoreError
from agent.store import outbox, witness
from agent.store.db import APPLICATION_ID, Store, looks_like_sqlite
from agent.store.durable import settle
from agent.store.tx import in_one_line, mapped
from sync.batch import Batch

TRIO = ("", "-wal", "-shm", witness.SUFFIX)


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and done."""

    verdict: str  # of the file as it was
    aside: str | None  # where it lies now; None: it was whole and stayed
    restored_from: str | None = None
    carried_batches: int = 0  # waiting batches read from it
    carried_rows: int = 0
    unreadable_batches: int = 0
    new_stream: str | None = None


def verdict_of(database: Path) -> str:
    """`ok`, or what is wrong with the file, in SQLite's words. Blocks.

    Raises: StoreError where it cannot be looked at: what others hold, or this user may not read, is not broken.
    """
    if not database.exists():
        return "there is no database"
    if not looks_like_sqlite(database):
        return "file is not a database"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (application,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error as exc:
        if isinstance(told := mapped(exc, f"look at {database}"), StoreBusy):
            raise told from exc
        return str(exc)
    found = in_one_line(found)
    if found == "ok" and application != APPLICATION_ID:
        return "a database of another program"
    return found


def move_aside(database: Path, now: datetime) -> Path:
    """Move the three files into `quarantine/TIME/` beside them. Raises: StoreError."""
    folder = database.parent / "quarantine" / f"{now:%Y%m%dT%H%M%S%fZ}"
    try:
        folder.mkdir(parents=True, mode=0o750)
        for suffix in TRIO:  # all three are copied, and on the disk, before the first one goes
            part = database.with_name(database.name + suffix)
            if part.exists():
                shutil.copy2(part, folder / part.name)
                settle(folder / part.name)
        for made in (folder, folder.parent, database.parent):
            settle(made)
        for suffix in TRIO:
            with contextlib.suppress(FileNotFoundError):
                database.with_name(database.name + suffix).unlink()
    except OSError as exc:
        advice = "make room, or move the three files by hand"
        raise StoreError(f"moving {database} aside: {exc}", advice=advice) from exc
    return folder / database.name


async def recover(database: Path, *, backup: Path | None, clock: Clock, force: bool = False) -> Recovered:
    """Look at the file; where it is broken (or with `force`) move it aside and begin anew, from a copy if one is given.

    Raises: StoreError where the copy itself is not whole.
    """
    verdict = await asyncio.to_thread(verdict_of, database)
    if verdict == "ok" and backup is None and not force:
        return Recovered(verdict=verdict, aside=None)
    aside = await asyncio.to_thread(_replace, database, backup, clock())
    async with await Store.open(database, clock=clock) as store:
        return await _begin_anew(store, verdict, aside, backup)


def _replace(database: Path, backup: Path | None, now: datetime) -> Path | None:
    """The file moved aside and the copy, if one is given, in its place. Blocks. Raises: StoreError."""
    if backup is not None and (found := verdict_of(backup)) != "ok":
        raise StoreError(f"recover from {backup}: {found}", advice="take another copy; nothing was changed")
    aside = move_aside(database, now) if database.exists() else None
    if backup is not None:
        part = database.with_name(f".{database.name}.part")
        shutil.copyfile(backup, part)
        part.replace(database)
    return aside


async def _begin_anew(store: Store, verdict: str, aside: Path | None, backup: Path | None) -> Recovered:
    """A stream of its own, then what waited in the broken file."""
    now_ms = to_ms(store.clock())
    async with store.write() as tx:
        old = await outbox.load_stream(tx)
        stream_id = await outbox.rotate(tx, old, reason="recovered", now_ms=now_ms)
    n_batches = n_rows = n_bad = 0
    for batch in _readable(aside) if aside is not None else ():
        if batch is None:
            n_bad += 1
            continue
        async with store.write() as tx:
            n_rows += await outbox.carry_over(tx, batch, now_ms=now_ms)
        n_batches += 1
    return Recovered(
        verdict=verdict,
        aside=None if aside is None else str(aside),
        restored_from=None if backup is None else str(backup),
        carried_batches=n_batches,
        carried_rows=n_rows,
        unreadable_batches=n_bad,
        new_stream=stream_id,
    )


def _readable(database: Path) -> "Iterator[Batch | None]":
    """The waiting batches that can still be read whole, None for each that cannot; nothing where the table is gone.

    One at a time: weeks of them do not fit into memory.
    """
    if not looks_like_sqlite(database):
        return
    try:
        # Read-only: what lies aside stays as it was found, its -wal included.
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            waiting = "SELECT rowid FROM batches WHERE acked_at IS NULL ORDER BY sealed_at, lo"
            for (rowid,) in connection.execute(waiting).fetchall():
                yield _one(connection, rowid)
    except sqlite3.Error:
        return


def _one(connection: sqlite3.Connection, rowid: int) -> Batch | None:
    try:
        row = connection.execute("SELECT * FROM batches WHERE rowid = ?", (rowid,)).fetchone()
        batch = Batch(
            stream_id=row["stream_id"], lo=row["lo"], hi=row["hi"], digest=row["digest"], body=row["body"],
            n_bytes=row["n_bytes"], schema_v=row["schema_v"],
        )  # fmt: skip
        return batch if batch.is_whole() else None
    except (sqlite3.Error, zlib.error, TypeError, ValueError):
        return None
