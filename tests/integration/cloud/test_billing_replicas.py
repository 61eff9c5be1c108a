"""Billing on two replicas at once: whatever order events come in, whoever takes them, the end is what Stripe has."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from cloudapi.payments import Payments
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier
from tests.fakes.asgi import serve
from tests.fakes.stripe import FakeStripe
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import Person, courier, make_person, settings_of, until
from tests.integration.cloud.test_billing import checked_out, post_event

SOON_S = 30.0  # promised from an event, or the end of a grace, to the tier on every replica
LIVES = (  # what a subscription goes through, each a (status, price)
    (("trialing", "price_premium"), ("active", "price_premium"), ("active", "price_pro")),
    (("active", "price_pro"), ("past_due", "price_pro"), ("canceled", "price_pro")),
    (("active", "price_pro"), ("past_due", "price_pro"), ("active", "price_premium")),
)

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # stripe's way of calling httpx


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    made = FakeStripe()
    async with serve(made) as made.url:
        yield made


@pytest.fixture
def settings(dsns: tuple[str, str], fake: FakeStripe) -> dict[str, Any]:
    return settings_of(dsns[0], stripe_api_url=fake.url)


@pytest.fixture
async def replicas(start_replica: Any, settings: dict[str, Any]) -> tuple[Replica, Replica]:
    given = settings | {"jwt_secret": "one secret for both replicas, long enough"}
    return await start_replica(**given), await start_replica(**given)


def elsewhere(person: Person, replica: Replica) -> Person:
    """The same person, asking the other replica."""
    return Person(replica, person.account_id, person.token)


@pytest.mark.parametrize("life", range(len(LIVES)))
async def test_any_order_and_any_copies_end_in_what_stripe_has(
    replicas: tuple[Replica, Replica], fake: FakeStripe, owner: asyncpg.Connection, life: int
) -> None:
    """Each event twice, shuffled, over both replicas, taken by both at once: no tier of yesterday comes back."""
    ann = await make_person(replicas[0])
    customer = await checked_out(ann, fake)
    dice = random.Random(life)
    bought, events = fake.subscribe(customer, "price_premium"), []
    for status, price in LIVES[life]:
        bought["status"] = status
        bought["items"]["data"][0]["price"]["id"] = price
        events.append(fake.event("customer.subscription.updated", bought))
    copies = events * 2
    dice.shuffle(copies)

    answers = await asyncio.gather(*(post_event(dice.choice(replicas), fake, body) for body in copies))
    takers = [one.services.payments for one in replicas]
    await asyncio.gather(*(dice.choice(takers).process(json.loads(body)["id"]) for body in copies))

    status, price = LIVES[life][-1]
    wanted = {"canceled": "basic"}.get(status, price.removeprefix("price_"))
    assert sorted(answer.json()["is_new"] for answer in answers) == [False] * len(events) + [True] * len(events)
    assert [await elsewhere(ann, one).tier() for one in replicas] == [wanted, wanted]
    assert await owner.fetchval("select count(*) from stripe_event where processed_at is null") == 0


async def test_a_downgrade_reaches_the_other_replica_in_time(
    replicas: tuple[Replica, Replica], fake: FakeStripe, settings: dict[str, Any]
) -> None:
    """Pro is warm in both; the event comes to one, a worker takes it: both refuse what pro may read."""
    ann = await make_person(replicas[0])
    other = elsewhere(ann, replicas[1])
    customer = await checked_out(ann, fake)
    bought = fake.subscribe(customer, "price_pro")
    await replicas[0].services.payments.read_again(customer)
    for person in (ann, other):
        await until(lambda person=person: _has_tier(person, "pro"))
        assert (await person.ask("GET", "/v1/signals")).status_code == 200

    bought["status"] = "canceled"
    async with courier(settings):
        began = time.monotonic()
        await post_event(replicas[0], fake, fake.event("customer.subscription.deleted", bought))
        for person in (ann, other):
            await until(lambda person=person: _has_tier(person, "basic"), within_s=SOON_S)
        took_s = time.monotonic() - began

    assert took_s < SOON_S
    assert [(await person.ask("GET", "/v1/signals")).status_code for person in (ann, other)] == [403, 403]


async def test_a_grace_that_ends_ends_the_tier_though_no_event_says_so(
    replicas: tuple[Replica, Replica], fake: FakeStripe, settings: dict[str, Any]
) -> None:
    """The worker's look every quarter minute, at work on its own timer, on both replicas within half a minute."""
    ann = await make_person(replicas[0])
    customer = await checked_out(ann, fake)
    fake.subscribe(customer, "price_pro", status="past_due")
    long_ago = datetime.now(UTC) - timedelta(days=7) + timedelta(seconds=2)
    payments = Payments(CloudSettings.load(**settings), replicas[0].services.pool, now=lambda: long_ago)
    await payments.read_again(customer)
    await payments.close()
    others = [elsewhere(ann, one) for one in replicas]
    for person in others:
        await until(lambda person=person: _has_tier(person, "pro"))

    async with courier(settings):
        for person in others:
            await until(lambda person=person: _has_tier(person, "basic"), within_s=SOON_S)


async def test_a_trial_gives_its_tier_and_its_end_without_payment_takes_it(
    replicas: tuple[Replica, Replica], fake: FakeStripe
) -> None:
    """A trial by a test clock: pro at once, grace when the first payment fails, basic when the grace is over."""
    ann = await make_person(replicas[0])
    customer = await checked_out(ann, fake)
    clock = fake.clocks["clock_1"] = int(time.time())
    ends = clock + 14 * 86_400
    bought = fake.subscribe(customer, "price_pro", status="trialing", trial_end=ends, test_clock="clock_1")
    seen = []
    for status, day in (("trialing", 13), ("past_due", 14), ("past_due", 20), ("past_due", 22), ("canceled", 30)):
        bought["status"] = status
        fake.clocks["clock_1"] = clock + day * 86_400
        await replicas[day % 2].services.payments.read_again(customer)
        seen.append(await elsewhere(ann, replicas[0]).tier())

    assert seen == [Tier.PRO, Tier.PRO, Tier.PRO, Tier.BASIC, Tier.BASIC]
    shown = (await ann.ask("GET", "/v1/billing")).json()
    assert datetime.fromisoformat(shown["subscription"]["trial_end_at"]) == datetime.fromtimestamp(ends, UTC)


async def _has_tier(person: Person, tier: str) -> bool:
    await asyncio.sleep(0.5)  # who asks a thousand times as pro is over the limit of basic for a minute
    return await person.tier() == tier
