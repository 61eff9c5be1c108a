"""Dead letters: units whose error will not pass, kept with their reason until a person decides.

Law: a dead unit is never asked for again by a timer. A person asks again (`retry`), or gives it up (`drop`): a dropped
one is shown no more and holds for ever, so that nobody pays for it by accident.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.errors import NoDeadLetter
from agent.store.tx import Reader, Row, Tx


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead unit, and the run in which it died last."""

    job: str
    key: str
    run_id: str
    slot: datetime  # of that run
    error: str
    attempts: int  # over all runs
    died_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The unit as stored."""
        return cls(
            job=row["job"],
            key=row["key"],
            run_id=row["run_id"],
            slot=from_ms(row["slot"]),
            error=row["error"],
            attempts=row["attempts"],
            died_at=from_ms(row["ended_at"]),
        )


async def load_dead(reader: Reader, job: str | None = None, words: str | None = None) -> list[DeadLetter]:
    """The dead units of one job or of all, the newest first; `words`: only those whose key contains them."""
    rows = await reader.fetch(
        "SELECT k.*, r.slot FROM kept k JOIN job_runs r USING (run_id)"
        " WHERE k.state = 'dead' AND k.dropped_at IS NULL AND (:job IS NULL OR k.job = :job)"
        " AND (:words IS NULL OR instr(k.key, :words)) ORDER BY k.ended_at DESC, k.job, k.key",
        {"job": job, "words": words},
    )
    return [DeadLetter.from_row(row) for row in rows]


async def find_dead(reader: Reader, job: str, words: str | None) -> list[DeadLetter]:
    """As load_dead. Raises: NoDeadLetter where nothing is meant."""
    if found := await load_dead(reader, job, words):
        return found
    which = f"{job}: no dead letter" + (f" with {words!r:.80} in its key" if words else "")
    raise NoDeadLetter(which, advice="oddsd dead-letter list shows them all")


async def drop(tx: Tx, letters: Sequence[DeadLetter], *, now: datetime) -> None:
    """Give them up."""
    await tx.execute_many(
        "UPDATE kept SET dropped_at = ? WHERE job = ? AND key = ? AND state = 'dead'",
        [(to_ms(now), letter.job, letter.key) for letter in letters],
    )
