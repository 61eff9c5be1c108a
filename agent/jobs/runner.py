"""Runs jobs: once per slot, never beside themselves, each paid result kept before anything else happens.

A job is a coroutine `job(ctx, slot)`; what it may do stands in context.py. Kept results and runs are the only durable
things, and nothing else is needed on one machine: no leases, workers or priorities (the day one is wanted is the day
to run the same jobs on a real engine).

Law: what a job does wrong ends its run as failed and nothing more. A fault of the store itself, and cancellation,
leave the runner; a run they cut off stays "running" and is recovered at the next start.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, Protocol, TypeVar

import structlog
from cronsim import CronSim, CronSimError

from agent.core.backoff import next_delay_s
from agent.core.instants import Clock, to_the_ms
from agent.errors import ConfigError, NotShared, OddsdError, StoreBusy, UnknownJob
from agent.jobs import ledger, tail
from agent.jobs.context import Job, Lanes, RunContext, is_engine_fault, retrying
from agent.jobs.ledger import Kept, Run, RunState, Trigger
from agent.jobs.pauses import load_pauses, pause_of
from agent.store.db import Store
from agent.store.tx import Tx
from sync.duty import Duty

T = TypeVar("T")
MissedPolicy = Literal["none", "latest", "all"]

RETRY_BASE_S = 1.0
RETRY_CAP_S = 60.0  # a longer wait is the next slot's business

log = structlog.get_logger("jobs")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, for whoever asked for it."""

    run_id: str
    job: str
    state: RunState
    counts: dict[str, int]
    reason: str | None
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job with its timer.

    `missed` says what happens to slots that passed while nobody looked: none of them, the latest, or all that are at
    most `max_catch_up` old. A slot begins up to `jitter_s` late, drawn anew each time: nobody likes all on the minute.
    """

    name: str
    run: Job
    schedule: str  # cron expression, UTC
    missed: MissedPolicy
    timeout_s: float
    enabled: bool = True
    jitter_s: float = 0.0
    max_catch_up: timedelta = timedelta(days=2)
    unit_timeout_s: float | None = None  # one try of one unit; None: the job's own limit is enough
    shared: bool = False  # its work is shared out among the hosts: without a lease it waits

    def __post_init__(self) -> None:
        """Refuse a schedule that cron cannot read. Raises: ConfigError."""
        try:
            CronSim(self.schedule, datetime.min)  # noqa: DTZ901 - only parsed, never advanced
        except CronSimError as exc:
            raise ConfigError([f"job {self.name}: schedule {self.schedule!r}: {exc}"]) from exc


class Watcher(Protocol):
    """Who is told of runs. Its methods return at once and never raise."""

    def began(self, run: Run) -> None:
        """A run begins."""

    def ended(self, run: Run, said: Sequence[str]) -> None:
        """A run has ended; `said` are its last log lines."""


class Runner:
    """Runs jobs by name. One per process; `running` is what runs now."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        specs: Iterable[JobSpec],
        lanes: Mapping[str, int],
        *,
        rates: Mapping[str, float] | None = None,
        watchers: Sequence[Watcher] = (),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`lanes` and `rates`: see Lanes; `jitter` draws a share in [0, 1]."""
        self.store, self.clock, self.lanes = store, clock, Lanes(lanes, rates)
        self.specs = {spec.name: spec for spec in specs}
        self.running: dict[str, Run] = {}
        self._locks = {name: asyncio.Lock() for name in self.specs}
        self._watchers, self.jitter = watchers, jitter
        self.duty = Duty("")  # alone, until the wiring gives it one that meets others

    def mine(self, key: str) -> bool:
        """Whether work named so is this host's part."""
        return self.duty.mine(key, time.monotonic())

    def serves(self) -> bool:
        """Whether this host holds a place among those that share the work."""
        return self.duty.serves(time.monotonic())

    def stands_by(self, spec: JobSpec) -> bool:
        """Whether a job is another host's now: everything of a standby, and what is shared while our lease is out.

        Collecting, sending and measuring are each host's own, with or without a cloud.
        """
        return not self.serves() and (spec.shared or self.duty.standby)

    def busy(self, name: str) -> bool:
        """Whether a run of this job is under way or about to be."""
        return self._locks[name].locked()

    async def settled(self) -> None:
        """Return once each job's run under way, if there was one, has ended."""
        for lock in self._locks.values():
            async with lock:
                pass

    async def run(
        self,
        name: str,
        slot: datetime | None = None,
        trigger: Trigger = "timer",
        *,
        again: Collection[str] | None = None,
    ) -> RunResult:
        """Run a job for a slot, after the run of it that is under way, if one is.

        Args:
            slot: None is the present moment. A slot that is over is not run again; its result is returned.
            again: keys of the dead units to ask again; None: all of them if a person asks for the run, else none.
        Raises: UnknownJob, StoreError; CancelledError leaves the run to the next start's recovery.
        """
        if name not in self.specs:
            raise UnknownJob(f"job {name!r}: no such job", advice=f"the jobs are: {', '.join(sorted(self.specs))}")
        async with self._locks[name]:
            run, ours = await self.write(lambda tx: ledger.begin(tx, name, slot, trigger, now=to_the_ms(self.clock())))
            if not ours:
                return _result(run)
            self.running[name] = run
            try:
                with structlog.contextvars.bound_contextvars(run_id=run.run_id, job=name), tail.listening() as said:
                    spec = self.specs[name]
                    ctx = RunContext(self, run, trigger, unit_timeout_s=spec.unit_timeout_s, again=again)
                    log.info(
                        "run began",
                        action="run_began",
                        slot=run.slot.isoformat(),
                        trigger=trigger,
                        attempt=run.attempt,
                    )
                    return await self._attend(spec, run, ctx, said)
            finally:
                del self.running[name]

    async def _attend(self, spec: JobSpec, run: Run, ctx: RunContext, said: Collection[str]) -> RunResult:
        for watcher in self._watchers:
            watcher.began(run)
        failure = await self._failure(spec, ctx)
        state: RunState = "failed" if failure else "partial" if ctx.reason else "ok"
        ended = replace(
            run,
            state=state,
            counts=ctx.counts,
            reason="; ".join(filter(None, (failure, ctx.reason))) or None,
            ended_at=to_the_ms(self.clock()),
        )
        await self.write(partial(ledger.finish, run=ended))
        level = "info" if state == "ok" else "warning"
        getattr(log, level)("run ended", action="run_ended", state=state, reason=ended.reason, **ctx.counts)
        for watcher in self._watchers:
            watcher.ended(ended, tuple(said))
        return _result(ended)

    async def unit(self, run: Run, key: str, lane: str, work: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """On one machine the work is done here."""
        del run, key
        async with self.lanes.place(lane):
            return await work(), True

    async def _failure(self, spec: JobSpec, ctx: RunContext) -> str | None:
        """Run the job; returns why it failed, None where it did not. Only a fault of the engine passes through."""
        deadline = asyncio.timeout(spec.timeout_s)
        try:
            async with deadline:
                await spec.run(ctx, ctx.slot)
        except Exception as exc:  # whatever one job does wrong must not stop the others
            if is_engine_fault(exc):
                raise
            if deadline.expired():
                return f"stopped after {spec.timeout_s:g} s, its limit"
            if isinstance(exc, OddsdError):
                return str(exc)
            log.exception("job raised", action="job_raised")
            return f"{type(exc).__name__}: {exc} (a bug: the log has the traceback)"
        return None

    async def take_over(self, host_id: str) -> int:
        """Free what another machine had begun. Raises: NotShared, for here there is no other."""
        raise NotShared(
            f"{host_id}: this machine shares no work with others",
            advice="set jobs_database_url to the Postgres both use",
        )

    def arranged(self, keys: Collection[str], lane: str) -> Iterable[str]:
        """On one machine as they came."""
        del lane
        return keys

    async def recover(self) -> list[Run]:
        """At start: settle what a dead process left running.

        Returns: the runs to begin again with the trigger "recovery", by each job's policy for missed slots; the
            others are marked failed with the reason.
        """
        again = list[Run]()
        pauses = await load_pauses(self.store.reader)
        for run in await ledger.load_running(self.store.reader):
            why_not = "the job is paused" if pause_of(pauses, run.job) else self._why_not_again(run)
            if why_not is None:
                again.append(run)
                continue
            reason = f"cut off when the process ended; not run again: {why_not}"
            ended = replace(run, state="failed", reason=reason, ended_at=to_the_ms(self.clock()))
            await self.write(partial(ledger.finish, run=ended))
        return again

    def _why_not_again(self, run: Run) -> str | None:
        spec, now = self.specs.get(run.job), self.clock()
        if spec is None or not spec.enabled:
            return "the job is switched off"
        if spec.missed == "none":
            return "its missed slots are not made up for"
        if spec.missed == "all":
            return "too long ago" if now - run.slot > spec.max_catch_up else None
        return "a newer slot is due" if next(CronSim(spec.schedule, run.slot)) <= now else None

    async def write(self, action: Callable[[Tx], Awaitable[T]]) -> T:
        """One transaction, tried again while another process holds the file. Raises: StoreError."""

        async def transaction() -> T:
            async with self.store.write() as tx:
                return await action(tx)

        return await retrying(StoreBusy, transaction)

    def wait_s(self, exc: Exception, tries: int) -> bool | float:
        """How long to wait before the next try; False where the error will not pass."""
        if isinstance(exc, TimeoutError):
            asked_s = 0.0
        elif isinstance(exc, OddsdError) and exc.retryable:
            asked_s = exc.retry_after_s or 0.0
        else:
            return False
        return max(asked_s, next_delay_s(tries, RETRY_BASE_S, RETRY_CAP_S, self.jitter()))


def _result(run: Run) -> RunResult:
    duration_s = 0.0 if run.ended_at is None else (run.ended_at - run.started_at).total_seconds()
    return RunResult(run.run_id, run.job, run.state, run.counts, run.reason, duration_s)
