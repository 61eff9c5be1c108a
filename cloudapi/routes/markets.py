"""/v1/markets: the list, one market, its price, its series. A market's id is its market_key, as on the edge."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, TypeAlias

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from cloudapi.errors import Forbidden, Invalid, NotFound
from cloudapi.queries import markets, prices
from cloudapi.queries.markets import MarketFilters, Place
from cloudapi.queries.prices import MAX_POINTS, Series
from cloudapi.routes.shapes import FAILURES, MISSING, TIERED, Cursor, Key, Limit, MarketPage, PageText, Text, span
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import INTERVAL_S, Interval, lowest_tier_with_interval
from sync.records import Market, MarketStatus, Quote, Venue

MAX_MARKETS = 25  # of one question about many

Ids: TypeAlias = Annotated[
    str, QueryParameter(min_length=1, max_length=6000, description="Market ids, commas between.")
]


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """Quotes of several markets."""

    data: list[Quote]


class SeriesList(msgspec.Struct, frozen=True, kw_only=True):
    """Series of several markets."""

    data: list[Series]


@get("/v1/markets", tags=["markets"], responses={200: ResponseSpec(MarketPage), 400: FAILURES[422], **FAILURES})
async def list_markets(
    services: Wired,
    request: AnyRequest,
    *,
    venue: FromQuery[Venue | None] = None,
    status: FromQuery[MarketStatus | None] = None,
    category: PageText = None,
    q: PageText = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """Markets of both venues, newest listed first. `q` searches titles, events and categories."""
    filters = MarketFilters(venue=venue, status=status, category=category, q=q)
    return await _list(services, request, filters, limit=limit, cursor=cursor)


async def _list(
    services: Services, request: AnyRequest, filters: MarketFilters, *, limit: int, cursor: str | None
) -> Response[bytes]:
    narrowed = msgspec.structs.asdict(filters)
    before = None
    if cursor is not None:
        (before,) = services.cursors.read(cursor, tuple[int], listing="markets", filters=narrowed)

    async def make() -> MarketPage:
        page, more_before = await markets.load_markets(services.pool, filters, before_id=before, limit=limit)
        follow = None
        if more_before is not None:
            follow = services.cursors.make([more_before], listing="markets", filters=narrowed)
        return MarketPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before}
    return await services.answer(request, "markets", kinds=("market",), parameters=chosen, ttl_s=30, make=make)


@get("/v1/markets/search", tags=["markets"], responses={200: ResponseSpec(MarketPage), 400: FAILURES[422], **FAILURES})
async def search_markets(
    services: Wired, request: AnyRequest, *, q: FromQuery[Text], limit: Limit = 20, cursor: Cursor = None
) -> Response[bytes]:
    """Markets whose title, event or category has the words, the best match first; a last word may be unfinished."""
    behind = None
    if cursor is not None:
        behind = services.cursors.read(cursor, Place, listing="search", filters={"q": q})

    async def make() -> MarketPage:
        page, last = await markets.search_markets(services.pool, q, limit=limit, behind=behind)
        follow = None if last is None else services.cursors.make(list(last), listing="search", filters={"q": q})
        return MarketPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {"q": q, "limit": limit, "behind": behind}
    return await services.answer(request, "search", kinds=("market",), parameters=chosen, ttl_s=60, make=make)


@get("/v1/markets/{market_id:str}", tags=["markets"], responses={200: ResponseSpec(Market), **MISSING, **FAILURES})
async def get_market(services: Wired, request: AnyRequest, market_id: Key) -> Response[bytes]:
    """One market as its venue described it last, rules included."""

    async def make() -> Market:
        market = await markets.load_market(services.pool, market_id)
        if market is None:
            raise NotFound(f"There is no market {market_id!r}.")
        return market

    chosen = {"market": market_id}
    return await services.answer(request, "market", kinds=("market",), parameters=chosen, ttl_s=30, make=make)


@get("/v1/markets/{market_id:str}/price", tags=["prices"], responses={200: ResponseSpec(Quote), **MISSING, **FAILURES})
async def get_price(services: Wired, request: AnyRequest, market_id: Key) -> Response[bytes]:
    """The newest quote the tier may see. An empty side of the book is absent, never 0."""
    delay = timedelta(seconds=request.user.entitlement.price_delay_s)

    async def make() -> Quote:
        as_of = services.now() - delay if delay else None
        quote = await prices.load_price(services.pool, market_id, as_of=as_of)
        if quote is None:
            raise NotFound(f"There is no price of {market_id!r} yet.")
        return quote

    chosen = {"market": market_id}
    return await services.answer(request, "price", kinds=("quote",), parameters=chosen, ttl_s=5, make=make)


@get("/v1/prices", tags=["prices"], responses={200: ResponseSpec(PriceList), **FAILURES})
async def list_prices(services: Wired, request: AnyRequest, *, ids: Ids) -> Response[bytes]:
    """The newest quotes of up to 25 markets, in the order asked; markets without one are left out."""
    wanted = _ids(ids)
    delay = timedelta(seconds=request.user.entitlement.price_delay_s)

    async def make() -> PriceList:
        as_of = services.now() - delay if delay else None
        return PriceList(data=await prices.load_prices(services.pool, wanted, as_of=as_of))

    return await services.answer(request, "prices", kinds=("quote",), parameters={"ids": wanted}, ttl_s=5, make=make)


@get("/v1/series", tags=["prices"], responses={200: ResponseSpec(SeriesList), **TIERED, **FAILURES})
async def list_series(
    services: Wired,
    request: AnyRequest,
    *,
    ids: Ids,
    interval: FromQuery[Interval] = Interval.H1,
    start: FromQuery[datetime | None] = None,
    end: FromQuery[datetime | None] = None,
) -> Response[bytes]:
    """The series of up to 25 markets, as `/v1/markets/{market_id}/series` gives them; unknown ones are left out."""
    wanted = _ids(ids)
    since, until = _asked_span(services, request, interval, start, end)

    async def make() -> SeriesList:
        return SeriesList(data=await _load_series(services, wanted, interval, since, until))

    chosen = {"ids": wanted, "interval": interval, "start": start, "end": end}
    return await services.answer(request, "series-many", kinds=("quote",), parameters=chosen, ttl_s=15, make=make)


@get(
    "/v1/markets/{market_id:str}/series",
    tags=["prices"],
    responses={200: ResponseSpec(Series), **MISSING, **TIERED, **FAILURES},
)
async def get_series(
    services: Wired,
    request: AnyRequest,
    *,
    market_id: Key,
    interval: FromQuery[Interval] = Interval.H1,
    start: FromQuery[datetime | None] = None,
    end: FromQuery[datetime | None] = None,
) -> Response[bytes]:
    """Quotes as columns from `start` (in) to `end` (out), the last 24 hours by default; at most 5,000 points."""
    since, visible_until = _asked_span(services, request, interval, start, end)
    make = partial(_make_series, services, market_id, interval, since, visible_until)
    chosen = {"market": market_id, "interval": interval, "start": start, "end": end}
    return await services.answer(request, "series", kinds=("quote",), parameters=chosen, ttl_s=15, make=make)


def _asked_span(
    services: Services, request: AnyRequest, interval: Interval, start: datetime | None, end: datetime | None
) -> tuple[datetime, datetime]:
    """The range to read, as far as the tier may see it. Raises: Forbidden, Invalid."""
    entitlement = request.user.entitlement
    if interval not in entitlement.series_intervals:
        lowest = lowest_tier_with_interval(interval)
        raise Forbidden(f"The interval {interval} is part of {lowest} and above; yours is {request.user.tier}.")
    since, until = span(start, end, services.now())
    fitting = _nearest_fitting(until - since)
    if interval is not Interval.RAW and INTERVAL_S[interval] < INTERVAL_S[fitting]:
        raise _too_many(fitting)
    return since, min(until, services.now() - timedelta(seconds=entitlement.price_delay_s))


def _ids(text: str) -> list[str]:
    """The markets of a list, each once. Raises: Invalid if there are none or too many."""
    wanted = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not 1 <= len(wanted) <= MAX_MARKETS:
        errors = [{"pointer": "/query/ids", "detail": f"1 to {MAX_MARKETS} ids, separated by commas"}]
        raise Invalid(f"Ask for 1 to {MAX_MARKETS} markets at a time.", errors=errors)
    return wanted


async def _make_series(
    services: Services, market_id: str, interval: Interval, since: datetime, until: datetime
) -> Series:
    found = await _load_series(services, [market_id], interval, since, until)
    if not found:
        raise NotFound(f"There is no market {market_id!r}.")
    return found[0]


async def _load_series(
    services: Services, market_ids: list[str], interval: Interval, since: datetime, until: datetime
) -> list[Series]:
    found = await prices.load_series(services.pool, market_ids, interval, start=since, end=until)
    if any(len(series.t) > MAX_POINTS for series in found):
        raise _too_many(Interval.M5)
    return found


def _nearest_fitting(length: timedelta) -> Interval:
    """The finest interval whose points fit; a day always does within the years we accept."""
    fitting = (i for i in (Interval.M5, Interval.H1) if length.total_seconds() / INTERVAL_S[i] <= MAX_POINTS)
    return next(fitting, Interval.D1)


def _too_many(fitting: Interval) -> Invalid:
    return Invalid(
        f"That is more than {MAX_POINTS} points; interval={fitting} fits, or ask for less time.",
        errors=[{"pointer": "/query/interval", "detail": f"use {fitting}"}],
    )
