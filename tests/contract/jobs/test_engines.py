"""What both engines promise: the ledger of one machine, and DBOS over Postgres for several."""

import asyncio
import random
import signal
import sqlite3
from collections import Counter
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from dbos import DBOS

from agent.errors import NotShared
from agent.jobs.context import RunContext, Unit
from agent.jobs.dbos import DbosRunner, on_dbos
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from tests.fakes.nursery import Nursery
from tests.fakes.paid_worker import LEDGER, SLOT, Work


def stored(*works: Work) -> Counter[int]:
    """Rows saved, over all stores."""
    found = Counter[int]()
    for work in works:
        with closing(sqlite3.connect(work.database)) as connection:
            found.update(n for (n,) in connection.execute("SELECT n FROM paid"))
    return found


def answered(work: Work) -> list[tuple[str, str]]:
    """(unit, worker) of each paid call."""
    return [(line.split()[0], line.split()[1]) for line in work.calls.read_text().splitlines()]


@pytest.mark.parametrize("backend", ["ledger", "dbos"])
async def test_a_killed_run_loses_nothing(tmp_path: Path, backend, engine_url):
    """Killed three times in the middle: every unit is stored once, what was kept is not paid again."""
    work = Work(
        database=tmp_path / "oddsd.db", calls=tmp_path / "calls", backend=engine_url(backend) or LEDGER,
        n_units=80, at_once=8, shortest_s=0.05, longest_s=0.15,
    )  # fmt: skip
    log, chance, n_killed = tmp_path / "log", random.Random(backend), 0

    async with Nursery("tests.fakes.paid_worker", log) as nursery:
        while True:
            await nursery.born(*work.arguments())
            if n_killed < 3:
                await asyncio.sleep(chance.uniform(0.5, 1.0))  # the moment is the test's subject
                nursery.kill()
            if (code := await nursery.ended()) != -signal.SIGKILL:
                assert code == 0, log.read_text()[-3000:]
                break
            n_killed += 1

    assert n_killed > 0
    assert stored(work) == Counter(range(80))
    assert len(answered(work)) - 80 <= 2 * n_killed  # a few milliseconds lie between an answer and its record


async def test_two_workers_on_one_postgres_share_a_fan_out(tmp_path: Path, engine_url):
    """Both run the job; each unit is paid for once, by whoever came first, and both know the results."""
    works = two_workers(tmp_path, engine_url("dbos"), lane="model")

    codes = await together(works)

    calls = answered(works[0])
    assert codes == [0, 0]
    assert Counter(unit for unit, _ in calls) == Counter(map(str, range(120)))
    shares = Counter(worker for _, worker in calls)
    assert min(shares["one"], shares["two"]) >= 20, shares
    assert stored(*works) == Counter(range(120))  # the data lies with whoever paid for it
    assert [kept(work) for work in works] == [120, 120]  # and the results with both


@pytest.mark.slow
async def test_units_without_a_lane_are_each_machines_own(tmp_path: Path, engine_url):
    """A collect on another machine fills its store, not ours."""
    works = two_workers(tmp_path, engine_url("dbos"), lane="default", n_units=20)

    codes = await together(works)

    assert codes == [0, 0]
    assert [stored(work) for work in works] == [Counter(range(20))] * 2


@pytest.mark.slow
async def test_a_worker_that_dies_leaves_its_share_to_its_next_start(tmp_path: Path, engine_url):
    """The other one waits for what was begun, and goes on with the rest meanwhile."""
    works = two_workers(tmp_path, engine_url("dbos"), lane="model", n_units=60)

    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(Nursery("tests.fakes.paid_worker", work.database.with_suffix(".log")))
            for work in works
        ]
        await one.born(*works[0].arguments())
        await until_calls(works[0], 5)
        await two.born(*works[1].arguments())
        await until_calls(works[0], 15)
        one.kill()
        assert await one.ended() == -signal.SIGKILL
        await one.born(*works[0].arguments())
        codes = await asyncio.gather(one.ended(), two.ended())

    assert codes == [0, 0]
    assert stored(*works).keys() == set(range(60))
    assert len(answered(works[0])) - 60 <= 4  # what was in the air when it died


@pytest.mark.slow
async def test_the_share_of_a_machine_that_is_gone_can_be_taken_over(tmp_path: Path, store: Store, engine_url):
    """Somebody decides that it is dead; then nobody waits for it any more."""
    works = two_workers(tmp_path, engine_url("dbos"), lane="model", n_units=8)
    async with Nursery("tests.fakes.paid_worker", tmp_path / "log") as nursery:
        await nursery.born(*replace(works[0], shortest_s=60.0, longest_s=60.0).arguments())
        await until_claimed(works[0].backend, 4)
        nursery.kill()
        await nursery.ended()
    done = list[int]()

    async def ask(n: int) -> Unit:
        done.append(n)
        return Unit(n)

    async def job(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(range(8), key=str, fn=ask, lane="model")

    spec = JobSpec(name="job", run=job, schedule="* * * * *", missed="all", timeout_s=60)
    async with on_dbos(DbosRunner(store, lambda: SLOT, [spec], {}, host_id="two"), works[0].backend) as runner:
        running = asyncio.create_task(runner.run("job", SLOT))
        async with asyncio.timeout(30):
            while len(done) < 4:
                await asyncio.sleep(0.01)
            taken = await runner.take_over("one")
            result = await running

    assert taken == 4
    assert result.state == "ok"
    assert sorted(done) == list(range(8))


async def test_one_machine_alone_has_nothing_to_take_over(store: Store):
    """It says so, instead of doing nothing."""
    with pytest.raises(NotShared, match="shares no work"):
        await Runner(store, lambda: SLOT, [], {}).take_over("one")


async def test_what_is_old_is_forgotten(store: Store, engine_url):
    """DBOS keeps every workflow for ever; the daily retention lets go of them."""

    async def retain(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(range(3), key=lambda n: f"{slot}:{n}", fn=number)

    async def number(n: int) -> Unit:
        return Unit(n)

    spec = JobSpec(name="retention", run=retain, schedule="* * * * *", missed="all", timeout_s=60)
    now = datetime.now(UTC)
    moment = [now]
    async with on_dbos(DbosRunner(store, lambda: moment[0], [spec], {}, host_id="one"), engine_url("dbos")) as runner:
        await runner.run("retention", SLOT)
        assert await runner.forget(now - timedelta(days=1)) == 0
        assert len(await DBOS.list_workflows_async()) == 3
        moment[0] = now + timedelta(days=91)
        await runner.run("retention", SLOT + timedelta(days=1))

        assert await DBOS.list_workflows_async() == []


async def until_claimed(url: str, n: int) -> None:
    """Until so many units are under way in the shared database."""
    async with asyncio.timeout(30):
        while True:
            try:
                connection = await asyncpg.connect(url)
            except OSError:
                continue
            try:
                if await connection.fetchval("SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING'") >= n:
                    return
            except asyncpg.UndefinedTableError:
                pass
            finally:
                await connection.close()
            await asyncio.sleep(0.05)


def two_workers(tmp_path: Path, url: str, *, lane: str, n_units: int = 120) -> list[Work]:
    """The same job on two machines."""
    return [
        Work(
            database=tmp_path / f"{host}.db", calls=tmp_path / "calls", backend=url, host=host, lane=lane,
            n_units=n_units, at_once=4, shortest_s=0.04, longest_s=0.12,
        )
        for host in ("one", "two")
    ]  # fmt: skip


async def together(works: list[Work]) -> list[int]:
    """Both at once; their exit codes."""

    async def live(work: Work) -> int:
        async with Nursery("tests.fakes.paid_worker", work.database.with_suffix(".log")) as nursery:
            await nursery.born(*work.arguments())
            return await nursery.ended()

    return list(await asyncio.gather(*map(live, works)))


async def until_calls(work: Work, n: int) -> None:
    """Another process's progress has no event to wait for."""
    async with asyncio.timeout(30):
        while not work.calls.exists() or len(answered(work)) < n:
            await asyncio.sleep(0.01)


def kept(work: Work) -> int:
    """Results in a machine's own ledger."""
    with closing(sqlite3.connect(work.database)) as connection:
        return int(connection.execute("SELECT count(*) FROM kept WHERE state = 'done'").fetchone()[0])
