"""What is said to a reader: insights, digests, signals."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from sync.records.markets import Record
from sync.records.words import (
    Evidence,
    Percent,
    Position,
    Probability,
    Recommendation,
    Sentiment,
    SignalKind,
    TimeSensitivity,
)


class Insight(Record, frozen=True, kw_only=True, tag="insight"):
    """What a pattern means and what to do, as read by a model and bounded by our rules."""

    insight_id: str
    market_key: str
    pattern_id: str
    detector: str
    recommendation: Recommendation
    confidence: Percent
    one_liner: str
    reasoning: str
    edge_explanation: str
    risk_factors: tuple[str, ...]
    suggested_position: Position
    time_sensitivity: TimeSensitivity
    actionable: bool  # confidence above 60 and no clamp
    model: str
    prompt_version: str
    cost_usd: Decimal
    created_at: datetime
    expires_at: datetime
    clamps: tuple[str, ...] = ()  # each rule of ours that lowered the model's verdict, in words
    bid: Probability | None = None  # what we showed the model; the reader sees our numbers, never the model's
    ask: Probability | None = None
    what_happened: str | None = None
    why_it_matters: str | None = None
    leave_it_if: str | None = None  # when the reader should not touch it
    probability_yes: Probability | None = None  # our newest price-blind forecast
    edge: float | None = None  # of one contract of the suggested side, by that forecast, after its price and fee


class DigestMarket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One market of a digest: a model's sentence beside our own numbers of that moment."""

    market_key: str
    title: str
    why: str
    url: str | None = None
    recommendation: Recommendation | None = None  # of our newest insight, after our rules
    confidence: Percent | None = None
    insight_id: str | None = None
    bid: Probability | None = None
    ask: Probability | None = None
    probability_yes: Probability | None = None  # our newest price-blind forecast
    moved: tuple[str, ...] = ()  # each rule of ours that put it elsewhere than the model did, in words


class DigestArbitrage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Two legs that were cheaper together than what they pay; reckoned by us, no model asked."""

    market_keys: tuple[str, ...]
    summary: str
    net_edge: float  # per contract, after fees


class Digest(Record, frozen=True, kw_only=True, tag="digest"):
    """One UTC day in short, from our own findings; one a day and edge."""

    digest_id: str
    day: date
    created_at: datetime
    sentiment: Sentiment
    summary: str
    top_picks: tuple[DigestMarket, ...]
    avoid: tuple[DigestMarket, ...]
    watch: tuple[DigestMarket, ...]
    arbitrage: tuple[DigestArbitrage, ...]
    markdown: str  # the same, rendered by us
    n_considered: int  # markets the model was told of
    n_dropped: int  # mentions of markets it was not told of, or named twice
    model: str
    prompt_version: str
    cost_usd: Decimal


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an experiment's past says about it, as of the day a signal was made. Intervals are 95 %, by events."""

    state: Evidence
    summary: str  # the same in one sentence
    n: int  # predictions that count
    events: int  # independent ones among them
    n_resolved: int
    brier_skill: float | None = None  # against the market on the same rows; 0 is no skill
    brier_skill_low: float | None = None
    brier_skill_high: float | None = None
    signed_move: float | None = None  # of the price toward the forecast within 24 h; 0 is no skill
    signed_move_low: float | None = None
    signed_move_high: float | None = None


class Signal(Record, frozen=True, kw_only=True, tag="signal"):
    """A forecast and a price that disagree, or come together fast, beside the forecaster's record. Never an order."""

    signal_id: str
    market_key: str
    signal_kind: SignalKind
    prediction_id: str
    experiment: str
    experiment_version: str
    model: str | None = None
    side: Position  # what the forecast would hold: YES or NO
    summary: str
    probability: Probability  # the forecast's, of YES
    bid: Probability  # of YES, as the market stood
    ask: Probability
    cost: float  # of one contract of the side: the price it is offered at, and the taker's fee
    edge: float  # what a contract would be worth beyond its cost, were the forecast right
    believed: Probability  # of YES, with the forecast's weight against the price: what the size is reckoned from
    kelly_fraction: float  # of the bankroll, a quarter of Kelly's, capped; 0 where nothing is left to believe in
    assumptions: tuple[str, ...]  # what the fraction rests on, in words
    record: TrackRecord
    evidence: dict[str, float]  # the numbers that triggered it
    created_at: datetime
    expires_at: datetime
