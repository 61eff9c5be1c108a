"""The factories' records as the cloud's tests want them: stamped now (the cloud refuses days ahead), by Kalshi ticker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sync.records import (
    Arbitrage,
    BenchmarkPass,
    BenchmarkReport,
    Check,
    Digest,
    Insight,
    Mark,
    Market,
    Match,
    Pattern,
    Prediction,
    Quote,
    Score,
    SessionStep,
    Signal,
    Travelling,
)
from tests import factories

NOW = datetime.now(UTC).replace(microsecond=250_000)
TICKER = "KXRAIN-26"
KEY = f"kalshi:{TICKER}"


def make_market(ticker: str = TICKER, **changes: Any) -> Market:
    ours = {
        "market_key": f"kalshi:{ticker}",
        "title": f"Will it rain on {ticker}?",
        "fetched_at": NOW,
        "category": "Weather",
        "rules_text": "Resolves YES if it rains.",
        "event_title": None,
        "proposition": None,
    }
    return factories.make_market(**ours | changes)


def make_quote(ticker: str = TICKER, **changes: Any) -> Quote:
    ours = {
        "market_key": f"kalshi:{ticker}",
        "fetched_at": NOW,
        "bid": 0.4123,
        "ask": 0.4127,
        "mid": 0.4125,
        "last_price": 0.412345,
        "volume_24h": 123456789.25,
    }
    return factories.make_quote(**ours | changes)


def make_pattern(**changes: Any) -> Pattern:
    ours = {"pattern_id": "pat-1", "market_key": KEY, "detected_at": NOW, "evidence": {"ratio": 3.5, "window": "24h"}}
    return factories.make_pattern(**ours | changes)


def make_insight(**changes: Any) -> Insight:
    ours = {
        "insight_id": "ins-1",
        "market_key": KEY,
        "pattern_id": "pat-1",
        "confidence": 64,
        "risk_factors": ("thin book", "weather"),
        "clamps": ("confidence capped: thin book",),
        "created_at": NOW,
        "expires_at": NOW + timedelta(hours=6),
    }
    return factories.make_insight(**ours | changes)


def make_prediction(**changes: Any) -> Prediction:
    ours = {"prediction_id": "prd-1", "market_key": KEY, "run_day": NOW.date(), "predicted_at": NOW}
    return factories.make_prediction(**ours | changes)


def make_check(**changes: Any) -> Check:
    ours = {"prediction_id": "prd-1", "market_key": KEY, "checked_at": NOW}
    return factories.make_check(**ours | changes)


def make_digest(**changes: Any) -> Digest:
    return factories.make_digest(**{"digest_id": "dig-1", "day": NOW.date(), "created_at": NOW} | changes)


def make_match(**changes: Any) -> Match:
    return factories.make_match(**{"match_id": "mat-1", "kalshi_key": KEY, "judged_at": NOW} | changes)


def make_arbitrage(**changes: Any) -> Arbitrage:
    return factories.make_arbitrage(**{"arbitrage_id": "arb-1", "detected_at": NOW, "computed_at": NOW} | changes)


def make_mark(**changes: Any) -> Mark:
    return factories.make_mark(
        **{"prediction_id": "prd-1", "market_key": KEY, "due_at": NOW, "marked_at": NOW, "seen_at": NOW} | changes
    )


def make_score(**changes: Any) -> Score:
    return factories.make_score(**{"prediction_id": "prd-1", "market_key": KEY, "scored_at": NOW} | changes)


def make_benchmark_pass(**changes: Any) -> BenchmarkPass:
    return factories.make_benchmark_pass(**{"pass_id": "bpa-1", "checked_at": NOW} | changes)


def make_benchmark_report(**changes: Any) -> BenchmarkReport:
    return factories.make_benchmark_report(**{"report_id": "bre-1", "made_at": NOW} | changes)


def make_signal(**changes: Any) -> Signal:
    ours = {"signal_id": "sig-1", "market_key": KEY, "created_at": NOW, "expires_at": NOW + timedelta(hours=24)}
    return factories.make_signal(**ours | changes)


def make_session_step(**changes: Any) -> SessionStep:
    return factories.make_session_step(**{"step_id": "ste-1", "made_at": NOW} | changes)


def make_one_of_each() -> list[Travelling]:
    known = [make_market(), make_quote(), make_pattern(), make_insight(), make_prediction(), make_check()]
    benchmarked = [make_mark(), make_score(), make_benchmark_pass(), make_benchmark_report()]
    return [*known, make_digest(), make_match(), make_arbitrage(), *benchmarked, make_signal(), make_session_step()]
