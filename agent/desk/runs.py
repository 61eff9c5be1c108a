"""What ran: the runs of the jobs, and one run with its units as a timeline.

Law: a run's own words, counts and times as the ledger keeps them; a unit whose result an earlier run kept belongs to
that run and is not drawn again.
"""

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from agent.desk.base import Ask, Desk
from agent.jobs.ledger import Kept, Run, find_run, load_kept, load_runs

MOST_RUNS = 1000


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run; `duration_s` is None while it is under way."""

    run_id: str
    job: str
    slot: datetime
    trigger: str
    state: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    counts: dict[str, int]
    reason: str | None


class UnitLine(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of a run; `error` is None where it has a result."""

    key: str
    started_at: datetime
    ended_at: datetime
    duration_s: float
    attempts: int
    error: str | None
    dropped: bool


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its units in the order they began."""

    run: RunLine
    units: tuple[UnitLine, ...]
    at: datetime  # when it was asked: how far a run under way has come


class AskRuns(Ask[list[RunLine]], frozen=True, kw_only=True):
    """The newest first, of one job or of all."""

    verb: ClassVar[str] = "runs"
    answer_type: ClassVar[Any] = list[RunLine]
    job: str | None = None
    last: int = 20

    async def answer(self, desk: Desk) -> list[RunLine]:
        """Never fails: a job that never ran has no runs."""
        limit = max(1, min(self.last, MOST_RUNS))
        return [_run(run) for run in await load_runs(desk.store.reader, self.job, limit=limit)]


class AskRun(Ask[Timeline], frozen=True, kw_only=True):
    """By its id, or by the end of it."""

    verb: ClassVar[str] = "run_timeline"
    answer_type: ClassVar[Any] = Timeline
    run_id: str

    async def answer(self, desk: Desk) -> Timeline:
        """Raises: UnknownRun."""
        run = await find_run(desk.store.reader, self.run_id)
        units = [_unit(kept) for kept in await load_kept(desk.store.reader, run.run_id)]
        in_order = sorted(units, key=lambda unit: (unit.started_at, unit.ended_at, unit.key))
        return Timeline(run=_run(run), units=tuple(in_order), at=desk.now)


def _run(run: Run) -> RunLine:
    return RunLine(
        run_id=run.run_id,
        job=run.job,
        slot=run.slot,
        trigger=run.trigger,
        state=run.state,
        attempt=run.attempt,
        started_at=run.started_at,
        ended_at=run.ended_at,
        duration_s=None if run.ended_at is None else (run.ended_at - run.started_at).total_seconds(),
        counts=run.counts,
        reason=run.reason,
    )


def _unit(kept: Kept) -> UnitLine:
    return UnitLine(
        key=kept.key,
        started_at=kept.started_at,
        ended_at=kept.ended_at,
        duration_s=(kept.ended_at - kept.started_at).total_seconds(),
        attempts=kept.attempts,
        error=kept.error,
        dropped=kept.dropped,
    )
