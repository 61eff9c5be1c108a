"""What every way to the cloud promises the sender: one suite, over the cloud in memory, real Postgres and the API."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from sync.batch import Batch, seal
from sync.errors import SinkHeld, SinkUnavailable
from sync.protocol import Hello, Lineage, Result, Transport
from sync.records import SCHEMA_VERSION
from sync.transports.https import HttpsTransport
from sync.transports.postgres import PostgresTransport
from tests.contract.sync.serving import serving
from tests.factories import NOON, make_market, make_quote
from tests.fakes.cloud import FakeCloud
from tests.fakes.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres().start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "postgres", "https"])
async def transport(request) -> AsyncIterator[Transport]:
    if request.param == "memory":
        yield FakeCloud()
        return
    owner_dsn, edge_dsn = request.getfixturevalue("postgres").create_database()
    if request.param == "postgres":
        yield PostgresTransport(edge_dsn, host_id="contract")
        return
    async with serving(owner_dsn) as (url, key):
        yield HttpsTransport(url, key, host_id="contract")


STREAM, TOKEN = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def hello(*, prev: str = TOKEN, new: str = TOKEN, stream: str = STREAM, hi: int = 100) -> Hello:
    return Hello(
        host_id="contract", stream_id=stream, prev_token=prev, next_token=new, boot_id="b",
        client_time=NOON, schema_v=SCHEMA_VERSION, agent_version="0", local_hi=hi,
    )  # fmt: skip


def batch(first: int = 1, *, bid: float = 0.4, n: int = 3) -> Batch:
    rows = [make_quote(fetched_at=NOON + timedelta(minutes=i), bid=bid) for i in range(first, first + n)]
    return next(iter(seal([make_market(), *rows], stream_id=STREAM, first_seq=first)))


async def test_a_batch_is_applied_once_and_known_afterwards(transport):
    """The second arrival changes nothing and says so; hello reports the range."""
    session = await transport.connect()
    welcome = await session.hello(hello())
    first = await session.apply(batch(), welcome.fence)
    second = await session.apply(batch(), welcome.fence)
    again = await session.hello(hello())
    await session.close()

    assert (welcome.status, welcome.acked) == (Lineage.OK, ())
    assert (first.result, first.inserted) == (Result.APPLIED, 4)
    assert second.result is Result.DUPLICATE
    assert again.acked == ((1, 4),)


async def test_other_content_under_known_numbers_is_a_conflict(transport):
    """A file that went back in time must not pass for a retry."""
    session = await transport.connect()
    welcome = await session.hello(hello())
    await session.apply(batch(), welcome.fence)

    assert (await session.apply(batch(bid=0.1), welcome.fence)).result is Result.CONFLICT
    await session.close()


async def test_an_unknown_token_is_a_fork(transport):
    """A clone or an old backup presents a token the cloud no longer holds."""
    session = await transport.connect()
    await session.hello(hello())
    stranger = str(uuid.UUID(int=9))

    assert (await session.hello(hello(prev=stranger, new=stranger))).status is Lineage.FORK
    await session.close()


async def test_a_lost_hello_reply_is_harmless(transport):
    """The cloud may hold either of the two tokens an edge presents."""
    session = await transport.connect()
    await session.hello(hello())
    newer = str(uuid.UUID(int=3))
    first = await session.hello(hello(new=newer))
    repeated = await session.hello(hello(new=newer))

    assert (first.status, repeated.status) == (Lineage.OK, Lineage.OK)
    assert first.fence == repeated.fence
    await session.close()


async def test_an_older_writer_is_fenced(transport):
    """Two writers never share a stream."""
    session = await transport.connect()
    old = await session.hello(hello())
    await session.hello(hello(new=str(uuid.UUID(int=3))))

    assert (await session.apply(batch(), old.fence)).result is Result.FENCED
    await session.close()


async def test_order_of_arrival_does_not_matter(transport):
    """Fresh data goes first; a backlog follows."""
    session = await transport.connect()
    welcome = await session.hello(hello())
    results = [(await session.apply(batch(first), welcome.fence)).result for first in (5, 1, 9)]
    acked = (await session.hello(hello())).acked
    await session.close()

    assert results == [Result.APPLIED] * 3
    assert max(hi for _, hi in acked) == 12


async def test_two_batches_at_once_are_each_applied_once(transport):
    """While one lands the next one travels; the sender relies on nothing but the receipts."""
    session = await transport.connect()
    welcome = await session.hello(hello())
    receipts = await asyncio.gather(*(session.apply(batch(first), welcome.fence) for first in (1, 5, 5)))
    acked = (await session.hello(hello())).acked
    await session.close()

    assert sorted(receipt.result for receipt in receipts) == [Result.APPLIED, Result.APPLIED, Result.DUPLICATE]
    assert max(hi for _, hi in acked) == 8


async def test_a_server_with_room_for_one_connection_takes_one_batch_after_the_other(postgres):
    """The second connection is a convenience: where it is refused, nothing fails for it."""
    owner_dsn, edge_dsn = postgres.create_database()
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute("alter role edge_ingest connection limit 1")
    try:
        session = await PostgresTransport(edge_dsn, host_id="contract").connect()
        welcome = await session.hello(hello())
        receipts = await asyncio.gather(*(session.apply(batch(first), welcome.fence) for first in (1, 5, 9)))
        await session.close()
    finally:
        await owner.execute("alter role edge_ingest connection limit 16")
        await owner.close()

    assert [receipt.result for receipt in receipts] == [Result.APPLIED] * 3


async def test_an_absent_server_is_unavailable_and_a_wrong_role_is_held(postgres):
    """One passes by itself, the other waits for a person who is told what to do."""
    owner_dsn, edge_dsn = postgres.create_database()
    with pytest.raises(SinkUnavailable):
        await PostgresTransport("postgresql://x@127.0.0.1:9/none", host_id="h").connect()
    with pytest.raises(SinkHeld) as raised:
        await PostgresTransport(edge_dsn.replace("edge_ingest", "nobody_here"), host_id="h").connect()

    assert raised.value.advice
    assert owner_dsn


async def test_a_database_without_our_functions_holds_with_advice(postgres):
    """The cloud migrates first; until then nothing is quarantined for it."""
    session = await PostgresTransport(postgres.create_empty_database(), host_id="h").connect()
    with pytest.raises(SinkHeld, match="42883") as raised:
        await session.hello(hello())
    await session.close()

    assert "migrate" in raised.value.advice


async def test_a_server_killed_under_a_session_is_unavailable(postgres):
    """Never a hang, never a guess: the sender reconnects and asks."""
    _, edge_dsn = postgres.create_database()
    session = await PostgresTransport(edge_dsn, host_id="h").connect()
    welcome = await session.hello(hello())
    postgres.restart_immediate()

    with pytest.raises(SinkUnavailable):
        await session.apply(batch(), welcome.fence)
    await session.close()


def test_batches_of_one_content_differ_only_by_their_numbers():
    """The digest covers the content, so a moved batch keeps it."""
    one, two = batch(1), batch(1)

    assert msgspec.structs.astuple(one) == msgspec.structs.astuple(two)
