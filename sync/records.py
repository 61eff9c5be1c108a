"""What travels from the edge to the cloud, each record defined once.

Law: frozen, keyword-only, no behaviour beyond reading itself; what is missing is None and absent on the wire.
The store saves these records, a batch carries them, the API returns them. `_time` was said by a venue, `_at` was
stamped by us; both are aware UTC. A price or probability is a float in [0, 1] or None. A field may be added within
a schema version (the other side ignores what it does not know); renaming or removing one raises SCHEMA_VERSION.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

SCHEMA_VERSION = 1

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class Venue(StrEnum):
    """The exchanges we read."""

    POLYMARKET = "polymarket"
    KALSHI = "kalshi"


class MarketStatus(StrEnum):
    """Where a market stands in its life, in one vocabulary for both venues."""

    UNOPENED = "unopened"  # listed, not trading yet: a leg without prices
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"  # trading over, answer not final
    RESOLVED = "resolved"


class Resolution(StrEnum):
    """How a market ended. A pinned price alone is never a resolution."""

    YES = "yes"
    NO = "no"
    VOID = "void"  # refund or a settlement between 0 and 1: see resolution_value
    DISPUTED = "disputed"
    UNKNOWN = "unknown"  # closed, and the venue does not say how


class Recommendation(StrEnum):
    """The closed vocabulary of an insight's verdict."""

    STRONG_BET = "STRONG_BET"
    GOOD_BET = "GOOD_BET"
    CAUTION = "CAUTION"
    AVOID = "AVOID"


class Position(StrEnum):
    """The side an insight leans to."""

    YES = "YES"
    NO = "NO"
    WAIT = "WAIT"


class TimeSensitivity(StrEnum):
    """How long an insight stays worth reading."""

    ACT_NOW = "ACT_NOW"
    HOURS = "HOURS"
    DAYS = "DAYS"
    WEEKS = "WEEKS"


class Sentiment(StrEnum):
    """How a day felt across everything we watch."""

    CALM = "CALM"
    MIXED = "MIXED"
    TENSE = "TENSE"  # large moves, thin books, much undecided


class Movement(StrEnum):
    """What the market did against a prediction since the check before. Descriptive only."""

    CONVERGING = "CONVERGING"
    DIVERGING = "DIVERGING"
    STABLE = "STABLE"
    OVERSHOT = "OVERSHOT"
    STALE = "STALE"  # no usable quote: no number, counted
    SETTLED = "SETTLED"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    """Base of everything that travels; `kind` names the record on the wire.

    Frozen values cannot form cycles, so the garbage collector need not walk the thousands of a page (gc=False).
    """


# Not keyword-only: the venues build tens of thousands a cycle and give the fields by place, three times as fast.
class Market(Record, frozen=True, tag="market"):
    """One question with its own book, as the venue described it at `fetched_at`.

    A two-team market asks about its first outcome: `outcome_labels[0]` is what a YES price speaks of.
    """

    market_key: str  # "polymarket:<condition id or Gamma id>", "kalshi:<ticker>"
    venue: Venue
    venue_market_id: str
    title: str
    status: MarketStatus
    fetched_at: datetime
    event_id: str | None = None  # the venue's own id of the event that groups markets
    event_title: str | None = None
    series_id: str | None = None  # Kalshi series; where its fee schedule lives
    proposition: str | None = None  # the leg's short name inside its event: "Arsenal", "above 4.25 %"
    outcome_labels: tuple[str, ...] = ()
    token_ids: tuple[str, ...] = ()  # Polymarket CLOB tokens, in the order of outcome_labels
    category: str | None = None
    rules_text: str | None = None
    url: str | None = None
    tick_size: float | None = None
    mutually_exclusive: bool | None = None  # exactly one leg of the event can be YES
    open_set: bool | None = None  # legs may still be added (negRiskAugmented): a sum below 1 proves nothing
    open_time: datetime | None = None
    close_time: datetime | None = None  # nominal on Polymarket, a safety margin on Kalshi
    expected_time: datetime | None = None  # Kalshi's expected expiration: nearer to the real end than close_time
    closed_time: datetime | None = None
    resolution: Resolution | None = None  # None while nobody has decided
    resolution_value: Probability | None = None  # what one YES contract paid


class Quote(Record, frozen=True, kw_only=True, tag="quote"):
    """The top of a market's book at one instant. An empty side is None, never 0 or 1."""

    market_key: str
    fetched_at: datetime
    bid: Probability | None = None
    ask: Probability | None = None
    last_price: Probability | None = None  # last trade; may be stale, never stands in for mid
    mid: Probability | None = None  # only from a two-sided, uncrossed, sane book
    volume_24h: float | None = None  # Polymarket: US dollars; Kalshi: contracts. Never added up across venues
    open_interest: float | None = None  # Kalshi: contracts
    liquidity_usd: float | None = None  # Polymarket only


class Pattern(Record, frozen=True, kw_only=True, tag="pattern"):
    """Something a detector found in the stored history of one market."""

    pattern_id: str
    market_key: str
    detector: str
    score: Percent
    evidence: dict[str, float | str]  # enough to compute the score again
    detected_at: datetime


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


class Prediction(Record, frozen=True, kw_only=True, tag="prediction"):
    """A forecast registered for scoring. Never edited; chained to the one before it."""

    prediction_id: str
    market_key: str
    experiment: str
    experiment_version: str
    run_day: date  # UTC day it counts for; (market, experiment, version, model, day) is unique
    probability_yes: Probability
    saw_price: bool
    predicted_at: datetime
    model: str | None = None
    prompt_version: str | None = None
    confidence: Percent | None = None  # probability that the mid is on the predicted side in 24 h
    rationale: str | None = None
    initial_price: Probability | None = None  # market mid at predicted_at
    initial_bid: Probability | None = None
    initial_ask: Probability | None = None
    chain_seq: int  # 1, 2, 3 … over all predictions of one edge
    previous_hash: str
    record_hash: str


class Check(Record, frozen=True, kw_only=True, tag="check"):
    """One prediction held against the market at one hour: the descriptive benchmark fields."""

    prediction_id: str
    market_key: str
    checked_at: datetime
    movement_direction: Movement
    predicted_probability: Probability
    hours_since_prediction: float
    closed: bool
    resolved: bool
    predicted_confidence: Percent | None = None
    yes_price: Probability | None = None  # mid
    no_price: Probability | None = None
    abs_delta: Probability | None = None
    convergence_rate: float | None = None  # change of abs_delta per elapsed hour since the last check with a price
    cumulative_convergence: float | None = None  # initial delta minus abs_delta
    signed_move: float | None = None  # move of the mid toward the predicted side: the honest one


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


Travelling = Market | Quote | Pattern | Insight | Prediction | Check | Digest
