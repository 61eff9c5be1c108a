"""`oddsd backup`: a copy that is whole, made while the house works, and one that can be gone back to."""

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.app import utc_now
from agent.desk.backup import AskBackup
from agent.desk.base import Desk, ask
from agent.errors import StoreError, StoreFull
from agent.settings import Settings, load_settings
from agent.store import backup
from agent.store.backup import Copied, back_up, copy_out
from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.outbox import load_stream
from tests.factories import MARKET_KEY, NOON, make_market


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A house of its own."""
    file = tmp_path / "oddsd.toml"
    file.write_text(f"data_dir = {json.dumps(str(tmp_path / 'd'))}\nruntime_dir = {json.dumps(str(tmp_path))}\n")
    return load_settings(file)


async def _with_a_market(settings: Settings) -> None:
    async with await Store.open(settings.database_path, clock=utc_now) as store, store.write() as tx:
        await save_markets(tx, [make_market()])


def _titles(copied: Copied) -> list[str]:
    connection = sqlite3.connect(copied.path)
    try:
        return [row[0] for row in connection.execute("SELECT market_key FROM markets")]
    finally:
        connection.close()


async def test_a_copy_has_what_was_committed_and_stands_alone(settings):
    """One file, nothing beside it: it can be carried anywhere."""
    await _with_a_market(settings)

    copied = await ask(settings, AskBackup(), clock=utc_now)

    assert _titles(copied) == [MARKET_KEY]
    assert [path.name for path in Path(copied.path).parent.iterdir()] == [Path(copied.path).name]
    assert Path(copied.path).stat().st_mode & 0o777 == 0o640


async def test_a_copy_made_in_the_middle_of_writing_is_one_moment(settings):
    """Half of a transaction would be a lie; writers are not held up either."""
    async with await Store.open(settings.database_path, clock=utc_now) as store:
        async with store.write() as tx:
            await save_markets(tx, [make_market()])
        async with store.write() as tx:
            await tx.execute("DELETE FROM markets")
            copied = await AskBackup().answer(Desk(store, settings, NOON))  # the deletion is not committed yet

    assert _titles(copied) == [MARKET_KEY]


async def test_only_the_newest_copies_stay(settings):
    """A nightly timer must not fill the disk."""
    await _with_a_market(settings)
    folder = settings.data_dir / "backups"

    made = [
        Path(back_up(settings.database_path, folder, now=NOON.replace(hour=hour), keep=2).path).name
        for hour in (3, 1, 2, 4)
    ]

    assert sorted(path.name for path in folder.iterdir()) == [made[0], made[3]]


async def test_a_copy_goes_to_another_place_whole_or_not_at_all(settings, tmp_path):
    """The second place is the one that counts when the first one burns."""
    await _with_a_market(settings)
    copied = await ask(settings, AskBackup(), clock=utc_now)
    (tmp_path / "disk").mkdir()

    into_folder = copy_out(copied, tmp_path / "disk")
    as_file = copy_out(copied, tmp_path / "disk" / "mine.db")
    with pytest.raises(StoreError, match="No such file"):
        copy_out(copied, tmp_path / "nowhere" / "mine.db")
    with pytest.raises(StoreError, match="not what was copied"):
        copy_out(Copied(path=copied.path, n_bytes=1, schema=1, sha256="0" * 64, n_kept=1), tmp_path / "disk" / "x.db")

    assert into_folder.read_bytes() == as_file.read_bytes() == Path(copied.path).read_bytes()
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {into_folder.name, "mine.db"}


async def test_a_disk_without_room_is_told_before_anything_is_written(settings, monkeypatch):
    """The daemon needs that room more than the copy does."""
    await _with_a_market(settings)
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))

    with pytest.raises(StoreFull, match="MB to copy"):
        await ask(settings, AskBackup(), clock=utc_now)

    assert list((settings.data_dir / "backups").iterdir()) == []


async def test_a_damaged_database_does_not_push_good_copies_out(settings):
    """The night after the damage is when the older copies are worth most."""
    await _with_a_market(settings)
    folder = settings.data_dir / "backups"
    good = back_up(settings.database_path, folder, now=NOON, keep=1)
    content = bytearray(settings.database_path.read_bytes())
    content[36:40] = (7).to_bytes(4)  # pages on the free list, says the header; everything can still be read
    settings.database_path.write_bytes(content)

    with pytest.raises(StoreError, match="not whole"):
        await asyncio.to_thread(back_up, settings.database_path, folder, now=NOON.replace(hour=23), keep=1)

    assert [str(path) for path in folder.iterdir()] == [good.path]


async def test_without_a_database_there_is_nothing_to_copy(settings):
    """An empty copy would look like a backup."""
    with pytest.raises(StoreError, match="no database at"):
        await ask(settings, AskBackup(), clock=utc_now)


async def test_a_copy_opens_as_a_database_of_ours(settings):
    """What comes back goes on: the same stream's numbers, until the cloud says that they are old."""
    await _with_a_market(settings)
    copied = await ask(settings, AskBackup(), clock=utc_now)

    async with await Store.open(settings.database_path, clock=utc_now) as store:
        before = await load_stream(store.reader)
    async with await Store.open(Path(copied.path), clock=utc_now) as store:
        after = await load_stream(store.reader)

    assert after == before
