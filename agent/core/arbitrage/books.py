"""What can be bought at which price: ask ladders of both sides of a market. Pure; prices and sizes are Decimal.

Law: Kalshi's books hold bids only, so an ask of one side is 1 minus the best bid of the other, with that bid's size;
a ladder is sorted here and never trusted to be; a book known only by its top says so and has no size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from agent.core.fees import ONE, ZERO, Fees
from sync.records import Position, Quote


@dataclass(frozen=True, slots=True)
class Level:
    """Contracts offered at one price; None is a size nobody told us."""

    price: Decimal
    size: Decimal | None


Ladder = tuple[Level, ...]
_NOTHING: Final[Ladder] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One market's offers at one instant, with the fees one pays to take them."""

    market_key: str
    fetched_at: datetime
    yes_asks: Ladder
    no_asks: Ladder
    fees: Fees

    def asks(self, side: Position) -> Ladder:
        """What is offered of a side, cheapest first."""
        return self.yes_asks if side is Position.YES else self.no_asks


def book_from_quote(quote: Quote, fees: Fees) -> Book:
    """The top of a book: one level a side, its size unknown."""
    return Book(
        market_key=quote.market_key,
        fetched_at=quote.fetched_at,
        yes_asks=_top(None if quote.ask is None else Decimal(str(quote.ask))),
        no_asks=_top(None if quote.bid is None else ONE - Decimal(str(quote.bid))),
        fees=fees,
    )


def book_from_levels(
    market_key: str,
    fetched_at: datetime,
    *,
    bids: Iterable[tuple[Decimal, Decimal]],
    offers: Iterable[tuple[Decimal, Decimal]],
    fees: Fees,
) -> Book:
    """A whole book out of the (price, size) of what is bid for YES and of what is offered of it."""
    return Book(
        market_key=market_key, fetched_at=fetched_at, yes_asks=asks(offers), no_asks=asks_from_bids(bids), fees=fees
    )


def asks(levels: Iterable[tuple[Decimal, Decimal]]) -> Ladder:
    """A ladder out of (price, size), in any order; what cannot be traded (price outside 0..1, no size) is left out."""
    kept = [Level(price, size) for price, size in levels if ZERO < price < ONE and size > 0]
    return tuple(sorted(kept, key=lambda level: level.price))


def asks_from_bids(other_side: Iterable[tuple[Decimal, Decimal]]) -> Ladder:
    """The asks of one side out of the bids for the other: who bids 0.40 for NO sells YES at 0.60."""
    return asks((ONE - price, size) for price, size in other_side)


def other(side: Position) -> Position:
    """The opposite side."""
    return Position.NO if side is Position.YES else Position.YES


def _top(price: Decimal | None) -> Ladder:
    return _NOTHING if price is None or not ZERO < price < ONE else (Level(price, None),)
