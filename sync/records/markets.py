"""Markets, their quotes, and what was noticed in them."""

from datetime import datetime
from decimal import Decimal

import msgspec

from sync.records.words import MarketStatus, Percent, Probability, Resolution, Venue


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
