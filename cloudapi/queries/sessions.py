"""Sessions of predictions on demand, as their owners see them.

Law: a session is found by (account_id, session_id): a stranger's is none. What must be exact happens in sessions.sql.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from cloudapi.db import Connection, Pool, from_row
from sync.records import Prediction, SessionState

INSERT_SESSION = """
insert into prediction_session (session_id, account_id, market_key, shadow, expires_at)
values ($1, $2, $3, $4, now() + make_interval(secs => $5))
"""
INSERT_MODELS = """
insert into prediction_session_model (session_id, model, place, charged)
select $1, model, place, $3 from unnest($2::text[]) with ordinality as asked (model, place)
"""
ASK = "select session_ask($1, make_interval(secs => $2))"
CANCEL = "select session_cancel($1, $2)"
RECOVER = "select session_recover(make_interval(secs => $1), $2)::text"
COUNT_OPEN = "select count(*) from prediction_session where account_id = $1 and ended_at is null"
LOAD_MARKET_STATUS = "select status from market where market_key = $1"

SESSION_COLUMNS = """
s.session_id, s.market_key, s.shadow, s.asked_at, s.expires_at, s.started_at, s.ended_at, (
    select jsonb_agg(jsonb_build_object('model', m.model, 'state', m.state, 'moved_at', m.moved_at, 'reason', m.reason,
                                        'prediction_ids', m.prediction_ids) order by m.place)
    from prediction_session_model as m where m.session_id = s.session_id
)::text as models, (
    select coalesce(max(e.event_no), 0) from prediction_session_event as e where e.session_id = s.session_id
) as last_event
"""
LOAD_SESSION = f"select {SESSION_COLUMNS} from prediction_session as s where s.account_id = $1 and s.session_id = $2"
LOAD_SESSIONS = f"""
select {SESSION_COLUMNS} from prediction_session as s
where s.account_id = $1 and ($2::uuid is null or s.session_id < $2) order by s.session_id desc limit $3
"""
LOAD_EVENTS = """
select event_no, model, state, reason, at from prediction_session_event
join prediction_session using (session_id)
where account_id = $1 and session_id = $2 and event_no > $3 order by event_no
"""
# An edge that attends is one that could take a request; what a hundred others waited is what this one may expect.
LOAD_OUTLOOK = """
select
    (select max(attended_at) from edge_duty) as seen_at,
    exists (select from edge_duty where expires_at > now()) as online,
    session_usual_wait() as usual_wait_s
"""


class ModelProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one model has come."""

    model: str
    state: SessionState
    moved_at: datetime
    reason: str | None = None
    prediction_ids: tuple[str, ...] = ()


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session as stored; `models` is JSON text."""

    session_id: uuid.UUID
    market_key: str
    shadow: bool
    asked_at: datetime
    expires_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    models: str
    last_event: int

    @property
    def progress(self) -> tuple[ModelProgress, ...]:
        """Each model, as they were asked for."""
        return msgspec.json.decode(self.models, type=tuple[ModelProgress, ...])


class SessionEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model moved on."""

    event_no: int
    model: str
    state: SessionState
    at: datetime
    reason: str | None = None


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said of the edges: whether one is there, when one was, and what others waited lately."""

    online: bool
    seen_at: datetime | None
    usual_wait_s: float | None


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at standing sessions did."""

    expired: int
    again: int
    given_up: int


async def save_session(
    connection: Connection,
    session_id: uuid.UUID,
    account_id: uuid.UUID,
    *,
    market_key: str,
    models: Sequence[str],
    charged: int,
    shadow: bool,
    wait_s: int,
) -> None:
    """Accept a session and ask the edges for it, in the caller's transaction."""
    await connection.execute(INSERT_SESSION, session_id, account_id, market_key, shadow, wait_s)
    await connection.execute(INSERT_MODELS, session_id, list(models), charged)
    await connection.execute(ASK, session_id, wait_s)


async def count_open(connection: Connection, account_id: uuid.UUID) -> int:
    """How many sessions of an account are under way."""
    return int(await connection.fetchval(COUNT_OPEN, account_id))


async def load_market_status(connection: Connection, market_key: str) -> tuple[bool, str | None]:
    """Whether the market is known, and how it stands."""
    row = await connection.fetchrow(LOAD_MARKET_STATUS, market_key)
    return (False, None) if row is None else (True, row["status"])


async def load_session(source: "Pool | Connection", account_id: uuid.UUID, session_id: uuid.UUID) -> SessionRow | None:
    """One session of this account."""
    row = await source.fetchrow(LOAD_SESSION, account_id, session_id)
    return None if row is None else from_row(row, SessionRow)


async def load_sessions(pool: Pool, account_id: uuid.UUID, *, before: uuid.UUID | None, limit: int) -> list[SessionRow]:
    """A page of an account's sessions, newest first, one row longer than `limit` if there are more."""
    return [from_row(row, SessionRow) for row in await pool.fetch(LOAD_SESSIONS, account_id, before, limit + 1)]


async def load_events(pool: Pool, account_id: uuid.UUID, session_id: uuid.UUID, after: int) -> list[SessionEvent]:
    """What happened to a session behind an event, in order."""
    return [from_row(row, SessionEvent) for row in await pool.fetch(LOAD_EVENTS, account_id, session_id, after)]


async def cancel_session(pool: Pool, account_id: uuid.UUID, session_id: uuid.UUID) -> int:
    """Take back what no edge has begun. Returns: how many models; 0 where it is under way or over."""
    async with pool.acquire() as connection, connection.transaction():
        return int(await connection.fetchval(CANCEL, account_id, session_id))


async def load_outlook(source: "Pool | Connection") -> Outlook:
    """Whether somebody is there to begin, and how long others waited."""
    row = await source.fetchrow(LOAD_OUTLOOK)
    if row is None:
        raise RuntimeError("an outlook without a row")
    return from_row(row, Outlook)


async def recover(connection: Connection, *, stuck_s: int, most_asks: int) -> Recovered:
    """Ask again for what stands still, give up what was asked for often enough."""
    return msgspec.json.decode(await connection.fetchval(RECOVER, stuck_s, most_asks), type=Recovered)


# ---------------------------------------------------------------- looking back, for operators

SESSION_FIGURES = """
select count(*) as n, count(*) filter (where ended_at is null) as n_open, count(started_at) as n_started,
    (percentile_cont(0.5) within group (order by extract(epoch from started_at - asked_at)))::float8 as start_p50_s,
    (percentile_cont(0.99) within group (order by extract(epoch from started_at - asked_at)))::float8 as start_p99_s
from prediction_session where asked_at > now() - make_interval(days => $1)
"""
# Beside each forecast of a shadow session the newest earlier one of the same model about the same market.
COMPARE_SHADOWS = """
select s.session_id, s.market_key, m.model, p.experiment, p.probability_yes as on_demand, q.probability_yes as daily,
    q.prediction_id = p.prediction_id as same
from prediction_session as s
join prediction_session_model as m using (session_id)
join prediction as p on p.prediction_id = any (m.prediction_ids)
left join lateral (
    select d.probability_yes, d.prediction_id from prediction as d
    where d.market_id = p.market_id and d.experiment = p.experiment and d.model is not distinct from p.model
        and d.predicted_at < s.asked_at
    order by d.predicted_at desc limit 1
) as q on true
where s.shadow and s.asked_at > now() - make_interval(days => $1)
order by s.session_id, m.place, p.experiment
"""


class SessionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How sessions fared lately; waits in seconds from acceptance to the first step of an edge."""

    n: int
    n_open: int
    n_started: int
    start_p50_s: float | None
    start_p99_s: float | None


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """One forecast of a shadow session beside what the daily runs had said; None: nothing."""

    session_id: uuid.UUID
    market_key: str
    model: str
    experiment: str
    on_demand: float
    daily: float | None
    same: bool | None  # it is the daily one: a forecast of a day is made once


async def load_figures(source: "Pool | Connection", days: int) -> SessionFigures:
    """How sessions fared lately."""
    row = await source.fetchrow(SESSION_FIGURES, days)
    if row is None:
        raise RuntimeError("figures without a row")
    return from_row(row, SessionFigures)


async def compare_shadows(source: "Pool | Connection", days: int) -> list[Shadow]:
    """Each forecast of the shadow sessions of so many days beside the daily one."""
    return [from_row(row, Shadow) for row in await source.fetch(COMPARE_SHADOWS, days)]


# ---------------------------------------------------------------- what was forecast

LOAD_PREDICTIONS = """
select prediction_id, market_key, experiment, experiment_version, run_day, probability_yes, saw_price, predicted_at,
    model, prompt_version, confidence, rationale, initial_price, initial_bid, initial_ask, initial_seen_at, chain,
    chain_seq, previous_hash, record_hash
from prediction join market using (market_id) where prediction_id = any ($1::text[])
order by predicted_at, prediction_id
"""

SessionStatus = Literal["QUEUED", "RESEARCHING", "GENERATING", "COMPLETED", "PARTIAL", "FAILED", "CANCELLED"]


async def load_forecasts(pool: Pool, prediction_ids: Sequence[str]) -> list[Prediction]:
    """The predictions of a session that have landed: a step may be here before its record."""
    return [from_row(row, Prediction) for row in await pool.fetch(LOAD_PREDICTIONS, list(prediction_ids))]
