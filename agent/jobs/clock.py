"""Starts jobs when they are due: one loop over all schedules, one named task per running job.

Law: what is due is decided from the gap between the last slot dealt with and now, never by counting ticks, so a slept
machine, a stopped daemon, a pause and a jumped clock are one case. A slot is run once: a clock that goes back finds it
in the ledger. The loop looks at least every 5 s and calls `beat` each time: no beat, no watchdog. Owned by the daemon.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile

import structlog
from cronsim import CronSim

from agent.core.instants import Clock, to_the_ms
from agent.jobs import ledger
from agent.jobs.ledger import Trigger
from agent.jobs.pauses import Pause, load_pauses, pause_of
from agent.jobs.runner import JobSpec, Runner

LONGEST_SLEEP_S = 5.0  # timers stand still while a machine sleeps; this bounds how late it and a set clock are noticed
SHORTEST_SLEEP_S = 0.01  # the wall clock may lag the timer by a little: look again, do not spin
ON_TIME = timedelta(seconds=60)  # later than many looks, a slot counts as missed
MOST_SLOTS = 1000  # looked back at; beyond it the number only says "or more"
JUMP_S = 1.0  # the wall clock against the timer's, between two looks; smaller steps are time being kept
_SECOND = timedelta(seconds=1)

log = structlog.get_logger("clock")


@dataclass(frozen=True, slots=True)
class Due:
    """What a job owes now: slots to run, and slots that will not be run; each oldest first."""

    run: tuple[datetime, ...] = ()
    missed: tuple[datetime, ...] = ()


def due(spec: JobSpec, last: datetime | None, now: datetime) -> Due:
    """Apply a job's policy to the slots between the last one dealt with and now. Pure.

    Args:
        last: None for a job that never ran: with the policy "latest" it owes the slot before `now`, else nothing.
    """
    if last is None:
        return Due(run=_passed(spec.schedule, None, now)) if spec.missed == "latest" else Due()
    if _first_after(spec.schedule, last) > now:
        return Due()
    slots = _passed(spec.schedule, last, now)
    if spec.missed == "latest":
        return Due(run=slots[-1:], missed=slots[:-1])
    oldest = now - (ON_TIME if spec.missed == "none" else spec.max_catch_up)
    run = tuple(slot for slot in slots if slot >= oldest)
    if spec.missed == "none":
        run = run[-1:]
    return Due(run=run, missed=slots[: len(slots) - len(run)])


@lru_cache(maxsize=256)  # a weekly schedule is a walk of milliseconds, and each look asks the same
def _first_after(schedule: str, moment: datetime) -> datetime:
    return next(CronSim(schedule, moment))


def _passed(schedule: str, after: datetime | None, until: datetime) -> tuple[datetime, ...]:
    """The slots in (after, until], oldest first; the newest alone where `after` is None.

    Walks backwards, so that a gap of years (a clock that started in 1970) costs no more than MOST_SLOTS steps.
    """
    backwards = CronSim(schedule, until.replace(microsecond=0) + _SECOND, reverse=True)
    if after is None:
        return (next(backwards),)
    return tuple(islice(takewhile(lambda slot: slot > after, backwards), MOST_SLOTS))[::-1]


class JobClock:
    """The loop. `clock` and `sleep` are the world's time, and a test's."""

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        beat: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runner, self._clock, self._sleep, self._beat = runner, clock, sleep, beat
        self._monotonic = monotonic
        self._specs = [spec for spec in runner.specs.values() if spec.enabled]
        self._last: dict[str, datetime] = {}
        self._late = {spec.name: self._draw(spec) for spec in self._specs}
        self._paused = set[str]()  # at the last look
        self._looked: tuple[datetime, float] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped = False

    async def run(self) -> None:
        """Recover, then start what is due until cancelled. Raises: StoreError as the task group's."""
        async with asyncio.TaskGroup() as group:
            cut_off: dict[str, list[datetime]] = {}
            for run in await self._runner.recover():
                cut_off.setdefault(run.job, []).append(run.slot)
            for name, slots in cut_off.items():
                self._start(group, name, slots, "recovery")
            while True:
                self._beat()
                now = to_the_ms(self._clock())
                self._watch_the_clock(now)
                pauses = await load_pauses(self._runner.store.reader)
                for spec in () if self._stopped else self._specs:
                    pause = pause_of(pauses, spec.name)
                    if pause is None and self._runner.stands_by(spec):
                        pause = Pause(job=spec.name, paused_at=now, reason="standing by")
                    if pause is not None:
                        await self._pass_by(spec, pause, now)
                    else:
                        await self._look(group, spec, now)
                await self._sleep(self._pause_s())

    def stop(self) -> None:
        """Start nothing more. Runs under way go on, and the loop beats, until `run` is cancelled."""
        self._stopped = True

    def next_due(self) -> dict[str, datetime]:
        """When each enabled job begins next, paused or not."""
        now = self._clock()
        return {spec.name: self._next(spec, now) for spec in self._specs}

    def _next(self, spec: JobSpec, now: datetime) -> datetime:
        late = self._late[spec.name]
        last = min(self._last.get(spec.name, now - late), now)
        first = _first_after(spec.schedule, last)  # what is dealt with is not next
        if first <= now - late:  # owed and not begun: a pause, or a run under way
            first = next(CronSim(spec.schedule, now - late))
        return first + late

    def _draw(self, spec: JobSpec) -> timedelta:
        return timedelta(milliseconds=round(self._runner.jitter() * spec.jitter_s * 1000))

    def _watch_the_clock(self, now: datetime) -> None:
        """Say that the wall clock was set, or stood still: what is missed afterwards has its reason in the log."""
        timer = self._monotonic()
        if self._looked is not None:
            jumped_s = (now - self._looked[0]).total_seconds() - (timer - self._looked[1])
            if abs(jumped_s) > JUMP_S:
                log.warning(
                    "the clock was set, or the machine slept", action="clock_jumped", jumped_s=round(jumped_s, 1)
                )
        self._looked = (now, timer)

    async def _pass_by(self, spec: JobSpec, pause: Pause, now: datetime) -> None:
        """Leave a paused job alone: its slots stay owed. One that never ran owes them since the pause."""
        self._paused.add(spec.name)
        if spec.name not in self._last:
            last = await ledger.load_last_slot(self._runner.store.reader, spec.name, now)
            self._last[spec.name] = last or await self._save_first_look(spec.name, min(pause.paused_at, now))

    async def _save_first_look(self, name: str, at: datetime) -> datetime:
        await self._runner.write(lambda tx: ledger.save_first_look(tx, name, at))
        return at

    def _pause_s(self) -> float:
        until_next = min((slot - self._clock() for slot in self.next_due().values()), default=timedelta.max)
        return min(max(until_next.total_seconds(), SHORTEST_SLEEP_S), LONGEST_SLEEP_S)

    async def _look(self, group: asyncio.TaskGroup, spec: JobSpec, now: datetime) -> None:
        """Start what one job owes, and write down what it will never run."""
        last = self._last.get(spec.name) or await ledger.load_last_slot(self._runner.store.reader, spec.name, now)
        looked = now - self._late[spec.name]
        # A last slot in the future is a clock that was wrong: wait from now on, not until that time comes.
        owed = due(spec, None if last is None else min(last, now), looked)
        busy = spec.name in self._tasks or self._runner.busy(spec.name)
        if busy and spec.missed == "all":
            return  # each slot is wanted: it stays owed until the run under way has ended
        missed, run = (owed.missed, owed.run) if not busy else ([*owed.missed, *owed.run], [])
        if missed:
            why = "still running" if busy else "paused" if spec.name in self._paused else "nobody was looking"
            await self._save_missed(spec.name, missed, why, now)
        self._paused.discard(spec.name)
        if dealt := [*missed, *run]:
            self._last[spec.name] = max(dealt)
        elif last is None:
            self._last[spec.name] = await self._save_first_look(spec.name, looked)
        else:
            self._last[spec.name] = min(last, now)
        if run:
            self._late[spec.name] = self._draw(spec)
            self._start(group, spec.name, run, "timer")

    async def _save_missed(self, name: str, slots: Sequence[datetime], why: str, now: datetime) -> None:
        many = f"{len(slots)} or more" if len(slots) >= MOST_SLOTS - 1 else str(len(slots))
        reason = f"{many} missed from {slots[0].isoformat()} to {slots[-1].isoformat()}: {why}"
        log.warning("slots missed", action="slots_missed", job=name, n_slots=len(slots), reason=reason)
        await self._runner.write(
            lambda tx: ledger.save_missed(tx, name, slots[-1], n_slots=len(slots), reason=reason, now=now)
        )

    def _start(self, group: asyncio.TaskGroup, name: str, slots: Sequence[datetime], trigger: Trigger) -> None:
        async def one_after_another() -> None:
            try:
                for slot in slots:
                    if not self._stopped:  # else it stays owed: the ledger does not know it
                        await self._runner.run(name, slot, trigger)
            finally:
                del self._tasks[name]

        self._tasks[name] = group.create_task(one_after_another(), name=f"job:{name}")
