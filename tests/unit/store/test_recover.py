"""A broken file is moved aside whole, collecting goes on under a new stream, and what can be read is carried over."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import StoreBroken, StoreBusy, StoreError
from agent.store import outbox
from agent.store.db import Store
from agent.store.recover import recover
from sync.records import Quote

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path, clock):
    """A file with three waiting batches, closed."""
    path = tmp_path / "oddsd.db"
    async with await Store.open(path, clock=clock) as store:
        for key in "abc":
            async with store.write() as tx:
                tx.emit(Quote(market_key=key, fetched_at=AT))
    return path


async def test_a_file_that_is_none_is_moved_aside_with_its_companions(tmp_path, clock):
    """The three belong together: a lone -wal is the past of another file."""
    path = tmp_path / "oddsd.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreBroken):
        await Store.open(path, clock=clock)

    done = await recover(path, backup=None, clock=clock)

    aside = sorted(one.name for one in (tmp_path / "quarantine").glob("*/*"))
    assert aside == ["oddsd.db", "oddsd.db-shm", "oddsd.db-wal"]
    assert (done.carried_batches, done.new_stream is not None) == (0, True)
    async with await Store.open(path, clock=clock) as store:
        assert (await outbox.load_backlog(store.reader)).n_rows == 0


async def test_what_waited_and_can_be_read_is_carried_over(database, clock):
    """Damage in one place loses only what lay there."""
    async with await Store.open(database, clock=clock) as store:
        root = await store.reader.fetch_value("SELECT rootpage FROM sqlite_schema WHERE name = 'quotes'")
    content = bytearray(database.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    database.write_bytes(bytes(content))

    done = await recover(database, backup=None, clock=clock, force=True)

    assert (done.carried_batches, done.unreadable_batches) == (3, 0)
    async with await Store.open(database, clock=clock) as store:
        batch = await outbox.load_pending(store.reader, newest_first=False)
        assert batch.stream_id == done.new_stream
        assert '"market_key":"a"' in batch.text()


async def test_the_verdict_is_part_of_a_sentence(database, clock):
    """SQLite's own has a heading and lines of its own."""
    content = bytearray(database.read_bytes())
    content[4096 * 4 : 4096 * 12] = b"\xff" * (4096 * 8)
    database.write_bytes(bytes(content))

    done = await recover(database, backup=None, clock=clock)

    assert "***" not in done.verdict
    assert "\n" not in done.verdict
    assert done.aside is not None


async def test_a_batch_that_is_not_what_was_sealed_is_not_carried_over(database, clock):
    """A digest that fails is a row nobody wrote."""
    async with await Store.open(database, clock=clock) as store, store.write() as tx:
        await tx.execute("UPDATE batches SET digest = zeroblob(32) WHERE lo = 2")

    done = await recover(database, backup=None, clock=clock, force=True)

    assert (done.carried_batches, done.unreadable_batches) == (2, 1)


async def test_a_restored_copy_goes_on_under_a_new_stream(database, tmp_path, clock):
    """Its numbers were given again to other rows meanwhile."""
    copy = tmp_path / "copy.db"
    shutil.copyfile(database, copy)
    async with await Store.open(copy, clock=clock) as store:
        old = (await outbox.load_stream(store.reader)).stream_id

    done = await recover(database, backup=copy, clock=clock)

    assert done.new_stream != old
    assert done.carried_rows == 3  # from the file that was replaced: known to the cloud by their keys where it has them
    async with await Store.open(database, clock=clock) as store:
        assert (await outbox.load_backlog(store.reader)).n_rows == 6


async def test_a_broken_copy_changes_nothing(database, tmp_path, clock):
    """The worst moment to learn that a backup is none."""
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"no" * 5000)
    before = database.read_bytes()

    with pytest.raises(StoreError, match="not a database"):
        await recover(database, backup=copy, clock=clock)

    assert database.read_bytes() == before


async def test_a_whole_file_stays(database, clock):
    """Nobody loses a good file to a command typed in panic."""
    assert (await recover(database, backup=None, clock=clock)).aside is None


async def test_damage_is_found_at_the_start_after_a_stop_that_was_none(database, clock):
    """Building on a broken page makes two."""
    store = await Store.open(database, clock=clock)
    async with store.write() as tx:
        await tx.execute("DELETE FROM meta WHERE key = 'clean'")
    await store.checkpoint()
    root = await store.reader.fetch_value("SELECT rootpage FROM sqlite_schema WHERE name = 'streams'")
    await store._reader_connection.close()
    await store._writer.close()
    content = bytearray(database.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    database.write_bytes(bytes(content))

    with pytest.raises(StoreBroken):
        await Store.open(database, clock=clock)


async def test_a_file_another_process_holds_is_not_taken_for_a_broken_one(database, clock, monkeypatch):
    """A shell left open on a whole file would have cost the stream and every row the cloud holds already."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, timeout=0, **more))
    with closing(connect(database, isolation_level=None)) as held:
        held.execute("PRAGMA locking_mode = EXCLUSIVE")
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="locked"):
            await recover(database, backup=None, clock=clock)

    assert database.exists()
    assert not (database.parent / "quarantine").exists()


async def test_the_copy_aside_is_on_the_disk_before_the_file_goes(database, clock, monkeypatch):
    """A power cut in between left neither: the copy in the page cache, the original unlinked."""
    settled, early = set[str](), list[str]()
    sync, unlink = os.fsync, Path.unlink

    def noted_sync(handle):
        settled.add(Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def noted_unlink(path, missing_ok=False):
        if path == database and not {path.name, "quarantine", path.parent.name} <= settled:
            early.append(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    done = await recover(database, backup=None, clock=clock, force=True)

    assert (early, done.carried_batches) == ([], 3)
