"""/app/account/webhooks: endpoints of one's own and channels of messengers, and what became of each message."""

import uuid
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from cloudapi.errors import NotFound
from cloudapi.notifications import HINTS, MAX_CHANNELS, PER_HOUR, Service
from cloudapi.queries.notifications import ChannelRow
from cloudapi.routes import webhooks
from cloudapi.routes.shapes import Cursor
from cloudapi.routes.webhooks import ChannelRequest, Channels, EndpointRequest, Endpoints, Messages, NewEndpoint
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.web.account.room import ENDS, MANAGES, room
from cloudapi.web.asking import Asker
from cloudapi.web.forms import BLANK, Form, done, number_of, read, submit
from cloudapi.webhooks import MAX_ENDPOINTS, Topic, may_receive

PATH = "/app/account/webhooks"
TOPICS = frozenset({"topics"})


@get(PATH, opt=MANAGES)
async def webhooks_page(services: Wired, request: AnyRequest) -> Response[str]:
    """Where the account is told at once."""
    return await _shown(services, request)


@post(PATH, opt=MANAGES, status_code=200)
async def make_endpoint(services: Wired, request: AnyRequest) -> Response[Any]:
    """An endpoint; its secret is shown this once."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        wanted = read(EndpointRequest, given, lists=TOPICS)
        made = await Asker(services, request)(
            webhooks.add_endpoint, NewEndpoint, data=wanted, request_key=number_of(given)
        )
        return await _shown(services, request, made=made)

    return await submit(request, "endpoint", work, _again(services, request))


@get(PATH + "/{endpoint_id:uuid}", opt=MANAGES)
async def endpoint_page(
    services: Wired,
    request: AnyRequest,
    endpoint_id: FromPath[uuid.UUID],
    *,
    dead: FromQuery[bool] = False,
    cursor: Cursor = None,
) -> Response[str]:
    """What was sent to an endpoint and how it fared."""
    ask = Asker(services, request)
    found = (await ask(webhooks.list_endpoints, Endpoints)).data
    endpoint = next((one for one in found if one.endpoint_id == endpoint_id), None)
    if endpoint is None:
        raise NotFound("There is no such endpoint.")
    listed = await ask(webhooks.list_messages, Messages, endpoint_id=endpoint_id, dead=dead, cursor=cursor)
    return room(request, "account_endpoint.html", endpoint=endpoint, listed=listed, dead=dead)


@post(PATH + "/{endpoint_id:uuid}/enable", opt=MANAGES, status_code=303)
async def enable_endpoint(services: Wired, request: AnyRequest, endpoint_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Switch it on again."""
    await Asker(services, request).do(webhooks.enable_endpoint, endpoint_id=endpoint_id)
    return done(PATH, "webhook-on")


@post(PATH + "/{endpoint_id:uuid}/end", opt=ENDS, status_code=303)
async def end_endpoint(services: Wired, request: AnyRequest, endpoint_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Remove it."""
    await Asker(services, request).do(webhooks.delete_endpoint, endpoint_id=endpoint_id)
    return done(PATH, "webhook-ended")


@post(PATH + "/{endpoint_id:uuid}/messages/{message_id:uuid}", opt=MANAGES, status_code=303)
async def send_again(
    services: Wired, request: AnyRequest, endpoint_id: FromPath[uuid.UUID], message_id: FromPath[uuid.UUID]
) -> Response[Any]:
    """Send a message once more."""
    await Asker(services, request).do(webhooks.redeliver, message_id=message_id)
    return done(f"{PATH}/{endpoint_id}", "again")


@post("/app/account/channels", opt=MANAGES, status_code=303)
async def make_channel(services: Wired, request: AnyRequest) -> Response[Any]:
    """A channel in Slack, Discord, Telegram or ntfy."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        wanted = read(ChannelRequest, given, lists=TOPICS)
        await Asker(services, request)(webhooks.add_channel, ChannelRow, data=wanted, request_key=number_of(given))
        return done(PATH, "channel")

    return await submit(request, "channel", work, _again(services, request))


@post("/app/account/channels/{channel_id:uuid}/end", opt=ENDS, status_code=303)
async def end_channel(services: Wired, request: AnyRequest, channel_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Remove a channel."""
    await Asker(services, request).do(webhooks.delete_channel, channel_id=channel_id)
    return done(PATH, "channel-ended")


def _again(services: Services, request: AnyRequest) -> Any:
    async def again(form: Form) -> Response[str]:
        return await _shown(services, request, form=form)

    return again


async def _shown(
    services: Services, request: AnyRequest, *, form: Form = BLANK, made: NewEndpoint | None = None
) -> Response[str]:
    ask = Asker(services, request)
    return room(
        request,
        "account_webhooks.html",
        form=form,
        endpoints=(await ask(webhooks.list_endpoints, Endpoints)).data,
        channels=(await ask(webhooks.list_channels, Channels)).data,
        made=made,
        topic_choices=[(topic.value, topic.value) for topic in Topic],
        service_choices=[(service.value, service.value) for service in Service],
        hints=[(service.value, HINTS[service]) for service in Service],
        may_be_told=may_receive(request.user.tier),
        per_hour=PER_HOUR,
        most=(MAX_ENDPOINTS, MAX_CHANNELS),
    )


HANDLERS = (
    webhooks_page,
    make_endpoint,
    endpoint_page,
    enable_endpoint,
    end_endpoint,
    send_again,
    make_channel,
    end_channel,
)
