"""What an order costs beside its price, on either venue, exactly. Pure; all money is Decimal.

Law: a fee is taken per order, over all its fills, and rounded as the venue rounds; a fee that cannot be known is None,
never 0; a fee that is assumed says so in words. Both venues charge takers rate x contracts x p x (1-p), the largest at
one half. No fee is due at settlement: a position held to the end pays once. facts: exchanges.md section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final, Protocol

from sync.records import FeeTerms, Market, Venue

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
_HALF: Final = Decimal("0.5")
KALSHI_TAKER_RATE: Final = Decimal("0.07")
KALSHI_MAKER_RATE: Final = Decimal("0.0175")  # a quarter of the taker's, where makers pay at all
_CENT: Final = Decimal("0.01")
_KALSHI_TRADE_STEP: Final = Decimal("0.0001")
_POLYMARKET_STEP: Final = Decimal("0.00001")

# Read in July 2026; only for a market that charges and does not show its schedule. Keys are folded category names.
POLYMARKET_DEFAULT_RATES: Final = {
    "crypto": Decimal("0.07"), "sports": Decimal("0.05"), "finance": Decimal("0.04"), "politics": Decimal("0.04"),
    "tech": Decimal("0.04"), "mentions": Decimal("0.04"), "economics": Decimal("0.05"), "culture": Decimal("0.05"),
    "weather": Decimal("0.05"), "geopolitics": ZERO,
}  # fmt: skip
_POLYMARKET_OTHER_RATE: Final = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Fill:
    """Contracts bought at one price."""

    price: Decimal
    size: Decimal


class Fees(Protocol):
    """A market's fees for one who takes what is offered."""

    @property
    def assumption(self) -> str | None:
        """What was assumed, in words; None where the venue told it."""

    def order_fee(self, fills: Sequence[Fill]) -> Decimal | None:
        """The fee of one order, all its fills together; None where it cannot be known."""

    def unit_fee(self, price: Decimal) -> Decimal | None:
        """The fee of one more contract at a price, before any rounding; None where it cannot be known."""


class KalshiFeeKind(StrEnum):
    """A series' `fee_type`."""

    QUADRATIC = "quadratic"  # makers pay nothing
    QUADRATIC_WITH_MAKER_FEES = "quadratic_with_maker_fees"
    FLAT = "flat"  # exists; its amount is published nowhere we can read


@dataclass(frozen=True, slots=True, kw_only=True)
class KalshiFees:
    """Fees of a series or of the event that overrides it."""

    kind: KalshiFeeKind = KalshiFeeKind.QUADRATIC
    multiplier: Decimal = ONE  # read from the series: 0.5 for some baseball
    maker: bool = False  # our order waited in the book
    direct_member: bool = False  # balances of direct members are kept to 0.0001
    assumption: str | None = None

    def unit_fee(self, price: Decimal) -> Decimal | None:
        """Rate x multiplier x p x (1-p)."""
        rate = self._rate()
        return None if rate is None else rate * self.multiplier * price * (ONE - price)

    def order_fee(self, fills: Sequence[Fill]) -> Decimal | None:
        """Each fill up to 0.0001 dollar, then the order up so that the balance changes by whole cents."""
        total = cost = ZERO
        for fill in fills:
            unit = self.unit_fee(fill.price)
            if unit is None:
                return None
            total += _up(unit * fill.size, _KALSHI_TRADE_STEP)
            cost += fill.price * fill.size
        if total == 0:
            return ZERO
        return _up(cost + total, _KALSHI_TRADE_STEP if self.direct_member else _CENT) - cost

    def _rate(self) -> Decimal | None:
        if self.kind is KalshiFeeKind.FLAT:
            return None
        if not self.maker:
            return KALSHI_TAKER_RATE
        return KALSHI_MAKER_RATE if self.kind is KalshiFeeKind.QUADRATIC_WITH_MAKER_FEES else ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class PolymarketFees:
    """A market's own `feeSchedule`: rate x contracts x (p x (1-p)) to the exponent, takers only."""

    rate: Decimal
    exponent: Decimal = ONE
    maker: bool = False
    taker_only: bool = True
    assumption: str | None = None

    def unit_fee(self, price: Decimal) -> Decimal | None:
        """Rate x (p x (1-p)) ^ exponent."""
        if self.maker and self.taker_only:
            return ZERO
        return self.rate * (price * (ONE - price)) ** self.exponent

    def order_fee(self, fills: Sequence[Fill]) -> Decimal | None:
        """Each fill is a trade of its own: to five decimals, and below the last of them nothing."""
        return sum((_to_five(fill.size * (self.unit_fee(fill.price) or ZERO)) for fill in fills), ZERO)


def polymarket_fees(
    *,
    fees_enabled: bool | None,
    rate: Decimal | None = None,
    exponent: Decimal | None = None,
    category: str | None = None,
) -> PolymarketFees:
    """The fees of one market as far as its listing tells them.

    Args:
        fees_enabled: the listing's `feesEnabled`; None where it does not say.
        rate, exponent: of its `feeSchedule`; `takerBaseFee` (1000) is an old switch and no rate.
        category: folded, for the assumption where a charging market shows no schedule.
    """
    if fees_enabled is False:
        return PolymarketFees(rate=ZERO)
    if rate is not None:
        return PolymarketFees(rate=rate, exponent=ONE if exponent is None else exponent)
    assumed = POLYMARKET_DEFAULT_RATES.get((category or "").lower(), _POLYMARKET_OTHER_RATE)
    return PolymarketFees(
        rate=assumed,
        assumption=f"Polymarket shows no fee schedule for this market; {assumed} of its category ({category}) assumed",
    )


@dataclass(frozen=True, slots=True)
class SeriesTerms:
    """The fee terms a venue states for a series of markets, in its own words."""

    kind: str
    multiplier: Decimal


def market_fees(market: Market, series: SeriesTerms | None) -> Fees | None:
    """What a taker pays in a market; None where nobody told.

    Args:
        series: what Kalshi states for its series; what an event says in its place stands in the market itself.
    """
    said = market.fees or FeeTerms()
    if market.venue is Venue.POLYMARKET:
        if said.enabled is None and said.rate is None:
            return None
        fees = polymarket_fees(
            fees_enabled=said.enabled, rate=said.rate, exponent=said.exponent, category=market.category
        )
        return fees if said.taker_only is None else replace(fees, taker_only=said.taker_only)
    kind = said.kind or (None if series is None else series.kind)
    multiplier = said.multiplier if said.multiplier is not None else None if series is None else series.multiplier
    if kind is None or multiplier is None or kind not in set(KalshiFeeKind):
        return None
    fees_known = KalshiFees(kind=KalshiFeeKind(kind), multiplier=multiplier)
    return None if fees_known.unit_fee(_HALF) is None else fees_known


def _up(amount: Decimal, step: Decimal) -> Decimal:
    return (amount / step).to_integral_value(ROUND_CEILING) * step


def _to_five(amount: Decimal) -> Decimal:
    return ZERO if amount < _POLYMARKET_STEP else amount.quantize(_POLYMARKET_STEP, ROUND_HALF_UP)
