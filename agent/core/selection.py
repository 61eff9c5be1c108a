"""Which markets are worth the effort: a row of gates per question, and the gate that stopped a market, in words. Pure.

Law: gates stand in order and the first that does not open is the answer; what a venue does not say stops only where
the question needs it; a market on the watch list passes whatever is a matter of taste. Volumes are dollars on
Polymarket and contracts on Kalshi, and thresholds are read in the venue's own unit. Called by the jobs that spend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from agent.core.market import end_time, spread
from sync.records import Market, MarketStatus, Quote, Venue

PASSED = "passed"


class Question(StrEnum):
    """What a market may be worth."""

    SEND = "send"  # stored with its prices, and sent to the cloud
    ANALYSE = "analyse"
    PREDICT = "predict"


class Decision(msgspec.Struct, frozen=True):
    """The answer for one market: the gate that stopped it, or PASSED, and why."""

    question: Question
    chosen: bool
    gate: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Where the gates stand; the settings' [selection] table gives them, with reasons."""

    watch: frozenset[str] = frozenset()  # market keys, tickers or event ids
    leave_out: frozenset[str] = frozenset()  # categories, lower case
    analyse_min_volume_24h: float = 100.0
    analyse_min_depth: float = 500.0
    analyse_max_spread: float = 0.10
    analyse_min_hours: float = 1.0
    predict_min_volume_24h: float = 0.0
    predict_max_spread: float = 1.0


Gate = tuple[str, Callable[[Market, Quote | None, Thresholds, datetime], str | None]]


def decide(question: Question, market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> Decision:
    """Ask the gates of a question in order.

    Args:
        quote: the newest stored one; None where none was ever stored.
    """
    hard, taste = _GATES[question]
    watched = not thresholds.watch.isdisjoint({market.market_key, market.venue_market_id, market.event_id or ""})
    for name, gate in hard if watched else (*hard, *taste):
        if (reason := gate(market, quote, thresholds, now)) is not None:
            return Decision(question, chosen=False, gate=name, reason=reason)
    return Decision(question, chosen=True, gate=PASSED, reason="on the watch list" if watched else _WORTH[question])


def has_life(market: Market, quote: Quote | None) -> bool:
    """Whether there is anything to tell: an answer, a book, a trade. The gate of sending, for whole pages."""
    if market.status is MarketStatus.RESOLVED or market.status is MarketStatus.CLOSED:
        return True
    return quote is not None and (
        quote.bid is not None or quote.ask is not None or quote.last_price is not None or bool(quote.volume_24h)
    )


def _life(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
    del thresholds, now
    if has_life(market, quote):
        return None
    return "it has not opened yet" if market.status is MarketStatus.UNOPENED else "nobody has quoted or traded it yet"


def _open(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
    del quote, thresholds, now
    return None if market.status is MarketStatus.OPEN else f"it is {market.status}, not open"


def _category(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
    del quote, now
    left_out = (market.category or "").lower() in thresholds.leave_out
    return f"its category {market.category} is left out by the settings" if left_out else None


def _time_left(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
    del quote
    end = end_time(market)
    if end is None or end - now >= timedelta(hours=thresholds.analyse_min_hours):
        return None
    if end <= now:
        return f"its stated end, {end:%Y-%m-%d %H:%M} UTC, has passed"
    return f"it ends in {(end - now).total_seconds() / 3600:.1f} h, sooner than {thresholds.analyse_min_hours:g} h"


def _sides(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
    del market, thresholds, now
    if quote is None:
        return "no quote of it is stored"
    missing = [name for name, price in (("bid", quote.bid), ("ask", quote.ask)) if price is None]
    return f"its book has no {' and no '.join(missing)}" if missing else None


def _spread_below(limit: Callable[[Thresholds], float]) -> Callable[..., str | None]:
    def gate(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
        del market, now
        width = None if quote is None else spread(quote.bid, quote.ask)
        if width is None or width <= limit(thresholds):
            return None
        return f"its spread of {width:.3f} is wider than {limit(thresholds):g}"

    return gate


def _volume_above(limit: Callable[[Thresholds], float]) -> Callable[..., str | None]:
    def gate(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
        del now
        volume, least = None if quote is None else quote.volume_24h, limit(thresholds)
        if least <= 0 or (volume is not None and volume >= least):
            return None
        said = "is not told" if volume is None else f"of {volume:,.0f} {_unit(market)} is below {least:,.0f}"
        return f"its volume of 24 h {said}"

    return gate


def _depth(market: Market, quote: Quote | None, thresholds: Thresholds, now: datetime) -> str | None:
    """Resting orders on Polymarket, open contracts on Kalshi: what each venue tells."""
    del now
    least = thresholds.analyse_min_depth
    name, depth = "open interest", None if quote is None else quote.open_interest
    if market.venue is Venue.POLYMARKET:
        name, depth = "liquidity", None if quote is None else quote.liquidity_usd
    if least <= 0 or depth is None or depth >= least:
        return None
    return f"its {name} of {depth:,.0f} {_unit(market)} is below {least:,.0f}"


def _unit(market: Market) -> str:
    return "dollars" if market.venue is Venue.POLYMARKET else "contracts"


# Per question: gates that hold for everyone, and gates of taste that a watched market passes.
_GATES: dict[Question, tuple[tuple[Gate, ...], tuple[Gate, ...]]] = {
    Question.SEND: ((("life", _life),), ()),
    Question.ANALYSE: (
        (("status", _open), ("sides", _sides)),
        (
            ("category", _category),
            ("time", _time_left),
            ("spread", _spread_below(lambda t: t.analyse_max_spread)),
            ("volume", _volume_above(lambda t: t.analyse_min_volume_24h)),
            ("depth", _depth),
        ),
    ),
    Question.PREDICT: (
        (("status", _open), ("life", _life)),
        (
            ("category", _category),
            ("spread", _spread_below(lambda t: t.predict_max_spread)),
            ("volume", _volume_above(lambda t: t.predict_min_volume_24h)),
        ),
    ),
}
_WORTH = {
    Question.SEND: "it has a book, a trade or an answer",
    Question.ANALYSE: "open, two-sided, narrow and traded enough",
    Question.PREDICT: "open and alive",
}
