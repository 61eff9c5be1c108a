"""A package: sides bought together that pay at least a known sum, whatever happens; and what it earns. Pure.

Law: nothing is an edge before both venues' fees and the depth of the books; a fee nobody knows is no edge at all; a
book known only by its top is priced for ASSUMED_SIZE contracts and says so. We place no orders: this is information.
facts: scoring.md 6.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from agent.core.arbitrage.books import Book, Level
from agent.core.fees import ONE, ZERO, Fill
from sync.records import ArbitrageKind, Position

SHOWN_ABOVE: Final = Decimal("0.02")  # net of everything, over cost: below it is noise and the cost of attention
ASSUMED_SIZE: Final = Decimal(100)  # contracts, where no depth is known: spreads the whole-cent rounding of an order
_DAYS_A_YEAR: Final = Decimal(365)
_SECONDS_A_DAY: Final = Decimal(86_400)


@dataclass(frozen=True, slots=True)
class Leg:
    """A side of one market."""

    book: Book
    side: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Legs bought in equal number and what one of each pays together at the least."""

    kind: ArbitrageKind
    legs: tuple[Leg, ...]
    payout: Decimal = ONE
    reasons: tuple[str, ...] = ()  # why it pays that, in words


@dataclass(frozen=True, slots=True)
class Order:
    """What one leg takes of its book."""

    price: Decimal  # average
    worst_price: Decimal  # of the last contract
    fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What a package earns as the books stood; money in dollars over all its contracts."""

    package: Package
    orders: tuple[Order, ...]  # in the order of the legs
    size: Decimal  # of each leg
    depth_known: bool  # False: the size is assumed
    cost: Decimal  # without fees
    gross: Decimal
    fees: Decimal
    net: Decimal
    rate: Decimal  # net over cost and fees
    annualised: Decimal | None  # None where the day of payment is unknown
    pays_at: datetime | None
    ages_s: tuple[Decimal, ...]  # of each leg's book, at `now`
    assumptions: tuple[str, ...]

    @property
    def shown(self) -> bool:
        """Whether it is worth a reader's attention."""
        return self.rate > SHOWN_ABOVE


def price(package: Package, *, now: datetime, pays_at: datetime | None = None) -> Edge | None:
    """What the package earns; None where a side is not offered, a fee is unknown or no contract is worth taking.

    Args:
        package: what to buy together.
        now: the instant the ages of the books are counted to.
        pays_at: when the last leg pays; capital is bound until then.
    """
    filled = _walk(package)
    if filled is None or not filled[0]:
        return None
    size = sum((fill.size for fill in filled[0]), ZERO)
    orders = _orders(package, filled, size)
    if orders is None:
        return None
    fees = sum((order.fee for order in orders), ZERO)
    cost = sum((fill.price * fill.size for fills in filled for fill in fills), ZERO)
    gross = package.payout * size - cost
    rate = (gross - fees) / (cost + fees)
    return Edge(
        package=package,
        orders=orders,
        size=size,
        depth_known=_depth_known(package),
        cost=cost,
        gross=gross,
        fees=fees,
        net=gross - fees,
        rate=rate,
        annualised=_annualised(rate, now, pays_at),
        pays_at=pays_at,
        ages_s=tuple(Decimal(str((now - leg.book.fetched_at).total_seconds())) for leg in package.legs),
        assumptions=_assumptions(package),
    )


def _orders(package: Package, filled: Sequence[Sequence[Fill]], size: Decimal) -> tuple[Order, ...] | None:
    """One order a leg; None where a fee is unknown."""
    orders = list[Order]()
    for leg, fills in zip(package.legs, filled, strict=True):
        fee = leg.book.fees.order_fee(fills)
        if fee is None:
            return None
        orders.append(Order(sum((f.price * f.size for f in fills), ZERO) / size, fills[-1].price, fee))
    return tuple(orders)


def _walk(package: Package) -> list[list[Fill]] | None:
    """Goes up all ladders together while one more of each leg earns something; None where a fee is unknown."""
    ladders = [leg.book.asks(leg.side) for leg in package.legs]
    filled: list[list[Fill]] = [[] for _ in ladders]
    places, left = [0] * len(ladders), [_size(ladder[0]) if ladder else ZERO for ladder in ladders]
    while all(place < len(ladder) for place, ladder in zip(places, ladders, strict=True)):
        levels = [ladder[place] for place, ladder in zip(places, ladders, strict=True)]
        dearer = _unit_cost(package, levels)
        if dearer is None:
            return None
        if dearer >= package.payout:
            break
        step = min(left)
        for index, level in enumerate(levels):
            filled[index].append(Fill(level.price, step))
            left[index] -= step
            if left[index] == 0:
                places[index] += 1
                left[index] = _size(ladders[index][places[index]]) if places[index] < len(ladders[index]) else ZERO
    return filled


def _unit_cost(package: Package, levels: Sequence[Level]) -> Decimal | None:
    total = ZERO
    for leg, level in zip(package.legs, levels, strict=True):
        fee = leg.book.fees.unit_fee(level.price)
        if fee is None:
            return None
        total += level.price + fee
    return total


def _size(level: Level) -> Decimal:
    return ASSUMED_SIZE if level.size is None else level.size


def _depth_known(package: Package) -> bool:
    return all(level.size is not None for leg in package.legs for level in leg.book.asks(leg.side))


def _annualised(rate: Decimal, now: datetime, pays_at: datetime | None) -> Decimal | None:
    if pays_at is None or pays_at <= now:
        return None
    days = Decimal(str((pays_at - now).total_seconds())) / _SECONDS_A_DAY
    return rate * _DAYS_A_YEAR / max(days, ONE)  # below a day nobody can turn the money over again


def _assumptions(package: Package) -> tuple[str, ...]:
    found = [leg.book.fees.assumption for leg in package.legs if leg.book.fees.assumption is not None]
    if not _depth_known(package):
        found.append(f"only the top of a book is known: priced for {ASSUMED_SIZE} contracts that may not be there")
    return tuple(dict.fromkeys(found))
