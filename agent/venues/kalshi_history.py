"""Kalshi's candlesticks of one market, in all their generations, and where its history moves out of the live routes.

Law: a bar's end is its time; a bar without a trade has no price, whatever "previous" says; empty sides are None. Text
is dollars (the historical route drops the suffix and keeps the text), a bare number is cents of before March 2026.
facts: exchanges.md 2.5 and 2.7.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from agent.core.market import side
from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import HistoryPoint
from agent.venues.document import decoded
from agent.venues.fields import Number

HISTORY_SOURCE: Final = "kalshi-candlesticks"


class _Side(msgspec.Struct, gc=False):
    close: Number = None
    close_dollars: Number = None


class _Bar(msgspec.Struct, gc=False):
    end_period_ts: float
    price: _Side | None = None
    yes_bid: _Side | None = None
    yes_ask: _Side | None = None
    volume: Number = None
    volume_fp: Number = None


class _OfMarket(msgspec.Struct):
    candlesticks: list[_Bar] | None = None
    market_ticker: str | None = None


class _Answer(_OfMarket):
    ticker: str | None = None  # the single route; the batch route nests under `markets`
    markets: list[_OfMarket] | None = None


class _Cutoff(msgspec.Struct):
    market_settled_ts: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_CUTOFF = msgspec.json.Decoder(_Cutoff)


def parse_candles(body: bytes, ticker: str) -> list[HistoryPoint]:
    """Read the bars of `ticker` from the single, the batch or the historical route. Raises: VenueDataError."""
    answer = decoded(_ANSWER, body, "candlesticks")
    if answer.markets is not None:
        bars = [bar for one in answer.markets if one.market_ticker == ticker for bar in one.candlesticks or ()]
    elif answer.candlesticks is None:
        raise VenueDataError(f"candlesticks: an answer without any: {body[:120]!r}")
    elif answer.ticker not in (None, "", ticker):
        raise VenueDataError(f"candlesticks: asked for {ticker:.80}, told about {answer.ticker!r:.80}")
    else:
        bars = answer.candlesticks
    return points_of(bars)


def points_of(bars: Sequence[_Bar]) -> list[HistoryPoint]:
    """Bars as points; a bar that says nothing at all is left out."""
    points = [
        HistoryPoint(
            at=fields.timestamp(bar.end_period_ts, "end_period_ts"),
            source=HISTORY_SOURCE,
            price=_close(bar.price, "price") or None,
            bid=side(_close(bar.yes_bid, "yes_bid")),
            ask=side(_close(bar.yes_ask, "yes_ask")),
            volume=fields.amount(bar.volume if bar.volume_fp is None else bar.volume_fp, "volume"),
        )
        for bar in bars
    ]
    return [point for point in points if (point.price, point.bid, point.ask) != (None, None, None)]


def _close(ohlc: _Side | None, name: str) -> float | None:
    if ohlc is None:
        return None
    if ohlc.close_dollars is None and isinstance(ohlc.close, float):
        return fields.price(ohlc.close / 100.0, name)
    return fields.price(ohlc.close if ohlc.close_dollars is None else ohlc.close_dollars, name)


def parse_cutoff(body: bytes) -> datetime | None:
    """Read /historical/cutoff: markets settled before this are on the historical routes only."""
    return fields.time(decoded(_CUTOFF, body, "cutoff").market_settled_ts, "market_settled_ts")
