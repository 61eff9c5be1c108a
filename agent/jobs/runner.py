"""Runs jobs: once per slot, never beside themselves, each paid result kept before anything else happens.

A job is a coroutine `job(ctx, slot)` that sees two calls, `ctx.step` and `ctx.map`. A unit of work is asked for by
key: kept already, it is not asked for again; else it waits for its lane, is tried again while its error may pass, and
is kept in the transaction that stores its data. Nothing else is durable, and nothing else is needed on one machine:
no leases, workers or priorities (the day one is wanted is the day to run the same jobs on a real engine).

Law: what a job does wrong ends its run as failed and nothing more. A fault of the store itself, and cancellation,
leave the runner; a run they cut off stays "running" and is recovered at the next start.
"""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Literal, TypeVar

import msgspec
import stamina
import structlog
from cronsim import CronSim, CronSimError

from agent.core.backoff import next_delay_s
from agent.core.instants import Clock, to_the_ms
from agent.errors import ConfigError, OddsdError, StoreBusy, StoreError, StoreFull
from agent.jobs import ledger
from agent.jobs.ledger import ASKED_BY_A_PERSON, Kept, Run, RunState, Trigger
from agent.store.db import Store, Tx

T = TypeVar("T")
MissedPolicy = Literal["none", "latest", "all"]

CHUNK = 500  # units of a map that exist as tasks at once; 10,000 at once held the loop for 52 ms
TRIES = 4  # of one unit within one run
RETRY_BASE_S = 1.0
RETRY_CAP_S = 60.0  # a longer wait is the next slot's business
REASONS_SHOWN = 5  # a run's reason is read by people

_retrying = stamina.AsyncRetryingCaller(attempts=TRIES, timeout=None)
log = structlog.get_logger("jobs")
_unit_key: ContextVar[str | None] = ContextVar("unit_key", default=None)


class UnitDead(OddsdError):
    """A unit failed for good, now or in an earlier try; the message is its error's."""


class UnknownJob(OddsdError):
    """No job has this name."""

    exit_code = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit of work gives back: a value JSON can hold, and how to store the data that came with it."""

    value: Any
    save: Callable[[Tx], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one unit of a map ended: a value, or the error it died of."""

    key: str
    value: Any
    error: str | None
    from_kept: bool


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
    most `max_catch_up` old.
    """

    name: str
    run: "Job"
    schedule: str  # cron expression, UTC
    missed: MissedPolicy
    timeout_s: float
    enabled: bool = True
    max_catch_up: timedelta = timedelta(days=2)
    unit_timeout_s: float | None = None  # one try of one unit; None: the job's own limit is enough

    def __post_init__(self) -> None:
        """Refuse a schedule that cron cannot read. Raises: ConfigError."""
        try:
            CronSim(self.schedule, datetime.min)  # noqa: DTZ901 - only parsed, never advanced
        except CronSimError as exc:
            raise ConfigError([f"job {self.name}: schedule {self.schedule!r}: {exc}"]) from exc


class Lanes:
    """How much runs at once: over all jobs, and within each lane (a model, a venue)."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        """`limits` by lane; "all" bounds the sum, "default" any lane without a limit of its own."""
        self._limits = {"all": 32, "default": 8} | dict(limits)
        self._all = asyncio.Semaphore(self._limits["all"])
        self._lanes: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def place(self, lane: str) -> AsyncIterator[None]:
        """Wait for a place in the lane, then for one in all: a narrow lane must not hold the others' places."""
        if lane not in self._lanes:
            self._lanes[lane] = asyncio.Semaphore(self._limits.get(lane, self._limits["default"]))
        async with self._lanes[lane], self._all:
            yield


class RunContext:
    """What a job may do in one run. `now` is frozen when the run begins."""

    def __init__(self, runner: "Runner", spec: JobSpec, run: Run, trigger: Trigger) -> None:
        self.run_id, self.job, self.slot, self.now = run.run_id, run.job, run.slot, run.started_at
        self.counts: dict[str, int] = {}
        self._runner, self._spec, self._run, self._trigger = runner, spec, run, trigger
        self._asked = set[str]()  # keys this run has asked for itself
        self._reasons = dict[str, None]()  # a set that remembers its order

    def count(self, **counts: int) -> None:
        """Add to the run's numbers."""
        for name, n in counts.items():
            self.counts[name] = self.counts.get(name, 0) + n

    def partial(self, reason: str) -> None:
        """Only part of the work was done, and why: the run ends as partial."""
        self._reasons[reason] = None

    @property
    def reason(self) -> str | None:
        """Why the run is partial, in words; None where it is not."""
        shown = list(self._reasons)[:REASONS_SHOWN]
        if more := len(self._reasons) - len(shown):
            shown.append(f"and {more} more")
        return "; ".join(shown) or None

    async def step(self, key: str, fn: Callable[[], Awaitable[Unit]]) -> Any:
        """One unit of work; returns its value as JSON gives it back, fresh or kept.

        The key names everything the result depends on and is unique within the job for ever.
        Raises: UnitDead.
        """
        (outcome,) = await self.map([key], key=str, fn=lambda _: fn())
        if outcome.error is not None:
            raise UnitDead(outcome.error)
        return outcome.value

    async def map(
        self,
        items: Iterable[T],
        key: Callable[[T], str],
        fn: Callable[[T], Awaitable[Unit]],
        *,
        lane: str = "default",
    ) -> list[Outcome]:
        """One unit of work for each item, in the items' order; a dead one does not stop the others.

        Items with the same key are one unit. A unit of this run that died makes the run partial.
        """
        if (outer := _unit_key.get()) is not None:
            raise RuntimeError(f"job {self.job}: unit {outer} starts units of its own; its lane could wait for itself")
        source, outcomes = iter(items), list[Outcome]()
        while chunk := [(key(item), item) for item in islice(source, CHUNK)]:
            ended = await self._chunk(dict(reversed(chunk)), fn, lane)  # reversed: the first of a key is the one asked
            outcomes.extend(ended[name] for name, _ in chunk)
        return outcomes

    async def _chunk(self, items: dict[str, T], fn: Callable[[T], Awaitable[Unit]], lane: str) -> dict[str, Outcome]:
        found = await ledger.load_results(self._runner.store.reader, self.job, items)
        ended = {k.key: Outcome(k.key, k.value, k.error, True) for k in found.values() if self._holds(k)}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._unit(key, item, fn, lane), name=f"{self.job}:{key}")
                    for key, item in items.items()
                    if key not in ended
                ]
        except ExceptionGroup as failures:
            failure = _foremost(failures)
            raise failure from failure.__cause__  # its own cause says whose fault it is
        ended |= {task.result().key: task.result() for task in tasks}
        for outcome in ended.values():
            if outcome.error is not None and (not outcome.from_kept or found[outcome.key].run_id == self.run_id):
                self.partial(f"{outcome.key}: {outcome.error}")
        return ended

    def _holds(self, kept: Kept) -> bool:
        """A value holds for ever; an error holds until a person asks again."""
        return kept.error is None or self._trigger not in ASKED_BY_A_PERSON or kept.key in self._asked

    async def _unit(self, key: str, item: T, fn: Callable[[T], Awaitable[Unit]], lane: str) -> Outcome:
        _unit_key.set(key)  # of this task alone: each unit is its own task
        self._asked.add(key)
        async with self._runner.lanes.place(lane):
            started_at, tries = self._runner.clock(), 0

            async def attempt() -> Unit:
                nonlocal tries
                tries += 1
                async with asyncio.timeout(self._spec.unit_timeout_s):
                    return await fn(item)

            unit, error = Unit(None), None
            try:
                unit = await _retrying(lambda exc: self._runner.wait_s(exc, tries), attempt)
            except StoreError:
                raise
            except (OddsdError, TimeoutError) as exc:
                error = str(exc) or "no answer in time"
                log.warning("unit died", action="unit_died", key=key, tries=tries, error=error)
            value = msgspec.json.encode(unit.value)
            kept = Kept(
                key=key,
                run_id=self.run_id,
                value=msgspec.json.decode(value),
                error=error,
                attempts=tries,
                started_at=started_at,
                ended_at=self._runner.clock(),
            )
            await self._keep(kept, unit.save)
        return Outcome(key, kept.value, error, False)

    async def _keep(self, kept: Kept, save: Callable[[Tx], Awaitable[None]] | None) -> None:
        """Data and kept row in one transaction; a cancellation waits for it, for the work is already paid."""

        async def transaction(tx: Tx) -> None:
            if save is not None:
                await save(tx)
            await ledger.keep(tx, self._run, kept)

        task = asyncio.create_task(self._runner.write(transaction), name=f"{self.job}:{kept.key}:keep")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.gather(task, return_exceptions=True)
            raise


class Runner:
    """Runs jobs by name. One per process; `running` is what runs now."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        specs: Iterable[JobSpec],
        lanes: Mapping[str, int],
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.store, self.clock, self.lanes = store, clock, Lanes(lanes)
        self.specs = {spec.name: spec for spec in specs}
        self.running: dict[str, Run] = {}
        self._locks = {name: asyncio.Lock() for name in self.specs}
        self._jitter = jitter

    def busy(self, name: str) -> bool:
        """Whether a run of this job is under way or about to be."""
        return self._locks[name].locked()

    async def settled(self) -> None:
        """Return once each job's run under way, if there was one, has ended."""
        for lock in self._locks.values():
            async with lock:
                pass

    async def run(self, name: str, slot: datetime | None = None, trigger: Trigger = "timer") -> RunResult:
        """Run a job for a slot, after the run of it that is under way, if one is.

        Args:
            slot: None is the present moment. A slot that is over is not run again; its result is returned.
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
                with structlog.contextvars.bound_contextvars(run_id=run.run_id, job=name):
                    return await self._attend(self.specs[name], run, trigger)
            finally:
                del self.running[name]

    async def _attend(self, spec: JobSpec, run: Run, trigger: Trigger) -> RunResult:
        log.info("run began", action="run_began", slot=run.slot.isoformat(), trigger=trigger, attempt=run.attempt)
        ctx = RunContext(self, spec, run, trigger)
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
        return _result(ended)

    async def _failure(self, spec: JobSpec, ctx: RunContext) -> str | None:
        """Run the job; returns why it failed, None where it did not. Only a fault of the engine passes through."""
        deadline = asyncio.timeout(spec.timeout_s)
        try:
            async with deadline:
                await spec.run(ctx, ctx.slot)
        except Exception as exc:  # whatever one job does wrong must not stop the others
            if _is_engine_fault(exc):
                raise
            if deadline.expired():
                return f"stopped after {spec.timeout_s:g} s, its limit"
            if isinstance(exc, OddsdError):
                return str(exc)
            log.exception("job raised", action="job_raised")
            return f"{type(exc).__name__}: {exc} (a bug: the log has the traceback)"
        return None

    async def recover(self) -> list[Run]:
        """At start: settle what a dead process left running.

        Returns: the runs to begin again with the trigger "recovery", by each job's policy for missed slots; the
            others are marked failed with the reason.
        """
        again = list[Run]()
        for run in await ledger.load_running(self.store.reader):
            why_not = self._why_not_again(run)
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

        return await _retrying(StoreBusy, transaction)

    def wait_s(self, exc: Exception, tries: int) -> bool | float:
        """How long to wait before the next try; False where the error will not pass."""
        if isinstance(exc, TimeoutError):
            asked_s = 0.0
        elif isinstance(exc, OddsdError) and exc.retryable:
            asked_s = exc.retry_after_s or 0.0
        else:
            return False
        return max(asked_s, next_delay_s(tries, RETRY_BASE_S, RETRY_CAP_S, self._jitter()))


def _result(run: Run) -> RunResult:
    duration_s = 0.0 if run.ended_at is None else (run.ended_at - run.started_at).total_seconds()
    return RunResult(run.run_id, run.job, run.state, run.counts, run.reason, duration_s)


def _foremost(failures: ExceptionGroup[Exception]) -> Exception:
    """The one error to go on with: a fault of the engine before a bug, else the first."""
    return next((exc for exc in failures.exceptions if _is_engine_fault(exc)), failures.exceptions[0])


def _is_engine_fault(exc: BaseException) -> bool:
    """A store that cannot go on. A broken constraint, or a rule of our own, is the fault of the job that broke it."""
    if isinstance(exc, BaseExceptionGroup):
        return any(_is_engine_fault(one) for one in exc.exceptions)
    if isinstance(exc, StoreBusy | StoreFull):
        return True
    cause = exc.__cause__
    return (
        isinstance(exc, StoreError)
        and isinstance(cause, sqlite3.Error)
        and not isinstance(cause, sqlite3.IntegrityError)
    )


Job = Callable[[RunContext, datetime], Awaitable[None]]
