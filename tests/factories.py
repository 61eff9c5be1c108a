"""Valid records with defaults, the same on every run; a test names only what it is about."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sync.records import (
    Arbitrage,
    ArbitrageKind,
    ArbitrageLeg,
    ArbitrageStatus,
    BenchmarkPass,
    BenchmarkReport,
    BenchmarkStatus,
    Check,
    Digest,
    DigestMarket,
    Evidence,
    Horizon,
    Insight,
    JudgedBy,
    Mark,
    Market,
    MarketStatus,
    Match,
    Movement,
    Pattern,
    Position,
    Prediction,
    Quote,
    Recommendation,
    Relation,
    Resolution,
    Score,
    Sentiment,
    SessionState,
    SessionStep,
    Signal,
    SignalKind,
    TimeSensitivity,
    TrackRecord,
    Venue,
    YesMapsTo,
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
        "what_happened": "The price rose by twelve points within an hour.",
        "why_it_matters": "The committee looks at the same report.",
        "leave_it_if": "The next report is due before you can sell.",
        "probability_yes": 0.60,
        "edge": 0.1423,
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


def make_mark(**over: Any) -> Mark:
    """A day later, the market five points nearer to the forecast."""
    defaults: dict[str, Any] = {
        "prediction_id": "01936f00-0000-7000-8000-000000000003",
        "market_key": MARKET_KEY,
        "horizon": Horizon.H24,
        "due_at": NOON + timedelta(hours=24),
        "marked_at": NOON + timedelta(hours=24),
        "seen_at": NOON + timedelta(hours=23, minutes=50),
        "bid": 0.46,
        "ask": 0.48,
        "mid": 0.47,
        "signal": True,
        "signed_move": 0.05,
        "signed_move_exec": -0.012,
    }
    return Mark(**defaults | over)


def make_score(**over: Any) -> Score:
    """The forecast of 0.55, and it happened."""
    defaults: dict[str, Any] = {
        "prediction_id": "01936f00-0000-7000-8000-000000000003",
        "market_key": MARKET_KEY,
        "scored_at": NOON + timedelta(days=8),
        "resolution": Resolution.YES,
        "resolution_value": 1.0,
        "brier_score": 0.2025,
        "log_score": 0.598,
        "market_brier_score": 0.3364,
        "day_before_brier_score": 0.25,
    }
    return Score(**defaults | over)


def make_benchmark_pass(**over: Any) -> BenchmarkPass:
    """One prediction, converging."""
    counts = (
        "paused",
        "completed",
        "diverging",
        "stable",
        "overshot",
        "stale",
        "settled",
        "marks",
        "scores",
        "excluded",
    )
    defaults: dict[str, Any] = {f"n_{name}": 0 for name in counts} | {
        "pass_id": "01936f00-0000-7000-8000-000000000005",
        "checked_at": NOON + timedelta(hours=1),
        "status": BenchmarkStatus.ACTIVE,
        "n_active": 1,
        "n_checks": 1,
        "n_converging": 1,
        "mean_rate": 0.03,
        "max_rate": 0.03,
        "convergence_percentage": 23.1,
    }
    return BenchmarkPass(**defaults | over)


def make_benchmark_report(**over: Any) -> BenchmarkReport:
    """Too early to say anything."""
    defaults: dict[str, Any] = {
        "report_id": "01936f00-0000-7000-8000-000000000006",
        "scope": "experiment:single_model",
        "made_at": NOON,
        "body": {"experiment": "single_model", "n": 3, "events": 1, "arms": []},
    }
    return BenchmarkReport(**defaults | over)


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


def make_match(**over: Any) -> Match:
    """One question on two venues, by its texts alone."""
    defaults: dict[str, Any] = {
        "match_id": "01936f00-0000-7000-8000-000000000005",
        "kalshi_key": "kalshi:FED-CUT",
        "polymarket_key": MARKET_KEY,
        "relation": Relation.EQUIVALENT,
        "yes_maps_to": YesMapsTo.YES,
        "judged_by": JudgedBy.TEXT,
        "judged_at": NOON,
        "score": 0.8,
        "reasons": ("nobody compared the rules",),
    }
    return Match(**defaults | over)


def make_arbitrage(**over: Any) -> Arbitrage:
    """YES on Kalshi at 0.40, NO on Polymarket at 0.50, a hundred of each."""
    leg = ArbitrageLeg(
        market_key="kalshi:FED-CUT",
        title="Will the Fed cut rates in December?",
        side=Position.YES,
        price=Decimal("0.40"),
        worst_price=Decimal("0.40"),
        fee_usd=Decimal("1.68"),
        book_age_s=3.0,
        depth_known=True,
    )
    other = ArbitrageLeg(
        market_key=MARKET_KEY,
        title="Will the Fed cut rates in December?",
        side=Position.NO,
        price=Decimal("0.50"),
        worst_price=Decimal("0.50"),
        fee_usd=Decimal("1.00"),
        book_age_s=4.0,
        depth_known=True,
        url="https://polymarket.com/event/fed-decision-in-december",
    )
    defaults: dict[str, Any] = {
        "arbitrage_id": "01936f00-0000-7000-8000-000000000006",
        "arbitrage_kind": ArbitrageKind.CROSS_PLATFORM,
        "status": ArbitrageStatus.ACTIVE,
        "detected_at": NOON,
        "computed_at": NOON,
        "legs": (leg, other),
        "size": Decimal(100),
        "payout_usd": Decimal(1),
        "cost_usd": Decimal("90.00"),
        "gross_usd": Decimal("10.00"),
        "fees_usd": Decimal("2.68"),
        "net_usd": Decimal("7.32"),
        "net_edge": 0.078981,
        "confidence": 50,
        "steps": ("look at every book again", "buy both"),
        "risks": ("the rules may differ",),
        "reasons": ("texts agree",),
        "annualised": 0.394,
        "pays_at": NOON + timedelta(days=73),
        "match_id": "01936f00-0000-7000-8000-000000000005",
    }
    return Arbitrage(**defaults | over)


def make_session_step(**over: Any) -> SessionStep:
    """A model that is being asked."""
    defaults: dict[str, Any] = {
        "step_id": "01936f00-0000-7000-8000-00000000000c",
        "session_id": "01936f00-0000-7000-8000-00000000000d",
        "model": "openai/gpt-oss-20b",
        "state": SessionState.GENERATING,
        "made_at": NOON,
    }
    return SessionStep(**defaults | over)


def make_signal(**over: Any) -> Signal:
    """A disagreement of sixteen points whose forecaster has hardly begun."""
    defaults: dict[str, Any] = {
        "signal_id": "01936f00-0000-7000-8000-000000000009",
        "market_key": MARKET_KEY,
        "signal_kind": SignalKind.DISAGREEMENT,
        "prediction_id": "01936f00-0000-7000-8000-000000000003",
        "experiment": "blind",
        "experiment_version": "1",
        "model": "openai/gpt-oss-20b",
        "side": Position.YES,
        "summary": "the forecast is far from what can be traded: 16.0 points beyond cost on YES if it is right",
        "probability": 0.60,
        "bid": 0.40,
        "ask": 0.44,
        "cost": 0.44,
        "edge": 0.16,
        "believed": 0.4377,
        "kelly_fraction": 0.0,
        "assumptions": ("a quarter of Kelly's fraction", "the forecaster's record: too early"),
        "record": TrackRecord(
            state=Evidence.TOO_EARLY,
            summary="too early: 12 events, nothing is said below 30",
            n=20,
            events=12,
            n_resolved=5,
            brier_skill=-0.02,
            brier_skill_low=-0.4,
            brier_skill_high=0.3,
        ),
        "evidence": {"confidence": 80.0, "min_edge": 0.05},
        "created_at": NOON,
        "expires_at": NOON + timedelta(hours=24),
    }
    return Signal(**defaults | over)
