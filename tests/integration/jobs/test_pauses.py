"""Pausing: no timer starts a job, nothing is lost by it, and a restart does not forget it."""

from datetime import timedelta

import pytest

from agent.desk.base import Desk
from agent.desk.jobs import AskPause, AskResume, render_pauses
from agent.errors import UnknownJob
from agent.jobs.pauses import EVERY_JOB, load_pauses, pause, resume
from agent.settings import Settings
from tests.integration.jobs.test_clock import NOON, World, world

__all__ = ["world"]


async def set_pause(world: World, job: str) -> None:
    async with world.store.write() as tx:
        await pause(tx, job, "new router", now=world.clock())


async def end_pause(world: World, job: str) -> None:
    async with world.store.write() as tx:
        assert await resume(tx, job)


@pytest.mark.parametrize("job", ["job", EVERY_JOB])
async def test_a_paused_job_is_not_started_and_makes_up_for_it_by_its_rule(world, job):
    """A pause is nobody looking: afterwards the latest slot runs and the others are written down."""
    async with world.loop().started() as loop:
        await loop.jobs_end()
        await set_pause(world, job)
        for _ in range(4):
            world.clock.forward(minutes=15)
            await loop.look()
        assert world.slots == [NOON]
        await end_pause(world, job)
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON, NOON + timedelta(hours=1)]
    assert await world.states() == [("12:00", "ok"), ("12:45", "missed"), ("13:00", "ok")]
    reason = await world.store.reader.fetch_value("SELECT reason FROM job_runs WHERE state = 'missed'")
    assert reason.startswith("3 missed")
    assert reason.endswith(": paused")


async def test_a_pause_survives_a_restart(world):
    """Who paused it does not expect a power cut to resume it."""
    await set_pause(world, "job")

    async with world.loop().started() as loop:
        await loop.look()
        await loop.jobs_end()

    assert world.slots == []


async def test_a_job_that_never_ran_owes_its_slots_since_the_pause(world):
    """Else a job paused before its first start would lose them without a word."""
    await set_pause(world, "job")
    async with world.loop(missed="all").started():
        pass
    world.clock.forward(minutes=40)

    async with world.loop(missed="all").started() as loop:
        await end_pause(world, "job")
        await loop.look()
        await loop.jobs_end()

    assert world.slots == [NOON + timedelta(minutes=15), NOON + timedelta(minutes=30)]


async def test_a_paused_job_can_be_run_by_hand(world):
    """A pause stops timers, not people."""
    loop = world.loop()
    await set_pause(world, EVERY_JOB)

    result = await loop.timer._runner.run("job", trigger="hand")

    assert result.state == "ok"
    assert len(world.slots) == 1


async def test_a_cut_off_run_of_a_paused_job_is_not_begun_again(world):
    """It is failed with that reason, and a person may run its slot again."""
    async with world.store.write() as tx:
        await tx.execute(
            "INSERT INTO job_runs (run_id, job, slot, trigger, state, started_at)"
            " VALUES ('r', 'job', ?, 'timer', 'running', 0)", (int(NOON.timestamp() * 1000),),
        )  # fmt: skip
    await set_pause(world, "job")

    async with world.loop().started() as loop:
        await loop.jobs_end()

    assert world.slots == []
    assert await world.states() == [("12:00", "failed")]
    assert "paused" in await world.store.reader.fetch_value("SELECT reason FROM job_runs")


async def test_pausing_twice_keeps_the_first_time_and_the_last_words(world):
    """Since when it stands is what a person wants to know."""
    await set_pause(world, "job")
    world.clock.forward(hours=1)
    async with world.store.write() as tx:
        await pause(tx, "job", None, now=world.clock())

    standing = (await load_pauses(world.store.reader))["job"]

    assert (standing.paused_at, standing.reason) == (NOON, "new router")


async def test_an_operator_pauses_and_resumes_in_words(store, tmp_path):
    """Resuming without a job leaves no pause behind."""
    desk = Desk(store, Settings(host_id="t", data_dir=tmp_path), NOON)

    await AskPause(job="collect", reason="new router").answer(desk)
    both = await AskPause().answer(desk)
    left = await AskResume(job="collect").answer(desk)
    none = await AskResume().answer(desk)
    again = await AskResume().answer(desk)

    assert render_pauses(both).splitlines() == [
        "all jobs paused since 2026-11-21 12:00 UTC", "collect paused since 2026-11-21 12:00 UTC: new router",
    ]  # fmt: skip
    assert render_pauses(left) == "all jobs paused since 2026-11-21 12:00 UTC"
    assert render_pauses(none) == "every job follows its timer"
    assert render_pauses(again) == "nothing was paused"
    with pytest.raises(UnknownJob, match="no such job"):
        await AskPause(job="colect").answer(desk)
