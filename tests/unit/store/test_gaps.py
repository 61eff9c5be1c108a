"""After the cloud went back in time everything still held here is sent again, and the rest is told as a gap."""

from datetime import UTC, datetime

import pytest

from agent.store import outbox
from agent.store.sending import StoreOutbox
from sync.protocol import Lineage, Receipt, Result, Welcome
from sync.records import Quote

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def seal(store, *keys: str) -> None:
    for key in keys:
        async with store.write() as tx:
            tx.emit(Quote(market_key=key, fetched_at=AT))


async def ack_all(store) -> None:
    sending = StoreOutbox(store)
    while (batch := await sending.next_batch(newest_first=False)) is not None:
        await sending.ack(batch, Receipt(result=Result.APPLIED, inserted=batch.n_rows))


@pytest.mark.parametrize(
    ("given", "retained", "acked", "expected"),
    [
        (0, [], [], []),
        (5, [], [(1, 5)], []),
        (9, [(4, 9)], [], [(1, 3)]),
        (9, [(4, 5)], [(1, 2), (8, 9)], [(3, 3), (6, 7)]),
        (9, [(1, 3)], [(2, 6)], [(7, 9)]),
        (3, [(1, 3)], [(1, 7)], []),
    ],
)
def test_gaps_are_what_neither_side_holds(given, retained, acked, expected):
    """Both sides may overlap, and the cloud may hold more than we ever gave."""
    assert outbox.gaps(given, retained, acked) == expected


async def test_a_gap_is_written_down_once_and_what_is_held_goes_again(store):
    """An operator reads the range; the log says it once, not at each reconnect."""
    await seal(store, *"abcde")
    await ack_all(store)
    async with store.write() as tx:
        await tx.execute("DELETE FROM batches WHERE lo <= 3")  # retention let them go
    stream = await outbox.load_stream(store.reader)
    sending = StoreOutbox(store)
    rolled_back = Welcome(status=Lineage.OK, server_time=AT, acked=((1, 1),))

    n_reopened = await sending.welcome(stream.stream_id, rolled_back)
    async with store.write() as tx:
        news = await outbox.save_gaps(tx, stream, rolled_back.acked, now_ms=0)

    assert n_reopened == 2
    assert news == []
    rows = await store.reader.fetch("SELECT lo, hi FROM gaps")
    assert [tuple(row) for row in rows] == [(2, 3)]


async def test_a_fork_told_by_a_restored_cloud_sends_again_what_it_forgot(store):
    """A cloud restored to an hour ago forgets our token and our data alike: a receipt it gave counts for nothing."""
    await seal(store, *"abc")
    await ack_all(store)
    stream = await outbox.load_stream(store.reader)

    new_id = await StoreOutbox(store).rotate(stream.stream_id, "fork", ((1, 1),))

    moved = await store.reader.fetch(
        "SELECT origin_lo, acked_at FROM batches WHERE stream_id = ? ORDER BY lo", (new_id,)
    )
    assert [tuple(row) for row in moved] == [(2, None), (3, None)]
    assert (await outbox.load_stream(store.reader)).last_seq == 2


async def test_a_batch_moved_twice_keeps_its_first_origin(store):
    """Where a row was numbered first is what an inquiry asks."""
    await seal(store, "a")
    first = await outbox.load_stream(store.reader)
    sending = StoreOutbox(store)
    second = await sending.rotate(first.stream_id, "one")
    await sending.rotate(second, "two")

    row = await store.reader.fetch_one("SELECT origin_stream, origin_lo FROM batches")
    assert tuple(row) == (first.stream_id, 1)
