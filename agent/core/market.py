"""What a quote is worth and how a market ended. Pure.

Law: an empty side is None, a mid exists only where both sides make sense, a pinned price is never a resolution.
Called by the venue readers when they normalise, and by whoever needs a mid or a spread again.
"""

from collections.abc import Sequence
from datetime import datetime

from sync.records import Market, Resolution

MAX_SANE_SPREAD = 0.20
"""A book this wide or wider says nothing about the middle. market-lens, July 2026: "under 20 points"."""

_DIGITS = 9  # venues quote at most six decimals; this only takes the float dust off sums and differences
_DUST = 1e-9  # 0.60 - 0.40 comes out a hair below 0.20


def side(price: float | None) -> float | None:
    """One side of a book: a price nobody can trade at (0 or 1) is the venues' way to write "empty"."""
    return price if price is not None and 0.0 < price < 1.0 else None


def complement(price: float | None) -> float | None:
    """The same quote seen from the other outcome."""
    return None if price is None else round(1.0 - price, _DIGITS)


def spread(bid: float | None, ask: float | None) -> float | None:
    """Ask minus bid; negative where the book is crossed, None where a side is missing."""
    return None if bid is None or ask is None else round(ask - bid, _DIGITS)


def mid(bid: float | None, ask: float | None) -> float | None:
    """The middle of a two-sided, uncrossed book narrower than MAX_SANE_SPREAD, else None.

    A locked book (bid = ask) counts as crossed: a matching engine never leaves one, so one side is stale.
    """
    if bid is None or ask is None or not 0.0 < ask - bid < MAX_SANE_SPREAD - _DUST:
        return None
    return round((bid + ask) * 5e8) / 1e9  # nine digits, at a fifth of what round(x, 9) costs


def yes_index(labels: Sequence[str]) -> int:
    """Which outcome a YES price speaks of: the one labelled "Yes" wherever it stands, else the first."""
    return next((index for index, label in enumerate(labels) if label.lower() == "yes"), 0)


def end_time(market: Market) -> datetime | None:
    """When the answer is due, as far as the venue says: the nearer of its two ends.

    Polymarket's close is nominal; Kalshi's is a safety margin that may lie a year behind the expected one.
    """
    return min((end for end in (market.expected_time, market.close_time) if end is not None), default=None)


def next_end(market: Market, now: datetime) -> datetime | None:
    """The nearer of its two ends that lies ahead: one that has passed says nothing, a market may trade on beyond it."""
    ends = (market.expected_time, market.close_time)
    return min((end for end in ends if end is not None and end > now), default=None)


def resolution_from_value(value: float) -> Resolution:
    """What a settled YES contract paid, as a word: anything between 0 and 1 is a refund or a partial payment."""
    if value >= 1.0:
        return Resolution.YES
    return Resolution.NO if value <= 0.0 else Resolution.VOID


def resolution_from_payouts(
    payouts: Sequence[float], yes_index: int, *, confirmed: bool
) -> tuple[Resolution, float | None]:
    """Read the final payouts of a closed market, one per outcome.

    Args:
        payouts: as the venue shows them after closing, in the order of its outcomes.
        yes_index: which outcome a YES contract speaks of.
        confirmed: an oracle said "resolved"; only then may a payout be near one half instead of on it.
    Returns: the resolution and what YES paid; UNKNOWN and None where the payouts decide nothing. Prices left over
        from trading (0.9999…) and rows never filled in (all 0) decide nothing.
    """
    if not payouts or yes_index >= len(payouts):
        return Resolution.UNKNOWN, None
    if sorted(payouts) == [0.0] * (len(payouts) - 1) + [1.0]:
        value = payouts[yes_index]
        return resolution_from_value(value), value
    even = 1.0 / len(payouts)
    tolerance = 0.01 if confirmed else 1e-9
    if len(payouts) > 1 and all(abs(payout - even) <= tolerance for payout in payouts):
        return Resolution.VOID, round(even, _DIGITS)
    return Resolution.UNKNOWN, None
