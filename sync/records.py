"""What travels from the edge to the cloud, each record defined once.

Law: frozen, keyword-only, no behaviour beyond reading itself; what is missing is None and absent on the wire.
The store saves these records, a batch carries them, the API returns them. `_time` was said by a venue, `_at` was
stamped by us; both are aware UTC. A price or probability is a float in [0, 1] or None. A field may be added within
a schema version (the other side ignores what it does not know); renaming or removing one, a new kind of record, or a
field that may not be missed raises SCHEMA_VERSION, and the kind stands in NEEDS: an older cloud gets what it can take.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import msgspec

SCHEMA_VERSION = 1
# Kind of record -> the schema a cloud must have to take it as it is sent now; 1 for every kind that is not here.
NEEDS: dict[str, int] = {}

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


class Relation(StrEnum):
    """How question A stands to the mapped side of question B."""

    EQUIVALENT = "EQUIVALENT"
    A_IMPLIES_B = "A_IMPLIES_B"
    B_IMPLIES_A = "B_IMPLIES_A"
    OVERLAP = "OVERLAP"
    DIFFERENT = "DIFFERENT"
    UNCLEAR = "UNCLEAR"


class YesMapsTo(StrEnum):
    """Which side of B a YES on A is."""

    YES = "YES"
    NO = "NO"
    UNCLEAR = "UNCLEAR"


class JudgedBy(StrEnum):
    """Who had the last word on a pair of markets."""

    TEXT = "TEXT"  # titles, numbers and dates agree; nobody has compared the rules
    RULES = "RULES"  # a model compared the rules, its quotes were found in both
    OPERATOR = "OPERATOR"  # a person's list


class ArbitrageKind(StrEnum):
    """What the legs of a package have to do with each other."""

    CROSS_PLATFORM = "CROSS_PLATFORM"  # one question on two venues
    RELATED_MARKET = "RELATED_MARKET"  # one answer implies the other
    TEMPORAL = "TEMPORAL"  # the same thing by an earlier and by a later day
    HEDGE = "HEDGE"  # all legs of one event, of which exactly or at most one can be YES


class ArbitrageStatus(StrEnum):
    """Whether a package still pays, as far as we saw last."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"


class Horizon(StrEnum):
    """The fixed moments after a prediction at which its market is read once, and two before the market's end."""

    H1 = "1h"
    H6 = "6h"
    H24 = "24h"
    H72 = "72h"
    H168 = "168h"
    DAY_BEFORE = "day_before"  # 24 hours before the end
    CLOSE = "close"  # the last usable quote 60 to 180 minutes before the end


class NoQuote(StrEnum):
    """Why a moment has no price."""

    MISSED = "missed"  # nobody looked within the tolerance
    ONE_SIDED = "one_sided"  # an empty side, or one at 0 or 1
    CROSSED = "crossed"
    WIDE = "wide"  # spread above 10 points, or above half the mid below 10 cents
    OLD_BOOK = "old_book"  # last looked at more than 15 minutes before
    NOT_TRADING = "not_trading"  # paused, closed, resolved
    ENDING = "ending"  # an hour or less before the market's end


class BenchmarkStatus(StrEnum):
    """Where the benchmark of a prediction stands, and that of all of them together."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"


class Exclusion(StrEnum):
    """Why a resolved prediction has no score; counted, never dropped."""

    VOID = "void"
    LATE = "late"  # made less than an hour before the market's end: the answer was arriving


class Evidence(StrEnum):
    """What may be said about a measured number."""

    NOT_MEASURED = "NOT_MEASURED"  # nothing has what it needs
    TOO_EARLY = "TOO_EARLY"  # fewer than 30 independent events
    NO_EVIDENCE = "NO_EVIDENCE"  # its interval holds what no skill gives
    BETTER = "BETTER"
    WORSE = "WORSE"
    SHOWN = "SHOWN"  # descriptive, or an anchor for another number: never tested


class TimeFrame(StrEnum):
    """How far a market's end was when it was predicted."""

    DAY = "1d"  # up to one day
    DAYS_3 = "3d"  # one to three
    WEEK = "7d"
    MONTH = "30d"
    LATER = "later"


class SignalKind(StrEnum):
    """What a signal saw."""

    CONVERGENCE_ACCELERATING = "CONVERGENCE_ACCELERATING"  # the price moves toward a forecast, faster than before
    DISAGREEMENT = "DISAGREEMENT"  # a confident forecast is far from what can be traded


class SessionState(StrEnum):
    """Where one model of an on-demand session stands; it only moves forward, the last three are the end."""

    QUEUED = "QUEUED"
    RESEARCHING = "RESEARCHING"  # an edge has it: what is known is gathered
    GENERATING = "GENERATING"  # the model is asked for its forecast
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    """Base of everything that travels; `kind` names the record on the wire.

    Frozen values cannot form cycles, so the garbage collector need not walk the thousands of a page (gc=False).
    """


class FeeTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a listing itself says about its fees; a part it does not say, or not readably, is None and never free.

    Rates are told exactly. Kalshi states its terms per series (`SeriesFees` of the edge); here stands what an event
    says in their place.
    """

    enabled: bool | None = None  # Polymarket: False is free
    kind: str | None = None  # the venue's name of the terms; Polymarket has changed rates under the same name
    rate: Decimal | None = None  # Polymarket: of rate x contracts x (p x (1 - p)) ^ exponent
    exponent: Decimal | None = None
    taker_only: bool | None = None
    rebate_rate: Decimal | None = None  # share of the taker's fee that goes to makers
    multiplier: Decimal | None = None  # Kalshi: of the series' rate


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
    fees: FeeTerms | None = None  # None: the listing says nothing
    strike_type: str | None = None  # Kalshi's word: greater, less_or_equal, between, structured …
    floor_strike: float | None = None  # in the unit of the question
    cap_strike: float | None = None


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
    age_s: float | None = None  # how long a cache of the venue had held it at fetched_at; None: nobody says


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
    what_happened: str | None = None
    why_it_matters: str | None = None
    leave_it_if: str | None = None  # when the reader should not touch it
    probability_yes: Probability | None = None  # our newest price-blind forecast
    edge: float | None = None  # of one contract of the suggested side, by that forecast, after its price and fee


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
    initial_seen_at: datetime | None = None  # when that book was last looked at: how old the price was
    chain: str | None = None  # which edge's record: a second machine keeps one of its own
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


class Mark(Record, frozen=True, kw_only=True, tag="mark"):
    """The market at one horizon of a prediction, written once: the honest layer of the benchmark."""

    prediction_id: str
    market_key: str
    horizon: Horizon
    due_at: datetime
    marked_at: datetime
    missing: NoQuote | None = None  # set: there is no price, and why
    seen_at: datetime | None = None  # when the book below was looked at
    bid: Probability | None = None
    ask: Probability | None = None
    mid: Probability | None = None
    signal: bool | None = None  # the prediction was further from the price than its noise; None: no price to tell by
    signed_move: float | None = None  # of the mid toward the predicted side since the prediction
    signed_move_exec: float | None = None  # bought and sold across both spreads, both fees paid; None: a fee unknown


class Score(Record, frozen=True, kw_only=True, tag="score"):
    """A prediction whose market has an answer. `excluded` ones are counted and have no numbers."""

    prediction_id: str
    market_key: str
    scored_at: datetime
    resolution: Resolution
    resolution_value: Probability | None = None
    excluded: Exclusion | None = None
    brier_score: Probability | None = None
    log_score: float | None = None  # natural, clipped to [0.01, 0.99]; lower is better
    market_brier_score: Probability | None = None  # of the usable mid at the prediction
    day_before_brier_score: Probability | None = None  # of the market 24 hours before its end


class BenchmarkPass(Record, frozen=True, kw_only=True, tag="benchmark_pass"):
    """One hourly pass of the benchmark in numbers. Means are None where nothing had a price."""

    pass_id: str
    checked_at: datetime
    status: BenchmarkStatus
    n_active: int
    n_paused: int
    n_completed: int
    n_checks: int
    n_converging: int
    n_diverging: int
    n_stable: int
    n_overshot: int
    n_stale: int
    n_settled: int
    n_marks: int
    n_scores: int
    n_excluded: int  # of the scores
    mean_rate: float | None = None  # change of the gap per hour
    max_rate: float | None = None
    convergence_percentage: float | None = None  # median share of the gap that closed, of gaps of 5 points and more


class BenchmarkReport(Record, frozen=True, kw_only=True, tag="benchmark_report"):
    """What the benchmark says of one experiment, or of all in order, as the edge worked it out at one moment."""

    report_id: str
    scope: str  # "experiment:<name>", or as `leaderboard` says
    made_at: datetime
    body: dict[str, Any]  # agent.core.scoring.shapes, as JSON: every number with n, events, interval and null

    @staticmethod
    def leaderboard(sort: str, category: str | None = None, frame: TimeFrame | None = None) -> str:
        """The scope of a leaderboard: of all questions, or of a cut. The category comes last: it may hold anything."""
        cut = "" if category is None and frame is None else f":{frame or 'any'}:{(category or '').lower()}"
        return f"leaderboard:{sort}{cut}"


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


class RuleDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where two rules texts part, in their own words; both quotes were found there by code."""

    kind: str  # deadline, timezone, threshold, tie, source, scope, void, early_close
    quote_a: str
    quote_b: str


class Match(Record, frozen=True, kw_only=True, tag="match"):
    """One verdict on a pair of markets; A is the Kalshi one. A newer verdict on the same pair is another record."""

    match_id: str
    kalshi_key: str
    polymarket_key: str
    relation: Relation
    yes_maps_to: YesMapsTo
    judged_by: JudgedBy
    judged_at: datetime
    score: Probability | None = None  # share of words in common; None where only the operator's list names the pair
    by_time: bool = False  # an implication between two deadlines
    reasons: tuple[str, ...] = ()  # what the verdict stands on, or what stays open, in words
    differences: tuple[RuleDifference, ...] = ()
    rules_hash: str | None = None  # of everything the judge of rules was shown
    model: str | None = None
    prompt_version: str | None = None


class ArbitrageLeg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One side to be bought."""

    market_key: str
    title: str
    side: Position
    price: Decimal  # average over the size
    worst_price: Decimal  # of the last contract: the limit of an order
    fee_usd: Decimal  # of the whole order
    book_age_s: float
    depth_known: bool  # False: only the top of the book was seen
    url: str | None = None


class Arbitrage(Record, frozen=True, kw_only=True, tag="arbitrage"):
    """Sides that together pay more than they cost, as the books stood at `computed_at`. Information: we never trade."""

    arbitrage_id: str  # the same from the first sight to the end
    arbitrage_kind: ArbitrageKind
    status: ArbitrageStatus
    detected_at: datetime
    computed_at: datetime
    legs: tuple[ArbitrageLeg, ...]
    size: Decimal  # contracts of each leg; assumed where a leg's depth is not known
    payout_usd: Decimal  # at the least, of one contract of each leg
    cost_usd: Decimal  # of the whole size, without fees
    gross_usd: Decimal
    fees_usd: Decimal
    net_usd: Decimal
    net_edge: float  # net over cost and fees
    confidence: Percent  # that it is what it looks like; by our rules
    steps: tuple[str, ...]
    risks: tuple[str, ...]
    reasons: tuple[str, ...] = ()  # why it must pay, in words
    assumptions: tuple[str, ...] = ()
    annualised: float | None = None  # None where the day of payment is not known
    pays_at: datetime | None = None  # when the last leg should pay
    match_id: str | None = None  # the verdict it rests on, where two questions are compared
    ended_reason: str | None = None  # why it is no longer active


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


class SessionStep(Record, frozen=True, kw_only=True, tag="session_step"):
    """One model of a session moved on, as the edge that works on it says."""

    step_id: str
    session_id: str
    model: str
    state: SessionState
    made_at: datetime
    reason: str | None = None  # why it failed
    prediction_ids: tuple[str, ...] = ()  # in the record, when it is completed


Travelling = (
    Market
    | Quote
    | Pattern
    | Insight
    | Prediction
    | Check
    | Digest
    | Match
    | Arbitrage
    | Mark
    | Score
    | BenchmarkPass
    | BenchmarkReport
    | Signal
    | SessionStep
)
