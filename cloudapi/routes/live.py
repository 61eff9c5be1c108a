"""/v1/live: what lands, as it lands, over server-sent events or a WebSocket; tickets for those who cannot send a key.

Law: a stream says where it is (`id`), that it lives (a heartbeat each 15 s) and when it ends (`bye`): before proxies
cut it at a quarter of an hour, when the process stops, and when the key behind it opens nothing any more. A client
that takes nothing for 20 s is let go.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from litestar import Response, WebSocket, get, post, websocket
from litestar.connection import ASGIConnection
from litestar.exceptions import WebSocketException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import Receive, Scope, Send

from cloudapi.auth import STILL, Caller, Still, found_again
from cloudapi.errors import ApiError, Forbidden, Invalid, RateLimited
from cloudapi.feed import Event, Feed, Listener
from cloudapi.patience import Patience
from cloudapi.places import Place, Places
from cloudapi.queries import logins
from cloudapi.routes.shapes import FAILURES, TIERED
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import lowest_tier_with_live
from cloudapi.tokens import TICKET_MARK, hash_secret, make_secret

TOPICS = ("prices", "insight", "arbitrage", "signal", "prediction", "digest")
HEARTBEAT_S = 15.0  # proxies close what is silent for a minute
LASTS_S = 13 * 60 + 30.0  # the platform cuts at fifteen minutes, without a word
SEND_DEADLINE_S = 20.0
RETRY_MS = 2000
TICKET_LASTS_S = 30.0
HEARTBEAT = b":\n\n"

Topics: TypeAlias = Annotated[
    str | None,
    QueryParameter(max_length=100, description=f"Comma-separated; all unless said: {', '.join(TOPICS)}."),
]
LastId: TypeAlias = Annotated[
    str | None, HeaderParameter(name="last-event-id", max_length=20, description="Continue behind this event.")
]
LastIdQuery: TypeAlias = Annotated[
    str | None,
    QueryParameter(name="last_event_id", max_length=20, description="The same, where no header can be sent."),
]
# Read by the middleware; named here so that the reference tells of it.
TicketText: TypeAlias = Annotated[
    str | None, QueryParameter(name="ticket", max_length=100, description="A ticket instead of a key.")
]


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Opens one live connection, once, within half a minute."""

    ticket: str
    expires_in: int


class Seat(NamedTuple):
    """A stream that is open: what it hears, and its place among those of its account."""

    listener: Listener
    place: Place


def may_listen(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the tier includes the live feed."""
    caller = connection.user
    if not caller.entitlement.live_streams:
        raise Forbidden(f"The live feed is part of {lowest_tier_with_live()} and above; yours is {caller.tier}.")


class EventStream(Response[bytes]):
    """A response that stays open: the listener's events as they come."""

    def __init__(self, services: Services, seat: Seat, still: Still | None) -> None:
        super().__init__(b"", media_type="text/event-stream")
        self._feed = services.feed
        self._places = services.places
        self._listener = seat.listener
        self._seat = seat
        self._still = still

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """What the framework runs: an application of our own, because one body at a time is not enough."""
        return self._run

    async def _run(self, _: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        gone = asyncio.create_task(_end_when_gone(receive, self._listener), name="live hang-up")
        try:
            async with _patient() as patience:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await _push(send, patience, f"retry: {RETRY_MS}\n\n".encode())
                async for events in tell(self._listener, self._feed, self._still):
                    await _push(send, patience, b"".join(event.sse for event in events) or HEARTBEAT)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # the client takes nothing: the connection goes with the server's own deadline
        finally:
            gone.cancel()
            await _leave(self._seat, self._feed, self._places)


@asynccontextmanager
async def _patient() -> AsyncIterator[Patience]:
    """What is begun inside has its time. Raises: TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        patience = Patience(lambda: scope.reschedule(loop.time()))
        try:
            yield patience
        finally:
            patience.close()


async def _push(send: Send, patience: Patience, body: bytes) -> None:
    patience.begin(SEND_DEADLINE_S)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    patience.end()


async def _end_when_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()


async def tell(listener: Listener, feed: Feed, still: Still | None) -> AsyncIterator[list[Event]]:
    """What to send, batch by batch; an empty one is a heartbeat, the last one says goodbye."""
    ends_at = time.monotonic() + LASTS_S
    looks_at = time.monotonic() + HEARTBEAT_S
    while True:
        events = await listener.take(HEARTBEAT_S)
        if events or not listener.is_over:
            yield events
        reason = None
        if listener.is_over:
            reason = "stopping" if feed.is_closed else "gone"
        elif time.monotonic() >= ends_at:
            reason = "time"
        elif time.monotonic() >= looks_at:
            looks_at = time.monotonic() + HEARTBEAT_S
            reason = None if still is None or await _may_stay(still) else "not allowed any more"
        if reason is not None:
            yield [Event.of(0, "bye", f'{{"reason":"{reason}"}}')]
            return


async def _may_stay(still: Still) -> bool:
    caller = await found_again(still)
    return caller is not None and caller.entitlement.live_streams > 0


@get(
    "/v1/live",
    tags=["live"],
    guards=[may_listen],
    opt={"ticket": True},
    responses={
        200: ResponseSpec(str, media_type="text/event-stream", description="Events, until one of us leaves"),
        **TIERED,
        **FAILURES,
    },
)
async def listen(
    services: Wired,
    request: AnyRequest,
    *,
    topics: Topics = None,
    last_id: LastId = None,
    last_id_query: LastIdQuery = None,
    ticket: TicketText = None,  # noqa: ARG001  the middleware has used it
) -> EventStream:
    """Everything that lands, as server-sent events: `prices` by the hundred, the others one by one."""
    behind = _number(last_id or last_id_query)
    seat = await _join(services, request.user, topics, behind)
    return EventStream(services, seat, request.scope["state"].get(STILL))


@websocket("/v1/live/ws", guards=[may_listen], opt={"ticket": True})
async def listen_socket(
    socket: WebSocket[Caller, Any, Any],
    services: Wired,
    topics: Topics = None,
    last_id_query: LastIdQuery = None,
) -> None:
    """The same over a WebSocket: one JSON object per event; a heartbeat is `{"event":"heartbeat"}`."""
    try:
        seat = await _join(services, socket.user, topics, _number(last_id_query))
    except ApiError as exc:
        raise WebSocketException(detail=exc.detail, code=1008) from exc
    try:
        await socket.accept()
        await _talk(socket, services, seat)
    except TimeoutError:
        pass  # the client takes nothing
    finally:
        await _leave(seat, services.feed, services.places)


async def _talk(socket: WebSocket[Caller, Any, Any], services: Services, seat: Seat) -> None:
    gone = asyncio.create_task(_end_when_socket_gone(socket, seat.listener), name="live hang-up")
    try:
        async with _patient() as patience:
            async for events in tell(seat.listener, services.feed, socket.scope["state"].get(STILL)):
                for text in [event.text for event in events] or ['{"event":"heartbeat"}']:
                    patience.begin(SEND_DEADLINE_S)
                    await socket.send_data(text)
                    patience.end()
            if not gone.done():
                await socket.close(code=1001)
    finally:
        gone.cancel()


async def _end_when_socket_gone(socket: WebSocket[Caller, Any, Any], listener: Listener) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass  # whatever a client says is not for us
    listener.end()


@post(
    "/v1/live/tickets",
    tags=["live"],
    guards=[may_listen],
    status_code=201,
    responses={201: ResponseSpec(Ticket), **TIERED, **FAILURES},
)
async def make_ticket(services: Wired, request: AnyRequest) -> Response[Ticket]:
    """A single-use ticket for `/v1/live?ticket=`: a browser's EventSource cannot send a key."""
    secret = make_secret(TICKET_MARK)
    await logins.save_ticket(services.pool, hash_secret(secret), request.user.account_id, lasts_s=TICKET_LASTS_S)
    ticket = Ticket(ticket=secret, expires_in=int(TICKET_LASTS_S))
    return Response(ticket, status_code=201, headers={"cache-control": "no-store"})


async def _join(services: Services, caller: Caller, topics: str | None, behind: int | None) -> Seat:
    wanted = frozenset(part.strip() for part in (topics or "").split(",") if part.strip())
    unknown = wanted - set(TOPICS)
    if unknown:
        errors = [{"pointer": "/query/topics", "detail": f"unknown: {', '.join(sorted(unknown))}"}]
        raise Invalid(f"Topics are {', '.join(TOPICS)}.", errors=errors)
    most = caller.entitlement.live_streams
    place = await services.places.take(caller.account_id, most)
    if place is None:
        raise _all_taken(most)
    try:
        _expect_room(services, caller)
        return Seat(await services.feed.join(caller.account_id, wanted, behind), place)
    except BaseException:
        await services.places.give_back(place)
        raise


def _expect_room(services: Services, caller: Caller) -> None:
    """Room on this replica, whoever counts the others. Raises: RateLimited, Unavailable."""
    most = caller.entitlement.live_streams
    if services.feed.n_of(caller.account_id) >= most:
        raise _all_taken(most)
    services.make_room()


def _all_taken(most: int) -> RateLimited:
    return RateLimited(f"{most} live streams of this account are open already; close one.", retry_after_s=15)


async def _leave(seat: Seat, feed: Feed, places: Places) -> None:
    """The place first: whoever is seen to have left may come back at once."""
    try:
        await places.give_back(seat.place)
    finally:
        feed.leave(seat.listener)


def _number(text: str | None) -> int | None:
    """The event a client saw last. Whatever is not a number of ours was not told by us."""
    if text is None or not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        errors = [{"pointer": "/header/last-event-id", "detail": "not a number"}]
        raise Invalid("Last-Event-ID is the number of an event.", errors=errors)
    return int(text)
