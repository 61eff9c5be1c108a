"""A full disk: room is made from what the cloud holds, never from what it does not, and no restart is needed."""

import os
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from agent.errors import StoreFull
from agent.store import ballast, outbox, relief
from agent.store.db import Store
from agent.store.sending import StoreOutbox
from sync.protocol import Receipt, Result
from sync.records import Quote

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def small_disk(tmp_path):
    """Twelve megabytes of their own."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"no tmpfs here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def fill(store, *, ack: bool) -> int:
    """Batches of noise until the disk is full; returns how many were committed."""
    n_sealed, sending = 0, StoreOutbox(store)
    try:
        while True:
            async with store.write() as tx:
                tx.emit(*(Quote(market_key=os.urandom(400).hex(), fetched_at=AT) for _ in range(200)))
            n_sealed += 1
            batch = await sending.next_batch(newest_first=True)
            if ack:
                await sending.ack(batch, Receipt(result=Result.APPLIED, inserted=batch.n_rows))
    except StoreFull:
        return n_sealed


async def test_a_full_disk_is_relieved_from_what_the_cloud_holds(small_disk, clock, monkeypatch):
    """Without the ballast not even a delete would pass."""
    monkeypatch.setattr(ballast, "FLOOR_BYTES", 1 << 20)
    assert ballast.ensure_ballast(small_disk, n_bytes=4 << 20)
    async with await Store.open(small_disk / "oddsd.db", clock=clock) as store:
        await fill(store, ack=True)
        assert store.full.is_set()

        await relief.Relief(store).tend()

        async with store.write() as tx:
            tx.emit(Quote(market_key="fresh", fetched_at=AT))
        assert not store.full.is_set()
        assert (await outbox.load_backlog(store.reader)).n_rows >= 1


async def test_what_the_cloud_does_not_hold_is_never_deleted(small_disk, clock, monkeypatch):
    """Full is loud; lost is for ever."""
    monkeypatch.setattr(ballast, "FLOOR_BYTES", 1 << 20)
    async with await Store.open(small_disk / "oddsd.db", clock=clock) as store:
        n_sealed = await fill(store, ack=False)

        await relief.Relief(store).tend()

        assert (await outbox.load_backlog(store.reader)).n_batches == n_sealed
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        async with store.write() as tx:  # by itself, as soon as there is room
            tx.emit(Quote(market_key="fresh", fetched_at=AT))


def test_no_ballast_is_made_where_it_would_take_the_last_room(tmp_path, monkeypatch):
    """It serves the data, not the other way round."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(ballast.shutil, "disk_usage", lambda _: usage._replace(total=usage.total, free=1 << 20))

    assert not ballast.ensure_ballast(tmp_path, n_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []
    assert not ballast.drop_ballast(tmp_path)
