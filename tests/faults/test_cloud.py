"""The cloud refuses, stalls, is out of room, older, newer or read-only; and rows that no cloud can take."""

import asyncio
import json
import random

import asyncpg
import msgspec
import pytest

from agent.store.outbox import load_backlog, release_held
from sync import batch as batch_module
from sync import sender as sender_module
from sync.errors import SinkHeld, SinkUnavailable, TransportError
from sync.protocol import Hello
from sync.records import SCHEMA_VERSION
from sync.transports import postgres as road_module
from sync.transports.postgres import PostgresTransport
from tests.faults.files import all_batches
from tests.faults.house import House
from tests.faults.promises import ROWS, key_of, records_of

pytestmark = pytest.mark.timeout(0)


@pytest.fixture
def cloud(postgres):
    """(its owner's address, the edge's, the edge's way to it)."""
    owner, edge = postgres.create_database()
    return owner, edge, PostgresTransport(edge, host_id="faults")


async def as_owner(dsn: str, *statements: str) -> None:
    """What an administrator does to the cloud."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def refused_then_drained(
    trial, house: House, cloud, spoil: str, mend: str | tuple[str, ...], *, kind: type[TransportError]
) -> None:
    """Spoil the cloud, see the sender told so by its kind of error, mend it, and everything lands once."""
    owner, _, road = cloud
    await as_owner(owner, spoil)
    await house.tick(len(house.promised) + 1)
    with pytest.raises(kind):
        await house.sender(road).drain()
    assert await house.pending() > 0
    await as_owner(owner, *((mend,) if isinstance(mend, str) else mend))
    trial.recovering()
    await house.drain(road)
    trial.recovered()
    trial.judged(await house.judge(owner))


@pytest.mark.fault(31)
async def test_fault_31_a_role_that_may_not_log_in_or_execute_holds_and_resumes_by_itself(
    trial, tmp_path, clock, cloud
):
    """A person must act; what is sealed waits, and nothing but the repair is needed."""
    owner = cloud[0]
    name = owner.rpartition("/")[2].partition("?")[0]
    async with House(tmp_path / "home", clock) as house:
        rights = [f"GRANT EXECUTE ON FUNCTION {one} TO edge_ingest" for one in await _rights(owner)]
        for spoil, mend in (
            ("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM edge_ingest", tuple(rights)),
            (f"REVOKE CONNECT ON DATABASE {name} FROM edge_ingest", f"GRANT CONNECT ON DATABASE {name} TO edge_ingest"),
        ):
            await refused_then_drained(trial, house, cloud, spoil, mend, kind=SinkHeld)


async def _rights(owner: str) -> list[str]:
    connection = await asyncpg.connect(owner)
    try:
        return [
            row[0]
            for row in await connection.fetch(
                "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE pronamespace = 'public'::regnamespace"
                " AND has_function_privilege('edge_ingest', p.oid, 'EXECUTE')"
            )
        ]
    finally:
        await connection.close()


@pytest.mark.fault(33)
async def test_fault_33_a_server_that_became_read_only_is_waited_for(trial, tmp_path, clock, cloud):
    """A failover's old primary answers and refuses to write: transient, the same batch again."""
    name = cloud[0].rpartition("/")[2].partition("?")[0]
    async with House(tmp_path / "home", clock) as house:
        await refused_then_drained(
            trial, house, cloud,
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            ("SET default_transaction_read_only = off", f"ALTER DATABASE {name} RESET default_transaction_read_only"),
            kind=SinkUnavailable,
        )  # fmt: skip


@pytest.mark.fault(35)
async def test_fault_35_a_lock_held_on_the_stream_ends_at_a_deadline_and_piles_nothing_up(
    trial, tmp_path, clock, cloud, monkeypatch
):
    """Somebody holds our stream's row: the attempt is bounded, and no backend of ours is left waiting."""
    owner, _, road = cloud
    async with House(tmp_path / "home", clock) as house:
        await house.tick(1)
        await house.drain(road)
        monkeypatch.setattr(road_module, "APPLY_S", 0.3)
        monkeypatch.setattr(road_module, "HELLO_S", 0.3)
        holder = await asyncpg.connect(owner)
        try:
            async with holder.transaction():
                await holder.execute("SELECT FROM edge_stream FOR UPDATE")
                await house.tick(2)
                for _ in range(3):
                    with pytest.raises(SinkUnavailable):
                        await house.sender(road).drain()
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            trial.judged(await house.judge(owner), n=3)
            async with asyncio.timeout(10):
                while await holder.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'oddsd/faults'"
                ):
                    await asyncio.sleep(0.05)
        finally:
            await holder.close()


@pytest.mark.fault(35)
@pytest.mark.parametrize("state", ["53100", "53200", "53300", "40P01", "40001", "57014"])
async def test_fault_35_a_server_out_of_room_memory_or_patience_is_tried_again(trial, tmp_path, clock, cloud, state):
    """What the server says of itself is its trouble, not our batch's: nothing is set aside for it."""
    trouble = (
        "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION USING errcode = '{state}', message = 'as staged'; END $$;"
        "CREATE TRIGGER trouble BEFORE INSERT ON edge_batch EXECUTE FUNCTION trouble()"
    )
    async with House(tmp_path / "home", clock) as house:
        await refused_then_drained(trial, house, cloud, trouble, "DROP FUNCTION trouble CASCADE", kind=SinkUnavailable)


@pytest.mark.fault(35)
async def test_fault_35_a_server_without_a_place_for_us_is_waited_for(trial, tmp_path, clock, cloud):
    """All connections are taken: nothing of ours is wrong, and no person is asked."""
    async with House(tmp_path / "home", clock) as house:
        await refused_then_drained(
            trial, house, cloud,
            "ALTER ROLE edge_ingest CONNECTION LIMIT 0", "ALTER ROLE edge_ingest CONNECTION LIMIT 16",
            kind=SinkUnavailable,
        )  # fmt: skip


@pytest.mark.fault(36)
async def test_fault_36_a_cloud_without_our_function_holds_and_an_older_or_newer_one_by_its_range(
    trial, tmp_path, clock, cloud
):
    """Version skew is a person's business, never the data's: nothing is quarantined for it."""
    owner = cloud[0]
    connection = await asyncpg.connect(owner)
    signature = await connection.fetchval("SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'edge_apply'")
    await connection.close()
    async with House(tmp_path / "home", clock) as house:
        await refused_then_drained(
            trial, house, cloud,
            f"ALTER FUNCTION {signature} RENAME TO edge_apply_gone",
            f"ALTER FUNCTION {signature.replace('edge_apply', 'edge_apply_gone')} RENAME TO edge_apply",
            kind=SinkHeld,
        )  # fmt: skip
        await refused_then_drained(trial, house, cloud, _range(99, 99), _range(1, 1), kind=SinkHeld)


@pytest.mark.fault(36)
async def test_fault_36_a_newer_edge_keeps_back_what_the_cloud_cannot_take_until_it_is_updated(
    trial, tmp_path, clock, cloud, monkeypatch
):
    """A new kind of record waits in words, quotes go on, nothing is set aside; after the update it lands by itself."""
    owner, _, road = cloud
    monkeypatch.setattr(sender_module, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(batch_module, "NEEDS", {"weather": 2})
    weather = msgspec.Raw(b'{"kind":"weather","weather_id":"w1"}')
    async with House(tmp_path / "home", clock) as house:
        for number in (1, 2):
            await house.tick(number)
            async with house.store.write() as tx:
                tx.emit(weather)
        sender = house.sender(road)
        await sender.drain()
        assert await house.pending() == 2
        assert sender.state.too_new == "2 rows need schema 2, the cloud takes 1"
        trial.judged(await house.judge(owner))

        taken = "CREATE OR REPLACE FUNCTION edge_refuse_kind(p_kind text) RETURNS integer LANGUAGE sql AS 'SELECT 1'"
        await as_owner(owner, _range(1, 2), taken)
        trial.recovering()
        await sender.drain()
        trial.recovered()
        assert (await house.pending(), sender.state.too_new) == (0, None)
        trial.judged(await house.judge(owner))


@pytest.mark.fault(36)
async def test_fault_36_an_older_edge_sends_everything_to_a_newer_cloud(trial, tmp_path, clock, cloud):
    """The cloud is updated first; rows without its newer fields land, and fields it does not know are kept."""
    owner, _, road = cloud
    await as_owner(owner, _range(1, 2))
    async with House(tmp_path / "home", clock) as house:
        await house.tick(1)
        odd = {"kind": "market", "market_key": key_of(2), "venue": "polymarket", "fetched_at": "2026-11-21T13:00:00Z",
               "venue_market_id": "0x2", "title": "?", "status": "open", "humidity": 0.5}  # fmt: skip
        async with house.store.write() as tx:
            tx.emit(msgspec.Raw(json.dumps(odd).encode()))
        await house.drain(road)
        assert await house.pending() == 0
    connection = await asyncpg.connect(owner)
    try:
        row = await connection.fetchrow("SELECT close_time, extra FROM market WHERE market_key = $1", key_of(2))
        assert (row["close_time"], json.loads(row["extra"])) == (None, {"humidity": 0.5})
        assert await connection.fetchval("SELECT count(*) FROM edge_quarantine") == 0
    finally:
        await connection.close()
    trial.counted()


def _range(least: int, most: int) -> str:
    return "".join(
        f"CREATE OR REPLACE FUNCTION edge_schema_{name}() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT {value}';"
        for name, value in (("min", least), ("max", most))
    )


POISON = {
    "nan": {"bid": "NaN"},
    "number too large": {"bid": 1e308},
    "nul byte": {"market_key": "polymarket:0x\x00dead"},
    "no time": {"fetched_at": "yesterday"},
    "far future": {"fetched_at": "2999-01-01T00:00:00Z"},
    "infinity": {"fetched_at": "infinity"},
    "no kind": {"kind": "nonsense"},
    "a list for a number": {"bid": [1]},
    "no market": {"market_key": None},
    "huge text": {"market_key": f"polymarket:{random.Random(37).randbytes(8_000).hex()}"},
}


@pytest.mark.fault(37)
async def test_fault_37_poison_rows_are_set_aside_with_a_reason_and_their_neighbours_land(
    trial, tmp_path, clock, cloud
):
    """A bad row cannot block, and cannot vanish; what was sealed with it lands."""
    owner, _, road = cloud
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        async with House(tmp_path / f"home-{seed}", clock) as house:
            for number, (name, spoilt) in enumerate(sorted(POISON.items(), key=lambda _: dice.random()), start=1):
                good = {
                    "kind": "quote",
                    "market_key": key_of(9_000 + number),
                    "fetched_at": "2026-11-21T12:00:00Z",
                    "bid": 0.4,
                }
                market, quotes = records_of(number)
                async with house.store.write() as tx:
                    tx.emit(market, msgspec.Raw(json.dumps(good | spoilt | {"note": name}).encode()), *quotes)
                house.promised.append(number)
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            assert await house.pending() == 0
            connection = await asyncpg.connect(owner)
            try:
                reasons = [row[0] for row in await connection.fetch("SELECT reason FROM edge_quarantine")]
                assert len(reasons) == len(POISON)
                assert all(reasons)
                await connection.execute("DELETE FROM edge_quarantine")
            finally:
                await connection.close()
            trial.judged(await house.judge(owner), n=len(POISON))
        break


@pytest.mark.fault(38)
async def test_fault_38_a_name_that_comes_again_with_other_content_keeps_the_first_and_is_counted(
    trial, tmp_path, clock, cloud
):
    """First kept, the other counted as known in the ledger: never silent."""
    owner, _, road = cloud
    async with House(tmp_path / "home", clock) as house:
        await house.tick(1)
        await house.drain(road)
        async with house.store.write() as tx:
            other = {"kind": "quote", "market_key": key_of(1), "fetched_at": "2026-11-21T12:00:00Z", "bid": 0.99}
            tx.emit(msgspec.Raw(json.dumps(other).encode()))
        await house.drain(road)
        trial.judged(await house.judge(owner))
    connection = await asyncpg.connect(owner)
    known = await connection.fetchval("SELECT sum(known) FROM edge_batch")
    await connection.close()
    assert known == 1


@pytest.mark.fault(39)
async def test_fault_39_a_batch_over_the_servers_limit_is_set_aside_and_lands_when_the_limit_is_lifted(
    trial, tmp_path, clock, cloud
):
    """A sealed batch is never cut again: it waits with the reason, and keeps nothing else waiting."""
    owner, _, road = cloud
    limit = "CREATE OR REPLACE FUNCTION edge_max_rows() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT {}'"
    small = msgspec.Raw(json.dumps({"kind": "quote", "market_key": key_of(1), "fetched_at": "2026-11-21T12:00:00Z",
                                    "bid": 0.02, "ask": 0.12, "mid": 0.07}).encode())  # fmt: skip
    async with House(tmp_path / "home", clock) as house:
        await as_owner(owner, limit.format(2))
        await house.tick(1)
        async with house.store.write() as tx:
            tx.emit(small)
        await house.drain(road)
        backlog = await load_backlog(house.store.reader)
        assert (backlog.n_rows, backlog.n_held) == (ROWS, 1)
        await as_owner(owner, limit.format(5000))
        async with house.store.write() as tx:
            await release_held(tx)
        trial.recovering()
        await house.drain(road)
        trial.recovered()
        assert await house.pending() == 0
        trial.judged(await house.judge(owner))


@pytest.mark.fault(27)
async def test_fault_27_batches_in_any_order_and_several_times_end_in_the_same_state(trial, tmp_path, clock, cloud):
    """Order is irrelevant to the final state, and so is repetition."""
    owner, _, road = cloud
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        async with House(tmp_path / f"home-{seed}", clock) as house:
            for number in range(1, 9):
                await house.tick(number)
            batches = await all_batches(house.store)
            deck = dice.sample(batches * 2, len(batches))
            await house.drain(road)
            stream, token, new, hi = await house._outbox.greeting()
            session = await road.connect()
            welcome = await session.hello(
                Hello(
                    host_id="faults", stream_id=stream, prev_token=token, next_token=new, boot_id="boot",
                    client_time=clock(), schema_v=SCHEMA_VERSION, agent_version="0", local_hi=hi,
                )
            )  # fmt: skip
            for batch in deck:
                assert (await session.apply(batch, welcome.fence)).result.value == "duplicate"
            await session.close()
            trial.judged(await house.judge(owner), n=len(deck))
        break
