"""A log of writes that is gone or another's is found out at the start; one that is right is never accused."""

import asyncio
import errno
import shutil
from pathlib import Path

import pytest

from agent.errors import StoreBroken
from agent.store import outbox, witness
from agent.store.db import Store
from tests.factories import make_quote


async def work(store: Store, n: int = 1) -> None:
    for _ in range(n):
        async with store.write() as tx:
            tx.emit(make_quote())


async def streams(store: Store) -> list[str | None]:
    """Why each stream was closed, oldest first; None: in use."""
    return [row["reason"] for row in await store.reader.fetch("SELECT reason FROM streams ORDER BY created_at, rowid")]


@pytest.fixture
async def killed(tmp_path: Path, clock) -> Path:
    """A database as a kill leaves it: what was stored last stands in the log alone."""
    home, left = tmp_path / "home", tmp_path / "left"
    async with await Store.open(home / "oddsd.db", clock=clock):
        pass
    async with await Store.open(home / "oddsd.db", clock=clock) as store:
        await work(store, 3)
        shutil.copytree(home, left, ignore=shutil.ignore_patterns("*-shm"))
    return left / "oddsd.db"


async def test_a_log_that_is_right_is_not_accused(killed, clock):
    """A rotation for every kill would be noise nobody looks at."""
    assert witness.question(killed) == witness.Testimony(unclean=True)

    async with await Store.open(killed, clock=clock) as store:
        assert await streams(store) == [None]
        assert (await outbox.load_backlog(store.reader)).n_rows == 3


async def test_a_log_that_was_begun_anew_many_times_is_not_accused(tmp_path, clock):
    """Each checkpoint may begin another log; its salt counts up."""
    home, left = tmp_path / "home", tmp_path / "left"
    async with await Store.open(home / "oddsd.db", clock=clock) as store:
        for _ in range(20):
            await work(store)
            await store.checkpoint()
        await work(store)
        shutil.copytree(home, left, ignore=shutil.ignore_patterns("*-shm"))

    assert witness.question(left / "oddsd.db").doubt is None


async def test_a_clean_stop_leaves_no_witness(tmp_path, clock):
    """Whatever lies there at the next start was put there on purpose: a copy, a restore."""
    async with await Store.open(tmp_path / "oddsd.db", clock=clock):
        assert witness.question(tmp_path / "oddsd.db").unclean

    assert not witness.question(tmp_path / "oddsd.db").unclean


async def test_a_witness_that_cannot_go_accuses_nobody(tmp_path, clock, monkeypatch):
    """A disk that refuses to delete: the stop was clean, the log is gone as it should be, and no stream is given up."""
    gone = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.name.endswith(witness.SUFFIX):
            raise OSError(errno.ENOSPC, "No space left on device")
        gone(path, missing_ok=missing_ok)

    file = tmp_path / "oddsd.db"
    async with await Store.open(file, clock=clock) as store:
        await work(store, 3)
        monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.undo()

    assert witness.question(file) == witness.Testimony(unclean=True)
    async with await Store.open(file, clock=clock) as store:
        assert await streams(store) == [None]


async def test_a_log_that_is_gone_is_told_and_the_stream_is_given_up(killed, clock):
    """The numbers in it may be in the cloud: they are never given to other rows."""
    killed.with_name("oddsd.db-wal").unlink()

    async with await Store.open(killed, clock=clock) as store:
        why, now = await streams(store)
        assert "oddsd.db-wal is gone" in why
        assert now is None
    async with await Store.open(killed, clock=clock) as store:
        assert len(await streams(store)) == 2, "said once"


async def test_a_strangers_log_is_told_and_the_stream_is_given_up(killed, tmp_path, clock):
    """SQLite takes any log whose sums are right."""
    async with await Store.open(tmp_path / "stranger.db", clock=clock) as stranger:
        await work(stranger)
        shutil.copyfile(tmp_path / "stranger.db-wal", killed.with_name("oddsd.db-wal"))

    async with await Store.open(killed, clock=clock) as store:
        assert "not the one this database was used with" in (await streams(store))[0]


async def test_a_file_whose_log_is_gone_is_looked_over_row_by_row(killed, clock):
    """The mark of a stop that was none went with the log; damage was once believed for it."""
    killed.with_name("oddsd.db-wal").unlink()
    image = bytearray(killed.read_bytes())
    image[-8192:] = b"\xff" * 8192
    killed.write_bytes(image)

    with pytest.raises(StoreBroken):
        await Store.open(killed, clock=clock)


async def test_a_witness_that_cannot_be_written_stops_no_start(tmp_path, clock, monkeypatch):
    """It proves something about the next start; this one has its data."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(witness.os, "fdatasync", full)
    async with await Store.open(tmp_path / "oddsd.db", clock=clock) as store:
        await asyncio.wait_for(work(store), 5)

    assert not list(tmp_path.glob("*witness"))
