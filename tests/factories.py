"""Valid records with defaults, the same on every run; a test names only what it is about."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sync.records import (
    Check,
    Digest,
    DigestMarket,
    Insight,
    Market,
    MarketStatus,
    Movement,
    Pattern,
    Position,
    Prediction,
    Quote,
    Recommendation,
    Sentiment,
    TimeSensitivity,
    Venue,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MARKET_KEY = "polymarket:0xfed0"


def make_market(**over: Any) -> Market:
    """An open market closing in a week. `market_key` decides venue and venue_market_id unless they are given."""
    market_key = over.get("market_key", MARKET_KEY)
    venue, _, venue_market_id = market_key.partition(":")
    defaults: dict[str, Any] = {
        "market_key": market_key,
        "venue": Venue(venue),
        "venue_market_id": venue_market_id,
        "title": "Will the Fed cut rates in December?",
        "status": MarketStatus.OPEN,
        "fetched_at": NOON,
        "event_id": "9001",
        "event_title": "Fed decision in December",
        "proposition": "25 bps cut",
        "outcome_labels": ("Yes", "No"),
        "category": "Economics",
        "rules_text": "Resolves to Yes if the target range is lowered at the December meeting.",
        "url": "https://polymarket.com/event/fed-decision-in-december",
        "tick_size": 0.01,
        "mutually_exclusive": True,
        "open_time": NOON - timedelta(days=30),
        "close_time": NOON + timedelta(days=7),
    }
    return Market(**defaults | over)


def make_quote(**over: Any) -> Quote:
    """A two-sided quote; `mid` follows bid and ask unless it is given."""
    defaults: dict[str, Any] = {
        "market_key": MARKET_KEY,
        "fetched_at": NOON,
        "bid": 0.40,
        "ask": 0.44,
        "last_price": 0.42,
        "volume_24h": 12_500.0,
        "liquidity_usd": 40_000.0,
    }
    values = defaults | over
    if "mid" not in values and values["bid"] is not None and values["ask"] is not None:
        values["mid"] = round((values["bid"] + values["ask"]) / 2, 9)
    return Quote(**values)


def make_pattern(**over: Any) -> Pattern:
    """A price jump."""
    defaults: dict[str, Any] = {
        "pattern_id": "01936f00-0000-7000-8000-000000000001",
        "market_key": MARKET_KEY,
        "detector": "price_jump",
        "score": 72,
        "evidence": {"mid_before": 0.30, "mid_now": 0.42},
        "detected_at": NOON,
    }
    return Pattern(**defaults | over)


def make_insight(**over: Any) -> Insight:
    """A modest recommendation."""
    defaults: dict[str, Any] = {
        "insight_id": "01936f00-0000-7000-8000-000000000002",
        "market_key": MARKET_KEY,
        "pattern_id": "01936f00-0000-7000-8000-000000000001",
        "detector": "price_jump",
        "recommendation": Recommendation.GOOD_BET,
        "confidence": 65,
        "one_liner": "The market moved on the inflation report.",
        "reasoning": "The jump came with volume and the rules leave little room.",
        "edge_explanation": "The move may not have gone all the way.",
        "risk_factors": ("the next report is due before the meeting",),
        "suggested_position": Position.YES,
        "time_sensitivity": TimeSensitivity.HOURS,
        "actionable": True,
        "model": "openai/gpt-oss-20b",
        "prompt_version": "insight-1",
        "cost_usd": Decimal("0.000412"),
        "created_at": NOON,
        "expires_at": NOON + timedelta(hours=6),
        "bid": 0.40,
        "ask": 0.44,
    }
    return Insight(**defaults | over)


def make_prediction(**over: Any) -> Prediction:
    """A price-blind forecast, the first of its chain. Its hashes are only shaped like hashes."""
    defaults: dict[str, Any] = {
        "prediction_id": "01936f00-0000-7000-8000-000000000003",
        "market_key": MARKET_KEY,
        "experiment": "blind",
        "experiment_version": "1",
        "run_day": date(2026, 11, 21),
        "probability_yes": 0.55,
        "saw_price": False,
        "predicted_at": NOON,
        "model": "openai/gpt-oss-20b",
        "prompt_version": "forecast-1",
        "confidence": 60,
        "rationale": "Base rate of cuts after such reports.",
        "initial_price": 0.42,
        "initial_bid": 0.40,
        "initial_ask": 0.44,
        "chain_seq": 1,
        "previous_hash": "0" * 64,
        "record_hash": "a" * 64,
    }
    return Prediction(**defaults | over)


def make_check(**over: Any) -> Check:
    """One hour later, the market a little nearer to the forecast."""
    defaults: dict[str, Any] = {
        "prediction_id": "01936f00-0000-7000-8000-000000000003",
        "market_key": MARKET_KEY,
        "checked_at": NOON + timedelta(hours=1),
        "movement_direction": Movement.CONVERGING,
        "predicted_probability": 0.55,
        "predicted_confidence": 60,
        "hours_since_prediction": 1.0,
        "closed": False,
        "resolved": False,
        "yes_price": 0.45,
        "no_price": 0.55,
        "abs_delta": 0.10,
        "convergence_rate": 0.03,
        "cumulative_convergence": 0.03,
        "signed_move": 0.03,
    }
    return Check(**defaults | over)


def make_digest(**over: Any) -> Digest:
    """A quiet day with one market to watch."""
    entry = DigestMarket(
        market_key=MARKET_KEY,
        title="Will the Fed cut rates in December?",
        why="Our forecast is far from the price.",
        recommendation=Recommendation.CAUTION,
        confidence=55,
        bid=0.40,
        ask=0.44,
        probability_yes=0.55,
        moved=("not a top pick: our own verdict is CAUTION",),
    )
    defaults: dict[str, Any] = {
        "digest_id": "01936f00-0000-7000-8000-000000000004",
        "day": date(2026, 11, 21),
        "created_at": NOON,
        "sentiment": Sentiment.CALM,
        "summary": "A quiet day.",
        "top_picks": (),
        "avoid": (),
        "watch": (entry,),
        "arbitrage": (),
        "markdown": "# A quiet day\n",
        "n_considered": 3,
        "n_dropped": 0,
        "model": "openai/gpt-oss-20b",
        "prompt_version": "digest-1",
        "cost_usd": Decimal("0.000731"),
    }
    return Digest(**defaults | over)
