"""The same question on two venues: matches, and what one could lock in between them."""

from datetime import datetime
from decimal import Decimal

import msgspec

from sync.records.markets import Record
from sync.records.words import (
    ArbitrageKind,
    ArbitrageStatus,
    JudgedBy,
    Percent,
    Position,
    Probability,
    Relation,
    YesMapsTo,
)


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
