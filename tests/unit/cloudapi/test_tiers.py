"""The table of entitlements: complete, and never worth less for more."""

from itertools import pairwise

from cloudapi.tiers import (
    ENTITLEMENTS,
    INTERVAL_S,
    Interval,
    Tier,
    lowest_tier_with_arbitrage,
    lowest_tier_with_interval,
    lowest_tier_with_predictions,
    lowest_tier_with_signals,
)


def test_every_tier_and_interval_is_in_its_table() -> None:
    """A tier without a row would be a 500 for its subscribers."""
    assert set(ENTITLEMENTS) == set(Tier)
    assert set(INTERVAL_S) == set(Interval)


def test_higher_tier_never_gets_less() -> None:
    """Whoever pays more sees at least as much, as early and as often."""
    for lower, higher in pairwise(ENTITLEMENTS[tier] for tier in Tier):
        assert set(lower.series_intervals) <= set(higher.series_intervals)
        assert lower.price_delay_s >= higher.price_delay_s
        assert (lower.insights_per_day or 10**9) <= (higher.insights_per_day or 10**9)
        assert lower.predictions <= higher.predictions
        assert lower.arbitrage <= higher.arbitrage
        assert lower.signals <= higher.signals
        assert lower.requests_per_minute < higher.requests_per_minute


def test_hint_names_the_first_tier_that_would_do() -> None:
    """An upgrade hint that names too much costs trust."""
    assert lowest_tier_with_interval(Interval.H1) is Tier.BASIC
    assert lowest_tier_with_interval(Interval.M5) is Tier.PREMIUM
    assert lowest_tier_with_interval(Interval.RAW) is Tier.PRO
    assert lowest_tier_with_predictions() is Tier.PREMIUM
    assert lowest_tier_with_arbitrage() is Tier.PREMIUM
    assert lowest_tier_with_signals() is Tier.PRO
