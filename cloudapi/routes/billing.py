"""/v1/billing: paying, changing and seeing a subscription; and the door at which Stripe reports events.

Law: the event's id is inserted before anything else, once; the work is the worker's. An answer of 2xx says no more than
that the event is kept.
"""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from cloudapi import tasks
from cloudapi.audit import note
from cloudapi.errors import Conflict, Invalid
from cloudapi.flags import Flag, require
from cloudapi.payments import read_event
from cloudapi.queries import billing
from cloudapi.queries.billing import SubscriptionRow
from cloudapi.routes.accounts import CONFLICT, NO_STORE, REFUSED, RequestKey
from cloudapi.routes.shapes import FAILURES
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import Tier

PAYING = frozenset({"active", "trialing", "past_due", "unpaid"})  # what is changed in the portal, not bought again


class CheckoutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tier somebody wants."""

    tier: Literal["premium", "pro"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the payment service, to be opened in a browser."""

    url: str


class Billing(msgspec.Struct, frozen=True, kw_only=True):
    """What an account pays for; without a subscription `status` is none."""

    tier: Tier
    status: str
    subscription: SubscriptionRow | None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """An event is kept; `is_new` says whether it was not here before."""

    is_new: Annotated[bool, msgspec.Meta(description="False for a replay")]


@post(
    "/v1/billing/checkout",
    tags=["billing"],
    status_code=201,
    opt={"scope": "manage"},
    responses={201: ResponseSpec(Page), **REFUSED, **CONFLICT, **FAILURES},
)
async def start_checkout(
    services: Wired, request: AnyRequest, data: JSONBody[CheckoutRequest], request_key: RequestKey
) -> Response[Page]:
    """A page where the tier is paid for. The tier changes when the payment service says it is paid."""
    account_id = request.user.account_id
    await require(services.pool, Flag.BILLING, account_id)
    known = await billing.load_subscription(services.pool, account_id)
    if known is not None and known.status in PAYING:
        raise Conflict("This account has a subscription: change it in the portal, /v1/billing/portal.")
    url = await services.payments.start_checkout(account_id, Tier(data.tier), key=request_key)
    await note(services.pool, account_id, "checkout_started", tier=data.tier)
    return Response(Page(url=url), status_code=201, headers=NO_STORE)


@post(
    "/v1/billing/portal",
    tags=["billing"],
    status_code=201,
    opt={"scope": "manage"},
    responses={201: ResponseSpec(Page), **REFUSED, **FAILURES},
)
async def open_portal(services: Wired, request: AnyRequest) -> Response[Page]:
    """A page where a subscription is changed, paid and ended."""
    await require(services.pool, Flag.BILLING, request.user.account_id)
    url = await services.payments.open_portal(request.user.account_id)
    return Response(Page(url=url), status_code=201, headers=NO_STORE)


@get("/v1/billing", tags=["billing"], responses={200: ResponseSpec(Billing), **REFUSED, **FAILURES})
async def get_billing(services: Wired, request: AnyRequest) -> Response[Billing]:
    """What the account pays for, until when, and what is owed."""
    found = await billing.load_subscription(services.pool, request.user.account_id)
    told = Billing(tier=request.user.tier, status="none" if found is None else found.status, subscription=found)
    return Response(told, headers=NO_STORE)


@post(
    "/webhooks/stripe",
    tags=["service"],
    status_code=200,
    security=[{}],
    opt={"public": True, "max_body_bytes": 256 * 1024},
    responses={200: ResponseSpec(Received), 422: FAILURES[422], 503: FAILURES[503]},
)
async def take_event(services: Wired, request: Request[Any, Any, Any]) -> Response[Received]:
    """Stripe's events, signed; the body is checked as it came, byte for byte."""
    body = await request.body()
    signature = request.headers.get("stripe-signature", "")
    if not signature:
        raise Invalid("An event carries a Stripe-Signature.")
    event_id, event_type, customer_id = read_event(body, signature, services.settings)
    async with services.pool.acquire() as connection, connection.transaction():
        is_new = await billing.save_event(connection, event_id, event_type, customer_id)
        if is_new:
            await tasks.defer(connection, tasks.STRIPE_EVENT, {"event_id": event_id})
    return Response(Received(is_new=is_new), headers=NO_STORE)


HANDLERS = (start_checkout, open_portal, get_billing, take_event)
