"""Kalshi's order book of one market, in both generations.

Law: both sides hold bids; the YES ask is one minus the NO bid and its size is that bid's size. A missing side is an
empty side. Sizes are fractional text and stay exact. facts: exchanges.md 2.5.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import Book, Level
from agent.venues.document import decoded
from agent.venues.fields import Number

Levels = list[tuple[Number, Number]] | None

_ONE: Final = Decimal(1)
_CENTS: Final = Decimal(100)


class _Sides(msgspec.Struct):
    yes_dollars: Levels = None
    no_dollars: Levels = None
    yes: Levels = None  # cents, until March 2026
    no: Levels = None


class _Answer(msgspec.Struct):
    orderbook_fp: _Sides | None = None
    orderbook: _Sides | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def parse_book(body: bytes, market_key: str, fetched_at: datetime) -> Book:
    """Read /markets/{ticker}/orderbook as the book of YES. Raises: VenueDataError."""
    answer = decoded(_ANSWER, body, "orderbook")
    sides = answer.orderbook_fp or answer.orderbook
    if sides is None:
        raise VenueDataError(f"orderbook: an answer without a book: {body[:120]!r}")
    bids = _levels(sides.yes_dollars, sides.yes, "yes")
    against = _levels(sides.no_dollars, sides.no, "no")
    return Book(
        market_key=market_key,
        fetched_at=fetched_at,
        bids=tuple(sorted(bids, key=lambda level: -level.price)),
        asks=tuple(sorted((Level(_ONE - no.price, no.size) for no in against), key=lambda level: level.price)),
    )


def _levels(dollars: Levels, cents: Levels, name: str) -> list[Level]:
    read = _read(dollars, name, _ONE) if dollars is not None else _read(cents or (), name, _CENTS)
    if any(not 0 < level.price < 1 for level in read):
        raise VenueDataError(f"orderbook.{name}: a price outside 0..1")
    return [level for level in read if level.size]


def _read(levels: Sequence[tuple[Number, Number]], name: str, unit: Decimal) -> list[Level]:
    return [
        Level(fields.decimal(price, f"{name}.price") / unit, fields.decimal(size, f"{name}.size"))
        for price, size in levels
    ]
