"""/v1/predictions (POST), /v1/prediction-sessions, /v1/credits: forecasts somebody asks for, followed by polling or as
events, and what they cost.

Law: accepted is 202 with an id, charged once per model under the caller's Idempotency-Key; whatever is a stranger's is
the same 404 as what never was. A stream says each move once, in order, from where the reader was (`Last-Event-ID`), and
ends with the session.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Response, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.types import ASGIApp, Receive, Scope, Send

from cloudapi import credits as booking
from cloudapi import sessions
from cloudapi.auth import STILL, Caller, Still, found_again
from cloudapi.db import Connection
from cloudapi.errors import Conflict, NotFound, RateLimited
from cloudapi.idempotency import once
from cloudapi.problems import Problem
from cloudapi.queries import credits as ledger
from cloudapi.queries import sessions as stored
from cloudapi.queries.credits import CreditEntry
from cloudapi.routes.predictions import may_read_predictions
from cloudapi.routes.shapes import FAILURES, MISSING, TIERED, Cursor, Limit
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.sessions import Session
from sync.waiting import first_of

MOST_STREAMS = 5  # of one account on one replica
HEARTBEAT_S = 15.0  # proxies close what is silent for a minute; a look, should a notification have been lost
LASTS_S = 13 * 60 + 30.0  # the platform cuts at fifteen minutes, without a word; the reader comes back with its place
SEND_DEADLINE_S = 20.0
HEARTBEAT = b":\n\n"

MarketKey: TypeAlias = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
ModelName: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
RequestKey: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="idempotency-key", min_length=1, max_length=200, description="Yours to choose; repeats charge nothing new."
    ),
]
LastId: TypeAlias = Annotated[
    int | None, HeaderParameter(name="last-event-id", ge=0, le=2**31 - 1, description="Continue behind this event.")
]
NO_STORE = {"cache-control": "no-store"}
PROBLEM = "application/problem+json"
ACCEPTED = {
    202: ResponseSpec(Session, description="Accepted and charged; follow it by its links"),
    402: ResponseSpec(Problem, description="Not enough credits", media_type=PROBLEM),
    409: ResponseSpec(Problem, description="Under way, too many, or no open market", media_type=PROBLEM),
    **MISSING,
    **TIERED,
    **FAILURES,
}


class PredictionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A forecast of one market by one model; without a model, by the first on offer."""

    market_key: MarketKey
    model: ModelName | None = None


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A forecast of one market by several models."""

    market_key: MarketKey
    models: Annotated[tuple[ModelName, ...], msgspec.Meta(min_length=1, max_length=8)]


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the caller's sessions, newest first."""

    data: list[Session]
    has_more: bool
    next_cursor: str | None


class Credits(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller has, and how it came and went."""

    balance: int
    per_month: int
    per_model: int
    entries: list[CreditEntry]
    has_more: bool
    next_cursor: str | None


@post("/v1/predictions", tags=["sessions"], guards=[may_read_predictions], status_code=202, responses=ACCEPTED)
async def ask_prediction(
    services: Wired, request: AnyRequest, data: JSONBody[PredictionRequest], key: RequestKey
) -> Response[bytes]:
    """Ask for a forecast now: a session of one model. Costs one credit, which comes back if there is no forecast."""
    models = () if data.model is None else (data.model,)
    return await _accept(services, request.user, data, key, models)


@post("/v1/prediction-sessions", tags=["sessions"], guards=[may_read_predictions], status_code=202, responses=ACCEPTED)
async def ask_session(
    services: Wired, request: AnyRequest, data: JSONBody[SessionRequest], key: RequestKey
) -> Response[bytes]:
    """Ask several models now. Costs one credit each; what a model does not deliver comes back."""
    return await _accept(services, request.user, data, key, data.models)


async def _accept(
    services: Services,
    caller: Caller,
    asked: PredictionRequest | SessionRequest,
    key: str,
    models: tuple[str, ...],
) -> Response[bytes]:
    async def work(connection: Connection) -> tuple[Session, Session]:
        made = await sessions.accept(
            connection, caller, services.settings, market_key=asked.market_key, models=models, now=services.now()
        )
        return made, made

    return await once(services.pool, caller, key, asked, work, status=202)


@get(
    "/v1/prediction-sessions",
    tags=["sessions"],
    responses={200: ResponseSpec(SessionPage), 400: FAILURES[422], **FAILURES},
)
async def list_sessions(
    services: Wired, request: AnyRequest, *, limit: Limit = 20, cursor: Cursor = None
) -> Response[SessionPage]:
    """The caller's sessions, newest first; without their forecasts."""
    account_id, before = request.user.account_id, None
    filters = {"account": str(account_id)}
    if cursor is not None:
        (before,) = services.cursors.read(cursor, tuple[uuid.UUID], listing="sessions", filters=filters)
    rows = await stored.load_sessions(services.pool, account_id, before=before, limit=limit)
    outlook = await stored.load_outlook(services.pool)
    page, follow = rows[:limit], None
    if len(rows) > limit:
        follow = services.cursors.make([page[-1].session_id], listing="sessions", filters=filters)
    shown = [sessions.view(row, outlook) for row in page]
    return Response(SessionPage(data=shown, has_more=follow is not None, next_cursor=follow), headers=NO_STORE)


@get(
    "/v1/prediction-sessions/{session_id:uuid}",
    tags=["sessions"],
    responses={200: ResponseSpec(Session), **MISSING, **FAILURES},
)
async def get_session(services: Wired, request: AnyRequest, session_id: FromPath[uuid.UUID]) -> Response[Session]:
    """How a session of the caller stands, with the forecasts it has brought."""
    found = await sessions.look(services.pool, request.user.account_id, session_id)
    return Response(found, headers=NO_STORE)


@delete(
    "/v1/prediction-sessions/{session_id:uuid}",
    tags=["sessions"],
    status_code=200,
    responses={
        200: ResponseSpec(Session),
        409: ResponseSpec(Problem, description="Under way or over", media_type=PROBLEM),
        **MISSING,
        **FAILURES,
    },
)
async def call_off(services: Wired, request: AnyRequest, session_id: FromPath[uuid.UUID]) -> Response[Session]:
    """Call a session off while no edge has begun it; its credits come back."""
    account_id = request.user.account_id
    ended = await stored.cancel_session(services.pool, account_id, session_id)
    found = await sessions.look(services.pool, account_id, session_id)
    if not ended and found.state != "CANCELLED":
        raise Conflict(f"The session is {found.state}: only one that waits can be called off.")
    return Response(found, headers=NO_STORE)


@get(
    "/v1/prediction-sessions/{session_id:uuid}/events",
    tags=["sessions"],
    responses={
        200: ResponseSpec(str, media_type="text/event-stream", description="Each move, then the session as it ended"),
        **MISSING,
        **FAILURES,
    },
)
async def follow_session(
    services: Wired, request: AnyRequest, session_id: FromPath[uuid.UUID], *, last_id: LastId = None
) -> Response[bytes]:
    """Each move of a session as a server-sent event `step`, then `end` with all of it."""
    account_id = request.user.account_id
    if await stored.load_session(services.pool, account_id, session_id) is None:
        raise NotFound("There is no such session.")
    if services.bells.n_of(account_id) >= MOST_STREAMS:
        raise RateLimited(f"{MOST_STREAMS} session streams of this account are open; close one.", retry_after_s=15)
    services.make_room()
    return SessionStream(services, account_id, session_id, last_id or 0, request.scope["state"][STILL])


class SessionStream(Response[bytes]):
    """A response that stays open until the session ends, the reader leaves, his key opens nothing any more or the
    process stops.
    """

    def __init__(
        self, services: Services, account_id: uuid.UUID, session_id: uuid.UUID, after: int, still: Still
    ) -> None:
        super().__init__(b"", media_type="text/event-stream")
        self._services, self._account_id, self._session_id, self._after = services, account_id, session_id, after
        self._still = still

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]  # wider: any will do
        """What the framework runs."""
        return self._run

    async def _run(self, _: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        bells, bell = self._services.bells, self._services.bells.join(self._account_id, self._session_id)
        gone = asyncio.create_task(_until_gone(receive, bell), name="session hang-up")
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for piece in self._tell(bell, gone.done):
                async with asyncio.timeout(SEND_DEADLINE_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # the reader takes nothing: the connection goes with the server's own deadline
        finally:
            gone.cancel()
            bells.leave(self._account_id, self._session_id, bell)

    async def _tell(self, bell: asyncio.Event, is_gone: Callable[[], bool]) -> AsyncIterator[bytes]:
        services, ends_at = self._services, time.monotonic() + LASTS_S
        while not is_gone():
            bell.clear()
            if await found_again(self._still) is None:
                yield b'event: bye\ndata: {"reason":"not allowed any more"}\n\n'
                return
            found = await sessions.look(services.pool, self._account_id, self._session_id)
            told = await stored.load_events(services.pool, self._account_id, self._session_id, self._after)
            for event in told:
                self._after = event.event_no
                yield _encoded("step", event, event.event_no)
            if found.ended_at is not None:
                yield _encoded("end", found, None)
                return
            if services.stopping.is_set() or time.monotonic() >= ends_at:
                yield b'event: bye\ndata: {"reason":"come back with Last-Event-ID"}\n\n'
                return
            if not told:
                yield HEARTBEAT
            await first_of(HEARTBEAT_S, bell, services.stopping)


def _encoded(name: str, body: msgspec.Struct, number: int | None) -> bytes:
    place = b"" if number is None else b"id: %d\n" % number
    return place + b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(body) + b"\n\n"


async def _until_gone(receive: Receive, bell: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    bell.set()


@get("/v1/credits", tags=["sessions"], responses={200: ResponseSpec(Credits), 400: FAILURES[422], **FAILURES})
async def get_credits(
    services: Wired, request: AnyRequest, *, limit: Limit = 20, cursor: Cursor = None
) -> Response[Credits]:
    """The caller's credits and the ledger they come from, newest entry first."""
    caller, before = request.user, None
    filters = {"account": str(caller.account_id)}
    if cursor is not None:
        (before,) = services.cursors.read(cursor, tuple[int], listing="credits", filters=filters)
    async with services.pool.acquire() as connection, connection.transaction():
        await booking.grant_month(connection, caller, services.now())
    rows = await ledger.load_entries(services.pool, caller.account_id, before=before, limit=limit)
    page, follow = rows[:limit], None
    if len(rows) > limit:
        follow = services.cursors.make([page[-1].entry_no], listing="credits", filters=filters)
    found = Credits(
        balance=await ledger.load_balance(services.pool, caller.account_id),
        per_month=caller.entitlement.credits_per_month,
        per_model=booking.CREDITS_PER_MODEL,
        entries=page,
        has_more=follow is not None,
        next_cursor=follow,
    )
    return Response(found, headers=NO_STORE)


HANDLERS = (ask_prediction, ask_session, list_sessions, get_session, call_off, follow_session, get_credits)
