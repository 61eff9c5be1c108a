"""Sessions people asked for: taken on once, moved forward, and each move told to the cloud in its own transaction."""

import json
from collections.abc import Sequence
from datetime import datetime

import msgspec
import uuid_utils

from agent.core.instants import from_ms, to_ms
from agent.core.sessions import all_ended, has_ended, moves
from agent.store.tx import Reader, Tx
from sync.records import SessionState, SessionStep


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far one model of a session has come."""

    model: str
    state: SessionState
    reason: str | None = None
    prediction_ids: tuple[str, ...] = ()


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it stands; models as they were asked for."""

    session_id: str
    market_key: str
    taken_at: datetime
    models: tuple[Standing, ...]

    @property
    def open_models(self) -> tuple[str, ...]:
        """Those that have not ended."""
        return tuple(one.model for one in self.models if not has_ended(one.state))


async def take_session(tx: Tx, session_id: str, market_key: str, models: Sequence[str], *, now: datetime) -> bool:
    """Take a session on; False, and nothing is done, where it was taken before."""
    taken = await tx.execute(
        "INSERT INTO sessions (session_id, market_key, taken_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (session_id, market_key, to_ms(now)),
    )
    if not taken:
        return False
    await tx.execute_many(
        "INSERT INTO session_models (session_id, model, place, state, moved_at) VALUES (?, ?, ?, 'QUEUED', ?)",
        [(session_id, model, place, to_ms(now)) for place, model in enumerate(models)],
    )
    return True


async def advance(
    tx: Tx,
    session_id: str,
    model: str,
    state: SessionState,
    *,
    now: datetime,
    reason: str | None = None,
    prediction_ids: Sequence[str] = (),
) -> bool:
    """Move one model forward and let the step travel; False where it is there or further already."""
    session = await load_session(tx, session_id)
    before = next((one.state for one in session.models if one.model == model), None) if session else None
    if session is None or before is None or not moves(before, state):
        return False
    await tx.execute(
        "UPDATE session_models SET state = ?, moved_at = ?, reason = ?, prediction_ids = ?"
        " WHERE session_id = ? AND model = ?",
        (state, to_ms(now), reason, json.dumps(list(prediction_ids)), session_id, model),
    )
    if all_ended(state if one.model == model else one.state for one in session.models):
        await tx.execute("UPDATE sessions SET ended_at = ? WHERE session_id = ?", (to_ms(now), session_id))
    standing = Standing(model=model, state=state, reason=reason, prediction_ids=tuple(prediction_ids))
    tx.emit(_step(session_id, standing, now))
    return True


async def tell_again(tx: Tx, session: SessionRow, *, now: datetime) -> None:
    """Let the state of each model travel once more, for a cloud that has forgotten it."""
    tx.emit(*(_step(session.session_id, one, now) for one in session.models if one.state is not SessionState.QUEUED))


async def load_session(reader: Reader, session_id: str) -> SessionRow | None:
    """One session."""
    found = await _load(reader, "WHERE s.session_id = ?", (session_id,))
    return found[0] if found else None


async def load_open_sessions(reader: Reader) -> list[SessionRow]:
    """What is owed, oldest first."""
    return await _load(reader, "WHERE s.ended_at IS NULL", ())


async def load_made_ids(reader: Reader, prediction_ids: Sequence[str]) -> set[str]:
    """Which of these predictions the record has."""
    rows = await reader.fetch(
        "SELECT prediction_id FROM predictions WHERE prediction_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(prediction_ids)),),
    )
    return {row["prediction_id"] for row in rows}


async def prune_sessions(tx: Tx, before: datetime) -> int:
    """Delete sessions that ended before a moment. Returns how many."""
    return await tx.execute("DELETE FROM sessions WHERE ended_at < ?", (to_ms(before),))


async def _load(reader: Reader, where: str, params: Sequence[object]) -> list[SessionRow]:
    rows = await reader.fetch(
        "SELECT s.session_id, s.market_key, s.taken_at, m.model, m.state, m.reason, m.prediction_ids"
        f" FROM sessions s JOIN session_models m USING (session_id) {where} ORDER BY s.taken_at, s.session_id, m.place",
        params,
    )
    models: dict[str, list[Standing]] = {}
    for row in rows:
        ids = tuple(json.loads(row["prediction_ids"]))
        standing = Standing(
            model=row["model"], state=SessionState(row["state"]), reason=row["reason"], prediction_ids=ids
        )
        models.setdefault(row["session_id"], []).append(standing)
    return [
        SessionRow(
            session_id=session_id,
            market_key=next(row["market_key"] for row in rows if row["session_id"] == session_id),
            taken_at=next(from_ms(row["taken_at"]) for row in rows if row["session_id"] == session_id),
            models=tuple(standings),
        )
        for session_id, standings in models.items()
    ]


def _step(session_id: str, standing: Standing, now: datetime) -> SessionStep:
    return SessionStep(
        step_id=str(uuid_utils.uuid7()),
        session_id=session_id,
        model=standing.model,
        state=standing.state,
        made_at=now,
        reason=standing.reason,
        prediction_ids=standing.prediction_ids,
    )
