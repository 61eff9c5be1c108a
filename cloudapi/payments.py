"""Stripe, through its official library: checkout, portal, and reading a customer's subscriptions again.

Law: the API version is pinned by the library's release; amounts and prices are Stripe's, we know price ids only. An
event's body is believed for its id, type and customer, nothing else. Loaded when first used: 31 MB and 0.15 s.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from cloudapi.audit import Actor, note
from cloudapi.billing import Reading, Standing, has_second_trial, is_about_subscriptions, standing
from cloudapi.db import Pool
from cloudapi.errors import Invalid, Unavailable
from cloudapi.queries import accounts, billing
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier

if TYPE_CHECKING:
    import stripe

log = structlog.get_logger(__name__)

TOLERANCE_S = 300  # of a signature's time, both ways; the library itself lets the future pass
CALL_S = 15.0
N_SUBSCRIPTIONS = 20  # of one customer; more is nobody


class Payments:
    """What we ask Stripe, and what follows from its answers."""

    def __init__(self, settings: CloudSettings, pool: Pool, *, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._pool = pool
        self._now = now
        self._client: stripe.StripeClient | None = None
        self._http: stripe.HTTPXClient | None = None

    @property
    def is_set_up(self) -> bool:
        """Whether this service takes money at all."""
        return self._settings.stripe_secret_key is not None and bool(self._settings.stripe_prices)

    async def start_checkout(self, account_id: uuid.UUID, tier: Tier, *, key: str) -> str:
        """The address of a page where this tier is paid for. Raises: Invalid; Unavailable."""
        price_id = next((one for one, given in self._settings.stripe_prices.items() if given is tier), None)
        if price_id is None:
            raise Invalid(f"{tier} is not for sale here.", errors=[{"pointer": "/body/tier", "detail": "no price"}])
        customer_id = await self._customer(account_id)
        subscription: dict[str, Any] = {"metadata": {"account_id": str(account_id)}}
        if self._settings.stripe_trial_days and not await billing.had_trial(self._pool, account_id):
            subscription["trial_period_days"] = self._settings.stripe_trial_days
        asked: Any = {
            "mode": "subscription",
            "customer": customer_id,
            "client_reference_id": str(account_id),
            "line_items": [{"price": price_id, "quantity": 1}],
            "subscription_data": subscription,
            "success_url": f"{self._settings.public_url}/app/account/billing?said=paid",
            "cancel_url": f"{self._settings.public_url}/app/account/billing",
        }
        once: Any = {"idempotency_key": f"checkout:{account_id}:{key}"}
        session = await self._ask(lambda client: client.v1.checkout.sessions.create_async(asked, once))
        return str(session.url)

    async def open_portal(self, account_id: uuid.UUID) -> str:
        """The address of the page where a subscription is changed and ended. Raises: Invalid; Unavailable."""
        customer_id = await billing.customer_of(self._pool, account_id)
        if customer_id is None:
            raise Invalid("There is nothing to manage: this account has never subscribed.")
        session = await self._ask(
            lambda client: client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": f"{self._settings.public_url}/app/account/billing"}
            )
        )
        return str(session.url)

    async def process(self, event_id: str) -> str:
        """Let an event have its effect. Returns: what it came to. Raises: Unavailable if Stripe is away."""
        event = await billing.load_event(self._pool, event_id)
        if event is None or event.processed_at is not None:
            return "done before"
        outcome = "not about a subscription"
        if event.customer_id is not None and is_about_subscriptions(event.event_type):
            outcome = await self.read_again(event.customer_id)
        await billing.finish_event(self._pool, event_id, outcome)
        return outcome

    async def read_again(self, customer_id: str) -> str:
        """Ask Stripe what a customer has, and let the account have it. Returns: what it came to, in words."""
        account_id = await billing.owner_of(self._pool, customer_id)
        if account_id is None:
            return "no account has this customer"
        reading = await billing.next_reading(self._pool)
        found, now = await self._readings(customer_id)
        await self._end_second_trials(account_id, found)
        before = await billing.load_subscription(self._pool, account_id)
        owed = standing(
            found,
            self._settings.stripe_prices,
            now=now,
            grace=timedelta(days=self._settings.stripe_grace_days),
            grace_before=None if before is None else before.grace_until,
        )
        if owed.tier is None:
            log.error("a price is not configured", action="unknown_price", subscription=owed.subscription_id)
        return await self._apply(account_id, customer_id, owed, reading)

    async def _apply(self, account_id: uuid.UUID, customer_id: str, owed: Standing, reading: int) -> str:
        async with self._pool.acquire() as connection, connection.transaction():
            kept = await billing.save_standing(
                connection, account_id, customer_id, owed, reading=reading, at=self._now()
            )
            if not kept:
                return "a later reading counts"
            if owed.tier is None:
                return "unknown price: the tier stays"
            before = await billing.set_tier(connection, account_id, owed.tier)
            if before is None:
                return f"{owed.status}: {owed.tier} as before"
            await accounts.announce(connection, "tier")
            await note(
                connection, account_id, "tier_changed", actor=Actor.STRIPE,
                before=before, tier=owed.tier.value, status=owed.status,
            )  # fmt: skip
        log.info("a tier changed", action="tier_changed", account_id=str(account_id), tier=owed.tier, before=before)
        return f"{owed.status}: {before} to {owed.tier}"

    async def forget(self, account_id: uuid.UUID) -> None:
        """End what an account pays and remove it from Stripe, which ends its subscriptions with it."""
        customer_id = await billing.customer_of(self._pool, account_id)
        if customer_id is not None and self.is_set_up:
            await self._ask(lambda client: client.v1.customers.delete_async(customer_id))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._http is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _customer(self, account_id: uuid.UUID) -> str:
        known = await billing.customer_of(self._pool, account_id)
        if known is not None:
            return known
        account = await accounts.load_account(self._pool, account_id)
        asked: Any = {"metadata": {"account_id": str(account_id)}}
        if account is not None and account.email is not None:
            asked["email"] = account.email
        if self._settings.stripe_test_clock is not None:
            asked["test_clock"] = self._settings.stripe_test_clock
        made = await self._ask(
            lambda client: client.v1.customers.create_async(asked, {"idempotency_key": f"customer:{account_id}"})
        )
        return await billing.save_customer(self._pool, account_id, str(made.id))

    async def _readings(self, customer_id: str) -> tuple[list[Reading], datetime]:
        page = await self._ask(
            lambda client: client.v1.subscriptions.list_async(
                {
                    "customer": customer_id,
                    "status": "all",
                    "limit": N_SUBSCRIPTIONS,
                    "expand": ["data.default_payment_method"],
                }
            )
        )
        raw = [one.to_dict() for one in page.data]
        clock_id = next((one["test_clock"] for one in raw if one.get("test_clock")), None)
        return [_reading(one) for one in raw], await self._moment(clock_id)

    async def _moment(self, clock_id: str | None) -> datetime:
        """Now, or what a test clock says it is."""
        if clock_id is None:
            return self._now()
        clock = await self._ask(lambda client: client.v1.test_helpers.test_clocks.retrieve_async(clock_id))
        return datetime.fromtimestamp(clock.frozen_time, UTC)

    async def _end_second_trials(self, account_id: uuid.UUID, found: list[Reading]) -> None:
        cards = [one.fingerprint for one in found if one.status == "trialing" and one.fingerprint is not None]
        if not cards:
            return
        used = await billing.note_trials(self._pool, account_id, cards)
        for subscription_id in has_second_trial(found, used):
            log.info("a second trial ends", action="trial_ended", account_id=str(account_id))
            await self._ask(
                lambda client, one=subscription_id: client.v1.subscriptions.update_async(one, {"trial_end": "now"})  # type: ignore[misc]
            )

    async def _ask(self, call: Callable[["stripe.StripeClient"], Any]) -> Any:
        """One call, its failures mapped. Raises: Unavailable."""
        import stripe

        if self._client is None:
            self._client = self._connect()
        try:
            async with asyncio.timeout(CALL_S):
                return await call(self._client)
        except (stripe.StripeError, TimeoutError) as exc:
            # A Stripe error's words may quote what was sent; its kind and request id are enough.
            request_id = getattr(exc, "request_id", None)
            log.warning("Stripe did not do it", action="stripe_failed", cause=type(exc).__name__, request=request_id)
            raise Unavailable("The payment service does not answer; try again shortly.", retry_after_s=10) from exc

    def _connect(self) -> "stripe.StripeClient":
        import stripe

        key = self._settings.stripe_secret_key
        if key is None or not self._settings.stripe_prices:
            raise Unavailable("This service takes no payments.")
        url = self._settings.stripe_api_url
        self._http = stripe.HTTPXClient(timeout=CALL_S)
        return stripe.StripeClient(
            key.get_secret_value(),
            base_addresses=None if url is None else {"api": url},
            http_client=self._http,
            max_network_retries=2,
        )


def read_event(body: bytes, signature: str, settings: CloudSettings) -> tuple[str, str, str | None]:
    """The id, type and customer of an event that Stripe signed. Raises: Invalid; Unavailable if no secret is set."""
    import stripe

    secrets = [
        one for one in (settings.stripe_webhook_secret, settings.stripe_webhook_secret_before) if one is not None
    ]
    if not secrets:
        raise Unavailable("This service takes no events: STRIPE_WEBHOOK_SECRET is not set.")
    for secret in secrets:
        try:
            event = stripe.Webhook.construct_event(body, signature, secret.get_secret_value(), TOLERANCE_S).to_dict()
        except (stripe.SignatureVerificationError, ValueError):
            continue
        if _signed_at(signature) > time.time() + TOLERANCE_S:
            break
        return event["id"], event["type"], _customer_in(event)
    raise Invalid("The signature does not fit this body, or is too old.")


def _signed_at(signature: str) -> int:
    return max(
        (int(part[2:]) for part in signature.split(",") if part.startswith("t=") and part[2:].isdigit()), default=0
    )


def _customer_in(event: dict[str, Any]) -> str | None:
    """Whom an event is about: the object's customer, or the object itself."""
    about = event.get("data", {}).get("object", {})
    named = about.get("id") if about.get("object") == "customer" else about.get("customer")
    found = named.get("id") if isinstance(named, dict) else named
    return None if found is None else str(found)


def _reading(raw: dict[str, Any]) -> Reading:
    items = raw["items"]["data"]
    # Since version 2025-03-31 the period stands at the items.
    ends = [item["current_period_end"] for item in items if item.get("current_period_end") is not None]
    method = raw.get("default_payment_method")
    card = method.get("card") if isinstance(method, dict) else None
    return Reading(
        subscription_id=raw["id"],
        status=raw["status"],
        price_ids=tuple(item["price"]["id"] for item in items),
        period_end_at=_instant(max(ends, default=None)),
        trial_end_at=_instant(raw.get("trial_end")),
        ends_at_period_end=bool(raw.get("cancel_at_period_end")) or raw.get("cancel_at") is not None,
        fingerprint=card.get("fingerprint") if card else None,
    )


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
