"""Which rows count, and why the others do not. Nothing leaves a denominator without being counted here.

Law: a probability that is no probability takes its row out; a price that is no price is treated as missing and named.
VOID is no outcome; what nobody has decided is no outcome either. Pure; standard library only.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from agent.core.scoring.rows import HorizonQuote, Row
from sync.records import Horizon, NoQuote, Resolution

MIN_LEAD = timedelta(hours=1)  # nearer to its end a market's price is the answer arriving
MIN_SIGNAL = 0.01  # a point: a smaller gap predicts no side
DEFAULT_TICK = 0.01  # both venues' usual step, where the listing does not say
_DUST = 1e-9  # 0.43 - 0.42 comes out a hair above a point


class Exclusion(StrEnum):
    """Why a row, or its outcome, is not part of a measure."""

    INVALID = "invalid"  # its probability is no number in [0, 1]
    TOO_LATE = "too_late"  # made within the market's last hour, or after its answer
    NO_PRICE = "no_price"  # no usable market price at the prediction: Brier and log score only
    NO_SIGNAL = "no_signal"  # within a point, a tick or half the spread of the market: predicts no side
    VOID = "void"  # annulled, or paid between 0 and 1
    UNRESOLVED = "unresolved"  # nobody has decided, or the sources dispute it


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows that count, prices cleaned, and how many of what was left out of which measure."""

    rows: tuple[Row, ...]
    n_excluded: dict[Exclusion, int]


def sift(rows: Iterable[Row]) -> Sifted:
    """Clean and count."""
    kept, counts = list[Row](), Counter[Exclusion]()
    for row in rows:
        if not is_price(row.probability):
            counts[Exclusion.INVALID] += 1
        elif is_too_late(row.predicted_at, row.closes_at, row.resolved_at):
            counts[Exclusion.TOO_LATE] += 1
        else:
            clean = _clean(row)
            kept.append(clean)
            counts.update(_partial(clean))
    return Sifted(tuple(kept), {reason: counts[reason] for reason in Exclusion})


def is_price(value: float | None) -> bool:
    """A finite number in [0, 1]; also refuses nan."""
    return value is not None and 0.0 <= value <= 1.0


def is_too_late(predicted_at: datetime, *ends: datetime | None) -> bool:
    """Made when the answer was out, or about to be, by any of the market's ends that are known."""
    return any(end is not None and end - predicted_at < MIN_LEAD for end in ends)


def outcome(row: Row) -> int | None:
    """1 for YES, 0 for NO; None for everything else, a payment between them included."""
    if row.resolution_value is not None and row.resolution_value not in (0.0, 1.0):
        return None
    return {Resolution.YES: 1, Resolution.NO: 0}.get(row.resolution) if row.resolution is not None else None


def min_signal(row: Row) -> float:
    """The gap below which a prediction takes no side: a point, a tick or half the spread, whichever is largest."""
    half_spread = 0.0
    if row.initial_bid is not None and row.initial_ask is not None:
        half_spread = (row.initial_ask - row.initial_bid) / 2
    return max(MIN_SIGNAL, row.tick_size or DEFAULT_TICK, half_spread)


def has_signal(row: Row) -> bool:
    """The prediction takes a side."""
    return row.initial_mid is not None and abs(row.probability - row.initial_mid) >= min_signal(row) - _DUST


def missing_prices(rows: Sequence[Row], horizon: Horizon) -> dict[NoQuote, int]:
    """How many due rows have no price at a horizon, by reason."""
    due = (row.horizons[horizon] for row in rows if horizon in row.horizons)
    return dict(Counter(quote.missing or NoQuote.MISSED for quote in due if quote.mid is None))


def _clean(row: Row) -> Row:
    """The row with every price that is none taken out. Most rows need nothing."""
    horizons = row.horizons
    if any(_is_broken(quote) for quote in horizons.values()):
        horizons = {name: _cleaned(quote) for name, quote in horizons.items()}
    latest = row.latest_mid if _is_mid(row.latest_mid) else None
    usable = _is_mid(row.initial_mid) and not _is_crossed(row.initial_bid, row.initial_ask)
    if usable and horizons is row.horizons and latest == row.latest_mid:
        return row
    cleaned = replace(row, horizons=horizons, latest_mid=latest)
    return cleaned if usable else replace(cleaned, initial_mid=None, initial_bid=None, initial_ask=None)


def _partial(row: Row) -> Iterable[Exclusion]:
    if row.initial_mid is None:
        yield Exclusion.NO_PRICE
    elif not has_signal(row):
        yield Exclusion.NO_SIGNAL
    if outcome(row) is None:
        is_void = row.resolution is Resolution.VOID or row.resolution in (Resolution.YES, Resolution.NO)
        yield Exclusion.VOID if is_void else Exclusion.UNRESOLVED


def _is_mid(value: float | None) -> bool:
    """Strictly inside (0, 1): the middle of two sides cannot be 0 or 1, a pinned price is no market."""
    return value is not None and 0.0 < value < 1.0


def _is_crossed(bid: float | None, ask: float | None) -> bool:
    """A side that is no price, or a bid above the ask; sides that are not there cross nothing."""
    if any(side is not None and not is_price(side) for side in (bid, ask)):
        return True
    return bid is not None and ask is not None and bid > ask


def _is_broken(quote: HorizonQuote) -> bool:
    return quote.mid is not None and (not _is_mid(quote.mid) or _is_crossed(quote.bid, quote.ask))


def _cleaned(quote: HorizonQuote) -> HorizonQuote:
    if not _is_broken(quote):
        return quote
    return HorizonQuote(missing=NoQuote.CROSSED if _is_mid(quote.mid) else NoQuote.ONE_SIDED)
