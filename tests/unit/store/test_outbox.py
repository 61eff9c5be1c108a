"""The outbox keeps what was not acknowledged, whatever the cloud or the file goes through."""

from datetime import UTC, datetime

from agent.store import outbox
from sync.records import Quote

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def seal(store, *sizes: int) -> None:
    for size in sizes:
        async with store.write() as tx:
            tx.emit(*[Quote(market_key=f"k{i}", fetched_at=AT) for i in range(size)])


async def test_acked_is_not_deleted(store):
    """The cloud may lose data it acknowledged; the edge must be able to send it again."""
    await seal(store, 2)
    batch = await outbox.load_pending(store.reader, newest_first=False)

    async with store.write() as tx:
        await outbox.save_receipt(tx, batch, {"result": "applied"}, now_ms=1)

    assert await outbox.load_pending(store.reader, newest_first=False) is None
    assert await store.reader.fetch_value("SELECT count(*) FROM batches") == 1


async def test_newest_or_oldest_goes_first_as_asked(store):
    """Fresh data goes before a backlog."""
    await seal(store, 1, 1, 1)

    newest = await outbox.load_pending(store.reader, newest_first=True)
    oldest = await outbox.load_pending(store.reader, newest_first=False)

    assert (newest.lo, oldest.lo) == (3, 1)


async def test_a_held_batch_lets_the_others_pass(store):
    """One refused batch never blocks the road."""
    await seal(store, 1, 1)
    first = await outbox.load_pending(store.reader, newest_first=False)

    async with store.write() as tx:
        await outbox.save_hold(tx, first, "refused")

    assert (await outbox.load_pending(store.reader, newest_first=False)).lo == 2
    backlog = await outbox.load_backlog(store.reader)
    assert (backlog.n_rows, backlog.n_held) == (2, 1)


async def test_what_the_cloud_forgot_is_pending_again_and_nothing_is_acked_by_hearsay(store):
    """Only a receipt acknowledges: the cloud's numbers may stand for content our file no longer has."""
    await seal(store, 2, 2, 2)
    stream = await outbox.load_stream(store.reader)
    first = await outbox.load_pending(store.reader, newest_first=False)
    async with store.write() as tx:
        await outbox.save_receipt(tx, first, {}, now_ms=1)

    async with store.write() as tx:
        n_reopened = await outbox.reopen_vanished(tx, stream, [(3, 6)])

    assert n_reopened == 1
    assert (await outbox.load_backlog(store.reader)).n_rows == 6


async def test_rotation_moves_what_is_pending_and_keeps_its_bytes(store):
    """After a fork nothing is lost, and the content is what was sealed."""
    await seal(store, 2, 3, 1)
    old = await outbox.load_stream(store.reader)
    first = await outbox.load_pending(store.reader, newest_first=False)
    async with store.write() as tx:
        await outbox.save_receipt(tx, first, {}, now_ms=1)

    async with store.write() as tx:
        await outbox.rotate(tx, old, reason="fork", now_ms=2)

    new = await outbox.load_stream(store.reader)
    rows = await store.reader.fetch("SELECT * FROM batches WHERE stream_id = ? ORDER BY lo", (new.stream_id,))
    assert [(row["lo"], row["hi"], row["origin_lo"]) for row in rows] == [(1, 3, 3), (4, 4, 6)]
    assert new.next_seq == 5
    assert new.stream_id != old.stream_id
    assert (await outbox.load_backlog(store.reader)).n_rows == 4


async def test_a_token_offered_before_a_crash_is_offered_again(store):
    """The cloud may already have taken it; a third token would look like a fork."""
    stream = await outbox.load_stream(store.reader)
    async with store.write() as tx:
        offered = await outbox.save_next_token(tx, stream)

    async with store.write() as tx:
        again = await outbox.save_next_token(tx, await outbox.load_stream(tx))

    assert offered.next_token == again.next_token
    async with store.write() as tx:
        await outbox.save_lineage(tx, again)
    adopted = await outbox.load_stream(store.reader)
    assert (adopted.token, adopted.next_token) == (offered.next_token, None)
