"""Incidents: what the house complained of, from when to when, and what of it the operator was told."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from agent.core.instants import from_ms, moment, to_ms
from agent.store.tx import Reader, Row, Tx

_KEPT = timedelta(days=365)  # a year of troubles is a few hundred rows


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One trouble. `incident_id` is None until it is stored."""

    key: str
    level: str
    text: str
    why: str
    advice: str | None
    began_at: datetime
    ended_at: datetime | None = None
    n_times: int = 1
    told_level: str | None = None
    told_at: datetime | None = None
    end_told_at: datetime | None = None
    incident_id: int | None = None


_COLUMNS = (
    "key", "level", "text", "why", "advice", "began_at", "ended_at", "n_times", "told_level", "told_at", "end_told_at",
)  # fmt: skip


async def save_incidents(tx: Tx, incidents: Iterable[Incident]) -> None:
    """Store new ones, and what has become of those known. What was told is save_told's alone."""
    for one in incidents:
        if one.incident_id is None:
            await tx.execute("DELETE FROM incidents WHERE ended_at < ?", (to_ms(one.began_at - _KEPT),))
            await tx.execute(
                f"INSERT INTO incidents ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", _values(one)
            )
        else:
            await tx.execute(
                "UPDATE incidents SET level = ?, text = ?, why = ?, advice = ?, ended_at = ?, n_times = ?"
                " WHERE incident_id = ?",
                (one.level, one.text, one.why, one.advice, _ms(one.ended_at), one.n_times, one.incident_id),
            )


async def save_told(tx: Tx, incidents: Sequence[Incident], *, now: datetime) -> None:
    """The operator knows of these: of the end where they have ended, else of their level."""
    for one in incidents:
        column = "told_at = ?, told_level = ?" if one.ended_at is None else "end_told_at = ?"
        values: tuple[object, ...] = (to_ms(now), one.level) if one.ended_at is None else (to_ms(now),)
        await tx.execute(f"UPDATE incidents SET {column} WHERE incident_id = ?", (*values, one.incident_id))


async def load_unsettled(reader: Reader, *, ended_since: datetime) -> list[Incident]:
    """What is open, what ended lately, and what ended without the operator having been told; oldest first."""
    rows = await reader.fetch(
        "SELECT * FROM incidents WHERE ended_at IS NULL OR ended_at >= ?"
        " OR (told_at IS NOT NULL AND end_told_at IS NULL) ORDER BY began_at, incident_id",
        (to_ms(ended_since),),
    )
    return [_from_row(row) for row in rows]


async def load_recent(reader: Reader, *, since: datetime, limit: int) -> list[Incident]:
    """The newest, whatever became of them."""
    rows = await reader.fetch(
        "SELECT * FROM incidents WHERE began_at >= ? ORDER BY began_at DESC, incident_id DESC LIMIT ?",
        (to_ms(since), limit),
    )
    return [_from_row(row) for row in rows]


def _values(one: Incident) -> list[object]:
    values = (getattr(one, name) for name in _COLUMNS)
    return [to_ms(value) if isinstance(value, datetime) else value for value in values]


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _from_row(row: Row) -> Incident:
    return Incident(
        incident_id=row["incident_id"],
        key=row["key"],
        level=row["level"],
        text=row["text"],
        why=row["why"],
        advice=row["advice"],
        began_at=from_ms(row["began_at"]),
        ended_at=moment(row["ended_at"]),
        n_times=row["n_times"],
        told_level=row["told_level"],
        told_at=moment(row["told_at"]),
        end_told_at=moment(row["end_told_at"]),
    )
