"""What Polymarket's order book host (CLOB) says about one market: winner, book, price history.

Law: prices and sizes are text and stay exact; the order of levels is nobody's promise, so it is made here; a winner
counts once the market is closed. What a point of the price history means is defined nowhere. facts: exchanges.md 1.7.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from agent.core.resolution import Evidence, Standing
from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import Book, HistoryPoint, Level
from agent.venues.document import decoded
from agent.venues.fields import Number

SOURCE: Final = "clob"
HISTORY_SOURCE: Final = "clob-prices-history"

_EVEN: Final = 0.5


class _Token(msgspec.Struct, gc=False):
    token_id: str | None = None
    outcome: str | None = None
    price: Number = None
    winner: bool | None = None


class _Market(msgspec.Struct, gc=False):
    condition_id: str | None = None
    closed: bool | None = None
    is_50_50_outcome: bool | None = None
    tokens: list[_Token] | None = None


class _Level(msgspec.Struct, gc=False):
    price: Number
    size: Number


class _Book(msgspec.Struct):
    bids: list[_Level] | None
    asks: list[_Level] | None


class _Point(msgspec.Struct, gc=False):
    t: float
    p: Number


class _History(msgspec.Struct):
    history: list[_Point] | None


_MARKET = msgspec.json.Decoder(_Market)
_BOOK = msgspec.json.Decoder(_Book)
_HISTORY = msgspec.json.Decoder(_History)


def parse_winner(body: bytes, condition_id: str, yes_token: str | None) -> Evidence:
    """Read /markets/{condition_id}.

    Args:
        yes_token: the token a YES price speaks of; None: the outcome labelled "Yes", else the first.
    Raises: VenueDataError, also where the answer is about another market.
    """
    market = decoded(_MARKET, body, "clob market")
    if market.condition_id != condition_id:
        raise VenueDataError(f"clob market: asked for {condition_id:.80}, told about {market.condition_id!r:.80}")
    if not market.closed:
        return Evidence(SOURCE, Standing.TRADING)
    tokens = market.tokens or []
    winners = [token for token in tokens if token.winner]
    if len(winners) > 1:
        raise VenueDataError(f"clob market {condition_id:.80}: {len(winners)} winners")
    if winners:
        return Evidence(SOURCE, Standing.FINAL, 1.0 if winners[0] is _yes(tokens, yes_token) else 0.0)
    even = bool(tokens) and all(fields.price(token.price, "token.price") == _EVEN for token in tokens)
    if market.is_50_50_outcome and even:
        return Evidence(SOURCE, Standing.FINAL, _EVEN)
    return Evidence(SOURCE, Standing.SILENT)  # old markets never got a winner; a proposed one has none yet


def _yes(tokens: Sequence[_Token], yes_token: str | None) -> _Token:
    if yes_token is not None:
        for token in tokens:
            if token.token_id == yes_token:
                return token
        raise VenueDataError("clob market: none of its tokens is the one we know as YES")
    return next((token for token in tokens if (token.outcome or "").lower() == "yes"), tokens[0])


def parse_book(body: bytes, market_key: str, fetched_at: datetime) -> Book:
    """Read /book of the YES token. Raises: VenueDataError."""
    book = decoded(_BOOK, body, "clob book")
    bids, asks = _levels(book.bids or (), "bids"), _levels(book.asks or (), "asks")
    return Book(
        market_key=market_key,
        fetched_at=fetched_at,
        bids=tuple(sorted(bids, key=lambda level: -level.price)),
        asks=tuple(sorted(asks, key=lambda level: level.price)),
    )


def _levels(levels: Sequence[_Level], name: str) -> list[Level]:
    read = [
        Level(fields.decimal(one.price, f"{name}.price"), fields.decimal(one.size, f"{name}.size")) for one in levels
    ]
    if any(not 0 < level.price < 1 for level in read):
        raise VenueDataError(f"{name}: a price outside 0..1")
    return [level for level in read if level.size]


def parse_history(body: bytes) -> list[HistoryPoint]:
    """Read /prices-history, in the order it came. Raises: VenueDataError."""
    points = decoded(_HISTORY, body, "clob prices-history").history or ()
    return [
        HistoryPoint(
            at=fields.timestamp(point.t, "history.t"), source=HISTORY_SOURCE, price=fields.price(point.p, "history.p")
        )
        for point in points
    ]
