"""Who may see what: the one table of entitlements. Guards, queries, the documentation page and the tests read it.

Law: a tier is a different question to the database, never a filter over a shared answer; so it is part of every
cache key. The tier comes from the account's row, not from anything the caller holds.
"""

from enum import StrEnum

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


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier may read, how late and how often."""

    series_intervals: tuple[Interval, ...]
    price_delay_s: int  # 0: as soon as it landed
    insights_per_day: int | None  # None: all of them
    predictions: bool
    arbitrage: bool
    signals: bool  # forecasts against prices, with a size: for those who read the record beside it
    requests_per_minute: int


ENTITLEMENTS: dict[Tier, Entitlement] = {
    Tier.BASIC: Entitlement(
        series_intervals=(Interval.H1, Interval.D1),
        price_delay_s=900,
        insights_per_day=5,
        predictions=False,
        arbitrage=False,
        signals=False,
        requests_per_minute=60,
    ),
    Tier.PREMIUM: Entitlement(
        series_intervals=(Interval.M5, Interval.H1, Interval.D1),
        price_delay_s=0,
        insights_per_day=None,
        predictions=True,
        arbitrage=True,
        signals=False,
        requests_per_minute=300,
    ),
    Tier.PRO: Entitlement(
        series_intervals=(Interval.RAW, Interval.M5, Interval.H1, Interval.D1),
        price_delay_s=0,
        insights_per_day=None,
        predictions=True,
        arbitrage=True,
        signals=True,
        requests_per_minute=1200,
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


UPGRADE_PROMPT = "These are the five strongest insights of today. Premium shows all of them, as they appear."
