"""The sender loses nothing and doubles nothing, whatever the line does, and says what it is waiting for."""

import asyncio
from datetime import UTC, datetime

import pytest

from agent.store import outbox
from agent.store.sending import StoreOutbox
from sync import sender as sender_module
from sync.errors import BatchRefused, SinkHeld, SinkUnavailable
from sync.records import Quote
from sync.sender import Link, Sender
from tests.fakes.cloud import FakeCloud

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


def make_sender(store, cloud, *, jitter=lambda: 0.0) -> Sender:
    return Sender(
        StoreOutbox(store), cloud, host_id="h", boot_id="b", agent_version="0", clock=store.clock, jitter=jitter
    )


async def seal(store, *keys: str) -> None:
    for key in keys:
        async with store.write() as tx:
            tx.emit(Quote(market_key=key, fetched_at=AT))


def arrived(cloud) -> list[str]:
    return sorted(row["market_key"] for row in cloud.rows)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_everything_pending_arrives_once(store, cloud):
    """The plain road."""
    await seal(store, "a", "b", "c")

    await make_sender(store, cloud).drain()

    assert arrived(cloud) == ["a", "b", "c"]
    assert (await outbox.load_backlog(store.reader)).n_rows == 0


async def test_a_batch_whose_reply_is_lost_lands_once(store, cloud):
    """It is sent again to the byte, and the cloud knows it by its digest."""
    await seal(store, "a", "b")
    cloud.lose_next_reply()
    sender = make_sender(store, cloud)

    with pytest.raises(SinkUnavailable):
        await sender.drain()
    await sender.drain()

    assert arrived(cloud) == ["a", "b"]
    assert cloud.arrivals == [2, 2, 1]


async def test_a_restarted_edge_after_a_lost_hello_reply_is_not_a_fork(store, cloud):
    """The process may die between the cloud's token swap and our learning of it."""
    await seal(store, "a")
    stream = await outbox.load_stream(store.reader)
    async with store.write() as tx:
        offered = await outbox.save_next_token(tx, stream)
    cloud.tokens[stream.stream_id] = offered.next_token

    await make_sender(store, cloud).drain()

    assert (await outbox.load_stream(store.reader)).stream_id == stream.stream_id
    assert arrived(cloud) == ["a"]


async def test_an_old_token_starts_a_new_stream_and_loses_nothing(store, cloud):
    """A clone or restored backup must never write under numbers that mean something else."""
    await seal(store, "a")
    await make_sender(store, cloud).drain()
    old = await outbox.load_stream(store.reader)
    cloud.tokens[old.stream_id] = "somebody else's"
    await seal(store, "b")

    await make_sender(store, cloud).drain()

    assert (await outbox.load_stream(store.reader)).stream_id != old.stream_id
    assert arrived(cloud) == ["a", "b"]


async def test_what_a_rolled_back_cloud_forgot_is_sent_again(store, cloud):
    """A cloud restored to an earlier moment gets the missing range without being asked."""
    await seal(store, "a")
    await make_sender(store, cloud).drain()
    backup = cloud.copy_state()
    await seal(store, "b", "c")
    sender = make_sender(store, cloud)
    await sender.drain()
    cloud.restore(backup)
    cloud.tokens[(await outbox.load_stream(store.reader)).stream_id] = (await outbox.load_stream(store.reader)).token

    await sender.drain()

    assert arrived(cloud) == ["a", "b", "c"]


async def test_a_cloud_that_holds_numbers_we_never_gave_means_our_file_is_old(store, cloud):
    """A file that went back in time would give the same numbers to new content."""
    await seal(store, "a")
    await make_sender(store, cloud).drain()
    old = await outbox.load_stream(store.reader)
    async with store.write() as tx:
        await tx.execute("DELETE FROM batches")
        await tx.execute("UPDATE streams SET next_seq = 1")
    await seal(store, "other")

    await make_sender(store, cloud).drain()

    assert (await outbox.load_stream(store.reader)).stream_id != old.stream_id
    assert arrived(cloud) == ["a", "other"]


async def test_a_refused_batch_is_set_aside_and_the_others_pass(store, cloud):
    """One poisoned batch never blocks the road, and is never dropped."""
    await seal(store, "a", "b")
    cloud.apply_errors.append(BatchRefused("apply: 22P02"))

    await make_sender(store, cloud).drain()

    assert arrived(cloud) == ["a"]  # newest was refused, the older one passed
    assert (await outbox.load_backlog(store.reader)).n_held == 1


async def test_fresh_data_goes_before_a_backlog(store, cloud):
    """A reader sees the newest tick while a week drains."""
    await seal(store, *"abcdefg")

    await make_sender(store, cloud).drain()

    assert cloud.arrivals == [7, 1, 2, 3, 4, 6, 5]


async def test_the_loop_waits_out_an_absent_cloud_and_then_delivers(store, cloud):
    """Unreachable only grows the backlog."""
    cloud.connect_errors.extend(SinkUnavailable("connect: refused") for _ in range(3))
    await seal(store, "a")
    sender = make_sender(store, cloud)
    task = asyncio.ensure_future(sender.run())

    await until(lambda: arrived(cloud) == ["a"])
    await seal(store, "b")
    await until(lambda: arrived(cloud) == ["a", "b"])
    assert sender.state.link is Link.CONNECTED
    sender.stop()
    await asyncio.wait_for(task, 5)

    assert cloud.n_connects == 1


async def test_a_held_road_says_why_and_what_to_do(store, cloud):
    """Wrong credentials wait for a person; nothing is quarantined for them."""
    cloud.connect_errors.append(SinkHeld("connect: 28P01 wrong password", advice="check the password"))
    await seal(store, "a")
    sender = make_sender(store, cloud)
    task = asyncio.ensure_future(sender.run())

    await until(lambda: sender.state.link is Link.HELD)

    assert "28P01" in sender.state.last_error
    assert sender.state.advice == "check the password"
    sender.stop()
    await asyncio.wait_for(task, 5)
    assert (await outbox.load_backlog(store.reader)).n_rows == 1


async def test_a_version_skew_holds_everything(store, cloud):
    """An older cloud must be migrated first; the batch stays as it is."""
    cloud.hold_reason = "schema 1 is not accepted"
    await seal(store, "a")

    with pytest.raises(SinkHeld, match="schema 1"):
        await make_sender(store, cloud).drain()

    assert (await outbox.load_backlog(store.reader)).n_held == 0


async def test_a_stop_sends_what_is_sealed_first(store, cloud):
    """A clean shutdown leaves no backlog where the line is there."""
    sender = make_sender(store, cloud)
    task = asyncio.ensure_future(sender.run())
    await until(lambda: sender.state.link is Link.CONNECTED)

    await seal(store, "a", "b")
    sender.stop()
    await asyncio.wait_for(task, 5)

    assert arrived(cloud) == ["a", "b"]


async def test_a_stop_does_not_wait_for_an_absent_cloud(store, cloud):
    """The backlog is safe on disk."""
    cloud.connect_errors.extend(SinkUnavailable("connect: refused") for _ in range(1000))
    await seal(store, "a")
    sender = make_sender(store, cloud, jitter=lambda: 1.0)
    task = asyncio.ensure_future(sender.run())
    await until(lambda: sender.state.last_error is not None)

    sender.stop()
    await asyncio.wait_for(task, 5)

    assert (await outbox.load_backlog(store.reader)).n_rows == 1


@pytest.fixture
def rests(monkeypatch) -> list[float]:
    """How long the loop meant to rest each time; it does not."""
    asked = list[float]()

    async def no_rest(timeout_s, *_):
        asked.append(timeout_s)
        await asyncio.sleep(0)

    monkeypatch.setattr(sender_module, "first_of", no_rest)
    return asked


async def test_a_cloud_that_greets_and_takes_nothing_is_asked_ever_more_rarely(store, cloud, rests):
    """A greeting counted as success: the same batch was sent twice a second for as long as the trouble lasted."""
    cloud.apply_errors.extend(SinkUnavailable("apply: XX000") for _ in range(6))
    await seal(store, "a")
    sender = make_sender(store, cloud, jitter=lambda: 1.0)
    task = asyncio.ensure_future(sender.run())

    await until(lambda: arrived(cloud) == ["a"])
    sender.stop()
    await task

    assert rests[:5] == [2.0, 4.0, 8.0, 16.0, 32.0]


async def test_after_a_batch_that_landed_the_next_failure_is_a_first_one(store, cloud, rests):
    """A line that is cut now and then is not punished for the cuts of yesterday."""
    cloud.apply_errors.extend(SinkUnavailable("apply: cut") for _ in range(2))
    await seal(store, "a")
    sender = make_sender(store, cloud, jitter=lambda: 1.0)
    task = asyncio.ensure_future(sender.run())
    await until(lambda: arrived(cloud) == ["a"])
    cloud.apply_errors.append(SinkUnavailable("apply: cut"))
    await seal(store, "b")
    await until(lambda: arrived(cloud) == ["a", "b"])
    sender.stop()
    await task

    assert [rest_s for rest_s in rests if rest_s < 300] == [2.0, 4.0, 1.0]


async def test_a_stream_begun_by_hand_while_connected_is_greeted_before_it_is_used(store, cloud):
    """The cloud did not know the new numbers, and the road was held for five minutes with the wrong advice."""
    sender = make_sender(store, cloud)
    task = asyncio.ensure_future(sender.run())
    await until(lambda: sender.state.link is Link.CONNECTED)
    async with store.write() as tx:
        stream = await outbox.load_stream(tx)
        new = await outbox.rotate(tx, stream, reason=outbox.BY_HAND, now_ms=0)
    await seal(store, "a")

    await until(lambda: arrived(cloud) == ["a"])
    sender.stop()
    await task

    assert new in cloud.tokens
    assert {stream for stream, _ in cloud.ledger} <= set(cloud.tokens)


async def test_a_batch_the_disk_has_damaged_is_set_aside_and_the_others_pass(store, cloud):
    """Its body cannot even be unpacked: the loop died of it, and again at each restart."""
    await seal(store, "a", "b")
    async with store.write() as tx:
        await tx.execute("UPDATE batches SET body = x'00112233' WHERE lo = 2")

    await make_sender(store, cloud).drain()

    assert arrived(cloud) == ["a"]
    assert (await outbox.load_backlog(store.reader)).n_held == 1
    assert "damaged" in await store.reader.fetch_value("SELECT held_reason FROM batches WHERE lo = 2")


async def test_a_batch_over_the_clouds_limit_is_set_aside_and_the_others_pass(store, cloud):
    """A record larger than any batch may be has one of its own; it held up everything behind it."""
    async with store.write() as tx:
        tx.emit(*(Quote(market_key=key, fetched_at=AT) for key in "abc"))
    await seal(store, "d")
    cloud.max_rows = 2
    sender = make_sender(store, cloud)

    await sender.drain()
    held = await store.reader.fetch_value("SELECT held_reason FROM batches WHERE lo = 1")
    first = arrived(cloud)
    cloud.max_rows = 5_000
    async with store.write() as tx:
        await outbox.release_held(tx)
    await sender.drain()

    assert first == ["d"]
    assert "oddsd sync-now --held" in held
    assert arrived(cloud) == ["a", "b", "c", "d"]
