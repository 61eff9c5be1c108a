"""Two batches travel at once, and every promise of one at a time still holds."""

import asyncio
from functools import partial

import msgspec
import pytest

from agent.store import outbox
from sync.batch import Batch
from sync.errors import BatchRefused, SinkUnavailable
from sync.protocol import LANES, Receipt
from sync.sender import Sender
from tests.fakes.cloud import FakeCloud
from tests.unit.sync.test_sender import arrived, make_sender, seal, until


class SlowCloud(FakeCloud):
    """Answers a batch when it is told to; knows what is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = dict[int, asyncio.Event]()  # by lo
        self.most_at_once = 0

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        assert batch.lo not in self.waiting, "one batch on two lanes"
        answer = self.waiting[batch.lo] = asyncio.Event()
        self.most_at_once = max(self.most_at_once, len(self.waiting))
        try:
            await answer.wait()
            return await super().apply(batch, fence)
        finally:
            del self.waiting[batch.lo]

    async def answer(self, *los: int) -> None:
        """Let these arrive one after the other, each once it is on its way."""
        for lo in los:
            await until(partial(self.waiting.__contains__, lo))
            self.waiting[lo].set()
            await until(lambda: not any(answer.is_set() for answer in self.waiting.values()))


@pytest.fixture
def cloud() -> SlowCloud:
    return SlowCloud()


async def draining(store, cloud, n: int) -> tuple[Sender, asyncio.Task[None]]:
    await seal(store, *map(str, range(n)))
    sender = make_sender(store, cloud)
    return sender, asyncio.create_task(sender.drain())


async def test_a_line_that_has_carried_nothing_carries_one(store, cloud):
    """Whatever makes two at once fail, a session brings at least one batch over: a slow cloud cannot be locked out."""
    _, task = await draining(store, cloud, 4)
    await until(lambda: cloud.waiting)

    assert set(cloud.waiting) == {4}
    await cloud.answer(4)
    await until(lambda: len(cloud.waiting) == LANES)
    assert set(cloud.waiting) == {1, 2}
    await cloud.answer(1, 2, 3)
    await task
    assert cloud.most_at_once == LANES
    assert arrived(cloud) == ["0", "1", "2", "3"]


async def test_a_lane_that_is_free_takes_the_next_while_the_other_waits(store, cloud):
    """One slow batch must not hold up all the others, the fresh ones first of all."""
    _, task = await draining(store, cloud, 8)
    await cloud.answer(8)
    await cloud.answer(2)
    await cloud.answer(3)
    await cloud.answer(4)

    await cloud.answer(7)  # the newest, its turn after four of the backlog

    assert 1 in cloud.waiting
    await cloud.answer(1, 5, 6)
    await task
    assert (await outbox.load_backlog(store.reader)).n_rows == 0


async def test_what_is_sealed_in_the_middle_of_a_drain_goes_next(store, cloud):
    """A tick of now must not wait for four batches of last week."""
    _, task = await draining(store, cloud, 6)
    await cloud.answer(6)
    await until(lambda: set(cloud.waiting) == {1, 2})
    await seal(store, "now")

    await cloud.answer(1)

    await until(lambda: len(cloud.waiting) == LANES)
    assert set(cloud.waiting) == {2, 7}
    await cloud.answer(2, 7, 3, 4, 5)
    await task


async def test_a_lost_reply_ends_both_lanes_and_nothing_is_lost_or_doubled(store, cloud):
    """What the other lane carried has no receipt either: it is sent again, and known if it was applied."""
    sender, task = await draining(store, cloud, 4)
    await cloud.answer(4)
    cloud.apply_errors.append(SinkUnavailable("apply: connection lost"))
    await cloud.answer(2)

    with pytest.raises(SinkUnavailable):
        await task
    assert cloud.waiting == {}

    again = asyncio.create_task(sender.drain())
    await cloud.answer(3)
    await cloud.answer(1, 2)
    await again
    assert arrived(cloud) == ["0", "1", "2", "3"]


async def test_a_refused_batch_leaves_the_other_lane_alone(store, cloud):
    """Setting one aside is no failure of the line."""
    _, task = await draining(store, cloud, 4)
    await cloud.answer(4)
    cloud.apply_errors.append(BatchRefused("apply: 22P02"))
    await cloud.answer(1)

    await cloud.answer(2, 3)
    await task

    assert arrived(cloud) == ["1", "2", "3"]
    assert (await outbox.load_backlog(store.reader)).n_held == 1


async def test_a_rotation_takes_along_what_the_other_lane_carried(store, cloud):
    """It may land under its old numbers all the same: the natural keys of the cloud know it under the new ones."""
    _, task = await draining(store, cloud, 3)
    old = await outbox.load_stream(store.reader)
    await cloud.answer(3)
    await until(lambda: set(cloud.waiting) == {1, 2})
    conflicting = await outbox.load_pending(store.reader, newest_first=False)
    assert conflicting is not None
    cloud.ledger[old.stream_id, 1] = msgspec.structs.replace(conflicting, digest=b"other")

    await cloud.answer(1)
    await until(lambda: cloud.n_connects == 2)
    await cloud.answer(2)
    await cloud.answer(1)
    await task

    new = await outbox.load_stream(store.reader)
    assert new.stream_id != old.stream_id
    assert sorted(batch.hi for (stream, _), batch in cloud.ledger.items() if stream == new.stream_id) == [1, 2]
    assert (await outbox.load_backlog(store.reader)).n_rows == 0


async def test_a_stop_in_mid_flight_brings_both_lanes_home(store, cloud):
    """A clean shutdown waits for the receipts of what is under way."""
    await seal(store, "0", "1", "2")
    sender = make_sender(store, cloud)
    task = asyncio.create_task(sender.run())
    await cloud.answer(3)
    await until(lambda: set(cloud.waiting) == {1, 2})

    sender.stop()
    await cloud.answer(1, 2)
    async with asyncio.timeout(5):
        await task

    assert (await outbox.load_backlog(store.reader)).n_rows == 0
