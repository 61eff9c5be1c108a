"""A subscriber's evening over processes: two replicas, a worker, `oddsd run`; each with its role's own login.

Stripe, the mail server, the model, the exchanges and the subscriber's endpoint stand on loopback; the rest is the
product as it is deployed. Nothing is paid twice, whoever is killed.
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from standardwebhooks import Webhook

from tests.e2e.edge import Edge
from tests.e2e.service import Service, Visitor
from tests.e2e.test_daemon import QUIET
from tests.fakes.asgi import serve
from tests.fakes.exchange import ExchangeServer
from tests.fakes.groq import GroqServer
from tests.fakes.receiver import Receiver
from tests.fakes.smtp import FakeMailServer, mail_server
from tests.fakes.stripe import SECRET, FakeStripe
from tests.fakes.world import World

EMAIL, PASSWORD = "eve@example.org", "correct horse battery staple"
MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")
# The daily runs would ask the same models about everything.
ON_DEMAND_ONLY = QUIET + "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("predict-batch", "digest", "models"))
PROMISED_S = 10.0  # from asking to the first step; `make bench` says what it takes

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:aiosmtpd"),
    pytest.mark.timeout(180),
]

# The day before, which a daemon that has just begun cannot have seen.
YESTERDAY = """
insert into price_snapshot (market_id, fetched_at, bid, ask, mid)
select market_id, now() - interval '30 hours', mid - 0.13, mid - 0.11, mid - 0.12
from price_latest join market using (market_id) where market_key = $1
"""
# The worker's minute, brought forward: whoever waits for the clock learns nothing more.
MINUTE = """
select procrastinate_defer_jobs_v1(array[
    row('subscribers', 'each_minute', 0, null, null, '{"timestamp": 60}', null)::procrastinate_job_to_defer_v1])
"""


@dataclass
class Outside:
    """What is not ours."""

    stripe: FakeStripe
    receiver: Receiver
    mail: FakeMailServer
    groq: GroqServer
    edge: dict[str, Any]  # where an edge finds it
    cloud: dict[str, str]  # where a service does


@pytest.fixture
async def outside():
    """A payment service, a mail server, a model, two exchanges, and the subscriber's own endpoint."""
    async with AsyncExitStack() as stack:
        stripe, receiver = FakeStripe(), Receiver(status=204)
        stripe_url = await stack.enter_async_context(serve(stripe))
        receiver.url = await stack.enter_async_context(serve(receiver))
        mail = await stack.enter_async_context(mail_server())
        groq = await stack.enter_async_context(GroqServer())
        exchange = await stack.enter_async_context(ExchangeServer(World(n_ticks=1, start=datetime.now(UTC))))
        edge = {
            "polymarket_url": exchange.polymarket_url,
            "kalshi_url": exchange.kalshi_url,
            "groq_base_url": groq.url,
            "groq_api_key": "k",
            "predict_models": list(MODELS),
            "processing_experiments": ["market_prior", "single_model"],
            "tables": ON_DEMAND_ONLY,
        }
        cloud = {
            "STRIPE_SECRET_KEY": "sk_test_1",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_PRICES": "premium=price_premium,pro=price_pro",
            "STRIPE_API_URL": stripe_url,
            "WEBHOOK_EXCEPTIONS": receiver.url.removeprefix("http://"),
            "SMTP_URL": mail.url,
            "MAIL_FROM": "Odds <odds@odds.example>",
            "PUBLIC_URL": "https://odds.example",
            "JWT_SECRET": "one secret for both replicas, long enough",
        }
        yield Outside(stripe, receiver, mail, groq, edge, cloud)


@pytest.fixture
async def service(tmp_path, postgres, outside):
    """A database, and nobody at work yet."""
    async with Service(tmp_path, postgres, **outside.cloud) as made:
        yield made


@pytest.fixture
async def owner(service):
    """Whoever migrated: to look, and to turn clocks."""
    connection = await asyncpg.connect(service.owner_dsn)
    yield connection
    await connection.close(timeout=5)


async def until(look, *, within_s: float = 30) -> Any:
    """Wait until looking finds something."""
    async with asyncio.timeout(within_s):
        while not (found := await look()):
            await asyncio.sleep(0.05)
    return found


async def registered(replica: httpx.AsyncClient) -> Visitor:
    """By the public routes, as anybody does it."""
    words = {"email": EMAIL, "password": PASSWORD}
    assert (await replica.post("/v1/auth/register", json=words)).is_success
    return Visitor((await replica.post("/v1/auth/login", json=words)).json()["access_token"])


async def subscribed(eve: Visitor, replicas: tuple[httpx.AsyncClient, ...], stripe: FakeStripe) -> list[bool]:
    """Checked out at one replica; the event reaches every one. Returns: to whom it was news."""
    paid = await eve.ask(replicas[0], "POST", "/v1/billing/checkout", {"tier": "pro"})
    assert paid.status_code == 201, paid.text
    bought = stripe.subscribe(stripe.sessions[-1]["customer"], "price_pro")
    event = stripe.event("customer.subscription.created", bought)
    signed = {"stripe-signature": stripe.sign(event)}
    answers = [await one.post("/webhooks/stripe", content=event, headers=signed) for one in replicas]

    async def is_pro() -> bool:
        return (await eve.ask(replicas[-1], "GET", "/v1/me")).json()["tier"] == "pro"

    await until(is_pro)
    return [answer.json()["is_new"] for answer in answers]


async def collected(edge: Edge, owner: asyncpg.Connection) -> str:
    """A tick at home has arrived; returns a market that can be asked about."""
    assert (await edge.ask("run_now", job="collect"))["state"] == "ok"
    await edge.until_drained()
    return await owner.fetchval(
        "select market_key from market join price_latest using (market_id)"
        " where status = 'open' and mid between 0.3 and 0.7 and close_time > now() + interval '2 days' limit 1"
    )


async def followed(replica: httpx.AsyncClient, eve: Visitor, session: dict[str, Any]) -> list[tuple[str, dict]]:
    """Every event of a session until its end."""
    found, name = [], ""
    headers = {"authorization": f"Bearer {eve.token}"}
    async with replica.stream("GET", session["links"]["events"], headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, json.loads(line.removeprefix("data: "))))
    return found


async def test_from_registering_to_a_forecast_a_mail_and_a_signed_webhook(tmp_path, service, owner, outside):
    """Registered, paid, asked of one replica and followed on the other; the worker sends the mail and the webhook."""
    first, second = await service.serve("first"), await service.serve("second")
    await service.work()
    async with Edge(tmp_path, database_url=service.edge_dsn, **outside.edge) as edge:
        daemon = await edge.start()
        market_key = await collected(edge, owner)
        await owner.execute(YESTERDAY, market_key)
        eve = await registered(first)
        refused = await eve.ask(first, "POST", "/v1/predictions", {"market_key": market_key})
        was_news = await subscribed(eve, (first, second), outside.stripe)

        asked_for = {"url": f"{outside.receiver.url}/hook", "topics": ["session"]}
        hook = (await eve.ask(first, "POST", "/v1/webhooks", asked_for)).json()
        await eve.ask(second, "POST", "/v1/watchlist", {"kind": "market", "subject": market_key})
        await eve.ask(first, "PUT", "/v1/mail", {"time_zone": "UTC", "hour": 0})
        asked = await eve.ask(
            first, "POST", "/v1/prediction-sessions", {"market_key": market_key, "models": list(MODELS)}
        )
        assert asked.status_code == 202, asked.text
        async with asyncio.timeout(60):
            told = await followed(second, eve, asked.json())
        await owner.execute(MINUTE)
        async with asyncio.timeout(30):
            await outside.receiver.came.wait()
            await outside.mail.took.wait()
        seen = (await eve.ask(second, "GET", asked.json()["links"]["self"])).json()
        assert await daemon.stop() == 0

    assert refused.status_code == 403
    assert was_news == [True, False]
    for model in MODELS:
        states = [body["state"] for name, body in told if name == "step" and body["model"] == model]
        assert states == ["RESEARCHING", "GENERATING", "COMPLETED"]
    assert (told[-1][0], told[-1][1]["state"]) == ("end", "COMPLETED")
    assert {made["model"] for made in seen["predictions"]} == set(MODELS)
    waited = datetime.fromisoformat(seen["started_at"]) - datetime.fromisoformat(seen["asked_at"])
    assert waited.total_seconds() < PROMISED_S
    ((headers, body),) = outside.receiver.got
    said = Webhook(hook["secret"]).verify(body, headers)
    assert (said["type"], said["data"]["session_id"]) == ("session", asked.json()["session_id"])
    (letter,) = outside.mail.to(EMAIL)
    assert "+12.0 points" in letter.get_payload()[0].get_payload(decode=True).decode()
    assert (await eve.ask(second, "GET", "/v1/credits")).json()["balance"] == 198
    assert len(outside.groq.calls) == 2


async def test_an_edge_killed_in_the_middle_pays_for_nothing_twice_and_nobody_is_told_a_lie(
    tmp_path, service, owner, outside
):
    """kill -9 between two models: the session stays under way, is asked for again by the worker, and ends once."""
    replica = await service.serve("replica")
    worker = await service.work()
    async with Edge(tmp_path, database_url=service.edge_dsn, **outside.edge) as edge:
        daemon = await edge.start()
        market_key = await collected(edge, owner)
        eve = await registered(replica)
        await subscribed(eve, (replica,), outside.stripe)
        outside.groq.fault("slow", model=MODELS[1], seconds=60)
        asked = await eve.ask(
            replica, "POST", "/v1/prediction-sessions", {"market_key": market_key, "models": list(MODELS)}
        )
        here = asked.json()["links"]["self"]

        run_day = asked.json()["asked_at"][:10]

        async def one_has_answered() -> bool:
            kept = await edge.ask("forecasts", market_keys=[market_key], run_day=run_day)
            return len(outside.groq.calls) == 2 and (MODELS[0], "made") in {
                (one["model"], one["state"]) for one in kept
            }

        await until(one_has_answered)
        await daemon.kill()
        await worker.kill()
        in_the_middle = (await eve.ask(replica, "GET", here)).json()

        # Ten minutes later, as far as the database can tell.
        await owner.execute("update prediction_session set moved_at = moved_at - interval '11 minutes'")
        await owner.execute("update edge_request set finished_at = finished_at - interval '11 minutes'")
        await owner.execute("delete from worker_run where duty = 'recover_sessions'")
        said = json.loads(await service.work_once())
        waiting = (await eve.ask(replica, "GET", here)).json()
        outside.groq.released.set()
        began = time.monotonic()
        daemon = await edge.start()
        async with asyncio.timeout(60):
            told = await followed(replica, eve, asked.json())
        took_s = time.monotonic() - began
        assert await daemon.stop() == 0

    assert in_the_middle["state"] in {"RESEARCHING", "GENERATING"}
    assert "ended_at" not in in_the_middle
    assert "1 asked for again" in said["recover_sessions"]
    assert waiting["state"] == in_the_middle["state"]
    assert (told[-1][0], told[-1][1]["state"]) == ("end", "COMPLETED")
    asked_of = [call["model"] for call in outside.groq.calls]
    assert (asked_of.count(MODELS[0]), asked_of.count(MODELS[1])) == (1, 2)  # the second was cut off in its answer
    kinds = [
        row["kind"] for row in await owner.fetch("select kind from credit_entry where amount < 0 or kind = 'refund'")
    ]
    assert kinds == ["charge", "charge"]
    assert (await eve.ask(replica, "GET", "/v1/credits")).json()["balance"] == 198
    assert took_s < 30
