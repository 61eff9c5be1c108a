"""Polymarket's public catalogue (Gamma): its wire format and the walk over all open events.

Law: a YES price speaks of the outcome labelled "Yes" wherever it stands, else of the first outcome; the venue's
bestBid and bestAsk speak of the first and are turned where needed. Resolution comes from the payouts of a closed
market or from UMA's words, never from a price while it trades. facts: exchanges.md section 1.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import quote as url_quote

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agent.core.market import complement, mid, resolution_from_payouts, side, yes_index
from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import JsonSource, Page
from agent.venues.fields import Number
from agent.venues.polymarket_fees import fee_terms
from agent.venues.reader import VenueSyntax, read_page
from agent.venues.walk import utc_now, walk
from sync.records import Market, MarketStatus, Quote, Resolution, Venue

BASE_URL: Final = "https://gamma-api.polymarket.com"
PAGE_EVENTS: Final = 100  # more is clamped to this without a word
MAX_PAGES: Final = 2_000  # about ten times the open events of October 2026

# Tags are many and loosely curated; the first of these slugs on an event is its category.
_TOPICS: Final = frozenset(
    {"politics", "elections", "geopolitics", "world", "economy", "finance", "business", "crypto", "sports", "esports"}
    | {"tech", "science", "weather", "culture", "pop-culture", "mentions", "health"}
)
_YES_NO_TEXT: Final = '["Yes", "No"]'
_YES_NO: Final = ("Yes", "No")
_UMA_UNDECIDED: Final = frozenset({"requested", "proposed", "disputed"})
_UMA_DECIDED: Final = frozenset({"resolved", "settled"})

_LABELS = msgspec.json.Decoder(list[str])
_PAYOUTS = msgspec.json.Decoder(list[float | str])


class _Tag(msgspec.Struct, gc=False):
    label: str | None = None
    slug: str | None = None


class _EventHead(msgspec.Struct, gc=False):
    id: str | int | None = None
    slug: str | None = None
    title: str | None = None
    category: str | None = None
    negRisk: bool | None = None  # noqa: N815  # the wire's spelling, here and below
    tags: list[_Tag] | None = None
    negRiskAugmented: bool | None = None  # noqa: N815


class _Market(msgspec.Struct, gc=False):
    id: str | int | None = None  # fields stand in the order of the wire: the decoder looks there first
    question: str | None = None
    conditionId: str | None = None  # noqa: N815
    endDate: str | None = None  # noqa: N815
    category: str | None = None
    liquidityNum: Number = None  # noqa: N815
    startDate: str | None = None  # noqa: N815
    description: Raw = Raw()
    outcomes: str | list[str] | None = None  # JSON in a string; a real list is understood too
    outcomePrices: str | list[float | str] | None = None  # noqa: N815
    active: bool | None = None
    closed: bool | None = None
    closedTime: str | None = None  # noqa: N815
    groupItemTitle: str | None = None  # noqa: N815
    enableOrderBook: bool | None = None  # noqa: N815
    orderPriceMinTickSize: Number = None  # noqa: N815
    umaResolutionStatus: str | None = None  # noqa: N815
    volume24hr: Number = None
    clobTokenIds: str | list[str] | None = None  # noqa: N815
    acceptingOrders: bool | None = None  # noqa: N815
    negRisk: bool | None = None  # noqa: N815
    events: list[_EventHead] | None = None  # only on markets that are not nested in an event
    lastTradePrice: Number = None  # noqa: N815
    bestBid: Number = None  # noqa: N815
    bestAsk: Number = None  # noqa: N815
    feesEnabled: bool | None = None  # noqa: N815
    feeType: str | None = None  # noqa: N815
    feeSchedule: Raw = Raw()  # noqa: N815  # read through a cache: a handful of schedules serves every market


class _Event(_EventHead, gc=False):
    markets: list[_Market] | None = None


class _Page(msgspec.Struct):
    events: list[_Event] | UnsetType | None = UNSET
    markets: list[_Market] | UnsetType | None = UNSET
    next_cursor: str | None = None


class _EventFacts(msgspec.Struct):
    """What an event tells about each of its markets."""

    event_id: str | None = None
    title: str | None = None
    category: str | None = None
    url: str | None = None
    mutually_exclusive: bool | None = None
    open_set: bool | None = None


_PAGE = msgspec.json.Decoder(_Page)
_EVENT_HEAD = msgspec.json.Decoder(_EventHead)
_MARKET = msgspec.json.Decoder(_Market)
_NO_EVENT: Final = _EventFacts()


def parse_page(body: bytes, fetched_at: datetime) -> Page:
    """Normalise one answer of /events/keyset or /markets/keyset. Raises: VenueDataError if it is neither."""
    syntax = VenueSyntax(
        venue=Venue.POLYMARKET,
        read_whole=partial(_read_whole, fetched_at),
        read_event=lambda raw: _event_facts(_EVENT_HEAD.decode(raw)),
        read_market=partial(_read_market, fetched_at),
    )
    return read_page(body, syntax)


class Polymarket:
    """The VenueClient of Polymarket."""

    venue = Venue.POLYMARKET

    def __init__(self, source: JsonSource, *, base_url: str = BASE_URL, now: Callable[[], datetime] = utc_now) -> None:
        self._source = source
        self._base_url = base_url.rstrip("/")
        self._now = now

    def pages(self) -> AsyncIterator[Page]:
        """All open events with their markets, resolved and unopened legs among them."""
        return walk(
            self._source,
            f"{self._base_url}/events/keyset",
            {"closed": "false", "limit": str(PAGE_EVENTS)},
            cursor_param="after_cursor",  # "cursor" and "next_cursor" are ignored and give page 1 for ever
            parse=parse_page,
            now=self._now,
            max_pages=MAX_PAGES,
        )


def _read_whole(fetched_at: datetime, body: bytes, page: Page) -> None:
    wire = _PAGE.decode(body)
    if wire.events is UNSET and wire.markets is UNSET:
        raise VenueDataError("a page without events or markets")
    page.next_cursor = wire.next_cursor or None
    for event in wire.events or ():
        facts = _event_facts(event)
        for market in event.markets or ():
            page.n_records += 1
            _add(market, facts, fetched_at, page)
    for market in wire.markets or ():
        page.n_records += 1
        _add(market, _event_facts(market.events[0]) if market.events else _NO_EVENT, fetched_at, page)


def _read_market(fetched_at: datetime, raw: bytes, facts: _EventFacts | None, page: Page) -> None:
    market = _MARKET.decode(raw)
    if facts is None:
        facts = _event_facts(market.events[0]) if market.events else _NO_EVENT
    _add(market, facts, fetched_at, page)


def _event_facts(event: _EventHead) -> _EventFacts:
    return _EventFacts(
        event_id=fields.identifier(event.id, "event.id"),
        title=fields.line(event.title),
        category=_category(event),
        url=_url(event.slug),
        mutually_exclusive=event.negRisk,
        open_set=event.negRiskAugmented,
    )


def _url(slug: str | None) -> str | None:
    if not slug:
        return None
    if not (slug.isascii() and slug.replace("-", "").isalnum()):
        slug = url_quote(slug, safe="")
    return f"https://polymarket.com/event/{slug}"


def _category(event: _EventHead) -> str | None:
    tags = event.tags or []
    for tag in tags:
        if tag.slug in _TOPICS:
            return fields.line(tag.label)
    return fields.line(tags[0].label if tags else event.category)


def _add(market: _Market, event: _EventFacts, fetched_at: datetime, page: Page) -> None:
    venue_market_id = fields.identifier(market.conditionId, "conditionId") or fields.identifier(market.id, "id")
    title = fields.line(market.question) or event.title
    if venue_market_id is None or title is None:
        raise VenueDataError("a market without id" if venue_market_id is None else "a market without question")
    key = f"polymarket:{venue_market_id}"
    labels = _labels(market.outcomes)
    yes_at = _yes_at(labels)
    status, resolution, value = _standing(market, len(labels), yes_at)
    # By place, in the record's order: with keywords this call alone took 1.9 µs of a record, so it takes 0.6.
    record = Market(
        key,
        Venue.POLYMARKET,
        venue_market_id,
        title,
        status,
        fetched_at,
        event.event_id,
        event.title,
        None,  # series_id
        fields.line(market.groupItemTitle),
        labels,
        _tokens(market.clobTokenIds),
        event.category or fields.line(market.category),
        fields.text(market.description),
        event.url,
        fields.price(market.orderPriceMinTickSize, "orderPriceMinTickSize"),
        market.negRisk if event.mutually_exclusive is None else event.mutually_exclusive,
        event.open_set,
        fields.time(market.startDate, "startDate"),
        fields.time(market.endDate, "endDate"),
        None,  # expected_time
        fields.time(market.closedTime, "closedTime"),
        resolution,
        value,
        fee_terms(market.feesEnabled, market.feeType, bytes(market.feeSchedule)),
    )
    if status is MarketStatus.OPEN or status is MarketStatus.PAUSED:
        page.quotes.append(_quote(market, key, fetched_at, turned=yes_at == 1))
    page.markets.append(record)  # last: a quote that cannot be read refuses its market too


def _quote(market: _Market, key: str, fetched_at: datetime, *, turned: bool) -> Quote:
    bid = side(fields.price(market.bestBid, "bestBid"))
    ask = side(fields.price(market.bestAsk, "bestAsk"))
    last_price = fields.price(market.lastTradePrice, "lastTradePrice") or None  # 0 = never traded
    if turned:
        bid, ask, last_price = complement(ask), complement(bid), complement(last_price)
    return Quote(
        market_key=key,
        fetched_at=fetched_at,
        bid=bid,
        ask=ask,
        last_price=last_price,
        mid=mid(bid, ask),
        volume_24h=fields.amount(market.volume24hr, "volume24hr"),
        liquidity_usd=fields.amount(market.liquidityNum, "liquidityNum"),
    )


def _standing(market: _Market, n_outcomes: int, yes_at: int) -> tuple[MarketStatus, Resolution | None, float | None]:
    """Status, resolution and payout, from the flags, UMA's word and the payouts of a closed market."""
    uma = market.umaResolutionStatus.lower() if market.umaResolutionStatus else None
    disputed = Resolution.DISPUTED if uma == "disputed" else None
    if not market.closed:
        return _trading_status(market), disputed, None
    if uma in _UMA_UNDECIDED:  # closed early: the price is pinned to what was proposed and can still turn round
        return MarketStatus.CLOSED, disputed, None
    payouts = _payouts(market.outcomePrices)
    if n_outcomes and payouts and len(payouts) != n_outcomes:
        raise VenueDataError(f"outcomePrices: {len(payouts)} for {n_outcomes} outcomes")
    resolution, value = resolution_from_payouts(payouts, yes_at, confirmed=uma in _UMA_DECIDED)
    status = MarketStatus.CLOSED if resolution is Resolution.UNKNOWN else MarketStatus.RESOLVED
    return status, resolution, value


def _trading_status(market: _Market) -> MarketStatus:
    if market.active is False or not market.outcomePrices or market.outcomePrices == "[]":
        return MarketStatus.UNOPENED
    if market.acceptingOrders is False or market.enableOrderBook is False:
        return MarketStatus.PAUSED
    return MarketStatus.OPEN


def _yes_at(labels: tuple[str, ...]) -> int:
    if labels is _YES_NO:  # by far the most
        return 0
    return yes_index(labels)


def _labels(value: str | list[str] | None) -> tuple[str, ...]:
    if value == _YES_NO_TEXT:
        return _YES_NO
    return tuple(fields.line(label) or "" for label in _texts(value, "outcomes"))


def _tokens(value: str | list[str] | None) -> tuple[str, ...]:
    """Text, not numbers: they overflow 64 bits and doubles."""
    if isinstance(value, str):
        first, _, second = value[2:-2].partition('", "')  # the usual spelling, at a quarter of what a decoder takes
        if first.isdecimal() and second.isdecimal() and value[:2] == '["' and value[-2:] == '"]':
            return first, second
    texts = _texts(value, "clobTokenIds")
    if texts and not "".join(texts).isalnum():
        raise VenueDataError(f"clobTokenIds: not ids: {value!r:.60}")
    return texts


def _texts(value: str | list[str] | None, name: str) -> tuple[str, ...]:
    """A list of texts that arrives as JSON inside a string, or as a list."""
    if not value:
        return ()
    try:
        return tuple(_LABELS.decode(value) if isinstance(value, str) else value)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise VenueDataError(f"{name}: not a list of texts: {value!r:.60}") from exc


def _payouts(value: str | list[float | str] | None) -> list[float]:
    if not value:
        return []
    try:
        numbers = _PAYOUTS.decode(value) if isinstance(value, str) else value
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise VenueDataError(f"outcomePrices: not a list of numbers: {value!r:.60}") from exc
    payouts = [fields.price(number, "outcomePrices") for number in numbers]
    return [payout for payout in payouts if payout is not None]
