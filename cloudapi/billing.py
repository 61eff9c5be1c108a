"""Billing: which tier a subscription gives, and since when not any more. Pure; Stripe's objects come as `Reading`s.

Law: an event is a hint, the subscription read afterwards is what counts, so lost, late, repeated and swapped events end
in the same state. A failed payment keeps the tier for some days of grace, counted once from its first sight. A price
nobody configured gives no tier and takes none away: it is our mistake, not the payer's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cloudapi.tiers import Tier

GIVES = frozenset({"active", "trialing"})
FAILED_PAYMENT = "past_due"
NONE = "none"  # our word for a customer without any subscription

# The events that say something about a subscription; others are noted and left alone.
ABOUT_SUBSCRIPTIONS = (
    "checkout.session.completed",
    "customer.subscription.",
    "invoice.paid",
    "invoice.payment_",
    "customer.deleted",
)
_ORDER = list(Tier)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription as Stripe has it now."""

    subscription_id: str
    status: str
    price_ids: tuple[str, ...]
    period_end_at: datetime | None = None
    trial_end_at: datetime | None = None
    ends_at_period_end: bool = False
    fingerprint: str | None = None  # of the card, the same for every account that pays with it


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an account is owed. `tier` None: a price we do not know, leave the tier as it is."""

    tier: Tier | None
    status: str
    subscription_id: str | None = None
    period_end_at: datetime | None = None
    trial_end_at: datetime | None = None
    grace_until: datetime | None = None
    ends_at_period_end: bool = False


def is_about_subscriptions(event_type: str) -> bool:
    """Whether an event is a reason to read the customer's subscriptions again."""
    return event_type.startswith(ABOUT_SUBSCRIPTIONS)


def standing(
    readings: Sequence[Reading],
    prices: Mapping[str, Tier],
    *,
    now: datetime,
    grace: timedelta,
    grace_before: datetime | None,
) -> Standing:
    """What a customer's subscriptions together give: the best of them.

    Args:
        prices: price id to tier, from the settings.
        now: Stripe's clock where it is a test clock, ours otherwise.
        grace_before: the end of a grace already running; a second failure does not lengthen it.
    """
    if not readings:
        return Standing(tier=Tier.BASIC, status=NONE)
    each = [_one(reading, prices, now, grace, grace_before) for reading in readings]
    known = [one for one in each if one.tier is not None]
    unknown = [one for one in each if one.tier is None]
    best = max(known, key=lambda one: _ORDER.index(one.tier or Tier.BASIC), default=None)
    if unknown and (best is None or best.tier is Tier.BASIC):
        return unknown[0]
    return best or each[0]


def _one(
    reading: Reading, prices: Mapping[str, Tier], now: datetime, grace: timedelta, grace_before: datetime | None
) -> Standing:
    grace_until = None
    is_owed = reading.status in GIVES
    if reading.status == FAILED_PAYMENT:
        grace_until = grace_before or now + grace
        is_owed = now < grace_until
    tier: Tier | None = Tier.BASIC
    if is_owed:
        tiers = [prices[price_id] for price_id in reading.price_ids if price_id in prices]
        tier = max(tiers, key=_ORDER.index, default=None)
    return Standing(
        tier=tier,
        status=reading.status,
        subscription_id=reading.subscription_id,
        period_end_at=reading.period_end_at,
        trial_end_at=reading.trial_end_at,
        grace_until=grace_until,
        ends_at_period_end=reading.ends_at_period_end,
    )


def has_second_trial(readings: Sequence[Reading], used_by_others: frozenset[str]) -> list[str]:
    """Subscriptions on trial whose card has had its trial under another account: theirs ends now."""
    return [
        one.subscription_id
        for one in readings
        if one.status == "trialing" and one.fingerprint is not None and one.fingerprint in used_by_others
    ]
