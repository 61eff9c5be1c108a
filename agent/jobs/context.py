"""What a job sees: a run's context with two calls, `step` and `map`, over units of work kept by key.

A unit is asked for by key: kept already, it is not asked for again; else it waits for its lane, is tried again while
its error may pass, and is kept in the transaction that stores its data.

Law: a kept answer is never paid twice; a dead unit never stops the others; a cancellation waits for what is paid.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

import msgspec
import stamina
import structlog
from aiolimiter import AsyncLimiter

from agent.core.instants import Clock
from agent.errors import OddsdError, StoreBusy, StoreError, StoreFull, UnitDead
from agent.jobs import ledger
from agent.jobs.ledger import ASKED_BY_A_PERSON, Kept, Run, Trigger
from agent.store.db import Store
from agent.store.tx import Tx

T = TypeVar("T")

DEFAULT_LANE = "default"  # of units that wait for nobody in particular
CHUNK = 500  # units of a map that exist as tasks at once; 10,000 at once held the loop for 52 ms
TRIES = 4  # of one unit within one run
REASONS_SHOWN = 5  # a run's reason is read by people

retrying = stamina.AsyncRetryingCaller(attempts=TRIES, timeout=None)
log = structlog.get_logger("jobs")
_unit_key: ContextVar[str | None] = ContextVar("unit_key", default=None)


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


class Lanes:
    """How much runs at once, and how often one begins: over all jobs, and within each lane (a model, a venue)."""

    def __init__(self, limits: Mapping[str, int], rates: Mapping[str, float] | None = None) -> None:
        """By lane.

        Args:
            limits: units at once; "all" bounds the sum, "default" any lane without a limit of its own.
            rates: units begun per minute, evenly; a lane without one has none.
        """
        self._limits = {"all": 32, DEFAULT_LANE: 8} | dict(limits)
        self._rates = {lane: AsyncLimiter(1, 60 / per_minute) for lane, per_minute in (rates or {}).items()}
        self._all = asyncio.Semaphore(self._limits["all"])
        self._lanes: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def place(self, lane: str) -> AsyncIterator[None]:
        """Wait for a place in the lane, its turn, then a place in all: a narrow lane must not hold others' places."""
        if lane not in self._lanes:
            self._lanes[lane] = asyncio.Semaphore(self._limits.get(lane, self._limits[DEFAULT_LANE]))
        async with self._lanes[lane]:
            if lane in self._rates:
                await self._rates[lane].acquire()
            async with self._all:
                yield


class Engine(Protocol):
    """What a context needs of the runner that made it."""

    store: Store
    clock: Clock

    async def unit(self, run: Run, key: str, lane: str, work: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """Do a unit's work when its lane has a place, or get its result from where it was done.

        Returns: the result, and whether this call of `work` made it.
        """

    def mine(self, key: str) -> bool:
        """Whether work named so is this host's part, where several share it."""

    def arranged(self, keys: Collection[str], lane: str) -> Iterable[str]:
        """The order in which units of a lane are begun."""

    async def write(self, action: Callable[[Tx], Awaitable[T]]) -> T:
        """One transaction, tried again while another process holds the file."""

    def wait_s(self, exc: Exception, tries: int) -> bool | float:
        """How long to wait before the next try; False where the error will not pass."""


class RunContext:
    """What a job may do in one run. `now` is frozen when the run begins."""

    def __init__(
        self,
        engine: Engine,
        run: Run,
        trigger: Trigger,
        *,
        unit_timeout_s: float | None,
        again: Collection[str] | None = None,
    ) -> None:
        """`again`: of the dead units, those to ask again; None leaves it to the trigger."""
        self.run_id, self.job, self.slot, self.now = run.run_id, run.job, run.slot, run.started_at
        self.counts: dict[str, int] = {}
        self._engine, self._run, self._trigger = engine, run, trigger
        self._unit_timeout_s, self._again = unit_timeout_s, again
        self._asked = set[str]()  # keys this run has asked for itself
        self._reasons = dict[str, None]()  # a set that remembers its order

    def count(self, **counts: int) -> None:
        """Add to the run's numbers."""
        for name, n in counts.items():
            self.counts[name] = self.counts.get(name, 0) + n

    def mine(self, key: str) -> bool:
        """Whether this host does what is named so: a market by its key, a whole job as `job:NAME`."""
        return self._engine.mine(key)

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
        lane: str = DEFAULT_LANE,
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
        found = await ledger.load_results(self._engine.store.reader, self.job, items)
        ended = {k.key: Outcome(k.key, k.value, k.error, True) for k in found.values() if self._holds(k)}
        settled = {key for key in ended if found[key].dropped or found[key].run_id != self.run_id}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._unit(key, items[key], fn, lane), name=f"{self.job}:{key}")
                    for key in self._engine.arranged([key for key in items if key not in ended], lane)
                ]
        except ExceptionGroup as failures:
            failure = _foremost(failures)
            raise failure from failure.__cause__  # its own cause says whose fault it is
        ended |= {task.result().key: task.result() for task in tasks}
        for outcome in ended.values():
            if outcome.error is not None and outcome.key not in settled:
                self.partial(f"{outcome.key}: {outcome.error}")
        return ended

    def _holds(self, kept: Kept) -> bool:
        """A value holds for ever, and so does what was given up; an error holds until a person asks again."""
        if kept.error is None or kept.dropped or kept.key in self._asked:
            return True
        return self._trigger not in ASKED_BY_A_PERSON if self._again is None else kept.key not in self._again

    async def _unit(self, key: str, item: T, fn: Callable[[T], Awaitable[Unit]], lane: str) -> Outcome:
        _unit_key.set(key)  # of this task alone: each unit is its own task
        structlog.contextvars.bind_contextvars(unit=key)
        self._asked.add(key)
        kept, ours = await self._engine.unit(self._run, key, lane, partial(self._work, key, item, fn))
        if not ours:
            await self._keep(kept, None)
        return Outcome(key, kept.value, kept.error, not ours)

    async def _work(self, key: str, item: T, fn: Callable[[T], Awaitable[Unit]]) -> Kept:
        """Ask until there is an answer or a lasting error, and keep it."""
        started_at, tries = self._engine.clock(), 0

        async def attempt() -> Unit:
            nonlocal tries
            tries += 1
            async with asyncio.timeout(self._unit_timeout_s):
                return await fn(item)

        unit, error = Unit(None), None
        try:
            unit = await retrying(lambda exc: self._engine.wait_s(exc, tries), attempt)
        except StoreError:
            raise
        except (OddsdError, TimeoutError) as exc:
            error = str(exc) or "no answer in time"
            log.warning("unit died", action="unit_died", key=key, tries=tries, error=error)
        kept = Kept(
            key=key,
            run_id=self.run_id,
            value=msgspec.json.decode(msgspec.json.encode(unit.value)),
            error=error,
            attempts=tries,
            started_at=started_at,
            ended_at=self._engine.clock(),
        )
        await self._keep(kept, unit.save)
        return kept

    async def _keep(self, kept: Kept, save: Callable[[Tx], Awaitable[None]] | None) -> None:
        """Data and kept row in one transaction; a cancellation waits for it, for the work is already paid."""

        async def transaction(tx: Tx) -> None:
            if save is not None:
                await save(tx)
            await ledger.keep(tx, self._run, kept)

        task = asyncio.create_task(self._engine.write(transaction), name=f"{self.job}:{kept.key}:keep")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.gather(task, return_exceptions=True)
            raise


def _foremost(failures: ExceptionGroup[Exception]) -> Exception:
    """The one error to go on with: a fault of the engine before a bug, else the first."""
    return next((exc for exc in failures.exceptions if is_engine_fault(exc)), failures.exceptions[0])


def is_engine_fault(exc: BaseException) -> bool:
    """A store that cannot go on. A broken constraint, or a rule of our own, is the fault of the job that broke it."""
    if isinstance(exc, BaseExceptionGroup):
        return any(is_engine_fault(one) for one in exc.exceptions)
    if isinstance(exc, StoreBusy | StoreFull):
        return True
    cause = exc.__cause__
    return (
        isinstance(exc, StoreError)
        and isinstance(cause, sqlite3.Error)
        and not isinstance(cause, sqlite3.IntegrityError)
    )


Job = Callable[[RunContext, datetime], Awaitable[None]]
