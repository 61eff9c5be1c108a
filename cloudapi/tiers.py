"""Who may see what: the one table of entitlements. Guards, queries, the documentation page and the tests read it.

Law: a tier is a different question to the database, never a filter over a shared answer; so it is part of every
cache key. The tier comes from the account's row, not from anything the caller holds.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import gcd

import msgspec


class Tier(StrEnum):
    """Subscriber levels, lowest first."""

    BASIC = "basic"
    PREMIUM = "premium"
    PRO = "pro"


class Interval(StrEnum):
    """Spacing of a price series; RAW is every quote as it was stored."""

    RAW = "raw"
    M5 = "5m"
    H1 = "1h"
    D1 = "1d"


INTERVAL_S = {Interval.RAW: 1, Interval.M5: 300, Interval.H1: 3600, Interval.D1: 86_400}

HOUR_S = 3600
DAY_S = 86_400


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier may read, how late and how often."""

    series_intervals: tuple[Interval, ...]
    price_delay_s: int  # 0: as soon as it landed
    insights_per_day: int | None  # None: all of them
    insights_every_s: int  # insights and arbitrage appear at the end of each such span; 0: as they land
    benchmark_every_s: int  # the same for what the benchmark says
    deep_analysis: bool  # the reasoning behind an insight, with our own probability
    predictions: bool
    arbitrage: bool
    signals: bool  # forecasts against prices, with a size: for those who read the record beside it
    live_streams: int  # at a time; 0: no live feed
    requests_per_minute: int
    requests_per_month: int
    credits_per_month: int  # for predictions on demand, one per model; what is not used stays


ENTITLEMENTS: dict[Tier, Entitlement] = {
    Tier.BASIC: Entitlement(
        series_intervals=(Interval.H1, Interval.D1),
        price_delay_s=900,
        insights_per_day=5,
        insights_every_s=HOUR_S,
        benchmark_every_s=DAY_S,
        deep_analysis=False,
        predictions=False,
        arbitrage=False,
        signals=False,
        live_streams=0,
        requests_per_minute=60,
        requests_per_month=20_000,
        credits_per_month=0,
    ),
    Tier.PREMIUM: Entitlement(
        series_intervals=(Interval.M5, Interval.H1, Interval.D1),
        price_delay_s=0,
        insights_per_day=None,
        insights_every_s=HOUR_S,
        benchmark_every_s=HOUR_S,
        deep_analysis=False,
        predictions=True,
        arbitrage=True,
        signals=False,
        live_streams=0,
        requests_per_minute=300,
        requests_per_month=500_000,
        credits_per_month=20,
    ),
    Tier.PRO: Entitlement(
        series_intervals=(Interval.RAW, Interval.M5, Interval.H1, Interval.D1),
        price_delay_s=0,
        insights_per_day=None,
        insights_every_s=0,
        benchmark_every_s=0,
        deep_analysis=True,
        predictions=True,
        arbitrage=True,
        signals=True,
        live_streams=3,
        requests_per_minute=1200,
        requests_per_month=10_000_000,
        credits_per_month=200,
    ),
}


def lowest_tier_with_interval(interval: Interval) -> Tier:
    """The first tier that may read a series this fine."""
    return next(tier for tier in Tier if interval in ENTITLEMENTS[tier].series_intervals)


def lowest_tier_with_predictions() -> Tier:
    """The first tier that may read predictions."""
    return next(tier for tier in Tier if ENTITLEMENTS[tier].predictions)


def lowest_tier_with_arbitrage() -> Tier:
    """The first tier that may read arbitrage."""
    return next(tier for tier in Tier if ENTITLEMENTS[tier].arbitrage)


def lowest_tier_with_signals() -> Tier:
    """The first tier that may read signals."""
    return next(tier for tier in Tier if ENTITLEMENTS[tier].signals)


def lowest_tier_with_live() -> Tier:
    """The first tier that may listen."""
    return next(tier for tier in Tier if ENTITLEMENTS[tier].live_streams)


def visible_until(every_s: int, now: datetime) -> datetime | None:
    """The end of the last full span in UTC: what happened before it may be shown. None: everything may."""
    if every_s == 0:
        return None
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(seconds=(now - midnight).total_seconds() // every_s * every_s)


# The moments at which any tier may see more: multiples of this in UTC.
SPAN_S = gcd(*(each for right in ENTITLEMENTS.values() for each in (right.insights_every_s, right.benchmark_every_s)))


def span_of(now: datetime) -> int:
    """The span an instant lies in: within one, no tier's `visible_until` moves."""
    return int(now.timestamp()) // SPAN_S


UPGRADE_PROMPT = "These are the five strongest insights of today. Premium shows all of them, hour by hour."
