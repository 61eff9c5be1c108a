"""The worker: each duty once per slot whoever does it, taken up again after a death, with no more rights than it needs."""

import asyncio
import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from cloudapi.settings import CloudSettings
from cloudapi.worker import BEGIN, DUTIES, LOCK_CLASS, Duty, Work, Worker
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.filled import days_ago, fill_day, fill_markets


def as_worker(postgres: EmbeddedPostgres, dsns: tuple[str, str]) -> str:
    return postgres.server.dsn(dsns[0].split("@/")[1].split("?")[0], user="worker")


@pytest.fixture
def settings(postgres: EmbeddedPostgres, dsns: tuple[str, str]) -> CloudSettings:
    """As it is deployed: with the worker's own login, never the owner's."""
    return CloudSettings.load(database_url=as_worker(postgres, dsns))


class Counted:
    """A duty that says how often it ran and can be held in the middle."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.entered = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    def duty(self) -> Duty:
        return Duty(name="counted", number=99, every=timedelta(days=1), at=timedelta(), run=self.run)

    async def run(self, work: Work) -> str:
        self.runs[str(await work.db.fetchval("select pg_backend_pid()"))] += 1
        self.entered.set()
        await self.may_end.wait()
        return "done"


async def test_two_workers_do_a_slot_once(settings: CloudSettings, owner: asyncpg.Connection) -> None:
    """Retention counts what it takes and roll-ups cost minutes: twice is wrong, not only wasteful."""
    counted = Counted()
    workers = [Worker(settings, name=f"w{n}", duties=(counted.duty(),)) for n in range(2)]

    for _ in range(5):
        await asyncio.gather(*(worker.run_once() for worker in workers))

    assert counted.runs.total() == 1
    assert await owner.fetchval("select count(*) from worker_run where duty = 'counted'") == 1


async def test_second_worker_passes_by_what_is_under_way(settings: CloudSettings) -> None:
    """It must neither wait nor do it beside the first."""
    counted = Counted()
    counted.may_end.clear()
    first, second = (Worker(settings, duties=(counted.duty(),)) for _ in range(2))
    at_work = asyncio.create_task(first.run_once())
    await counted.entered.wait()

    assert await second.run_once() == {}

    counted.may_end.set()
    assert await at_work == {"counted": "done"}
    assert counted.runs.total() == 1


async def test_slot_of_a_killed_worker_is_taken_up(
    settings: CloudSettings, owner: asyncpg.Connection, dsns: tuple[str, str]
) -> None:
    """A machine that dies in the night must not cost a night's retention."""
    counted = Counted()
    duty = counted.duty()
    slot = duty.slot(await owner.fetchval("select now()"))
    dead = await asyncpg.connect(dsns[0])
    await dead.execute("select pg_advisory_lock($1, $2)", LOCK_CLASS, duty.number)
    await dead.execute(BEGIN, duty.name, slot, "dead")
    heir = Worker(settings, name="heir", duties=(duty,))
    assert await heir.run_once() == {}, "the lock of the living was not respected"

    dead.terminate()
    async with asyncio.timeout(5):
        while await owner.fetchval("select exists (select from pg_locks where locktype = 'advisory')"):
            await asyncio.sleep(0.005)

    assert await heir.run_once() == {"counted": "done"}
    assert await owner.fetchval("select worker from worker_run where duty = 'counted'") == "heir"


async def test_failed_duty_leaves_its_slot_open_and_the_others_alone(settings: CloudSettings) -> None:
    """One broken duty must not stop the partitions of tomorrow."""
    counted = Counted()

    async def fail(work: Work) -> str:
        await work.db.execute("select 1/0")
        return "never"

    broken = Duty(name="broken", number=98, every=timedelta(days=1), at=timedelta(), run=fail)
    worker = Worker(settings, duties=(broken, counted.duty()))

    assert await worker.run_once() == {"counted": "done"}

    mended = Duty(name="broken", number=98, every=timedelta(days=1), at=timedelta(), run=counted.run)
    assert await Worker(settings, duties=(mended,)).run_once() == {"broken": "done"}


async def test_whole_pass_works_with_the_workers_own_rights(settings: CloudSettings, owner: asyncpg.Connection) -> None:
    """A function made without its owner's rights, or a grant that is missing, stops at the first night."""
    await fill_markets(owner, 3)
    day = await days_ago(owner, 3)
    await fill_day(owner, day, 3, 24)
    await fill_day(owner, await days_ago(owner, 800), 3, 4)

    said = await Worker(settings).run_once()

    assert set(said) == {duty.name for duty in DUTIES}
    assert f"{day}: 72 rows" in said["compact"]
    assert said["retain"] == "12 rows taken"
    assert (
        await owner.fetchval("select count(*) from price_1h where bucket >= $1", datetime.now(UTC) - timedelta(9)) == 72
    )


async def test_days_are_made_ahead_of_time(settings: CloudSettings, owner: asyncpg.Connection) -> None:
    """A row without a partition lands where it must not; a week of a stopped worker is bridged."""
    last = await days_ago(owner, -7)
    await owner.execute(f"drop table price_snapshot_{last:%Y%m%d}")

    said = await Worker(settings).run_once()

    assert said["ensure_ahead"] == "1 days made"
    assert await owner.fetchval("select to_regclass($1)", f"price_snapshot_{last:%Y%m%d}") is not None


@pytest.mark.parametrize(
    ("every", "at", "now", "slot"),
    [
        (timedelta(minutes=5), timedelta(), "2026-03-01T10:07:59", "2026-03-01T10:05:00"),
        (timedelta(hours=1), timedelta(minutes=10), "2026-03-01T10:07:59", "2026-03-01T09:10:00"),
        (timedelta(days=1), timedelta(hours=2), "2026-03-01T01:59:59", "2026-02-28T02:00:00"),
        (timedelta(days=1), timedelta(hours=2), "2026-03-01T02:00:00", "2026-03-01T02:00:00"),
    ],
)
def test_slot_is_the_one_that_began_last(every: timedelta, at: timedelta, now: str, slot: str) -> None:
    """Two workers must name the same slot, or both do the duty."""
    duty = Duty(name="any", number=1, every=every, at=at, run=Counted().run)

    assert duty.slot(datetime.fromisoformat(now + "+00:00")) == datetime.fromisoformat(slot + "+00:00")


def test_duties_have_locks_of_their_own() -> None:
    """Two duties with one number would shut each other out without a word."""
    assert len({duty.number for duty in DUTIES}) == len({duty.name for duty in DUTIES}) == len(DUTIES)


async def test_process_works_and_stops_on_the_signal(settings: CloudSettings, owner: asyncpg.Connection) -> None:
    """As the platform runs it: a command, a signal, exit 0."""
    environment = os.environ | {"DATABASE_URL": settings.database_url.get_secret_value()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from cloudapi.cli import main; main()", "worker",
        env=environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        while await owner.fetchval("select count(*) from worker_run where finished_at is not null") < len(DUTIES):
            await asyncio.sleep(0.02)

        process.send_signal(signal.SIGTERM)
        _, stderr = await process.communicate()

    assert process.returncode == 0
    assert b"worker_ready" in stderr
