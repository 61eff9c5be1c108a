"""Valid records with defaults, for the tests of the cloud."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sync.records import (
    Check,
    Insight,
    Market,
    MarketStatus,
    Movement,
    Pattern,
    Position,
    Prediction,
    Quote,
    Recommendation,
    TimeSensitivity,
    Venue,
)

NOW = datetime.now(UTC).replace(microsecond=250_000)


def make_market(ticker: str = "KXRAIN-26", **changes: Any) -> Market:
    return Market(
        **{
            "market_key": f"kalshi:{ticker}",
            "venue": Venue.KALSHI,
            "venue_market_id": ticker,
            "title": f"Will it rain on {ticker}?",
            "status": MarketStatus.OPEN,
            "fetched_at": NOW,
            "category": "Weather",
            "rules_text": "Resolves YES if it rains.",
        }
        | changes
    )


def make_quote(ticker: str = "KXRAIN-26", **changes: Any) -> Quote:
    return Quote(
        **{
            "market_key": f"kalshi:{ticker}",
            "fetched_at": NOW,
            "bid": 0.4123,
            "ask": 0.4127,
            "mid": 0.4125,
            "last_price": 0.412345,
            "volume_24h": 123456789.25,
        }
        | changes
    )


def make_pattern(**changes: Any) -> Pattern:
    return Pattern(
        **{
            "pattern_id": "pat-1",
            "market_key": "kalshi:KXRAIN-26",
            "detector": "volume_surge",
            "score": 81,
            "evidence": {"ratio": 3.5, "window": "24h"},
            "detected_at": NOW,
        }
        | changes
    )


def make_insight(**changes: Any) -> Insight:
    return Insight(
        **{
            "insight_id": "ins-1",
            "market_key": "kalshi:KXRAIN-26",
            "pattern_id": "pat-1",
            "detector": "volume_surge",
            "recommendation": Recommendation.CAUTION,
            "confidence": 64,
            "one_liner": "Volume tripled without news.",
            "reasoning": "The book moved first.",
            "edge_explanation": "Late buyers overpay.",
            "risk_factors": ("thin book", "weather"),
            "suggested_position": Position.WAIT,
            "time_sensitivity": TimeSensitivity.HOURS,
            "actionable": True,
            "model": "some-model",
            "prompt_version": "3",
            "cost_usd": Decimal("0.000123"),
            "created_at": NOW,
            "expires_at": NOW + timedelta(hours=6),
            "clamps": ("confidence capped: thin book",),
            "bid": 0.41,
        }
        | changes
    )


def make_prediction(**changes: Any) -> Prediction:
    return Prediction(
        **{
            "prediction_id": "prd-1",
            "market_key": "kalshi:KXRAIN-26",
            "experiment": "blind",
            "experiment_version": "1",
            "run_day": NOW.date(),
            "probability_yes": 0.75,
            "saw_price": False,
            "predicted_at": NOW,
            "confidence": 70,
            "initial_price": 0.6,
            "chain_seq": 1,
            "previous_hash": "0" * 64,
            "record_hash": "a" * 64,
        }
        | changes
    )


def make_check(**changes: Any) -> Check:
    return Check(
        **{
            "prediction_id": "prd-1",
            "market_key": "kalshi:KXRAIN-26",
            "checked_at": NOW,
            "movement_direction": Movement.CONVERGING,
            "predicted_probability": 0.75,
            "hours_since_prediction": 1.0,
            "closed": False,
            "resolved": False,
            "yes_price": 0.63,
            "abs_delta": 0.12,
            "convergence_rate": 0.03,
        }
        | changes
    )


def make_one_of_each() -> list[Market | Quote | Pattern | Insight | Prediction | Check]:
    return [make_market(), make_quote(), make_pattern(), make_insight(), make_prediction(), make_check()]
