"""Kalshi's public market data: its wire format and the walk over all open events.

Law: dollars as text are preferred, integer cents count only where the dollars are absent; an empty side is written
"0.0000" for a bid and "1.0000" or "0.0000" for an ask, and becomes None; combos (KXMVE) are dropped and counted; a
result counts once the market is finalized. facts: exchanges.md section 2.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import lru_cache, partial
from typing import Final
from urllib.parse import quote as url_quote

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agent.core.market import mid, resolution_from_value, side
from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import JsonSource, Page
from agent.venues.fields import Number
from agent.venues.reader import VenueSyntax, read_page
from agent.venues.walk import utc_now, walk
from sync.records import FeeTerms, Market, MarketStatus, Quote, Resolution, Venue

BASE_URL: Final = "https://external-api.kalshi.com/trade-api/v2"
PAGE_EVENTS: Final = 200
MAX_PAGES: Final = 1_000  # about twenty times the open events of August 2026
COMBO: Final = "combo"
MOST_GRID_BYTES: Final = 10_000  # the longest recorded has some 200; a longer one shall not fill a cache

# The words of the field, which are not the words of the filter.
_STATUS: Final = {
    "initialized": MarketStatus.UNOPENED,
    "active": MarketStatus.OPEN,
    "inactive": MarketStatus.PAUSED,
    "closed": MarketStatus.CLOSED,
    "determined": MarketStatus.CLOSED,  # a result is set and may still be disputed or amended
    "disputed": MarketStatus.CLOSED,
    "amended": MarketStatus.CLOSED,
    "finalized": MarketStatus.RESOLVED,
}
_RESULT_VALUE: Final = {"yes": 1.0, "no": 0.0}
_LABELS: Final = ("Yes", "No")
_STRIKE_TYPES: Final = frozenset(  # the words known so far need no look at their letters; others are read as well
    {None, "greater", "greater_or_equal", "less", "less_or_equal", "between", "functional", "custom", "structured"}
)


class _PriceRange(msgspec.Struct, gc=False):
    step: Number = None


class _Market(msgspec.Struct, gc=False):
    cap_strike: Number = None
    close_time: str | None = None  # fields stand in the order of the wire: the decoder looks there first
    event_ticker: str | None = None
    expected_expiration_time: str | None = None
    floor_strike: Number = None
    last_price: float | None = None  # cents, until 12 March 2026; so are yes_ask and yes_bid, and the bare counts
    last_price_dollars: Number = None
    mve_collection_ticker: str | None = None
    open_interest: float | None = None
    open_interest_fp: Number = None
    open_time: str | None = None
    price_ranges: Raw = Raw()  # read through a cache: a handful of grids serves every market
    result: str | None = None
    rules_primary: Raw = Raw()
    rules_secondary: Raw = Raw()
    settlement_value_dollars: Number = None
    status: str | None = None
    strike_type: str | None = None
    ticker: str | None = None
    title: str | None = None
    volume_24h: float | None = None
    volume_24h_fp: Number = None
    yes_ask: float | None = None
    yes_ask_dollars: Number = None
    yes_bid: float | None = None
    yes_bid_dollars: Number = None
    yes_sub_title: str | None = None


class _EventHead(msgspec.Struct, gc=False):
    event_ticker: str | None = None
    series_ticker: str | None = None
    title: str | None = None
    category: str | None = None
    mutually_exclusive: bool | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Number = None


class _Event(_EventHead, gc=False):
    markets: list[_Market] | None = None


class _Page(msgspec.Struct):
    events: list[_Event] | UnsetType | None = UNSET
    markets: list[_Market] | UnsetType | None = UNSET
    cursor: str | None = None


class _EventFacts(msgspec.Struct):
    """What an event tells about each of its markets."""

    event_id: str | None = None
    series_id: str | None = None
    title: str | None = None
    category: str | None = None
    url: str | None = None
    mutually_exclusive: bool | None = None
    fees: FeeTerms | None = None


_PAGE = msgspec.json.Decoder(_Page)
_EVENT_HEAD = msgspec.json.Decoder(_EventHead)
_MARKET = msgspec.json.Decoder(_Market)
_RANGES = msgspec.json.Decoder(list[_PriceRange] | None)
_NO_EVENT: Final = _EventFacts()


def parse_page(body: bytes, fetched_at: datetime) -> Page:
    """Normalise one answer of /events with nested markets, or of /markets. Raises: VenueDataError if it is neither."""
    syntax = VenueSyntax(
        venue=Venue.KALSHI,
        read_whole=partial(_read_whole, fetched_at),
        read_event=lambda raw: _event_facts(_EVENT_HEAD.decode(raw)),
        read_market=lambda raw, facts, page: _add(_MARKET.decode(raw), facts or _NO_EVENT, fetched_at, page),
    )
    return read_page(body, syntax)


class Kalshi:
    """The VenueClient of Kalshi."""

    venue = Venue.KALSHI

    def __init__(self, source: JsonSource, *, base_url: str = BASE_URL, now: Callable[[], datetime] = utc_now) -> None:
        self._source = source
        self._base_url = base_url.rstrip("/")
        self._now = now

    def pages(self) -> AsyncIterator[Page]:
        """All events with an open market, their other markets among them."""
        return walk(
            self._source,
            f"{self._base_url}/events",  # a walk over /markets would be 99.8 % combos
            {"status": "open", "with_nested_markets": "true", "limit": str(PAGE_EVENTS)},
            cursor_param="cursor",
            parse=parse_page,
            now=self._now,
            max_pages=MAX_PAGES,
        )


def _read_whole(fetched_at: datetime, body: bytes, page: Page) -> None:
    wire = _PAGE.decode(body)
    if wire.events is UNSET and wire.markets is UNSET:
        raise VenueDataError("a page without events or markets")
    page.next_cursor = wire.cursor or None
    for event in wire.events or ():
        facts = _event_facts(event)
        for market in event.markets or ():
            page.n_records += 1
            _add(market, facts, fetched_at, page)
    for market in wire.markets or ():
        page.n_records += 1
        _add(market, _NO_EVENT, fetched_at, page)


def _event_facts(event: _EventHead) -> _EventFacts:
    series = fields.identifier(event.series_ticker, "series_ticker")
    return _EventFacts(
        event_id=fields.identifier(event.event_ticker, "event_ticker"),
        series_id=series,
        title=fields.line(event.title),
        category=fields.line(event.category),
        url=f"https://kalshi.com/markets/{url_quote(series.lower(), safe='')}" if series else None,
        mutually_exclusive=event.mutually_exclusive,
        fees=_fees(event),
    )


def _fees(event: _EventHead) -> FeeTerms | None:
    """What an event says in place of its series; nearly none does."""
    kind, multiplier = fields.identifier(event.fee_type_override, "fee_type_override"), event.fee_multiplier_override
    if kind is None and multiplier is None:
        return None
    return FeeTerms(
        kind=kind,
        multiplier=None if multiplier is None else fields.decimal(multiplier, "fee_multiplier_override"),
    )


def _add(market: _Market, event: _EventFacts, fetched_at: datetime, page: Page) -> None:
    ticker = fields.identifier(market.ticker, "ticker")
    if ticker is None:
        raise VenueDataError("a market without ticker")
    if market.mve_collection_ticker or ticker.startswith("KXMVE"):
        page.drop(COMBO)
        return
    title = fields.line(market.title) or event.title
    if title is None:
        raise VenueDataError("a market without title")
    status = _status(market.status)
    resolution, value = _resolution(market, status)
    if status is MarketStatus.RESOLVED and resolution is Resolution.DISPUTED:
        status = MarketStatus.CLOSED
    close_time = fields.time(market.close_time, "close_time")
    key = f"kalshi:{ticker}"
    # By place, in the record's order: with keywords this call alone took 1.9 µs of a record, so it takes 0.6.
    record = Market(
        key,
        Venue.KALSHI,
        ticker,
        title,
        status,
        fetched_at,
        event.event_id or fields.identifier(market.event_ticker, "event_ticker"),
        event.title,
        event.series_id,
        fields.line(market.yes_sub_title),
        _LABELS,
        (),  # token_ids
        event.category,
        _rules(market),
        event.url,
        _tick_size(market.price_ranges),
        event.mutually_exclusive,
        None,  # open_set
        fields.time(market.open_time, "open_time"),
        close_time,
        fields.time(market.expected_expiration_time, "expected_expiration_time"),
        # Once trading is over, close_time has been moved to when it ended.
        close_time if status in (MarketStatus.CLOSED, MarketStatus.RESOLVED) else None,
        resolution,
        value,
        event.fees,
        market.strike_type
        if market.strike_type in _STRIKE_TYPES
        else fields.identifier(market.strike_type, "strike_type"),
        None if market.floor_strike is None else fields.number(market.floor_strike, "floor_strike"),
        None if market.cap_strike is None else fields.number(market.cap_strike, "cap_strike"),
    )
    if status is MarketStatus.OPEN or status is MarketStatus.PAUSED:
        page.quotes.append(_quote(market, key, fetched_at))
    page.markets.append(record)  # last: a quote that cannot be read refuses its market too


def _quote(market: _Market, key: str, fetched_at: datetime) -> Quote:
    bid = side(_dollars(market.yes_bid_dollars, market.yes_bid, "yes_bid"))
    ask = side(_dollars(market.yes_ask_dollars, market.yes_ask, "yes_ask"))
    return Quote(
        market_key=key,
        fetched_at=fetched_at,
        bid=bid,
        ask=ask,
        last_price=_dollars(market.last_price_dollars, market.last_price, "last_price") or None,  # 0 = never traded
        mid=mid(bid, ask),
        volume_24h=_contracts(market.volume_24h_fp, market.volume_24h, "volume_24h"),
        open_interest=_contracts(market.open_interest_fp, market.open_interest, "open_interest"),
    )


def _status(word: str | None) -> MarketStatus:
    status = _STATUS.get(word or "")
    if status is None:
        raise VenueDataError(f"status: unknown word {word!r:.40}")
    return status


def _resolution(market: _Market, status: MarketStatus) -> tuple[Resolution | None, float | None]:
    if market.status == "disputed":
        return Resolution.DISPUTED, None
    if status is not MarketStatus.RESOLVED:
        return None, None
    result = (market.result or "").lower()
    value = fields.price(market.settlement_value_dollars, "settlement_value_dollars")
    if result == "scalar":
        return Resolution.VOID, value
    if result not in _RESULT_VALUE:
        return Resolution.UNKNOWN, value
    if value is None:
        value = _RESULT_VALUE[result]
    if value == 1.0 - _RESULT_VALUE[result]:  # the word and the payment contradict each other
        return Resolution.DISPUTED, None
    return resolution_from_value(value), value


def _rules(market: _Market) -> str | None:
    primary, secondary = fields.text(market.rules_primary), fields.text(market.rules_secondary)
    if primary and secondary:
        return f"{primary}\n\n{secondary}"[: fields.TEXT_CHARS]
    return primary or secondary


def _tick_size(ranges: Raw) -> float | None:
    """The finest step of the market's price grid, which may be finer near 0 and 1."""
    encoded = bytes(ranges)
    if len(encoded) > MOST_GRID_BYTES:
        raise VenueDataError(f"price_ranges: {len(encoded)} bytes are no price grid: {encoded[:40]!r}")
    return _finest_step(encoded)


@lru_cache(maxsize=256)
def _finest_step(ranges: bytes) -> float | None:
    grid = (_RANGES.decode(ranges) if ranges else None) or ()
    steps = [fields.price(price_range.step, "price_ranges.step") for price_range in grid]
    return min((step for step in steps if step), default=None)


def _dollars(dollars: Number, cents: float | None, name: str) -> float | None:
    if dollars is None and cents is not None:
        return fields.price(cents / 100.0, name)
    return fields.price(dollars, name)


def _contracts(text: Number, count: float | None, name: str) -> float | None:
    return fields.amount(count if text is None else text, name)
