"""Edge and cloud of different releases: what both know travels, the rest waits in words, and nothing stops."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from agent.delivery import sync_now
from agent.store import outbox
from agent.store.sending import StoreOutbox
from sync import batch as sealing
from sync import sender as sending
from sync.records import Quote, Record
from sync.sender import Sender
from tests.fakes.cloud import FakeCloud

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Weather(Record, frozen=True, kw_only=True, tag="weather"):
    """A kind of record that came with schema 2."""

    weather_id: str


@pytest.fixture
def _schema_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """This edge is of the next schema."""
    monkeypatch.setattr(sending, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(sealing, "NEEDS", {"weather": 2})


@pytest.fixture
def older() -> FakeCloud:
    cloud = FakeCloud()
    cloud.schema_max = 1
    return cloud


def make_sender(store, cloud) -> Sender:
    return Sender(
        StoreOutbox(store), cloud, host_id="h", boot_id="b", agent_version="0", clock=store.clock, jitter=lambda: 0.0
    )


async def tick(store, *records: Record) -> None:
    async with store.write() as tx:
        tx.emit(*records)


def kinds(cloud: FakeCloud) -> Iterator[object]:
    return (row["kind"] for row in cloud.rows)


def quote(key: str) -> Quote:
    return Quote(market_key=key, fetched_at=AT, bid=0.5)


@pytest.mark.usefixtures("_schema_2")
async def test_a_newer_edge_sends_what_an_older_cloud_knows_and_keeps_the_rest_in_words(store, older):
    """One new kind of record must not stop quotes, and an old cloud must never set it aside for good."""
    await tick(store, quote("a"), Weather(weather_id="w1"), quote("b"))
    await tick(store, Weather(weather_id="w2"))
    sender = make_sender(store, older)

    await sender.drain()
    await tick(store, quote("c"))
    await sender.drain()

    assert list(kinds(older)) == ["quote"] * 3
    assert sender.state.too_new == "2 rows need schema 2, the cloud takes 1"
    assert (await outbox.load_backlog(store.reader)).n_held == 0


@pytest.mark.usefixtures("_schema_2")
async def test_what_waited_for_the_newer_cloud_lands_once_it_is_there(store, older):
    """Nobody has to do anything but update the cloud."""
    await tick(store, quote("a"), Weather(weather_id="w1"))
    sender = make_sender(store, older)
    await sender.drain()

    older.schema_max = 2
    await sender.drain()

    assert sorted(kinds(older)) == ["quote", "weather"]
    assert sender.state.too_new is None
    assert (await outbox.load_backlog(store.reader)).n_rows == 0


@pytest.mark.usefixtures("_schema_2")
async def test_a_sender_at_rest_hears_of_the_update_when_it_is_woken(store, older):
    """By the next tick, or by whoever has just updated the cloud and asks for it."""
    await tick(store, Weather(weather_id="w"))
    sender = make_sender(store, older)
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(5):
        while sender.state.too_new is None:
            await asyncio.sleep(0.01)

        older.schema_max = 2
        sender.hurry()
        while not older.rows:
            await asyncio.sleep(0.01)
    sender.stop()
    await running


@pytest.mark.usefixtures("_schema_2")
async def test_sending_now_does_not_wait_for_what_the_cloud_cannot_take(store, older):
    """The command comes back at once and says why something is left."""
    await tick(store, quote("a"), Weather(weather_id="w"))
    sender = make_sender(store, older)
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(5):
        told = await sync_now(store, sender, held=False)
    sender.stop()
    await running

    assert (told.sent, told.pending, told.held) == (1, 1, 0)
    assert told.reason == "1 row needs schema 2, the cloud takes 1"
    assert "update the cloud" in told.advice


@pytest.mark.usefixtures("_schema_2")
async def test_a_batch_holds_records_of_one_schema(store):
    """Else a cloud could take a half of it only, and a sealed batch is never cut again."""
    await tick(store, quote("a"), quote("b"), Weather(weather_id="w"), quote("c"))

    rows = await store.reader.fetch("SELECT lo, hi, schema_v FROM batches ORDER BY lo")

    assert [tuple(row) for row in rows] == [(1, 2, 1), (3, 3, 2), (4, 4, 1)]


@pytest.mark.usefixtures("_schema_2")
async def test_a_record_encoded_before_is_known_by_its_kind(store):
    """Most of a tick is handed over encoded."""
    await tick(store, msgspec.Raw(msgspec.json.encode(Weather(weather_id="w"))), quote("a"))

    rows = await store.reader.fetch("SELECT schema_v FROM batches ORDER BY lo")

    assert [row["schema_v"] for row in rows] == [2, 1]


async def test_an_older_edge_sends_everything_to_a_newer_cloud(store):
    """The cloud is updated first, and years may pass before the edge is."""
    cloud = FakeCloud()
    cloud.schema_max = 2
    await tick(store, quote("a"))
    sender = make_sender(store, cloud)

    await sender.drain()

    assert sender.state.too_new is None
    assert (await outbox.load_backlog(store.reader)).n_rows == 0


def test_a_reader_ignores_what_it_does_not_know_and_fills_in_what_is_missing():
    """Fields are added within a schema: an older reader skips them, a newer one meets rows without them."""
    known = msgspec.json.decode(b'{"kind":"quote","market_key":"k","fetched_at":"2026-11-21T12:00:00Z"}', type=Quote)
    newer = b'{"kind":"quote","market_key":"k","fetched_at":"2026-11-21T12:00:00Z","humidity":0.5}'

    assert msgspec.json.decode(newer, type=Quote) == known
    assert known.bid is None
