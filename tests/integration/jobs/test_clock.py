"""The loop over all schedules: what it starts, what it writes down, and when it gives up."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim

from agent.errors import StoreError
from agent.jobs import ledger, pauses
from agent.jobs.clock import LONGEST_SLEEP_S, JobClock
from agent.jobs.context import RunContext
from agent.jobs.ledger import load_runs
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from sync.duty import Duty
from sync.protocol import View
from tests.conftest import ManualClock
from tests.integration.jobs.conftest import broken_disk

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Loop:
    """A JobClock whose sleep ends when the test says so."""

    def __init__(self, runner: Runner, clock: ManualClock) -> None:
        self.slept_s = list[float]()
        self.n_beats = 0
        self._asleep, self._wake = asyncio.Event(), asyncio.Event()
        self.runner = runner
        self.timer = JobClock(runner, clock, sleep=self._sleep, beat=self._beat)

    async def _sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self._asleep.set()
        await self._wake.wait()
        self._wake.clear()

    def _beat(self) -> None:
        self.n_beats += 1

    async def look(self) -> None:
        """Let the loop look once, and wait until it sleeps again."""
        self._asleep.clear()
        self._wake.set()
        await self._asleep.wait()

    async def jobs_end(self) -> None:
        """Wait until what was started has ended."""
        while tasks := list(self.timer._tasks.values()):
            await asyncio.wait(tasks)

    @asynccontextmanager
    async def started(self) -> AsyncIterator["Loop"]:
        """The loop after its first look."""
        task = asyncio.create_task(self.timer.run())
        asleep = asyncio.create_task(self._asleep.wait())
        await asyncio.wait([task, asleep], return_when=asyncio.FIRST_COMPLETED)
        asleep.cancel()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


class World:
    """Jobs that note their slots, over one store."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.slots = list[datetime]()

    async def note(self, ctx: RunContext, slot: datetime) -> None:
        """The job."""
        self.slots.append(slot)

    def loop(self, run: Callable[[RunContext, datetime], Awaitable[None]] | None = None, **over: object) -> Loop:
        """A loop over one quarter-hourly job, as after a start of the daemon."""
        values = {
            "name": "job",
            "run": run or self.note,
            "schedule": "*/15 * * * *",
            "missed": "latest",
            "timeout_s": 60.0,
        }
        return Loop(Runner(self.store, self.clock, [JobSpec(**values | over)], {}), self.clock)

    async def states(self) -> list[tuple[str, str]]:
        """The ledger as (slot, state), oldest slot first."""
        runs = sorted(await load_runs(self.store.reader), key=lambda run: run.slot)
        return [(run.slot.strftime("%H:%M"), run.state) for run in runs]


@pytest.fixture
def world(store: Store, clock: ManualClock) -> World:
    """Noon, nothing ever ran."""
    return World(store, clock)


async def test_a_fresh_install_collects_at_once_and_then_on_time(world):
    """The first picture comes with the start, the next ones with the slots."""
    world.clock.now = NOON + timedelta(minutes=7)

    async with world.loop().started() as loop:
        await loop.jobs_end()
        world.clock.forward(minutes=5)
        await loop.look()
        world.clock.forward(minutes=3)
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON, NOON + timedelta(minutes=15)]
    assert await world.states() == [("12:00", "ok"), ("12:15", "ok")]


async def test_the_loop_sleeps_to_the_next_slot_but_never_long(world):
    """A timer stands still while the machine sleeps, so the loop looks at least every five seconds."""
    world.clock.now = NOON + timedelta(minutes=14, seconds=58)

    async with world.loop().started() as loop:
        await loop.jobs_end()
        world.clock.forward(seconds=2)
        await loop.look()
        await loop.jobs_end()

    assert loop.slept_s == [2.0, LONGEST_SLEEP_S]


async def test_each_look_beats(world):
    """The watchdog is fed by the loop itself: a loop that hangs stops feeding it."""
    async with world.loop().started() as loop:
        await loop.look()
        await loop.look()
        assert loop.n_beats == 3
        await loop.jobs_end()


async def test_a_slept_machine_makes_one_run_and_one_row_for_the_rest(world):
    """Eight hours asleep are one catch-up and a sentence, not a burst of thirty-two runs."""
    async with world.loop().started() as loop:
        await loop.jobs_end()
        world.clock.forward(hours=8)
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON, NOON + timedelta(hours=8)]
    assert await world.states() == [("12:00", "ok"), ("19:45", "missed"), ("20:00", "ok")]
    missed = (await load_runs(world.store.reader))[-2]
    assert missed.counts == {"missed": 31}
    assert missed.reason == (
        "31 missed from 2026-11-21T12:15:00+00:00 to 2026-11-21T19:45:00+00:00: nobody was looking"
    )


async def test_a_stopped_daemon_catches_up_from_the_ledger(world):
    """The last slot is in the file, so a stop of an hour and a sleep of an hour are one case."""
    async with world.loop().started() as loop:
        await loop.jobs_end()
    world.clock.forward(hours=1)
    async with world.loop().started() as loop:
        await loop.jobs_end()

    assert await world.states() == [("12:00", "ok"), ("12:45", "missed"), ("13:00", "ok")]


async def test_a_job_that_makes_up_for_all_runs_each_missed_slot_in_order(world):
    """Predictions are wanted for each day of an absence of two."""
    daily = {"schedule": "0 7 * * *", "missed": "all", "max_catch_up": timedelta(days=2)}
    async with world.loop(**daily).started() as loop:
        world.clock.forward(days=1)
        await loop.look()
        await loop.jobs_end()
    world.clock.forward(days=4)
    async with world.loop(**daily).started() as loop:
        await loop.jobs_end()

    assert [slot.day for slot in world.slots] == [22, 25, 26]
    assert [state for _, state in await world.states()] == ["ok", "missed", "ok", "ok"]


async def test_a_clock_that_goes_back_runs_no_slot_again(world):
    """The ledger remembers what the clock forgot."""
    async with world.loop().started() as loop:
        await loop.jobs_end()
        world.clock.forward(minutes=15)
        await loop.look()
        await loop.jobs_end()
        world.clock.forward(hours=-1)
        for _ in range(5):
            await loop.look()
            await loop.jobs_end()
            world.clock.forward(minutes=15)
        await loop.look()
        await loop.jobs_end()

    assert sorted(world.slots) == sorted(set(world.slots))
    assert NOON + timedelta(minutes=30) in world.slots


async def test_a_clock_that_goes_back_over_missed_slots_leaves_them_written_down(world):
    """The slot at the end of the stretch comes again and is run: its row must not take the place of the others."""
    async with world.loop().started() as loop:
        await loop.jobs_end()
        world.clock.forward(hours=2)
        await loop.look()
        await loop.jobs_end()
        world.clock.forward(minutes=-20)
        await loop.look()
        world.clock.forward(minutes=6)
        await loop.look()
        await loop.jobs_end()

    assert await world.states() == [("12:00", "ok"), ("13:45", "ok"), ("13:45", "missed"), ("14:00", "ok")]
    missed = next(run for run in await load_runs(world.store.reader) if run.state == "missed")
    assert missed.reason == "7 missed from 2026-11-21T12:15:00+00:00 to 2026-11-21T13:45:00+00:00: nobody was looking"


@pytest.mark.parametrize("paused", [False, True])
async def test_a_job_that_never_ran_owes_its_slots_since_the_first_look_after_a_restart_too(world, paused):
    """Another pause may stand by then, and a new process knows nothing but what is in the file."""
    async with world.store.write() as tx:
        if paused:
            await pauses.pause(tx, "job", None, now=NOON)
    async with world.loop(missed="none").started():
        pass
    async with world.store.write() as tx:
        await pauses.resume(tx, "job")
    world.clock.forward(hours=2, minutes=5)
    async with world.loop(missed="none").started():
        pass

    assert await world.states() == [("14:00", "missed")]
    (missed,) = await load_runs(world.store.reader)
    assert missed.counts == {"missed": 8}


async def test_a_clock_that_was_years_ahead_does_not_silence_its_jobs(world):
    """A board that woke in 2036 and was corrected must not wait ten years for its next slot."""
    world.clock.now = NOON + timedelta(days=3650)
    async with world.loop().started() as loop:
        await loop.jobs_end()
        world.clock.now = NOON + timedelta(minutes=1)
        await loop.look()
        world.clock.forward(minutes=15)
        await loop.look()
        await loop.jobs_end()

    assert world.slots[-1] == NOON + timedelta(minutes=15)


async def test_a_slot_due_while_its_job_runs_is_missed_and_says_so(world):
    """Started twice it would overlap itself; started late it would chase its own tail."""
    leave = asyncio.Event()

    async def slow(ctx: RunContext, slot: datetime) -> None:
        world.slots.append(slot)
        await leave.wait()

    async with world.loop(slow).started() as loop:
        world.clock.forward(minutes=15)
        await loop.look()
        leave.set()
        await loop.jobs_end()
        world.clock.forward(minutes=15)
        await loop.look()
        await loop.jobs_end()

    assert await world.states() == [("12:00", "ok"), ("12:15", "missed"), ("12:30", "ok")]
    assert "still running" in (sorted(await load_runs(world.store.reader), key=lambda r: r.slot)[1].reason or "")


async def test_a_slow_job_that_wants_every_slot_gets_it_afterwards(world):
    """A day of predictions that takes longer than a day is late, not lost."""
    leave = asyncio.Event()

    async def slow(ctx: RunContext, slot: datetime) -> None:
        world.slots.append(slot)
        await leave.wait()

    async with world.loop(slow, missed="all").started() as loop:
        for _ in range(3):
            world.clock.forward(minutes=15)
            await loop.look()
        leave.set()
        await loop.jobs_end()
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON + timedelta(minutes=minutes) for minutes in (15, 30, 45)]


async def test_a_job_cut_off_by_a_kill_is_recovered_at_the_next_start(world):
    """It begins again with what it has kept; nothing else needs to know."""
    async with world.store.write() as tx:
        cut, _ = await ledger.begin(tx, "job", NOON, "timer", now=NOON)
    world.clock.forward(seconds=40)

    async with world.loop().started() as loop:
        await loop.jobs_end()

    (run,) = await load_runs(world.store.reader)
    assert (run.run_id, run.state, run.attempt, run.trigger) == (cut.run_id, "ok", 2, "timer")
    assert world.slots == [NOON]


@pytest.mark.parametrize(
    ("over", "away", "state", "why"),
    [
        ({"missed": "latest"}, timedelta(hours=1), "failed", "a newer slot is due"),
        ({"missed": "none"}, timedelta(seconds=40), "failed", "not made up for"),
        ({"missed": "all", "schedule": "0 7 * * *"}, timedelta(days=1), "ok", None),
        ({"missed": "all", "schedule": "0 7 * * *"}, timedelta(days=3), "failed", "too long ago"),
        ({"enabled": False}, timedelta(seconds=40), "failed", "switched off"),
    ],
)
async def test_what_is_not_recovered_is_failed_with_the_reason(world, over, away, state, why):
    """A run marked running for ever would be a lie on the status screen."""
    async with world.store.write() as tx:
        await ledger.begin(tx, "job", NOON, "timer", now=NOON)
    world.clock.now += away

    async with world.loop(**over).started() as loop:
        await loop.jobs_end()

    run = next(run for run in await load_runs(world.store.reader) if run.slot == NOON)
    assert run.state == state
    assert (why or "") in (run.reason or "")


async def test_a_stopped_clock_lets_a_run_finish_and_starts_nothing_more(world):
    """What a daemon asked to stop does not begin stays owed and is made up for at the next start."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(ctx: RunContext, slot: datetime) -> None:
        world.slots.append(slot)
        entered.set()
        await leave.wait()

    async with world.loop(slow, missed="all").started() as loop:
        world.clock.forward(minutes=30)
        await loop.look()
        await entered.wait()
        loop.timer.stop()
        leave.set()
        await loop.jobs_end()
        world.clock.forward(minutes=15)
        await loop.look()
        stopped = list(world.slots)
    async with world.loop(missed="all").started() as loop:
        await loop.jobs_end()

    assert stopped == [NOON + timedelta(minutes=15)]
    assert world.slots == [NOON + timedelta(minutes=minutes) for minutes in (15, 30, 45)]


async def test_a_stopped_clock_gives_no_slot_up(world):
    """A slot that passes while the last run finishes is the next start's to run, not missed."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(ctx: RunContext, slot: datetime) -> None:
        entered.set()
        await leave.wait()

    async with world.loop(slow).started() as loop:
        await entered.wait()
        loop.timer.stop()
        world.clock.forward(minutes=15)
        await loop.look()
        leave.set()
        await loop.jobs_end()
    async with world.loop().started() as loop:
        await loop.jobs_end()

    assert world.slots == [NOON + timedelta(minutes=15)]


async def test_a_bug_in_one_job_leaves_the_others_running(world, store, clock):
    """Analysis that trips over a title must not stop collection."""

    async def broken(ctx: RunContext, slot: datetime) -> None:
        raise KeyError("title")

    specs = [
        JobSpec(name=name, run=run, schedule="*/15 * * * *", missed="latest", timeout_s=60)
        for name, run in [("analyse", broken), ("collect", world.note)]
    ]

    async with Loop(Runner(store, clock, specs, {}), clock).started() as loop:
        await loop.jobs_end()
        clock.forward(minutes=15)
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON, NOON + timedelta(minutes=15)]
    assert {run.state for run in await load_runs(store.reader, "analyse")} == {"failed"}


async def test_a_fault_of_the_store_ends_the_loop(world):
    """A dispatcher that dies quietly is worse than a daemon that restarts."""

    async def broken(ctx: RunContext, slot: datetime) -> None:
        raise broken_disk()

    with pytest.raises(ExceptionGroup) as ended:
        await world.loop(broken).timer.run()

    assert ended.group_contains(StoreError, match="disk I/O error")


async def test_jobs_run_beside_each_other(store, clock):
    """A slow analysis must not delay a collection."""
    met = asyncio.Barrier(2)

    async def meet(ctx: RunContext, slot: datetime) -> None:
        await met.wait()

    specs = [
        JobSpec(name=name, run=meet, schedule="*/15 * * * *", missed="latest", timeout_s=60) for name in ("one", "two")
    ]

    async with Loop(Runner(store, clock, specs, {}), clock).started() as loop:
        await loop.jobs_end()

    assert {run.state for run in await load_runs(store.reader)} == {"ok"}


async def test_a_job_switched_off_is_not_started_and_not_due(world):
    """The switch is in the configuration; a hand may still run it."""
    loop = world.loop(enabled=False)

    async with loop.started():
        await loop.jobs_end()

    assert world.slots == []
    assert loop.timer.next_due() == {}


@pytest.mark.parametrize(
    ("standby", "shared", "runs"),
    [(False, False, True), (False, True, False), (True, False, False), (True, True, False)],
    ids=["own work goes on", "shared work waits", "a standby is quiet", "in everything"],
)
async def test_without_a_lease_a_host_still_collects_and_pays_for_nothing(world, standby, shared, runs):
    """It has met others and the cloud is away: what it alone sees is its own to store, what costs money may be
    another's by now."""
    loop = world.loop(shared=shared)
    loop.runner.duty = Duty("home", standby=standby, has_met=True)

    async with loop.started():
        await loop.jobs_end()

    assert bool(world.slots) is runs


async def test_what_waited_for_the_lease_is_made_up_for(world):
    """A day's forecasts are late then, not lost."""
    loop = world.loop(shared=True)
    duty = loop.runner.duty = Duty("home", has_met=True)

    async with loop.started():
        world.clock.forward(minutes=15)
        await loop.look()
        await loop.jobs_end()
        assert world.slots == []
        duty.note(View(view_no=1, members=("home",), settled=True, alone=False), time.monotonic())
        world.clock.forward(minutes=1)
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON + timedelta(minutes=15)]


async def test_the_next_slots_are_known(world):
    """The status screen shows them."""
    assert world.loop().timer.next_due() == {"job": NOON + timedelta(minutes=15)}


async def test_looks_between_slots_do_not_walk_the_calendar(world, monkeypatch):
    """A week is a walk of milliseconds, and the loop looks every five seconds of it."""
    walks = list[datetime]()

    class Walked(CronSim):
        def __init__(self, schedule: str, moment: datetime, **over: bool) -> None:
            walks.append(moment)
            super().__init__(schedule, moment, **over)

    monkeypatch.setattr("agent.jobs.clock.CronSim", Walked)
    loop = world.loop(schedule="30 4 * * 1", missed="none")

    async with loop.started():
        before = len(walks)
        for _ in range(20):
            world.clock.forward(seconds=5)
            await loop.look()
            loop.timer.next_due()

    assert len(walks) - before <= 1
    assert loop.timer.next_due() == {"job": datetime(2026, 11, 23, 4, 30, tzinfo=UTC)}


async def test_a_slot_begins_late_by_its_jitter_and_stays_the_same_slot(world):
    """Not everybody asks on the minute; the slot's name, by which it is done once, does not move."""
    loop = world.loop(jitter_s=40.0)
    loop.timer._runner.jitter = lambda: 0.5
    loop.timer._late = {"job": timedelta(seconds=20)}

    async with loop.started():
        await loop.jobs_end()
        world.clock.now = NOON + timedelta(minutes=15, seconds=19)
        await loop.look()
        await loop.jobs_end()
        assert NOON + timedelta(minutes=15) not in world.slots
        assert loop.timer.next_due() == {"job": NOON + timedelta(minutes=15, seconds=20)}
        world.clock.forward(seconds=1)
        await loop.look()
        await loop.jobs_end()

    assert world.slots[-1] == NOON + timedelta(minutes=15)


async def test_jitter_is_drawn_anew_for_each_slot(world):
    """A fixed offset would be a minute of its own."""
    shares = iter((0.0, 1.0, 0.5))
    runner = world.loop(jitter_s=40.0).timer._runner
    runner.jitter = lambda: next(shares)
    loop = Loop(runner, world.clock)

    async with loop.started():
        await loop.jobs_end()
        first = loop.timer.next_due()["job"]
        world.clock.now = first
        await loop.look()
        await loop.jobs_end()

    assert first == NOON + timedelta(minutes=15, seconds=40)
    assert loop.timer.next_due()["job"] == NOON + timedelta(minutes=30, seconds=20)


@pytest.mark.parametrize(("by", "told"), [(0.4, False), (8 * 3600.0, True), (-60.0, True)])
async def test_a_clock_that_was_set_is_told(world, capsys, by, told):
    """What is missed afterwards has its reason in the log; small steps are time being kept."""
    timer_s = [100.0]
    loop = world.loop()
    loop.timer._monotonic = lambda: timer_s[0]

    async with loop.started():
        await loop.jobs_end()
        timer_s[0] += 30
        world.clock.forward(seconds=30 + by)
        await loop.look()
        await loop.jobs_end()

    assert ("clock_jumped" in capsys.readouterr().out) is told
