"""What a subscription gives, on paper."""

from datetime import UTC, datetime, timedelta

import pytest

from cloudapi.billing import NONE, Reading, Standing, is_about_subscriptions, standing
from cloudapi.tiers import Tier

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PRICES = {"price_1": Tier.PREMIUM, "price_2": Tier.PRO}
GRACE = timedelta(days=7)


def weigh(*readings: Reading, before: datetime | None = None, now: datetime = NOW) -> Standing:
    return standing(readings, PRICES, now=now, grace=GRACE, grace_before=before)


def reading(status: str = "active", price: str = "price_2") -> Reading:
    return Reading(subscription_id=f"sub_{status}_{price}", status=status, price_ids=(price,))


@pytest.mark.parametrize(
    ("status", "tier"),
    [("active", Tier.PRO), ("trialing", Tier.PRO), ("past_due", Tier.PRO), ("unpaid", Tier.BASIC),
     ("canceled", Tier.BASIC), ("incomplete", Tier.BASIC), ("incomplete_expired", Tier.BASIC), ("paused", Tier.BASIC),
     ("a word of next year", Tier.BASIC)],
)  # fmt: skip
def test_each_status_has_its_tier(status: str, tier: Tier) -> None:
    """Every word of Stripe's, and one it has not invented yet: what is not known to give gives nothing."""
    assert weigh(reading(status)).tier is tier


def test_without_a_subscription_there_is_the_lowest_tier() -> None:
    """A customer who never paid."""
    assert weigh() == Standing(tier=Tier.BASIC, status=NONE)


def test_the_best_of_several_counts() -> None:
    """An old one that ended must not hide the new one."""
    found = weigh(reading("canceled"), reading("active", "price_1"), reading("past_due", "price_1"))

    assert (found.tier, found.status) == (Tier.PREMIUM, "active")


def test_grace_is_counted_once() -> None:
    """A second failed attempt does not lengthen it; its end ends the tier."""
    first = weigh(reading("past_due"))
    assert first.grace_until == NOW + GRACE
    later = weigh(reading("past_due"), before=first.grace_until, now=NOW + timedelta(days=6))
    assert (later.tier, later.grace_until) == (Tier.PRO, NOW + GRACE)
    over = weigh(reading("past_due"), before=first.grace_until, now=NOW + GRACE)
    assert over.tier is Tier.BASIC


def test_an_unknown_price_is_no_verdict_unless_something_known_gives_more() -> None:
    """Our forgotten setting must take nothing from who pays."""
    assert weigh(reading(price="price_9")).tier is None
    assert weigh(reading("canceled"), reading(price="price_9")).tier is None
    assert weigh(reading(price="price_9"), reading()).tier is Tier.PRO
    assert weigh(reading("canceled", "price_9")).tier is Tier.BASIC


@pytest.mark.parametrize(
    ("event_type", "is_one"),
    [("customer.subscription.updated", True), ("invoice.payment_failed", True), ("checkout.session.completed", True),
     ("customer.updated", False), ("charge.refunded", False)],
)  # fmt: skip
def test_only_events_about_subscriptions_ask_stripe(event_type: str, is_one: bool) -> None:
    """An account with many events must not cost a call each."""
    assert is_about_subscriptions(event_type) is is_one
