"""People with accounts and logins, the payment service, the mail server and a courier, for the tests of subscribers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from cloudapi.courier import Courier
from cloudapi.queries import accounts
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier
from tests.fakes.stripe import SECRET
from tests.integration.cloud.conftest import Replica

PRICES = "premium=price_premium,pro=price_pro"
PASSWORD = "correct horse battery staple"


class Person:
    """Somebody who logged in."""

    def __init__(self, replica: Replica, account_id: uuid.UUID, token: str) -> None:
        self.replica = replica
        self.account_id = account_id
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        if method == "POST":
            headers["idempotency-key"] = key or uuid.uuid4().hex
        return await self.replica.http.request(method, path, json=body, headers=headers)

    async def tier(self) -> str | None:
        """None while there is no such answer: whoever asks often enough is refused for a while."""
        answer = await self.ask("GET", "/v1/me")
        return str(answer.json()["tier"]) if answer.status_code == 200 else None


async def make_person(replica: Replica, email: str = "ann@example.org", tier: Tier = Tier.BASIC) -> Person:
    hashed = await replica.services.passwords.hash(PASSWORD)
    account_id = await accounts.save_person(replica.services.pool, email=email, password_hash=hashed, tier=tier)
    assert account_id is not None
    given = await replica.http.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    return Person(replica, account_id, given.json()["access_token"])


def settings_of(dsn: str, **changes: Any) -> dict[str, Any]:
    return {
        "database_url": dsn,
        "stripe_secret_key": "sk_test_1",
        "stripe_webhook_secret": SECRET,
        "stripe_prices": PRICES,
        "public_url": "https://odds.example",
    } | changes


@asynccontextmanager
async def courier(settings: dict[str, Any], **replaced: Any) -> AsyncIterator[Courier]:
    """A courier at work until the block ends."""
    made = Courier(CloudSettings.load(**settings), **replaced)
    stop = asyncio.Event()
    task = asyncio.create_task(made.run(stop), name="courier")
    try:
        yield made
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


async def until(look: Callable[[], Any], *, within_s: float = 10) -> Any:
    """Wait until looking finds something."""
    async with asyncio.timeout(within_s):
        while not (found := await look()):
            await asyncio.sleep(0.02)
    return found
