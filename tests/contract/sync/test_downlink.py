"""What comes down does so over both roads alike: requests under a lease, answered once; duty; the ledger."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from agent.store.answers import StoreJournal
from sync.downlink import UNTAKEN, Downlink, RequestFailed
from sync.duty import Duty
from sync.errors import SinkHeld, TransportError
from sync.protocol import Answer, DownTransport, Standing
from sync.transports.https import HttpsTransport
from sync.transports.postgres import PostgresTransport
from tests.contract.sync.serving import make_edge_key, serving
from tests.contract.sync.test_transport import STREAM, batch, hello
from tests.fakes.postgres import EmbeddedPostgres

ASK = "select edge_ask('refresh', '{\"job\": \"collect\"}', $1, interval '1 minute')"


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres().start()
    yield server
    server.stop()


@pytest.fixture(params=["postgres", "https"])
async def road(request, postgres) -> AsyncIterator[tuple[DownTransport, asyncpg.Connection]]:
    """A road, and the owner's connection at its far end."""
    owner_dsn, edge_dsn = postgres.create_database()
    owner = await asyncpg.connect(owner_dsn)
    if request.param == "postgres":
        yield PostgresTransport(edge_dsn, host_id="home"), owner
    else:
        async with serving(owner_dsn) as (url, key):
            yield HttpsTransport(url, key, host_id="home"), owner
    await owner.close(timeout=5)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_a_request_is_handed_to_one_host_and_again_when_its_lease_has_ended(road):
    """A host that dies with a request in its hands keeps nobody waiting for ever."""
    transport, owner = road
    await owner.execute(ASK, "a")
    session = await transport.connect()

    first = await session.lease("home", ("refresh",), limit=5, lease_s=60)
    nothing = await session.lease("other", ("refresh",), limit=5, lease_s=60)
    await owner.execute("update edge_request set leased_until = now() - interval '1 s'")
    again = await session.lease("other", ("refresh",), limit=5, lease_s=60)
    await session.close()

    assert [(one.kind, one.body, one.attempt) for one in first] == [("refresh", {"job": "collect"}, 1)]
    assert nothing == ()
    assert [(one.request_id, one.attempt) for one in again] == [(first[0].request_id, 2)]


async def test_work_that_outlasts_its_lease_goes_on_under_it(road):
    """A slow collect is not begun a second time elsewhere; another host's request is not ours to keep."""
    transport, owner = road
    await owner.execute(ASK, "a")
    session = await transport.connect()
    (taken,) = await session.lease("home", ("refresh",), limit=5, lease_s=60)

    await owner.execute("update edge_request set leased_until = now() - interval '1 s'")
    await session.renew("other", (taken.request_id,), lease_s=60)
    assert await owner.fetchval("select leased_until < now() from edge_request")
    await session.renew("home", (taken.request_id,), lease_s=60)
    nothing = await session.lease("other", ("refresh",), limit=5, lease_s=60)
    await session.complete(Answer(request_id=taken.request_id, state="done"))
    await session.renew("home", (taken.request_id,), lease_s=60)
    await session.close()

    assert nothing == ()
    assert await owner.fetchval("select state from edge_request") == "done"


async def test_two_requests_alike_are_one_while_it_is_open(road):
    """Twenty readers of one market cost one look."""
    transport, owner = road
    one, two = await owner.fetchval(ASK, "a"), await owner.fetchval(ASK, "a")
    session = await transport.connect()
    await session.complete(Answer(request_id=str(one), state="done", result={"ok": True}))
    three = await owner.fetchval(ASK, "a")
    await session.close()

    assert one == two
    assert three != one


async def test_the_first_answer_stands(road):
    """A repeated answer is harmless, and a later one changes nothing."""
    transport, owner = road
    request = await owner.fetchval(ASK, "a")
    session = await transport.connect()
    await session.complete(Answer(request_id=str(request), state="done", result={"n": 1}))
    await session.complete(Answer(request_id=str(request), state="failed", reason="late"))
    await session.complete(Answer(request_id=str(uuid.uuid4()), state="done"))
    await session.close()

    row = await owner.fetchrow("select state, result, reason from edge_request")
    assert tuple(row) == ("done", '{"n": 1}', None)


async def test_a_request_nobody_waits_for_is_not_handed_out(road):
    """Work nobody reads is only cost."""
    transport, owner = road
    await owner.execute(ASK, "a")
    await owner.execute("update edge_request set expires_at = now() - interval '1 s'")
    session = await transport.connect()

    assert await session.lease("home", ("refresh",), limit=5, lease_s=60) == ()
    assert await owner.fetchval("select state from edge_request") == "expired"
    await session.close()


async def test_a_request_that_kills_whoever_takes_it_is_given_up(road):
    """A poisoned request must not go round for ever."""
    transport, owner = road
    await owner.execute(ASK, "a")
    session = await transport.connect()
    taken = 0
    while await session.lease("home", ("refresh",), limit=1, lease_s=60):
        taken += 1
        await owner.execute("update edge_request set leased_until = now() - interval '1 s'")
    await session.close()

    assert taken == 5
    assert tuple(await owner.fetchrow("select state, reason from edge_request")) == (
        "failed", "5 hosts took it and none answered",
    )  # fmt: skip


async def test_the_bell_rings_when_a_request_is_asked(road):
    """Seconds, not the next look in half a minute."""
    transport, owner = road
    session = await transport.connect()
    assert await session.rung(1)  # what came before we listened was not heard: look once
    assert not await session.rung(0.05)
    ringing = asyncio.ensure_future(session.rung(10))
    await asyncio.sleep(0)
    await owner.execute(ASK, "a")

    async with asyncio.timeout(5):
        assert await ringing
    await session.close()


async def test_the_loop_answers_within_seconds_and_once(road, store):
    """The whole way down and up again; a request that comes twice gets the answer it had."""
    transport, owner = road
    runs = list[str]()

    async def refresh(request):
        runs.append(request.request_id)
        return {"rows": 7}

    loop = Downlink(transport, StoreJournal(store), {"refresh": refresh}, Duty("home"))
    task = asyncio.create_task(loop.run())
    request = await owner.fetchval(ASK, "a")
    await until(lambda: owner.fetchval("select count(*) > 0 from edge_request where state = 'done'"))
    await owner.execute(
        "update edge_request set state = 'waiting', leased_until = null, finished_at = null, result = null"
    )
    await owner.execute("select pg_notify('edge_requested', '')")
    await until(lambda: owner.fetchval("select count(*) > 0 from edge_request where state = 'done'"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert runs == [str(request)]
    assert await owner.fetchval("select result from edge_request") == '{"rows": 7}'


async def test_an_answer_that_never_arrived_is_told_by_the_next_process(road, store):
    """Durable before it is given: the work is not done again for a lost reply."""
    transport, owner = road
    request = await owner.fetchval(ASK, "a")
    await StoreJournal(store).save("refresh", Answer(request_id=str(request), state="done", result={"n": 1}))

    async def told() -> bool:
        return not await StoreJournal(store).untold()

    task = asyncio.create_task(Downlink(transport, StoreJournal(store), {}, Duty("home")).run())
    await until(told)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await owner.fetchval("select state from edge_request") == "done"


async def test_what_cannot_be_done_is_told_in_words(road, store):
    """Whoever asked must not wait for the end of the lease."""
    transport, owner = road
    await owner.execute(ASK, "a")

    async def refresh(_):
        raise RequestFailed("the model is away")

    task = asyncio.create_task(Downlink(transport, StoreJournal(store), {"refresh": refresh}, Duty("home")).run())
    await until(lambda: owner.fetchval("select count(*) > 0 from edge_request where state = 'failed'"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await owner.fetchval("select reason from edge_request") == "the model is away"


async def test_an_answer_the_cloud_cannot_take_holds_nothing_up(road, store):
    """Text a database refuses, told again for ever, would keep every later answer waiting behind it."""
    transport, owner = road
    await owner.execute(ASK, "a")

    said = iter(("upstream said \0", "well"))

    async def refresh(_):
        return {"reason": next(said)}

    async def told() -> bool:
        return not await StoreJournal(store).untold()

    task = asyncio.create_task(Downlink(transport, StoreJournal(store), {"refresh": refresh}, Duty("home")).run())
    await until(lambda: owner.fetchval("select count(*) > 0 from edge_request where state = 'failed'"))
    await owner.execute(ASK, "b")
    await until(lambda: owner.fetchval("select count(*) > 0 from edge_request where state = 'done'"))
    await until(told)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await owner.fetchval("select reason from edge_request where state = 'failed'") == UNTAKEN


async def test_hosts_agree_on_who_is_there(road):
    """A newcomer's view settles when the other has seen it; a standby is called when nobody is left."""
    transport, _ = road
    session = await transport.connect()
    lone = await session.attend("a", standby=False, ttl_s=60)
    waiting = await session.attend("s", standby=True, ttl_s=60)
    joined = await session.attend("b", standby=False, ttl_s=60)
    await session.attend("a", standby=False, ttl_s=60)
    await session.attend("s", standby=True, ttl_s=60)
    settled = await session.attend("b", standby=False, ttl_s=60)
    await session.attend("a", standby=False, ttl_s=0)
    await session.attend("b", standby=False, ttl_s=0)
    called = await session.attend("s", standby=True, ttl_s=60)
    await session.close()

    assert (lone.members, lone.settled, lone.alone) == (("a",), True, True)
    assert waiting.members == ("a",)
    assert (joined.members, joined.settled, joined.alone) == (("a", "b"), False, False)
    assert (settled.members, settled.settled) == (("a", "b"), True)
    assert (called.members, called.settled) == (("s",), True)


async def test_what_a_host_says_of_itself_is_kept_and_its_newest_word_counts(road):
    """Operators read it; a word that is none, or a host that is none, changes nothing."""
    transport, owner = road
    session = await transport.connect()
    first = Standing(level="critical", says="critical · 9 pending", pending_rows=9, oldest_pending_at=datetime.now(UTC))
    await session.tell("a", first)
    await session.tell("a", Standing(level="ok", says="ok · 0 pending", pending_rows=0))
    for host, standing in (("a", msgspec.structs.replace(first, pending_rows=-1)), ("NO HOST", first)):
        with pytest.raises(TransportError):
            await session.tell(host, standing)
    await session.close()

    (told,) = await owner.fetch("select host_id, level, says, pending_rows, oldest_pending_at from edge_standing")
    assert tuple(told) == ("a", "ok", "ok · 0 pending", 0, None)


async def test_the_ledger_can_be_read_batch_by_batch(road):
    """The audit compares digests, not counters."""
    transport, _ = road
    session = await transport.connect()
    welcome = await session.hello(hello())
    for first in (1, 5):
        await session.apply(batch(first), welcome.fence)
    account = await session.audit(STREAM, 5)
    stranger = await session.audit(str(uuid.uuid4()), 0)
    await session.close()

    assert (account.known, account.acked, account.rows, account.batches) == (True, ((1, 8),), 8, 2)
    assert account.ledger == ((5, 8, batch(5).digest.hex()),)
    assert (stranger.known, stranger.rows, stranger.ledger) == (False, 0, ())


async def test_a_readers_key_delivers_nothing_and_an_edges_reads_nothing(postgres):
    """A key found in a browser must not write; one found on a box at home must not read."""
    owner_dsn, _ = postgres.create_database()
    async with serving(owner_dsn) as (url, key):
        reader = await (HttpsTransport(url, await make_edge_key(owner_dsn, "read"), host_id="h")).connect()
        with pytest.raises(SinkHeld, match="403") as refused:
            await reader.hello(hello())
        await reader.close()
        edge = await HttpsTransport(url, key, host_id="h").connect()
        reply = await edge._client.get("/v1/markets")
        await edge.close()

    assert "ingest" in refused.value.advice
    assert reply.status_code == 403


def test_a_key_is_not_sent_in_the_clear():
    """Only this machine may be spoken to without TLS."""
    with pytest.raises(ValueError, match="https only"):
        HttpsTransport("http://cloud.example", "k", host_id="h")
