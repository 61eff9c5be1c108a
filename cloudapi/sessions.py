"""Predictions on demand: accepting a session, what its owner sees, who is told when it moves, and recovering it.

Law: accepting is one transaction: credits, session, request to the edges, answer. No price of a model is decided here
twice: what ends without a forecast is refunded where it ends, in the database. Who waits is told what is known (whether
an edge is there, what others waited lately), and nothing where nothing is known.
"""

import asyncio
import uuid
from collections.abc import Iterable
from datetime import datetime

import msgspec

from cloudapi import credits as booking
from cloudapi.auth import Caller
from cloudapi.db import Connection, Pool
from cloudapi.errors import Conflict, Invalid, NotFound, Unavailable
from cloudapi.flags import Flag, require
from cloudapi.queries import sessions
from cloudapi.queries.accounts import hold, new_id
from cloudapi.queries.sessions import ModelProgress, Outlook, Recovered, SessionRow, SessionStatus
from cloudapi.settings import CloudSettings, SessionsMode
from sync.records import MarketStatus, Prediction, SessionState

MOST_OPEN = 5  # sessions of one account under way: an edge is one machine
STUCK_S = 600  # without a word from the edge that took it: asked for again
MOST_ASKS = 3


class Expectation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can honestly be said about when it begins."""

    edge_online: bool
    says: str
    starts_in_s: float | None = None  # 0.9 of the last hundred sessions began sooner; absent: nothing is known
    edge_seen_at: datetime | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session as its owner sees it."""

    session_id: uuid.UUID
    market_key: str
    state: SessionStatus
    asked_at: datetime
    expires_at: datetime
    models: tuple[ModelProgress, ...]
    links: dict[str, str]
    shadow: bool = False  # a trial of ours: not charged, and nothing is promised
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expectation: Expectation | None = None  # while it waits for an edge
    predictions: tuple[Prediction, ...] = ()
    credits_left: int | None = None  # when it was accepted


def status_of(states: Iterable[SessionState]) -> SessionStatus:
    """What a session is, from its models: the least advanced one while any works, then what came of all of them."""
    found = set(states)
    if SessionState.RESEARCHING in found:
        return "RESEARCHING"
    if SessionState.GENERATING in found:
        return "GENERATING"
    if SessionState.QUEUED in found:
        return "QUEUED" if found == {SessionState.QUEUED} else "RESEARCHING"
    if found == {SessionState.COMPLETED}:
        return "COMPLETED"
    if SessionState.COMPLETED in found:
        return "PARTIAL"
    return "CANCELLED" if found == {SessionState.CANCELLED} else "FAILED"


def view(
    row: SessionRow,
    outlook: Outlook | None,
    *,
    predictions: Iterable[Prediction] = (),
    credits_left: int | None = None,
) -> Session:
    """A stored session as its owner sees it."""
    state = status_of(one.state for one in row.progress)
    here = f"/v1/prediction-sessions/{row.session_id}"
    waits = outlook is not None and state == "QUEUED"
    return Session(
        session_id=row.session_id,
        market_key=row.market_key,
        state=state,
        asked_at=row.asked_at,
        expires_at=row.expires_at,
        models=row.progress,
        links={"self": here, "events": f"{here}/events"},
        shadow=row.shadow,
        started_at=row.started_at,
        ended_at=row.ended_at,
        expectation=expectation(outlook, row.expires_at) if waits and outlook is not None else None,
        predictions=tuple(predictions),
        credits_left=credits_left,
    )


def expectation(outlook: Outlook, expires_at: datetime) -> Expectation:
    """When it may begin. With no edge online nobody knows, and that is what is said."""
    if outlook.online:
        usual_s = outlook.usual_wait_s
        known = (
            "how soon it begins was not measured yet" if usual_s is None else f"9 of 10 began within {usual_s:.1f} s"
        )
        return Expectation(
            edge_online=True,
            says=f"An edge is online; {known}.",
            starts_in_s=usual_s,
            edge_seen_at=outlook.seen_at,
        )
    seen_at = outlook.seen_at
    since = "none was ever seen" if seen_at is None else f"the last one was seen {seen_at:%Y-%m-%d %H:%M} UTC"
    return Expectation(
        edge_online=False,
        says=f"No edge is online ({since}). The session waits until {expires_at:%Y-%m-%d %H:%M} UTC; if none begins by "
        "then, it ends and its credits come back.",
        edge_seen_at=outlook.seen_at,
    )


async def accept(
    connection: Connection,
    caller: Caller,
    settings: CloudSettings,
    *,
    market_key: str,
    models: tuple[str, ...],
    now: datetime,
) -> Session:
    """Charge and enqueue a session, all or nothing.

    Raises: Unavailable, Invalid, NotFound, Conflict, NotEnoughCredits.
    """
    if settings.sessions is SessionsMode.OFF:
        raise Unavailable("Predictions on demand are switched off at the moment.")
    await require(connection, Flag.SESSIONS, caller.account_id)
    wanted = tuple(dict.fromkeys(models)) or settings.session_models[:1]
    if unknown := [model for model in wanted if model not in settings.session_models]:
        errors = [{"pointer": "/body/models", "detail": f"unknown: {', '.join(unknown)[:200]}"}]
        raise Invalid(f"Models are {', '.join(settings.session_models)}.", errors=errors)
    await _check_market(connection, market_key)
    shadow, session_id, left = settings.sessions is SessionsMode.SHADOW, new_id(), None
    if shadow:
        await hold(connection, caller.account_id)
    else:
        left = await booking.charge(connection, caller, session_id, wanted, now)  # holds the account from here on
    if await sessions.count_open(connection, caller.account_id) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} sessions of this account are under way; wait for one or call one off.")
    await sessions.save_session(
        connection,
        session_id,
        caller.account_id,
        market_key=market_key,
        models=wanted,
        charged=0 if shadow else booking.CREDITS_PER_MODEL,
        shadow=shadow,
        wait_s=settings.session_wait_s,
    )
    row = await sessions.load_session(connection, caller.account_id, session_id)
    if row is None:
        raise RuntimeError("a session that was just saved is not there")
    return view(row, await sessions.load_outlook(connection), credits_left=left)


async def _check_market(connection: Connection, market_key: str) -> None:
    known, status = await sessions.load_market_status(connection, market_key)
    if not known:
        raise NotFound(f"There is no market {market_key!r}.")
    if status is not None and status != MarketStatus.OPEN:
        raise Conflict(f"The market is {status}; only an open one can be forecast.")


async def look(pool: Pool, account_id: uuid.UUID, session_id: uuid.UUID) -> Session:
    """One session of this account with what it has brought. Raises: NotFound, the same for unknown and foreign."""
    row = await sessions.load_session(pool, account_id, session_id)
    if row is None:
        raise NotFound("There is no such session.")
    ids = [prediction_id for one in row.progress for prediction_id in one.prediction_ids]
    made = await sessions.load_forecasts(pool, ids) if ids else []
    return view(row, None if row.started_at else await sessions.load_outlook(pool), predictions=made)


async def recover(connection: Connection) -> Recovered:
    """What the worker does every ten minutes: ask again for what stands still, end what nobody will do."""
    return await sessions.recover(connection, stuck_s=STUCK_S, most_asks=MOST_ASKS)


class Bells:
    """Who waits for which session, inside one replica."""

    def __init__(self) -> None:
        self._waiting: dict[uuid.UUID, set[asyncio.Event]] = {}
        self._streams: dict[uuid.UUID, int] = {}

    def ring(self, session_id: str | None) -> None:
        """This session moved; None: any may have."""
        for waiting, events in self._waiting.items():
            if session_id is None or str(waiting) == session_id:
                for event in events:
                    event.set()

    def join(self, account_id: uuid.UUID, session_id: uuid.UUID) -> asyncio.Event:
        """Begin to listen."""
        event = asyncio.Event()
        self._waiting.setdefault(session_id, set()).add(event)
        self._streams[account_id] = self._streams.get(account_id, 0) + 1
        return event

    def leave(self, account_id: uuid.UUID, session_id: uuid.UUID, event: asyncio.Event) -> None:
        """Listen no more."""
        listening = self._waiting.get(session_id, set())
        listening.discard(event)
        if not listening:
            self._waiting.pop(session_id, None)
        self._streams[account_id] -= 1
        if not self._streams[account_id]:
            del self._streams[account_id]

    @property
    def n_streams(self) -> int:
        """How many streams are open here."""
        return sum(self._streams.values())

    def n_of(self, account_id: uuid.UUID) -> int:
        """How many streams an account has open here."""
        return self._streams.get(account_id, 0)
