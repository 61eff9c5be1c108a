"""Pauses: while one stands no timer starts the job, or any job. A row each, so a restart forgets none.

Law: a pause is nobody looking: the slots that pass stay owed, and when it ends the job's own policy for missed slots
decides, as after a night without power. Who asks for a run by hand gets it. Read by clock.py at each look.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.store.tx import Reader, Row, Tx

EVERY_JOB = "*"


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """One pause; `job` is EVERY_JOB where it holds for all."""

    job: str
    paused_at: datetime
    reason: str | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The pause as stored."""
        return cls(job=row["job"], paused_at=from_ms(row["paused_at"]), reason=row["reason"])


async def pause(tx: Tx, job: str, reason: str | None, *, now: datetime) -> None:
    """Begin a pause; one that stands already keeps its time and takes the new reason, if there is one."""
    await tx.execute(
        "INSERT INTO pauses (job, paused_at, reason) VALUES (?, ?, ?)"
        " ON CONFLICT (job) DO UPDATE SET reason = coalesce(excluded.reason, reason)",
        (job, to_ms(now), reason),
    )


async def resume(tx: Tx, job: str) -> bool:
    """End a pause; False where there was none. Ending EVERY_JOB leaves pauses of single jobs standing."""
    return await tx.execute("DELETE FROM pauses WHERE job = ?", (job,)) > 0


async def load_pauses(reader: Reader) -> dict[str, Pause]:
    """All pauses by job, oldest first."""
    rows = await reader.fetch("SELECT * FROM pauses ORDER BY paused_at, job")
    return {row["job"]: Pause.from_row(row) for row in rows}


def pause_of(pauses: Mapping[str, Pause], job: str) -> Pause | None:
    """What keeps this job from its timer: its own pause before that of all. Pure."""
    return pauses.get(job) or pauses.get(EVERY_JOB)
