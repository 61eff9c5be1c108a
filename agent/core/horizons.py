"""Where the market stood at fixed moments after a prediction: the honest layer. Pure.

Law: one mark per prediction and horizon, written once, by the first usable look within the tolerance; what has none
is missing with its reason and stays in the count. Everything is measured from the book recorded with the prediction.
facts: scoring.md 5.3. Called by jobs/horizons.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from agent.core.fees import Fees
from agent.core.movement import END_MARGIN, MAX_BOOK_AGE, clean, fault_of_sides, signed_move
from agent.core.scoring.sift import DEFAULT_TICK, MIN_SIGNAL
from sync.records import Horizon, Mark, NoQuote

TIMED: Final = {
    Horizon.H1: timedelta(hours=1),
    Horizon.H6: timedelta(hours=6),
    Horizon.H24: timedelta(hours=24),
    Horizon.H72: timedelta(hours=72),
    Horizon.H168: timedelta(hours=168),
}
DAY: Final = timedelta(hours=24)
MIN_TOLERANCE: Final = timedelta(minutes=10)
TOLERANCE_SHARE: Final = 0.05
TOLERANCE: Final = {span: max(MIN_TOLERANCE, TOLERANCE_SHARE * span) for span in TIMED.values()}
CLOSE_FROM, CLOSE_UNTIL = timedelta(minutes=180), timedelta(minutes=60)  # before the end


@dataclass(frozen=True, slots=True)
class Look:
    """The top of a book at one moment somebody looked."""

    at: datetime
    bid: float | None
    ask: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A prediction as its marks need it: what was said, and the book it was said against."""

    prediction_id: str
    market_key: str
    probability: float
    predicted_at: datetime
    price: float | None  # the mid recorded with the prediction
    bid: float | None
    ask: float | None
    seen_at: datetime | None  # when that book was looked at; None: not told
    tick_size: float | None = None
    fees: Fees | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """When one horizon is due, and the looks that may serve it: those in [opens_at, ends_at]."""

    horizon: Horizon
    due_at: datetime
    opens_at: datetime
    ends_at: datetime


def timed_windows(predicted_at: datetime) -> list[Window]:
    """The fixed horizons, in the order they come."""
    return [_around(horizon, predicted_at + after, after) for horizon, after in TIMED.items()]


def end_windows(end: datetime) -> list[Window]:
    """The two moments before an end that is known."""
    return [
        _around(Horizon.DAY_BEFORE, end - DAY, DAY),
        Window(Horizon.CLOSE, end - CLOSE_UNTIL, end - CLOSE_FROM, end - CLOSE_UNTIL),
    ]


def _around(horizon: Horizon, due_at: datetime, span: timedelta) -> Window:
    return Window(horizon, due_at, due_at - TOLERANCE[span], due_at + TOLERANCE[span])


def next_due(predicted_at: datetime, done: Iterable[Horizon]) -> datetime | None:
    """When the window of the next timed horizon opens; None where all have a mark."""
    ready = set(done)
    return next((predicted_at + span - TOLERANCE[span] for name, span in TIMED.items() if name not in ready), None)


def mark(start: Start, window: Window, looks: Sequence[Look], end: datetime | None, now: datetime) -> Mark | None:
    """The mark of one horizon, or None while a usable look may still come.

    Args:
        looks: of the market, in order of time; those outside the window do not count.
        end: when the market ends, or ended.
    """
    within = [look for look in looks if window.opens_at <= look.at <= window.ends_at]
    faults = [(look, _fault(look, end)) for look in within]
    usable = [look for look, wrong in faults if wrong is None]
    if usable:
        return _measured(start, window, usable[-1 if window.horizon is Horizon.CLOSE else 0], now)
    if now <= window.ends_at and (end is None or now < end):
        return None
    return Mark(
        prediction_id=start.prediction_id,
        market_key=start.market_key,
        horizon=window.horizon,
        due_at=window.due_at,
        marked_at=now,
        missing=faults[-1][1] if faults else _unseen(window, end),
    )


def _fault(look: Look, end: datetime | None) -> NoQuote | None:
    if end is not None and look.at >= end:
        return NoQuote.NOT_TRADING
    if end is not None and end - look.at < END_MARGIN:
        return NoQuote.ENDING
    return fault_of_sides(look.bid, look.ask)


def _unseen(window: Window, end: datetime | None) -> NoQuote:
    """Why nobody looked: the market was over, nearly over, or we were away."""
    if end is not None and window.opens_at >= end:
        return NoQuote.NOT_TRADING
    if end is not None and end - window.opens_at < END_MARGIN:
        return NoQuote.ENDING
    return NoQuote.MISSED


def _measured(start: Start, window: Window, look: Look, now: datetime) -> Mark:
    bid, ask = look.bid or 0.0, look.ask or 0.0
    mid = clean((bid + ask) / 2)
    price = None if start_fault(start) else start.price
    return Mark(
        prediction_id=start.prediction_id,
        market_key=start.market_key,
        horizon=window.horizon,
        due_at=window.due_at,
        marked_at=now,
        seen_at=look.at,
        bid=look.bid,
        ask=look.ask,
        mid=mid,
        signal=None if price is None else has_signal(start),
        signed_move=None if price is None else signed_move(start.probability, price, mid),
        signed_move_exec=None if price is None else executable_move(start, bid, ask),
    )


def start_fault(start: Start) -> NoQuote | None:
    """What keeps the recorded book from being measured from. A look whose time was not told is taken as fresh.

    The method asks for a book of at most two minutes; what collect stores is up to a quarter hour old, and its age is
    recorded with the prediction where it is known.
    """
    if start.price is None:
        return NoQuote.ONE_SIDED
    if start.seen_at is not None and start.predicted_at - start.seen_at > MAX_BOOK_AGE:
        return NoQuote.OLD_BOOK
    return fault_of_sides(start.bid, start.ask)


def has_signal(start: Start) -> bool:
    """Whether the prediction differs from the price by more than a tick, half the spread and a point."""
    if start.price is None:
        return False
    half_spread = ((start.ask or 0) - (start.bid or 0)) / 2
    noise = clean(max(MIN_SIGNAL, start.tick_size or DEFAULT_TICK, half_spread))
    return clean(abs(start.probability - start.price)) >= noise


def executable_move(start: Start, bid: float, ask: float) -> float | None:
    """What one contract of the predicted side earned: bought across the spread then, sold across it now, fees paid.

    Returns: None where a side was missing then, a fee is not known, or no side was predicted.
    """
    if start.price is None or start.bid is None or start.ask is None or start.fees is None:
        return None
    if start.probability == start.price:
        return None
    bought, sold = (start.ask, bid) if start.probability > start.price else (1 - start.bid, 1 - ask)
    fees = [start.fees.unit_fee(Decimal(str(clean(price)))) for price in (bought, sold)]
    if fees[0] is None or fees[1] is None:
        return None
    return clean(sold - bought - float(fees[0] + fees[1]))
