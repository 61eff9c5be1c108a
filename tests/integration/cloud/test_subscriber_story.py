"""One subscriber's first evening, over everything at once: two replicas, a courier, an edge, payments, mail, webhooks.

Stripe, the mail server, the model and the subscriber's own endpoint stand on loopback; the rest is the product.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from standardwebhooks import Webhook

from tests.fakes.asgi import serve
from tests.fakes.groq import GroqServer
from tests.fakes.receiver import Receiver
from tests.fakes.session_edge import MODELS, SessionEdge
from tests.fakes.smtp import mail_server
from tests.fakes.stripe import FakeStripe
from tests.integration.cloud.made import KEY, make_market, make_quote
from tests.integration.cloud.subscribed import PASSWORD, Person, courier, settings_of, until

EMAIL = "eve@example.org"

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # stripe's way of calling httpx
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd"),
]


@pytest.fixture
async def world():
    """What is not ours: a payment service, a mail server, a model, and the subscriber's own endpoint."""
    stripe, receiver = FakeStripe(), Receiver()
    async with (
        serve(stripe) as stripe_url,
        serve(receiver) as receiver.url,
        mail_server() as mail,
        GroqServer() as groq,
    ):
        yield stripe, stripe_url, receiver, mail, groq


async def registered(replica) -> Person:
    """By the public routes, as anybody does it."""
    words = {"email": EMAIL, "password": PASSWORD}
    assert (await replica.http.post("/v1/auth/register", json=words)).is_success
    given = await replica.http.post("/v1/auth/login", json=words)
    token = given.json()["access_token"]
    me = await replica.http.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    return Person(replica, me.json()["account_id"], token)


async def collected(edge: SessionEdge, owner) -> None:
    """A market that moved twelve points within the day, collected at home and synced."""
    now = datetime.now(UTC)
    for ago, mid in ((timedelta(hours=30), 0.30), (timedelta(minutes=20), 0.42)):
        seen_at = now - ago
        quote = make_quote(fetched_at=seen_at, mid=mid, bid=mid - 0.01, ask=mid + 0.01)
        await edge.save([make_market(fetched_at=seen_at, close_time=now + timedelta(days=7))], [quote])
    await until(lambda: owner.fetchval("select count(*) = 2 from price_snapshot"))


async def followed(replica, session, token) -> list[str]:
    """The states a session went through, seen from another replica."""
    headers = {"authorization": f"Bearer {token}"}
    async with replica.http.stream("GET", session["links"]["events"], headers=headers) as stream:
        told = [
            json.loads(line.removeprefix("data: ")) async for line in stream.aiter_lines() if line.startswith("data: ")
        ]
    return [body["state"] for body in told if "state" in body]


async def test_from_registering_to_a_forecast_a_mail_and_a_signed_webhook(start_replica, dsns, owner, tmp_path, world):
    """Registered, paid, asked, followed to the end on the other replica; then the mail and the webhook arrive."""
    stripe, stripe_url, receiver, mail, groq = world
    settings = settings_of(
        dsns[0],
        stripe_api_url=stripe_url,
        webhook_exceptions=(receiver.url.removeprefix("http://"),),
        smtp_url=mail.url,
        mail_from="Odds <odds@odds.example>",
        jwt_secret="one secret for both replicas, long enough",
    )
    first, second = await start_replica(**settings), await start_replica(**settings)
    async with courier(settings) as post, SessionEdge(tmp_path / "oddsd.db", dsns[1], groq.url) as edge:
        await collected(edge, owner)
        eve = await registered(first)

        refused = await eve.ask("POST", "/v1/predictions", {"market_key": KEY})
        assert (await eve.ask("POST", "/v1/billing/checkout", {"tier": "pro"})).status_code == 201
        bought = stripe.event(
            "customer.subscription.created", stripe.subscribe(stripe.sessions[-1]["customer"], "price_pro")
        )
        answers = [await replied(one, stripe, bought) for one in (first, second)]
        await until(lambda: has_tier(eve, "pro"))

        hook = (await eve.ask("POST", "/v1/webhooks", {"url": f"{receiver.url}/hook", "topics": ["session"]})).json()
        await eve.ask("POST", "/v1/watchlist", {"kind": "market", "subject": KEY})
        await eve.ask("PUT", "/v1/mail", {"time_zone": "UTC", "hour": 0})
        asked = await eve.ask("POST", "/v1/prediction-sessions", {"market_key": KEY, "models": list(MODELS)})
        assert asked.status_code == 202, asked.text
        async with asyncio.timeout(20):
            states = await followed(second, asked.json(), eve.token)
        await post.mailing.plan()
        await until(lambda: got(receiver))
        await until(lambda: got_mail(mail))

    assert refused.status_code == 403
    assert [answer.json()["is_new"] for answer in answers] == [True, False]
    assert sorted(states[:-1]) == sorted(2 * ["RESEARCHING", "GENERATING", "COMPLETED"])
    assert states[-1] == "COMPLETED"
    ((headers, body),) = receiver.got
    told = Webhook(hook["secret"]).verify(body, headers)
    assert (told["type"], told["data"]["session_id"], told["data"]["state"]) == (
        "session", asked.json()["session_id"], "COMPLETED",
    )  # fmt: skip
    (letter,) = mail.to(EMAIL)
    assert "42.0 %" in letter.get_payload()[0].get_payload(decode=True).decode()
    assert (await eve.ask("GET", "/v1/credits")).json()["balance"] == 198
    assert len(groq.calls) == 2


async def replied(replica, stripe: FakeStripe, body: bytes) -> httpx.Response:
    return await replica.http.post("/webhooks/stripe", content=body, headers={"stripe-signature": stripe.sign(body)})


async def has_tier(person: Person, tier: str) -> bool:
    return await person.tier() == tier


async def got(receiver: Receiver) -> bool:
    return bool(receiver.got)


async def got_mail(mail) -> bool:
    return bool(mail.to(EMAIL))
