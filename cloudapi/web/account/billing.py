"""/app/account/billing and /credits: what the account pays for, the ways to change it, and where its credits went.

Law: a tier changes when the payment service says it is paid, never because a page was opened. The way there is a page
of ours that leads on by itself: the policy lets forms go nowhere but to us.
"""

from typing import Any

from litestar import Response, get, post

from cloudapi.routes import billing, sessions
from cloudapi.routes.billing import PAYING, Billing, CheckoutRequest, Page
from cloudapi.routes.sessions import Credits
from cloudapi.routes.shapes import Cursor
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import ENTITLEMENTS, Tier
from cloudapi.web.account.room import MANAGES, room
from cloudapi.web.asking import Asker
from cloudapi.web.forms import BLANK, Form, number_of, read, submit

PATH = "/app/account/billing"


@get(PATH, opt=MANAGES)
async def billing_page(services: Wired, request: AnyRequest) -> Response[str]:
    """The plan, until when, what is owed, and what else there is."""
    return await _shown(services, request)


@post(PATH + "/checkout", opt=MANAGES, status_code=200)
async def go_to_checkout(services: Wired, request: AnyRequest) -> Response[Any]:
    """To the page where a tier is paid for; the same form sent twice leads to the same one."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        wanted = read(CheckoutRequest, given)
        found = await Asker(services, request)(billing.start_checkout, Page, data=wanted, request_key=number_of(given))
        return room(request, "leave.html", url=found.url, purpose=f"{wanted.tier} is paid for")

    return await submit(request, "checkout", work, _again(services, request))


@post(PATH + "/portal", opt=MANAGES, status_code=200)
async def go_to_portal(services: Wired, request: AnyRequest) -> Response[Any]:
    """To the page where a subscription is changed, paid and ended."""

    async def work(_: dict[str, list[str]]) -> Response[Any]:
        found = await Asker(services, request)(billing.open_portal, Page)
        return room(request, "leave.html", url=found.url, purpose="your subscription is changed, paid and ended")

    return await submit(request, "portal", work, _again(services, request))


@get("/app/account/credits")
async def credits_page(services: Wired, request: AnyRequest, *, cursor: Cursor = None) -> Response[str]:
    """What the account has, and each booking it comes from."""
    found = await Asker(services, request)(sessions.get_credits, Credits, cursor=cursor)
    return room(request, "account_credits.html", credits=found)


def _again(services: Services, request: AnyRequest) -> Any:
    async def again(form: Form) -> Response[str]:
        return await _shown(services, request, form=form)

    return again


async def _shown(services: Services, request: AnyRequest, *, form: Form = BLANK) -> Response[str]:
    told = await Asker(services, request)(billing.get_billing, Billing)
    sold = [tier for tier in Tier if tier in services.settings.stripe_prices.values()]
    return room(
        request,
        "account_billing.html",
        form=form,
        billing=told,
        subscription=told.subscription,
        is_paying=told.status in PAYING,
        sold=sold if services.payments.is_set_up else [],
        takes_money=services.payments.is_set_up,
        trial_days=services.settings.stripe_trial_days,
        rights=ENTITLEMENTS,
    )


HANDLERS = (billing_page, go_to_checkout, go_to_portal, credits_page)
