"""The clock and the ledger under random times, restarts, pauses and failures: no slot is done twice, none is lost.

Lost means: neither run nor written down as missed. Hypothesis chooses what happens next; the file is a real one.
"""

import asyncio
import random
import re
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from cronsim import CronSim
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.jobs.context import RunContext
from agent.jobs.ledger import load_runs
from agent.jobs.pauses import EVERY_JOB, pause, resume
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from tests.conftest import ManualClock
from tests.integration.jobs.test_clock import NOON, Loop

POLICIES = ("none", "latest", "all")
STRETCH = re.compile(r"\d+ missed from (\S+) to (\S+): ")
seconds = st.integers(1, 3 * 3600)


class Jobs(RuleBasedStateMachine):
    """Three hourly jobs, one for each policy, in a world where everything happens."""

    def __init__(self) -> None:
        super().__init__()
        self.aio = asyncio.Runner()
        self.luck = random.Random(7)  # the same story each time it is told
        self.clock = ManualClock(NOON + timedelta(minutes=7))
        self.folder = tempfile.TemporaryDirectory(prefix="oddsd-")
        self.done = Counter[tuple[str, datetime]]()
        self.behaviour = dict.fromkeys(POLICIES, "well")
        self.hanging = set[str]()
        self.released = asyncio.Event()
        self.dealt = dict.fromkeys(POLICIES, self.clock.now)  # slots up to here must be accounted for
        self.began = self.clock.now

    @initialize()
    def begin(self) -> None:
        """A first start."""
        self.aio.run(self._open())

    async def _open(self) -> None:
        self.store = await Store.open(Path(self.folder.name) / "oddsd.db", clock=self.clock)
        await self._start()

    async def _start(self) -> None:
        specs = [
            JobSpec(
                name=name, run=self._job, schedule="0 * * * *", missed=name, timeout_s=60, jitter_s=40,
                max_catch_up=timedelta(hours=30),
            )
            for name in POLICIES
        ]  # fmt: skip
        self.loop = Loop(Runner(self.store, self.clock, specs, {}, jitter=self.luck.random), self.clock)
        self.task = asyncio.create_task(self.loop.timer.run())
        await self.loop._asleep.wait()
        await self._settle()

    async def _job(self, ctx: RunContext, slot: datetime) -> None:
        if self.behaviour[ctx.job] == "hangs":
            self.hanging.add(ctx.job)
            try:
                await self.released.wait()
            finally:
                self.hanging.discard(ctx.job)
        if self.behaviour[ctx.job] == "fails":
            raise RuntimeError("told to fail")
        self.done[ctx.job, slot] += 1

    async def _settle(self) -> None:
        """Until nothing is under way but what hangs."""
        while set(self.loop.timer._tasks) - self.hanging:
            await asyncio.sleep(0.001)  # the store works in a thread of its own

    async def _look(self) -> None:
        await self.loop.look()
        await self._settle()
        for name, last in self.loop.timer._last.items():
            if name not in self.loop.timer._tasks:
                self.dealt[name] = max(self.dealt[name], last)

    @rule(by=seconds)
    def time_passes(self, by: int) -> None:
        """A look after a while: a machine that slept is the same."""
        self.clock.forward(seconds=by)
        self.aio.run(self._look())

    @rule(days=st.integers(1, 3))
    def the_machine_is_off_for_days(self, days: int) -> None:
        """Longer than anything is made up for."""
        self.clock.forward(days=days)
        self.aio.run(self._look())

    @rule(by=seconds)
    def the_clock_is_set_back(self, by: int) -> None:
        """Time sync, or a person."""
        self.clock.forward(seconds=-by)
        self.aio.run(self._look())

    @rule()
    def the_process_is_killed_and_starts_again(self) -> None:
        """What ran stays marked as running, and the next start settles it."""

        async def restart() -> None:
            self.task.cancel()
            await asyncio.wait([self.task])
            await self.store.close()
            await self._open()
            await self._look()

        self.aio.run(restart())

    @rule(name=st.sampled_from(POLICIES), how=st.sampled_from(("well", "fails", "hangs")))
    def a_job_behaves(self, name: str, how: str) -> None:
        """From now on."""
        self.behaviour[name] = how

    @rule()
    def what_hangs_goes_on(self) -> None:
        """It ends as its job now behaves."""

        async def release() -> None:
            self.behaviour = {name: "well" if how == "hangs" else how for name, how in self.behaviour.items()}
            self.released.set()
            await self._settle()
            self.released.clear()
            await self._look()

        self.aio.run(release())

    @rule(name=st.sampled_from((*POLICIES, EVERY_JOB)))
    def somebody_pauses(self, name: str) -> None:
        """One job or all."""
        self.aio.run(self._write(name, pausing=True))

    @rule(name=st.sampled_from((*POLICIES, EVERY_JOB)))
    def somebody_resumes(self, name: str) -> None:
        """One pause; another may stand."""
        self.aio.run(self._write(name, pausing=False))

    async def _write(self, name: str, *, pausing: bool) -> None:
        async with self.store.write() as tx:
            if pausing:
                await pause(tx, name, None, now=self.clock())
            else:
                await resume(tx, name)
        await self._look()

    @rule(name=st.sampled_from(POLICIES))
    def somebody_runs_it_by_hand(self, name: str) -> None:
        """Beside the timer, at a slot of its own."""
        if not self.loop.timer._runner.busy(name) and self.behaviour[name] != "hangs":
            self.aio.run(self.loop.timer._runner.run(name, trigger="hand"))

    @invariant()
    def no_slot_is_done_twice(self) -> None:
        """Whatever happened."""
        assert not {slot: n for slot, n in self.done.items() if n > 1}

    @invariant()
    def no_slot_is_lost(self) -> None:
        """Each one up to the last that was dealt with has its run, or lies in a stretch written down as missed."""
        if hasattr(self, "store"):
            self.aio.run(self._account())

    async def _account(self) -> None:
        for name in POLICIES:
            runs = await load_runs(self.store.reader, name, limit=10_000)
            known = {run.slot for run in runs}
            stretches = [
                tuple(datetime.fromisoformat(word) for word in found.groups())
                for run in runs
                if (found := STRETCH.match(run.reason or ""))
            ]
            slots = CronSim("0 * * * *", self.began)
            while (slot := next(slots)) <= self.dealt[name]:
                assert slot in known or any(first <= slot <= last for first, last in stretches), (name, slot)

    def teardown(self) -> None:
        """Nothing of it is left."""

        async def end() -> None:
            self.task.cancel()
            await asyncio.wait([self.task])
            await self.store.close()

        if hasattr(self, "store"):
            self.aio.run(end())
        self.aio.close()
        self.folder.cleanup()


Jobs.TestCase.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
TestJobs = Jobs.TestCase
