"""The factories' records as the cloud's tests want them: stamped now (the cloud refuses days ahead), by Kalshi ticker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sync.records import Check, Digest, Insight, Market, Pattern, Prediction, Quote
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


def make_one_of_each() -> list[Market | Quote | Pattern | Insight | Prediction | Check | Digest]:
    known = [make_market(), make_quote(), make_pattern(), make_insight(), make_prediction(), make_check()]
    return [*known, make_digest()]
