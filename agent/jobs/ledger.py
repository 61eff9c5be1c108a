"""The ledger of jobs: one row per run, one row per kept result. The only durable thing the engine has.

Law: (job, slot) happens once; a result kept under its key is never asked for again; a result and the data it came
with share a transaction. Called by runner.py and clock.py; `load_runs` and `load_kept` are the operator's timeline.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import uuid_utils

from agent.core.instants import from_ms, moment, to_ms
from agent.errors import UnknownRun
from agent.store.tx import Reader, Row, Tx

Trigger = Literal["timer", "hand", "once", "recovery"]
RunState = Literal["running", "ok", "partial", "failed", "missed"]

PRUNED_AT_ONCE = 20  # runs of one transaction: some hundred kept results, and the writer is free again

_FIRST_LOOK = "first_look:"  # and the job's name

ASKED_BY_A_PERSON: tuple[Trigger, ...] = ("hand", "once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a job. `trigger` says why its slot exists; `attempt` how often it was begun."""

    run_id: str
    job: str
    slot: datetime
    trigger: Trigger
    state: RunState
    attempt: int
    started_at: datetime
    ended_at: datetime | None
    counts: dict[str, int]
    reason: str | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The run as stored."""
        return cls(
            run_id=row["run_id"],
            job=row["job"],
            slot=from_ms(row["slot"]),
            trigger=row["trigger"],
            state=row["state"],
            attempt=row["attempt"],
            started_at=from_ms(row["started_at"]),
            ended_at=moment(row["ended_at"]),
            counts=json.loads(row["counts"] or "{}"),
            reason=row["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The result of one unit: done with a value, or dead with the error that will not pass."""

    key: str
    run_id: str
    value: Any
    error: str | None
    attempts: int
    started_at: datetime
    ended_at: datetime
    dropped: bool = False  # dead, and given up by a person

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The result as stored."""
        return cls(
            key=row["key"],
            run_id=row["run_id"],
            value=None if row["result"] is None else json.loads(row["result"]),
            error=row["error"],
            attempts=row["attempts"],
            started_at=from_ms(row["started_at"]),
            ended_at=from_ms(row["ended_at"]),
            dropped=row["dropped_at"] is not None,
        )


async def begin(tx: Tx, job: str, slot: datetime | None, trigger: Trigger, *, now: datetime) -> tuple[Run, bool]:
    """Begin a run, or begin it again with what it has kept.

    A slot that went well is over. One that failed, or only partly worked, is begun again when a person or the
    recovery asks; one still marked running belongs to a process that died, so only the recovery takes it. One that
    was missed never ran and is free: what was written down of it lies beside it.

    Args:
        slot: None takes `now`, or the first free millisecond after it.
    Returns: the run, and whether it is now this caller's to do.
    """
    slot_ms = to_ms(slot) if slot else await _free_ms(tx, job, to_ms(now))
    row = await _run_at(tx, job, slot_ms)
    if row is None:
        await tx.execute(
            "INSERT INTO job_runs (run_id, job, slot, trigger, state, started_at) VALUES (?, ?, ?, ?, 'running', ?)",
            (str(uuid_utils.uuid7()), job, slot_ms, trigger, to_ms(now)),
        )
    elif _may_begin_again(row["state"], trigger):
        await tx.execute(
            "UPDATE job_runs SET state = 'running', attempt = attempt + 1, started_at = ?, ended_at = NULL,"
            " counts = NULL, reason = NULL WHERE run_id = ?",
            (to_ms(now), row["run_id"]),
        )
    else:
        return Run.from_row(row), False
    return Run.from_row(await _run_at(tx, job, slot_ms)), True  # type: ignore[arg-type]  # just written


def _may_begin_again(state: RunState, trigger: Trigger) -> bool:
    return {
        "missed": False,
        "running": trigger == "recovery",
        "failed": trigger != "timer",
        "partial": trigger != "timer",
        "ok": False,
    }[state]


async def _free_ms(reader: Reader, job: str, slot_ms: int) -> int:
    while await _run_at(reader, job, slot_ms) is not None:
        slot_ms += 1
    return slot_ms


async def _run_at(reader: Reader, job: str, slot_ms: int) -> Row | None:
    return await reader.fetch_one("SELECT * FROM job_runs WHERE job = ? AND slot = ?", (job, slot_ms))


async def keep(tx: Tx, run: Run, kept: Kept) -> None:
    """Keep a unit's result. Replaces a dead one that was asked for again."""
    await tx.execute(
        "INSERT INTO kept (job, key, run_id, state, result, error, attempts, started_at, ended_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, key) DO UPDATE SET run_id = excluded.run_id,"
        " state = excluded.state, result = excluded.result, error = excluded.error,"
        " attempts = kept.attempts + excluded.attempts, started_at = excluded.started_at, ended_at = excluded.ended_at,"
        " dropped_at = NULL",
        (
            run.job,
            kept.key,
            run.run_id,
            "done" if kept.error is None else "dead",
            None if kept.value is None else json.dumps(kept.value),
            kept.error,
            kept.attempts,
            to_ms(kept.started_at),
            to_ms(kept.ended_at),
        ),
    )


async def finish(tx: Tx, run: Run) -> None:
    """Write down how a run ended."""
    await tx.execute(
        "UPDATE job_runs SET state = ?, counts = ?, reason = ?, ended_at = ? WHERE run_id = ?",
        (run.state, json.dumps(run.counts), run.reason, to_ms(run.ended_at or run.started_at), run.run_id),
    )


async def save_missed(tx: Tx, job: str, slot: datetime, *, n_slots: int, reason: str, now: datetime) -> None:
    """One row for a stretch of slots that nobody will run, a moment after the newest of them.

    Not at it: a clock that is set back may bring that slot again, and its run must not take the stretch's place.
    """
    at = await _free_ms(tx, job, to_ms(slot) + 1)
    await tx.execute(
        "INSERT INTO job_runs (run_id, job, slot, trigger, state, started_at, ended_at, counts, reason)"
        " VALUES (?, ?, ?, 'timer', 'missed', ?, ?, ?, ?)",
        (str(uuid_utils.uuid7()), job, at, to_ms(now), to_ms(now), json.dumps({"missed": n_slots}), reason),
    )


async def save_first_look(tx: Tx, job: str, at: datetime) -> None:
    """From when on a job that never ran owes its slots: without it a restart would forgive those before it."""
    await tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        " WHERE CAST(excluded.value AS INTEGER) < CAST(value AS INTEGER)",
        (_FIRST_LOOK + job, str(to_ms(at))),
    )


async def load_results(reader: Reader, job: str, keys: Iterable[str]) -> dict[str, Kept]:
    """What is already kept for these keys."""
    rows = await reader.fetch(
        "SELECT * FROM kept WHERE job = ? AND key IN (SELECT value FROM json_each(?))", (job, json.dumps(list(keys)))
    )
    return {row["key"]: Kept.from_row(row) for row in rows}


async def load_last_slot(reader: Reader, job: str, now: datetime) -> datetime | None:
    """The newest slot the timer has dealt with, or its first look at a job that never ran.

    One from the future (a clock that was wrong) does not count.
    """
    slot_ms = await reader.fetch_value(
        "SELECT max(at) FROM (SELECT slot AS at FROM job_runs WHERE job = :job AND trigger = 'timer' AND slot <= :now"
        " UNION ALL SELECT CAST(value AS INTEGER) FROM meta WHERE key = :first AND CAST(value AS INTEGER) <= :now)",
        {"job": job, "now": to_ms(now), "first": _FIRST_LOOK + job},
    )
    return moment(slot_ms)


async def load_running(reader: Reader) -> list[Run]:
    """Runs marked running, oldest first. At start they are what a dead process left."""
    return [
        Run.from_row(row) for row in await reader.fetch("SELECT * FROM job_runs WHERE state = 'running' ORDER BY slot")
    ]


async def load_runs(reader: Reader, job: str | None = None, *, limit: int = 50) -> list[Run]:
    """The timeline: runs of one job or of all, newest first."""
    where, values = ("", (limit,)) if job is None else ("WHERE job = ?", (job, limit))
    rows = await reader.fetch(f"SELECT * FROM job_runs {where} ORDER BY started_at DESC, run_id DESC LIMIT ?", values)
    return [Run.from_row(row) for row in rows]


async def find_run(reader: Reader, words: str) -> Run:
    """The run with this id, or with this end of it. Raises: UnknownRun."""
    rows = await reader.fetch(
        "SELECT * FROM job_runs WHERE run_id = :id OR substr(run_id, -length(:id)) = :id LIMIT 2", {"id": words}
    )
    if len(rows) == 1:
        return Run.from_row(rows[0])
    fault = "more than one run ends so" if rows else "no such run"
    raise UnknownRun(f"run {words!r:.60}: {fault}", advice="oddsd runs --json lists them with their whole ids")


async def load_kept(reader: Reader, run_id: str) -> list[Kept]:
    """The timeline inside a run: its results in order of time."""
    rows = await reader.fetch("SELECT * FROM kept WHERE run_id = ? ORDER BY ended_at, key", (run_id,))
    return [Kept.from_row(row) for row in rows]


async def prune(tx: Tx, *, older_than: timedelta, now: datetime) -> int:
    """Delete some old runs with their kept results; returns how many runs went, 0 once none is left.

    The newest slot of each job's timer stays whatever its age: without it a job would look like one that never ran.
    """
    return await tx.execute(
        "DELETE FROM job_runs WHERE run_id IN (SELECT run_id FROM job_runs r"
        " WHERE started_at < ? AND state <> 'running' AND slot IS NOT"
        " (SELECT max(slot) FROM job_runs newest WHERE newest.job = r.job AND newest.trigger = 'timer') LIMIT ?)",
        (to_ms(now - older_than), PRUNED_AT_ONCE),
    )
