"""A house whose file was damaged opens by itself: what is broken lies aside, what waited goes on waiting."""

import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.app import open_house
from agent.settings import Settings, load_settings
from agent.store import outbox
from agent.store.db import Store
from sync.records import Quote

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAGE = 4096


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "oddsd.toml"
    file.write_text(f'host_id = "home"\ndata_dir = "{tmp_path}/data"\nruntime_dir = "{tmp_path}"\n')
    return load_settings(file)


async def seal(store: Store, *keys: str) -> None:
    for key in keys:
        async with store.write() as tx:
            tx.emit(Quote(market_key=key, fetched_at=AT))


async def killed_at_work(settings: Settings, clock) -> str:
    """Leave the file as a kill leaves it, three rows waiting; returns its stream."""
    database = settings.database_path
    async with await Store.open(database, clock=clock) as store:
        await seal(store, "a", "b")
        stream = await outbox.load_stream(store.reader)
    async with await Store.open(database, clock=clock) as store:
        await seal(store, "c")
        left = database.parent.parent / "left"
        left.mkdir()
        for part in database.parent.glob("oddsd.db*"):
            if not part.name.endswith("-shm"):
                shutil.copyfile(part, left / part.name)
    for part in database.parent.glob("oddsd.db*"):
        part.unlink()
    for part in left.iterdir():
        shutil.move(part, database.parent / part.name)
    return stream.stream_id


def damage(database: Path, table: str) -> bytes:
    """Overwrite the root page of a table, as a dying card does; returns the file as it is then."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log would heal the page
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    image = bytearray(database.read_bytes())
    image[(root - 1) * PAGE : root * PAGE] = random.Random(7).randbytes(PAGE)
    database.write_bytes(image)
    return bytes(image)


async def test_a_house_opens_on_a_damaged_file_and_what_waited_still_travels(settings, clock, capsys):
    """Nobody stands beside the box: it must go on collecting, lose no row it can read, and say so at the top of its voice."""
    stream = await killed_at_work(settings, clock)
    broken = damage(settings.database_path, "markets")

    async with open_house(settings, clock=clock) as house:
        backlog = await outbox.load_backlog(house.store.reader)
        fresh = await outbox.load_stream(house.store.reader)
        await seal(house.store, "d")
        after = await outbox.load_backlog(house.store.reader)
        said = capsys.readouterr().out

    assert (backlog.n_rows, after.n_rows) == (3, 4)
    assert fresh.stream_id != stream
    (aside,) = (settings.data_dir / "quarantine").glob("*/oddsd.db")
    assert aside.read_bytes() == broken
    assert "store_recovered" in said
    assert str(aside) in said
    with closing(sqlite3.connect(settings.database_path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_where_the_waiting_rows_are_what_broke_it_opens_all_the_same(settings, clock):
    """Rows nobody can read are lost; the days to come are not."""
    await killed_at_work(settings, clock)
    damage(settings.database_path, "batches")

    async with open_house(settings, clock=clock) as house:
        assert (await outbox.load_backlog(house.store.reader)).n_rows == 0
        await seal(house.store, "d")
        assert (await outbox.load_backlog(house.store.reader)).n_rows == 1

    assert len(list((settings.data_dir / "quarantine").iterdir())) == 1


async def test_a_whole_file_is_not_moved_by_a_kill(settings, clock):
    """Power cuts are everyday; a new stream after each would be noise in the ledger."""
    stream = await killed_at_work(settings, clock)

    async with open_house(settings, clock=clock) as house:
        assert (await outbox.load_stream(house.store.reader)).stream_id == stream
        assert (await outbox.load_backlog(house.store.reader)).n_rows == 3

    assert not (settings.data_dir / "quarantine").exists()
