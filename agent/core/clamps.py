"""What our own rules allow a model's verdict to say. Pure.

Law: a rule only ever lowers a verdict, each time with its reason in words; numbers come from our quote, never from
the model. The edge is computed from our own price-blind forecast, the price one would pay and the market's fee: a bet
without one is none. Called by the analysis job. Source of the limits: facts on usable quotes (spread), the collector's
rhythm (freshness).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from agent.core.fees import Fees
from agent.core.market import complement, next_end, spread
from sync.records import Market, MarketStatus, Position, Quote, Recommendation, TimeSensitivity, Venue

ACTIONABLE_ABOVE = 60  # percent of confidence, as the requirement says

_BOLD = (Recommendation.STRONG_BET, Recommendation.GOOD_BET)
_LIFETIMES = {
    TimeSensitivity.ACT_NOW: timedelta(hours=1),
    TimeSensitivity.HOURS: timedelta(hours=6),
    TimeSensitivity.DAYS: timedelta(days=3),
    TimeSensitivity.WEEKS: timedelta(days=14),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a book must be before we let anyone call it a bet."""

    max_spread: float = 0.10  # wider, and crossing it costs more than most edges
    max_relative_spread: float = 0.50  # of the mid, below ten cents
    max_age: timedelta = timedelta(minutes=20)  # one missed quarter-hour look is stale
    min_liquidity_usd: float = 1_000.0  # Polymarket: resting dollars
    min_volume: float = 500.0  # last day: dollars on Polymarket, contracts on Kalshi
    min_time_left: timedelta = timedelta(hours=1)
    fee_allowance: float = 0.02  # per contract where nobody told the fee; Kalshi's peaks at 1.75 cents


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be said: the model's words, or less."""

    recommendation: Recommendation
    position: Position
    sensitivity: TimeSensitivity
    confidence: int
    clamps: tuple[str, ...] = ()

    @property
    def actionable(self) -> bool:
        """Confident enough, and untouched by our rules."""
        return self.confidence > ACTIONABLE_ABOVE and not self.clamps


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What we know ourselves about a market at the moment of the verdict."""

    market: Market
    quote: Quote | None
    seen_at: datetime | None  # last look at the book, changed or not
    now: datetime
    forecast: float | None = None  # our newest price-blind probability of YES
    fees: Fees | None = None  # None: nobody told them


def clamp(verdict: Verdict, situation: Situation, limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """The verdict as far as the book, the clock and our own forecast support it."""
    objections = tuple(_objections(situation, limits))
    position, doubt = _position(verdict.position, situation, limits)
    reasons = list(verdict.clamps)
    recommendation, sensitivity = verdict.recommendation, verdict.sensitivity
    against = objections + (() if doubt is None else (doubt,))
    if against and recommendation in _BOLD:
        reasons += [f"{recommendation} lowered to CAUTION: {reason}" for reason in against]
        recommendation = Recommendation.CAUTION
    if against and sensitivity is TimeSensitivity.ACT_NOW:
        reasons.append(f"ACT_NOW lowered to HOURS: {against[0]}")
        sensitivity = TimeSensitivity.HOURS
    if position is not verdict.position:
        reasons.append(f"{verdict.position} lowered to WAIT: {doubt}")
    return Verdict(
        recommendation=recommendation,
        position=position,
        sensitivity=sensitivity,
        confidence=verdict.confidence,
        clamps=tuple(reasons),
    )


def edge(position: Position, situation: Situation, limits: Limits = DEFAULT_LIMITS) -> float | None:
    """What one contract of a side should earn by our own forecast, bought at the book's price and its fee paid.

    None where we have no forecast, nobody offers the side, or none is suggested.
    """
    quote, forecast = situation.quote, situation.forecast
    if quote is None or forecast is None or position is Position.WAIT:
        return None
    price = quote.ask if position is Position.YES else complement(quote.bid)
    if price is None:
        return None
    ours = forecast if position is Position.YES else 1.0 - forecast
    return round(ours - price - _fee(price, situation, limits), 6)


def _fee(price: float, situation: Situation, limits: Limits) -> float:
    """Of one contract; the allowance where nobody told."""
    told = None if situation.fees is None else situation.fees.unit_fee(Decimal(str(price)))
    return limits.fee_allowance if told is None else float(told)


def expiry(sensitivity: TimeSensitivity, created_at: datetime, market: Market) -> datetime:
    """When an insight stops being worth reading: its own lifetime, or the market's end if that comes first."""
    lived, ends = created_at + _LIFETIMES[sensitivity], next_end(market, created_at)
    return lived if ends is None else min(lived, ends)


def _objections(situation: Situation, limits: Limits) -> list[str]:
    found = [_status_objection(situation, limits), _book_objection(situation.quote, limits)]
    found += [_freshness_objection(situation, limits), _liquidity_objection(situation, limits)]
    return [reason for reason in found if reason is not None]


def _status_objection(situation: Situation, limits: Limits) -> str | None:
    market = situation.market
    if market.status is not MarketStatus.OPEN:
        return f"the market is {market.status}"
    ends = next_end(market, situation.now)
    if ends is None or ends - situation.now >= limits.min_time_left:
        return None
    return f"less than {limits.min_time_left.total_seconds() / 60:g} minutes to its stated end"


def _book_objection(quote: Quote | None, limits: Limits) -> str | None:
    if quote is None or quote.mid is None:
        return "the book has no usable middle"
    width = spread(quote.bid, quote.ask)
    if width is None or width > limits.max_spread:
        return f"the spread is above {limits.max_spread * 100:g} points"
    if quote.mid < 0.10 and width > limits.max_relative_spread * quote.mid:
        return "the spread is above half the price"
    return None


def _freshness_objection(situation: Situation, limits: Limits) -> str | None:
    if situation.seen_at is None:
        return "the book was never looked at"
    if situation.now - situation.seen_at > limits.max_age:
        return f"the book was last seen more than {limits.max_age.total_seconds() / 60:g} minutes ago"
    return None


def _liquidity_objection(situation: Situation, limits: Limits) -> str | None:
    quote = situation.quote
    if quote is None:
        return None  # the book's own objection says it
    if situation.market.venue is Venue.POLYMARKET:
        if quote.liquidity_usd is None:
            return "nobody told how much rests in the book"
        if quote.liquidity_usd < limits.min_liquidity_usd:
            return f"less than ${limits.min_liquidity_usd:,.0f} rests in the book"
    if quote.volume_24h is None:
        return "nobody told how much was traded in a day"
    return f"less than {limits.min_volume:g} traded in a day" if quote.volume_24h < limits.min_volume else None


def _position(wanted: Position, situation: Situation, limits: Limits) -> tuple[Position, str | None]:
    """The side that may be suggested, and what speaks against a bet on the one that was wanted."""
    quote, forecast = situation.quote, situation.forecast
    if wanted is Position.WAIT:
        return wanted, "no side is suggested"
    if quote is None or quote.mid is None:
        return Position.WAIT, "there is no middle to lean against"
    if forecast is None:
        return wanted, "no forecast of ours to compute an edge from"
    lean = forecast - quote.mid if wanted is Position.YES else quote.mid - forecast
    if lean <= (spread(quote.bid, quote.ask) or 0.0) + _fee(quote.mid, situation, limits):
        return Position.WAIT, "our own forecast is within spread and fees of the price, or on the other side"
    return wanted, None
