"""Files and clouds that go back in time, and files that are there twice: nothing is overwritten, nothing missing."""

import random

import psycopg
import pytest

from sync.transports.postgres import PostgresTransport
from tests.faults.house import House, socket_of, streams_of, through
from tests.faults.promises import landed_in_postgres, settle
from tests.faults.proxy import FaultProxy, Ill, Plan
from tests.faults.trial import full_profile

pytestmark = pytest.mark.timeout(0)


def few(dice: random.Random) -> int:
    """Some ticks."""
    return dice.randint(1, 4)


@pytest.mark.fault(4)
async def test_fault_4_a_kill_between_the_clouds_commit_and_our_ack_leaves_one_copy(trial, tmp_path, clock, postgres):
    """The receipt is lost with the process; the next one hears of a duplicate."""
    for seed in trial.seeds(quick=2):
        owner, edge = postgres.create_database()
        n = 20 if full_profile() else 6
        async with House(tmp_path / f"home-{seed}", clock) as house, FaultProxy(socket_of(edge)) as proxy:
            for number in range(1, n + 1):
                await house.tick(number)
                proxy.plans.append(Plan(Ill.DROP_REPLY))
                before = house.copy("at-the-cut")
                await house.drain(through(edge, proxy.port))
                await house.close()
                house.put_back(before)  # no ack of this batch was ever on the disk
                trial.recovering()
                await house.open()
                await house.drain(through(edge, proxy.port))
                trial.recovered()
            assert await house.pending() == 0
            trial.judged(await house.judge(owner), n=n)


@pytest.mark.fault(17)
async def test_fault_17_a_cloned_host_rotates_and_both_deliver_everything_once(trial, tmp_path, clock, postgres):
    """Two files with one lineage: the second to speak starts a stream of its own, and what both hold lands once."""
    for seed in trial.seeds(quick=2):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        road = PostgresTransport(edge, host_id="faults")
        async with House(tmp_path / f"a-{seed}", clock, host_id="a") as first:
            for number in range(few(dice)):
                await first.tick(number)
            if dice.random() < 0.5:
                await first.drain(road)
            for number in range(100, 100 + few(dice)):
                await first.tick(number)
            twin = House(tmp_path / f"b-{seed}", clock, host_id="b")
            twin.folder.mkdir()
            twin.put_back(first.copy("clone"))
            async with twin:
                for turn in range(3):
                    await first.tick(1_000 + turn)
                    await twin.tick(2_000 + turn)
                    trial.recovering()
                    for house in dice.sample([first, twin], 2):
                        await house.drain(road)
                    trial.recovered()
                landed, quarantined = await landed_in_postgres(owner)
                trial.judged(settle([*first.promised, *twin.promised], (), landed, quarantined))
            await first.close()
        assert sum(bool(reason) for folder in (first.folder, twin.folder) for _, reason in streams_of(folder)) > 0


@pytest.mark.fault(13, 18)
async def test_fault_13_18_a_file_that_went_back_in_time_rotates_and_overwrites_nothing(
    trial, tmp_path, clock, postgres
):
    """An old backup, or a file whose log of writes was deleted: numbers are given again, the cloud tells them apart."""
    for seed in trial.seeds(quick=3):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        road = PostgresTransport(edge, host_id="faults")
        async with House(tmp_path / f"home-{seed}", clock) as house:
            for number in range(few(dice)):
                await house.tick(number)
            if dice.random() < 0.5:
                await house.drain(road)
            backup = house.copy("backup")
            for number in range(100, 100 + few(dice)):
                await house.tick(number)
            await house.drain(road)
            await house.close()
            house.put_back(backup)
            if seed % 2:
                await house.open()
                await house.close()  # folded into the file: an older file whose log is gone, not an empty one
            await house.open()
            for number in range(200, 200 + few(dice)):
                await house.tick(number)
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            trial.judged(await house.judge(owner))


@pytest.mark.fault(34)
async def test_fault_34_a_cloud_restored_to_an_hour_ago_gets_the_missing_batches_again(
    trial, tmp_path, clock, postgres
):
    """Receipts of what the cloud has forgotten count for nothing; what came after the restore stays once."""
    for seed in trial.seeds(quick=2):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        road = PostgresTransport(edge, host_id="faults")
        name, before = owner.rpartition("/")[2].partition("?")[0], f"before_{seed}"
        async with House(tmp_path / f"home-{seed}", clock) as house:
            for number in range(few(dice)):
                await house.tick(number)
            if dice.random() < 0.7:
                await house.drain(road)
            postgres.server.create_database(before, template=name)
            for number in range(100, 100 + few(dice)):
                await house.tick(number)
            await house.drain(road)
            if dice.random() < 0.5:
                await house.crash()
            _roll_back(postgres, name, before)
            await house.tick(200)
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            trial.judged(await house.judge(owner))


@pytest.mark.fault(34)
async def test_fault_34_a_cloud_restored_to_before_a_rotation_gets_the_older_stream_again(
    trial, tmp_path, clock, postgres
):
    """What was delivered under a stream that was given up since is lost in the cloud too, and asked after."""
    for seed in trial.seeds(quick=2):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        road = PostgresTransport(edge, host_id="faults")
        name, before = owner.rpartition("/")[2].partition("?")[0], f"older_{seed}"
        async with House(tmp_path / f"home-{seed}", clock) as house:
            for number in range(few(dice)):
                await house.tick(number)
            if dice.random() < 0.5:
                await house.drain(road)
            postgres.server.create_database(before, template=name)
            for turn in range(dice.randint(1, 3)):
                for number in range(100 * (turn + 1), 100 * (turn + 1) + few(dice)):
                    await house.tick(number)
                await house.drain(road)
                await house.rotate()
            await house.tick(900)
            if dice.random() < 0.5:
                await house.drain(road)
            _roll_back(postgres, name, before)
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            trial.judged(await house.judge(owner))


def _roll_back(postgres, name: str, before: str) -> None:
    """The database is the older one from now on."""
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"ALTER DATABASE {before} RENAME TO {name}")
        connection.execute(f"GRANT CONNECT ON DATABASE {name} TO edge_ingest")
