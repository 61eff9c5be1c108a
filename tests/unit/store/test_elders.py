"""Streams that were given up: what the cloud lost of them comes again, what nobody holds any more is told once."""

from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from agent.core.instants import to_ms
from agent.store import outbox
from agent.store.retention import prune_batches
from agent.store.sending import StoreOutbox
from sync.records import Quote
from sync.sender import Sender
from tests.fakes.cloud import FakeCloud

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make_sender(store, cloud) -> Sender:
    return Sender(
        StoreOutbox(store), cloud, host_id="h", boot_id="b", agent_version="0", clock=store.clock, jitter=lambda: 0.0
    )


async def tick(store, *keys: str) -> None:
    for key in keys:
        async with store.write() as tx:
            tx.emit(Quote(market_key=key, fetched_at=AT, bid=0.5))


async def rotate(store) -> None:
    async with store.write() as tx:
        await outbox.rotate(tx, await outbox.load_stream(tx), reason="a test", now_ms=to_ms(store.clock()))


def arrived(cloud) -> set[str]:
    return {row["market_key"] for row in cloud.rows}


async def test_what_a_restored_cloud_lost_of_an_older_stream_comes_again(store, clock):
    """Its hello speaks of the stream in use alone; the one before was once never asked after."""
    cloud = FakeCloud()
    await tick(store, "a", "b")
    early = cloud.copy_state()
    await make_sender(store, cloud).drain()
    everything = arrived(cloud)
    await rotate(store)
    await rotate(store)
    await tick(store, "c")
    await make_sender(store, cloud).drain()
    cloud.restore(early)

    await make_sender(store, cloud).drain()

    assert arrived(cloud) > everything
    assert (await outbox.load_backlog(store.reader)).n_rows == 0
    assert await store.reader.fetch("SELECT * FROM gaps") == []


async def test_what_was_pruned_of_an_older_stream_is_a_gap_and_told_once(store, clock):
    """Nobody has it any more: said in words, with its numbers, and never a second time."""
    cloud = FakeCloud()
    await tick(store, "a", "b")
    early = cloud.copy_state()
    await make_sender(store, cloud).drain()
    clock.forward(days=20)
    async with store.write() as tx:
        await prune_batches(tx, clock())
    await tick(store, "c")
    await rotate(store)
    cloud.restore(early)

    with capture_logs() as told:
        await make_sender(store, cloud).drain()
        await make_sender(store, cloud).drain()

    gaps = [(one["lo"], one["hi"]) for one in told if one.get("action") == "gap_found"]
    rows = await store.reader.fetch("SELECT lo, hi FROM gaps")
    assert gaps == [(1, 1)]
    assert [tuple(row) for row in rows] == [(1, 1)]
    assert arrived(cloud) == {"b", "c"}  # retention keeps the newest that was delivered


async def test_an_older_stream_the_cloud_holds_moves_nothing(store, clock):
    """The plain case, after every connect."""
    cloud = FakeCloud()
    await tick(store, "a")
    await make_sender(store, cloud).drain()
    await rotate(store)
    await tick(store, "b")

    await make_sender(store, cloud).drain()

    assert len(cloud.arrivals) == 2


async def test_a_stream_given_up_long_ago_is_not_asked_after(store, clock):
    """Each costs a question after every connect."""
    cloud = FakeCloud()
    await tick(store, "a")
    await make_sender(store, cloud).drain()
    await rotate(store)
    box = StoreOutbox(store)
    assert len(await box.elders()) == 1

    clock.now += timedelta(days=91)

    assert await box.elders() == []
