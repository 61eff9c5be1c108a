"""The line between edge and cloud: torn, reset, swallowed, silent, slow, repeated. Everything through real Postgres."""

import asyncio
import random
import time

import asyncpg
import pytest

from sync.transports import postgres as road
from tests.faults.house import House, socket_of, through
from tests.faults.proxy import FaultProxy, Ill, Plan, drawn_plan
from tests.faults.trial import full_profile

EXCHANGE_BYTES = 4_000  # connect, hello and one tick's batch

pytestmark = pytest.mark.timeout(0)


@pytest.fixture
def impatient(monkeypatch):
    """Deadlines of a fraction of a second: what they are in the product is a constant, that they fire is the point."""
    for name in ("CONNECT_S", "HELLO_S", "APPLY_S"):
        monkeypatch.setattr(road, name, 0.4)


async def under(
    trial, tmp_path, clock, postgres, ills, *, n_ticks: int, seed: int, longest: int = EXCHANGE_BYTES
) -> FaultProxy:
    """Ticks over a line that has an ill for nearly each; drained, judged; returns the proxy as it ended."""
    dice = random.Random(seed)
    owner, edge = postgres.create_database()
    async with House(tmp_path / f"home-{seed}", clock) as house, FaultProxy(socket_of(edge)) as proxy:
        transport = through(edge, proxy.port)
        for number in range(1, n_ticks + 1):
            proxy.plans.append(drawn_plan(dice, ills, longest=longest))
            await house.tick(number)
            trial.recovering()
            await house.drain(transport)
            trial.recovered()
        assert await house.pending() == 0
        trial.judged(await house.judge(owner), n=proxy.n_struck)
    assert proxy.n_struck > 0, "no ill came to pass: this run proved nothing"
    return proxy


def n_ticks() -> int:
    """Ticks of one seed: faults of one database."""
    return 40 if full_profile() else 12


@pytest.mark.fault(21)
async def test_fault_21_a_cut_within_a_request_is_sent_again_and_lands_once(trial, tmp_path, clock, postgres):
    """Half a batch is none: the statement never ran, and the same bytes go again."""
    for seed in trial.seeds():
        await under(trial, tmp_path, clock, postgres, [Ill.TEAR_UP, Ill.FIN, Ill.REFUSE], n_ticks=n_ticks(), seed=seed)


@pytest.mark.fault(22)
async def test_fault_22_a_cut_after_the_commit_and_before_the_reply_leaves_one_copy(trial, tmp_path, clock, postgres):
    """The ambiguous commit: nobody guesses, the repetition is known by its digest."""
    for seed in trial.seeds():
        proxy = await under(trial, tmp_path, clock, postgres, [Ill.DROP_REPLY], n_ticks=n_ticks(), seed=seed)
        assert proxy.n_struck == n_ticks()
        await under(
            trial, tmp_path / "torn", clock, postgres, [Ill.TEAR_DOWN], n_ticks=n_ticks(), seed=seed, longest=1_500
        )


@pytest.mark.fault(24)
async def test_fault_24_a_black_hole_behind_a_living_proxy_ends_at_the_deadline(
    trial, tmp_path, clock, postgres, impatient
):
    """TCP looks healthy; only the deadline of the application sees it."""
    for seed in trial.seeds():
        await under(
            trial, tmp_path, clock, postgres, [Ill.BLACK_HOLE], n_ticks=max(4, n_ticks() // 5), seed=seed, longest=2_500
        )


@pytest.mark.fault(25, 26)
async def test_fault_25_26_a_slow_line_still_drains(trial, tmp_path, clock, postgres):
    """Drips and delays are within the deadline: bytes arrive, so nothing is cut off and nothing is sent twice."""
    for seed in trial.seeds():
        await under(trial, tmp_path, clock, postgres, [Ill.DRIP, Ill.DELAY], n_ticks=max(4, n_ticks() // 5), seed=seed)


@pytest.mark.fault(25)
async def test_fault_25_a_drip_slower_than_the_deadline_is_given_up_and_the_good_line_after_it_delivers(
    trial, tmp_path, clock, postgres, impatient
):
    """100 bytes a second keep a socket alive for ever; an attempt is bounded all the same."""
    owner, edge = postgres.create_database()
    for _ in trial.seeds():
        async with (
            House(tmp_path / f"home-{trial.seed}", clock) as house,
            FaultProxy(socket_of(edge), [Plan(Ill.DRIP, bytes_per_s=100)]) as proxy,
        ):
            await house.tick(trial.seed)
            began = time.monotonic()
            assert await house.drain(through(edge, proxy.port)) > 0
            assert time.monotonic() - began < 5
            trial.judged(await house.judge(owner))
        break


@pytest.mark.fault(27)
async def test_fault_27_a_conversation_said_twice_lands_once(trial, tmp_path, clock, postgres):
    """A proxy that retries for its client repeats hello and batch to the byte; the second is a duplicate."""
    for seed in trial.seeds():
        proxy = await under(trial, tmp_path, clock, postgres, [Ill.REPLAY], n_ticks=max(3, n_ticks() // 4), seed=seed)
        assert proxy.n_struck == max(3, n_ticks() // 4)


@pytest.mark.fault(20)
async def test_fault_20_a_flapping_line_makes_progress_and_no_storm(trial, tmp_path, clock, postgres, monkeypatch):
    """Up and down at 1:100 of the real pace: every window of a working line delivers, and reconnects stay jittered."""
    monkeypatch.setattr("sync.sender.BACKOFF_BASE_S", 0.01)
    monkeypatch.setattr("sync.sender.BACKOFF_CAP_S", 0.3)
    for seed in trial.seeds():
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        async with House(tmp_path / f"home-{seed}", clock) as house, FaultProxy(socket_of(edge)) as proxy:
            sender = house.sender(through(edge, proxy.port), jitter=dice.random)
            loop = asyncio.create_task(sender.run(), name="sender")
            began, windows = time.monotonic(), n_ticks()
            for number in range(1, windows + 1):
                proxy.down = number % 2 == 0
                if proxy.down:
                    proxy.cut_all()
                await house.tick(number)
                await asyncio.sleep(dice.uniform(0.05, 0.3))
            proxy.down = False
            trial.recovering()
            await house.tick(windows + 1)
            async with asyncio.timeout(20):
                while await house.pending():
                    await asyncio.sleep(0.01)
            trial.recovered()
            lasted = time.monotonic() - began
            sender.stop()
            await loop
            trial.judged(await house.judge(owner), n=windows // 2)
        assert proxy.n_connections <= windows + lasted / 0.01, "a reconnect storm"


@pytest.mark.fault(32)
async def test_fault_32_postgres_killed_or_stopped_in_mid_apply_leaves_one_copy(trial, tmp_path, clock, postgres):
    """A crash of the server loses what it had not committed and keeps what it had; the edge sends again either way."""
    for seed in trial.seeds():
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        async with House(tmp_path / f"home-{seed}", clock) as house, FaultProxy(socket_of(edge)) as proxy:
            rounds = 6 if full_profile() else 3
            for number in range(rounds):
                for one in range(12):
                    await house.tick(number * 12 + one + 1)
                draining = asyncio.create_task(house.drain(through(edge, proxy.port)), name="drain")
                await asyncio.sleep(dice.uniform(0.0, 0.08))
                trial.recovering()
                await asyncio.to_thread(postgres.restart_immediate)
                await draining
                trial.recovered()
            trial.judged(await house.judge(owner), n=rounds)


@pytest.mark.fault(19)
async def test_fault_19_a_week_offline_drains_and_the_fresh_tick_goes_first(trial, tmp_path, clock, postgres):
    """Every quarter hour of a week is sealed unseen; when the line is back nobody waits for the past."""
    owner, edge = postgres.create_database()
    n = 672 if full_profile() else 96
    async with House(tmp_path / "home", clock) as house:
        for number in range(1, n + 1):
            await house.tick(number)
            clock.forward(minutes=15)
        trial.recovering()
        await house.tick(n + 1)
        await house.drain(road.PostgresTransport(edge, host_id="faults"))
        trial.recovered()
        trial.judged(await house.judge(owner))
    connection = await asyncpg.connect(owner)
    first = await connection.fetchval("SELECT lo FROM edge_batch ORDER BY applied_at LIMIT 1")
    await connection.close()
    assert first == n * 3 + 1


@pytest.mark.fault(28)
async def test_fault_28_a_transaction_and_a_copy_left_open_on_the_server_do_not_hold_us(
    trial, tmp_path, clock, postgres
):
    """Somebody else stalls with rows written to our tables and a COPY half sent: no batch of ours waits for either."""
    owner, edge = postgres.create_database()
    stalled, copying = await asyncpg.connect(owner), await asyncpg.connect(owner)
    begun = asyncio.Event()

    async def never_sent():
        begun.set()
        await asyncio.Event().wait()
        yield b""

    copy = asyncio.create_task(copying.copy_to_table("price_snapshot", source=never_sent()), name="copy")
    try:
        await stalled.execute("BEGIN")
        await stalled.execute("INSERT INTO market (market_key, venue) VALUES ('kalshi:ELSE', 'kalshi')")
        await stalled.fetch("SELECT * FROM edge_batch, edge_stream, price_snapshot LIMIT 1")
        async with asyncio.timeout(10):
            await begun.wait()
        async with House(tmp_path / "home", clock) as house:
            await house.tick(trial.seed)
            trial.recovering()
            await house.drain(road.PostgresTransport(edge, host_id="faults"), within_s=5)
            trial.recovered()
            assert await house.pending() == 0
        assert not copy.done()
    finally:
        copying.terminate()
        copy.cancel()
        await asyncio.gather(copy, return_exceptions=True)
        await stalled.close()
    trial.judged(await house.judge(owner))
