"""/v1/webhooks and /v1/channels: where pro accounts want to be told, and what became of each message.

Law: a secret is shown once, an address of a channel never; whatever is named by its id is the account's or it is 404.
"""

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody

from cloudapi import tasks
from cloudapi.audit import note
from cloudapi.auth import Caller
from cloudapi.db import Connection
from cloudapi.egress import AddressRefused, check_url
from cloudapi.errors import Conflict, Forbidden, Invalid, NotFound
from cloudapi.idempotency import once
from cloudapi.notifications import MAX_CHANNELS, PER_HOUR, Service, check_address
from cloudapi.queries import notifications as channel_rows
from cloudapi.queries import webhooks as rows
from cloudapi.queries.notifications import ChannelRow
from cloudapi.queries.webhooks import EndpointRow, MessageRow
from cloudapi.routes.accounts import CONFLICT, NO_STORE, REFUSED, RequestKey
from cloudapi.routes.shapes import FAILURES, MISSING, TIERED, Cursor, Limit
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import Tier
from cloudapi.webhooks import MAX_ENDPOINTS, Topic, make_signing_secret, may_receive, stranger

Topics = Annotated[tuple[Topic, ...], msgspec.Meta(min_length=1, max_length=len(Topic))]
CREATES = {"scope": "manage"}


def may_be_told(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the tier is told at once."""
    caller = connection.user
    if not may_receive(caller.tier):
        raise Forbidden(f"Webhooks and channels are part of {Tier.PRO}; yours is {caller.tier}.")


class EndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to post, and what about; `watched_only`: only what the watch list follows."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    topics: Topics
    watched_only: bool = False


class NewEndpoint(EndpointRow, frozen=True, kw_only=True):
    """An endpoint just made; `secret` is shown this once and verifies every message."""

    secret: str | None


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoints of an account, newest first."""

    data: list[EndpointRow]


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """A page of an endpoint's messages, newest first."""

    data: list[MessageRow]
    has_more: bool
    next_cursor: str | None


class ChannelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service and the address there; the address is never shown again."""

    kind: Service
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    topics: Topics
    watched_only: bool = True
    per_hour: Annotated[int, msgspec.Meta(ge=1, le=60)] = PER_HOUR


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """The channels of an account, newest first."""

    data: list[ChannelRow]


@get(
    "/v1/webhooks",
    tags=["webhooks"],
    opt=CREATES,
    responses={200: ResponseSpec(Endpoints), **REFUSED, **FAILURES},
)
async def list_endpoints(services: Wired, request: AnyRequest) -> Response[Endpoints]:
    """The account's endpoints, and which of them are switched off and why."""
    found = await rows.load_endpoints(services.pool, request.user.account_id)
    return Response(Endpoints(data=found), headers=NO_STORE)


@post(
    "/v1/webhooks",
    tags=["webhooks"],
    status_code=201,
    guards=[may_be_told],
    opt=CREATES,
    responses={201: ResponseSpec(NewEndpoint), **TIERED, **CONFLICT, **FAILURES},
)
async def add_endpoint(
    services: Wired, request: AnyRequest, data: JSONBody[EndpointRequest], request_key: RequestKey
) -> Response[bytes]:
    """An endpoint of your own. The secret is shown this once."""
    try:
        url = check_url(data.url, services.settings.webhook_exceptions)
    except AddressRefused as exc:
        errors = [{"pointer": "/body/url", "detail": str(exc)}]
        raise Invalid(f"Webhooks are not sent there: {exc}.", errors=errors) from exc
    account_id = request.user.account_id

    async def work(connection: Connection) -> tuple[NewEndpoint, NewEndpoint]:
        if await rows.count_endpoints(connection, account_id) >= MAX_ENDPOINTS:
            raise Conflict(f"An account has at most {MAX_ENDPOINTS} endpoints; delete one first.")
        secret = make_signing_secret()
        topics = sorted({topic.value for topic in data.topics})
        made = await rows.save_endpoint(
            connection, account_id, url=url, topics=topics, watched_only=data.watched_only, secret=secret
        )
        await note(connection, account_id, "webhook_made", id=str(made.endpoint_id), topics=topics)
        fields = msgspec.structs.asdict(made)
        return NewEndpoint(**fields, secret=secret), NewEndpoint(**fields, secret=None)

    return await once(services.pool, request.user, request_key, data, work)


@delete(
    "/v1/webhooks/{endpoint_id:uuid}",
    tags=["webhooks"],
    status_code=204,
    opt=CREATES,
    responses={**REFUSED, **MISSING, **FAILURES},
)
async def delete_endpoint(services: Wired, request: AnyRequest, endpoint_id: FromPath[uuid.UUID]) -> None:
    """Remove an endpoint, and what waits for it."""
    async with services.pool.acquire() as connection, connection.transaction():
        if not await rows.delete_endpoint(connection, request.user.account_id, endpoint_id):
            raise stranger("endpoint")
        await note(connection, request.user.account_id, "webhook_deleted", id=str(endpoint_id))


@post(
    "/v1/webhooks/{endpoint_id:uuid}/enable",
    tags=["webhooks"],
    status_code=204,
    guards=[may_be_told],
    opt=CREATES,
    responses={**TIERED, **MISSING, **FAILURES},
)
async def enable_endpoint(services: Wired, request: AnyRequest, endpoint_id: FromPath[uuid.UUID]) -> None:
    """Switch an endpoint on again that was switched off."""
    async with services.pool.acquire() as connection, connection.transaction():
        if not await rows.enable_endpoint(connection, request.user.account_id, endpoint_id):
            raise stranger("endpoint")
        await note(connection, request.user.account_id, "webhook_enabled", id=str(endpoint_id))


@get(
    "/v1/webhooks/{endpoint_id:uuid}/messages",
    tags=["webhooks"],
    opt=CREATES,
    responses={200: ResponseSpec(Messages), 400: FAILURES[422], **REFUSED, **MISSING, **FAILURES},
)
async def list_messages(
    services: Wired,
    request: AnyRequest,
    endpoint_id: FromPath[uuid.UUID],
    *,
    dead: FromQuery[bool] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[Messages]:
    """What was sent to an endpoint and how it fared; `dead=true` is the dead letter."""
    narrowed = {"endpoint": str(endpoint_id), "dead": dead}
    before = None
    if cursor is not None:
        (before,) = services.cursors.read(cursor, tuple[uuid.UUID], listing="webhook_messages", filters=narrowed)
    found = await rows.load_messages(
        services.pool, request.user.account_id, endpoint_id, state="dead" if dead else None, before=before, limit=limit
    )
    if not found and endpoint_id not in {
        one.endpoint_id for one in await rows.load_endpoints(services.pool, request.user.account_id)
    }:
        raise NotFound("There is no such endpoint.")
    page, follow = found[:limit], None
    if len(found) > limit:
        follow = services.cursors.make([page[-1].message_id], listing="webhook_messages", filters=narrowed)
    return Response(Messages(data=page, has_more=follow is not None, next_cursor=follow), headers=NO_STORE)


@post(
    "/v1/webhook-messages/{message_id:uuid}/redeliver",
    tags=["webhooks"],
    status_code=202,
    guards=[may_be_told],
    opt=CREATES,
    responses={**TIERED, **MISSING, **FAILURES},
)
async def redeliver(services: Wired, request: AnyRequest, message_id: FromPath[uuid.UUID]) -> None:
    """Send a message once more, under its own id; its endpoint must be on."""
    async with services.pool.acquire() as connection, connection.transaction():
        if not await rows.redeliver(connection, request.user.account_id, message_id):
            raise stranger("message that could be sent again")
        await tasks.defer(connection, tasks.SEND_WEBHOOK, {"message_id": str(message_id)})
        await note(connection, request.user.account_id, "webhook_redelivered", id=str(message_id))


@get(
    "/v1/channels",
    tags=["webhooks"],
    opt=CREATES,
    responses={200: ResponseSpec(Channels), **REFUSED, **FAILURES},
)
async def list_channels(services: Wired, request: AnyRequest) -> Response[Channels]:
    """The account's channels; never their addresses."""
    found = await channel_rows.load_channels(services.pool, request.user.account_id)
    return Response(Channels(data=found), headers=NO_STORE)


@post(
    "/v1/channels",
    tags=["webhooks"],
    status_code=201,
    guards=[may_be_told],
    opt=CREATES,
    responses={201: ResponseSpec(ChannelRow), **TIERED, **CONFLICT, **FAILURES},
)
async def add_channel(
    services: Wired, request: AnyRequest, data: JSONBody[ChannelRequest], request_key: RequestKey
) -> Response[bytes]:
    """A channel in Slack, Discord, Telegram or ntfy."""
    address = check_address(data.kind, data.address)
    account_id = request.user.account_id

    async def work(connection: Connection) -> tuple[ChannelRow, ChannelRow]:
        if await channel_rows.count_channels(connection, account_id) >= MAX_CHANNELS:
            raise Conflict(f"An account has at most {MAX_CHANNELS} channels; delete one first.")
        made = await channel_rows.save_channel(
            connection,
            account_id,
            kind=data.kind.value,
            address=address,
            topics=sorted({topic.value for topic in data.topics}),
            watched_only=data.watched_only,
            per_hour=data.per_hour,
        )
        await note(connection, account_id, "channel_made", id=str(made.channel_id), kind=data.kind.value)
        return made, made

    return await once(services.pool, request.user, request_key, data, work)


@delete(
    "/v1/channels/{channel_id:uuid}",
    tags=["webhooks"],
    status_code=204,
    opt=CREATES,
    responses={**REFUSED, **MISSING, **FAILURES},
)
async def delete_channel(services: Wired, request: AnyRequest, channel_id: FromPath[uuid.UUID]) -> None:
    """Remove a channel."""
    async with services.pool.acquire() as connection, connection.transaction():
        if not await channel_rows.delete_channel(connection, request.user.account_id, channel_id):
            raise stranger("channel")
        await note(connection, request.user.account_id, "channel_deleted", id=str(channel_id))


HANDLERS = (
    list_endpoints,
    add_endpoint,
    delete_endpoint,
    enable_endpoint,
    list_messages,
    redeliver,
    list_channels,
    add_channel,
    delete_channel,
)
