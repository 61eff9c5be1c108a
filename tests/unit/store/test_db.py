"""The store keeps what it said it kept, and data never parts from its obligation to travel."""

import asyncio
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import aiosqlite
import pytest

from agent.errors import DeviceFailed, SchemaMismatch, StoreBusy, StoreError
from agent.jobs.context import is_engine_fault
from agent.store import db, outbox
from agent.store.db import Store
from sync.records import Quote

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def quote(key: str) -> Quote:
    return Quote(market_key=key, fetched_at=AT, bid=0.5)


async def test_a_file_that_cannot_be_opened_leaves_no_thread_behind(tmp_path, monkeypatch, clock):
    """Its last word would find the loop closed, and a traceback would stand where one sentence belongs."""

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    monkeypatch.setattr(aiosqlite.core.LOG, "debug", lambda *_: time.sleep(0.02))  # it says each step; so it is slow

    with pytest.raises(StoreError, match="disk I/O error"):
        await Store.open(tmp_path / "oddsd.db", clock=clock)

    assert not [each.name for each in threading.enumerate() if "connection_worker" in each.name]


async def test_a_failing_transaction_leaves_neither_data_nor_batch(store):
    """Data and its outbox batch are one transaction."""

    async def fail() -> None:
        async with store.write() as tx:
            await tx.execute("INSERT INTO meta VALUES ('a', 'b')")
            tx.emit(quote("k"))
            raise RuntimeError("power")

    with pytest.raises(RuntimeError):
        await fail()

    assert await store.reader.fetch("SELECT * FROM meta") == []
    assert (await outbox.load_backlog(store.reader)).n_rows == 0


async def test_a_cancelled_transaction_rolls_back_and_frees_the_writer(store):
    """A task cancelled inside write() must not leave the next one in its transaction."""
    inside = asyncio.Event()

    async def hang() -> None:
        async with store.write() as tx:
            await tx.execute("INSERT INTO meta VALUES ('a', 'b')")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with store.write() as tx:
        await tx.execute("INSERT INTO meta VALUES ('c', 'd')")
    rows = await store.reader.fetch("SELECT key FROM meta")
    assert [row["key"] for row in rows] == ["c"]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_comes_of_a_commit_is_known_though_its_writer_was_cancelled(store, monkeypatch, fails: bool):
    """A job's time limit in the middle of a COMMIT: the sender is woken all the same, a failing device stops writing."""
    commit, under_way = store._writer.commit, asyncio.Event()

    async def slow() -> None:
        busy = asyncio.ensure_future(store._writer._execute(time.sleep, 0.05))  # the thread, as a slow sync keeps it
        committing = asyncio.ensure_future(commit())
        under_way.set()
        await asyncio.gather(busy, committing)
        if fails:
            failure = sqlite3.OperationalError("disk I/O error")
            failure.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise failure

    async def write() -> None:
        async with store.write() as tx:
            tx.emit(quote("k"))

    monkeypatch.setattr(store._writer, "commit", slow)
    task = asyncio.create_task(write())
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()

    assert store.sealed.is_set() is not fails
    if fails:
        with pytest.raises(DeviceFailed, match="nothing is written any more"):
            await write()


async def test_two_writers_never_share_a_transaction(store):
    """Statements of one coroutine must not slip into another's transaction."""

    async def write(key: str, *, fail: bool) -> None:
        async with store.write() as tx:
            await tx.execute("INSERT INTO meta VALUES (?, '')", (key,))
            await asyncio.sleep(0)
            if fail:
                raise RuntimeError(key)

    results = await asyncio.gather(*(write(f"k{i}", fail=i % 2 == 0) for i in range(20)), return_exceptions=True)

    assert sum(isinstance(result, RuntimeError) for result in results) == 10
    assert await store.reader.fetch_value("SELECT count(*) FROM meta") == 10


async def test_numbers_are_contiguous_and_never_given_twice(store):
    """A number names one content for ever, also after everything was pruned."""
    for size in (3, 2):
        async with store.write() as tx:
            tx.emit(*[quote(f"k{i}") for i in range(size)])
    async with store.write() as tx:
        await tx.execute("DELETE FROM batches")
    async with store.write() as tx:
        tx.emit(quote("later"))

    batch = await outbox.load_pending(store.reader, newest_first=True)
    assert (batch.lo, batch.hi) == (6, 6)


async def test_durability_is_full(store):
    """NORMAL would lose the last commits in a power cut and give their numbers again."""
    async with store.write() as tx:
        assert await tx.fetch_value("PRAGMA synchronous") == 2
        assert await tx.fetch_value("PRAGMA journal_mode") == "wal"
        assert await tx.fetch_value("PRAGMA foreign_keys") == 1


async def test_the_reader_cannot_write(store):
    """Only one connection writes and checkpoints."""
    with pytest.raises(StoreError, match="readonly"):
        await store.reader.fetch("INSERT INTO meta VALUES ('a', 'b')")


async def test_a_newer_file_is_refused_and_left_untouched(tmp_path: Path, clock):
    """A downgrade must not damage what a newer program wrote."""
    path = tmp_path / "x.db"
    async with await Store.open(path, clock=clock):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(SchemaMismatch, match="newer"):
        await Store.open(path, clock=clock)

    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one" * 20, None])
async def test_a_foreign_file_is_refused(tmp_path: Path, clock, content):
    """Another program's file is never migrated."""
    path = tmp_path / "x.db"
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        connection.close()
    else:
        path.write_bytes(content)

    with pytest.raises(SchemaMismatch):
        await Store.open(path, clock=clock)


async def test_a_busy_file_is_named_as_such(store):
    """Another process on the file is a retryable condition with advice, not a bug."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        await store._writer.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(StoreBusy) as raised:
            async with store.write():
                pass
    finally:
        other.close()
    assert raised.value.retryable
    assert "another process" in raised.value.advice


@pytest.mark.parametrize("n_turns", range(4))
async def test_a_write_cancelled_as_it_begins_leaves_no_transaction_open(store: Store, n_turns: int):
    """The worker thread runs a BEGIN whose await was cancelled; a job's time limit once broke every write after it."""

    async def write() -> None:
        async with store.write():
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    for _ in range(n_turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    async with store.write() as tx:
        await tx.execute("INSERT INTO meta (key, value) VALUES ('after', '1')")
    assert await store.reader.fetch_value("SELECT value FROM meta WHERE key = 'after'") == "1"


@pytest.mark.parametrize("left", [".part", ".db"])
async def test_a_start_killed_between_copy_and_migration_stops_no_later_one(tmp_path: Path, clock, monkeypatch, left):
    """Half a copy is made anew; a whole one is from before every migration, and stays."""
    migrations, path = db._migrations(), tmp_path / "oddsd.db"
    newest = migrations[-1][0]
    monkeypatch.setattr(db, "_migrations", lambda: migrations[:-1])
    async with await Store.open(path, clock=clock):
        pass
    monkeypatch.undo()
    (tmp_path / f"oddsd.before-{newest}{left}").write_bytes(b"what a kill left")

    async with await Store.open(path, clock=clock) as store:
        version = await store.reader.fetch_value("PRAGMA user_version")

    assert version == newest
    backup = (tmp_path / f"oddsd.before-{newest}.db").read_bytes()
    assert backup.startswith(b"SQLite format 3" if left == ".part" else b"what a kill left")


async def test_after_a_failure_of_the_device_nothing_is_written_and_the_next_start_looks_the_file_over(
    tmp_path: Path, clock, monkeypatch
):
    """The kernel may have dropped the pages and report success for the next sync."""
    async with await Store.open(tmp_path / "oddsd.db", clock=clock) as store:
        commit = store._writer.commit

        async def fail() -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error

        monkeypatch.setattr(store._writer, "commit", fail)
        with pytest.raises(DeviceFailed, match="SQLITE_IOERR_FSYNC"):
            async with store.write() as tx:
                tx.emit(quote("k"))
        monkeypatch.setattr(store._writer, "commit", commit)

        with pytest.raises(DeviceFailed, match="nothing is written any more") as told:
            async with store.write() as tx:
                tx.emit(quote("k"))
        assert is_engine_fault(told.value), "a job would go on as if nothing had happened"

    connection = sqlite3.connect(tmp_path / "oddsd.db")
    assert connection.execute("SELECT count(*) FROM meta WHERE key = 'clean'").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM batches").fetchone() == (0,)
    connection.close()


async def test_a_file_that_may_not_be_read_is_a_sentence_with_advice(tmp_path, clock):
    """Any command run as another user met a traceback."""
    path = tmp_path / "oddsd.db"
    path.mkdir()

    with pytest.raises(StoreError, match="Is a directory") as told:
        await Store.open(path, clock=clock)

    assert "the user oddsd runs as" in told.value.advice
