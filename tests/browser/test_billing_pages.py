"""The billing page over a payment service on loopback: plans, the way to pay, a trial, a failed payment, the portal."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.browser.test_account_pages import EMAIL, PASSWORD, enter, once, send
from tests.fakes.asgi import serve
from tests.fakes.stripe import FakeStripe
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import settings_of

# The library hands bytes to httpx the old way; nothing of ours can change it. May go with stripe's fix.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
PATH = "/app/account/billing"


@pytest.fixture
async def stripe() -> AsyncIterator[FakeStripe]:
    fake = FakeStripe()
    async with serve(fake) as fake.url:
        yield fake


@pytest.fixture
async def payer(start_replica: Callable[..., Awaitable[Replica]], dsns: tuple[str, str], stripe: FakeStripe) -> Replica:
    replica = await start_replica(**settings_of(dsns[0], stripe_api_url=stripe.url))
    await replica.services.accounts.register(EMAIL, PASSWORD)
    assert (await enter(replica)).status_code == 303
    return replica


async def test_a_plan_is_chosen_and_the_page_leads_to_where_it_is_paid(payer: Replica, stripe: FakeStripe) -> None:
    """The same form sent twice is one checkout; the page leads on without a script, and by a link."""
    shown = await payer.http.get(PATH)
    assert ("You pay nothing." in shown.text, "Take premium" in shown.text, "Take pro" in shown.text) == (True,) * 3
    assert "14 days are a trial" in shown.text
    fields = {"tier": "pro", "once": once(shown)}

    first = await send(payer, f"{PATH}/checkout", **fields)
    second = await send(payer, f"{PATH}/checkout", **fields)

    url = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', first.text)[1]
    assert f'href="{url}"' in first.text
    assert url in second.text
    assert len(stripe.sessions) == 1
    assert stripe.sessions[0]["success_url"] == f"https://odds.example{PATH}?said=paid"
    assert "as soon as the payment service says" in (await payer.http.get(f"{PATH}?said=paid")).text


async def test_a_subscription_shows_its_trial_its_end_and_the_way_to_its_invoices(
    payer: Replica, stripe: FakeStripe
) -> None:
    """Whoever pays is offered the portal, not a second subscription."""
    await send(payer, f"{PATH}/checkout", tier="pro", once="n-1")
    customer = str(stripe.sessions[-1]["customer"])
    bought = stripe.subscribe(customer, "price_pro")
    bought |= {"status": "trialing", "trial_end": 4_000_000_000}
    await payer.services.payments.read_again(customer)

    page = await payer.http.get(PATH)
    portal = await send(payer, f"{PATH}/portal")
    again = await send(payer, f"{PATH}/checkout", tier="premium", once="n-2")

    assert ("Your plan: pro" in page.text, "Trial until" in page.text, "2096-10-02" in page.text) == (True,) * 3
    assert "Take premium" not in page.text
    assert re.search(r'http-equiv="refresh" content="0; url=http', portal.text)
    assert (again.status_code, "has a subscription" in again.text) == (409, True)


async def test_a_failed_payment_is_told_with_the_day_the_tier_ends(
    payer: Replica, stripe: FakeStripe, owner: asyncpg.Connection
) -> None:
    """Grace nobody knows of helps nobody."""
    await send(payer, f"{PATH}/checkout", tier="pro", once="n-1")
    customer = str(stripe.sessions[-1]["customer"])
    stripe.subscribe(customer, "price_pro")["status"] = "past_due"
    await payer.services.payments.read_again(customer)
    until = await owner.fetchval("select grace_until from subscription")

    page = await payer.http.get(PATH)

    assert "The last payment failed." in page.text
    assert f"{until:%Y-%m-%d %H:%M} UTC" in page.text


async def test_a_payment_service_that_is_away_is_told_on_the_page(payer: Replica, stripe: FakeStripe) -> None:
    """The plans stay where they are; nothing was begun."""
    stripe.is_away = True

    answer = await send(payer, f"{PATH}/checkout", tier="pro", once="n-1")

    assert answer.status_code == 503
    assert 'role="alert"' in answer.text
    assert "Take pro" in answer.text


async def test_a_service_without_payments_offers_none(replica: Replica) -> None:
    """A newcomer's own house sells nothing."""
    await replica.services.accounts.register(EMAIL, PASSWORD)
    await enter(replica)

    page = await replica.http.get(PATH)

    assert "takes no payments" in page.text
    assert "/checkout" not in page.text
