"""/v1/markets: the list, one market, its price, its series. A market's id is its market_key, as on the edge."""

from datetime import datetime, timedelta
from functools import partial

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from cloudapi.errors import Forbidden, Invalid, NotFound
from cloudapi.queries import markets, prices
from cloudapi.queries.markets import MarketFilters
from cloudapi.queries.prices import MAX_POINTS, Series
from cloudapi.routes.shapes import FAILURES, MISSING, TIERED, Cursor, Key, Limit, MarketPage, PageText, span
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import INTERVAL_S, Interval, lowest_tier_with_interval
from sync.records import Market, MarketStatus, Quote, Venue


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
    narrowed = {"venue": venue, "status": status, "category": category, "q": q}
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
    entitlement = request.user.entitlement
    if interval not in entitlement.series_intervals:
        lowest = lowest_tier_with_interval(interval)
        raise Forbidden(f"The interval {interval} is part of {lowest} and above; yours is {request.user.tier}.")
    since, until = span(start, end, services.now())
    fitting = _nearest_fitting(until - since)
    if interval is not Interval.RAW and INTERVAL_S[interval] < INTERVAL_S[fitting]:
        raise _too_many(fitting)
    visible_until = min(until, services.now() - timedelta(seconds=entitlement.price_delay_s))
    make = partial(_make_series, services, market_id, interval, since, visible_until)
    chosen = {"market": market_id, "interval": interval, "start": start, "end": end}
    return await services.answer(request, "series", kinds=("quote",), parameters=chosen, ttl_s=15, make=make)


async def _make_series(
    services: Services, market_id: str, interval: Interval, since: datetime, until: datetime
) -> Series:
    series = await prices.load_series(services.pool, market_id, interval, start=since, end=until)
    if series is None:
        raise NotFound(f"There is no market {market_id!r}.")
    if len(series.t) > MAX_POINTS:
        raise _too_many(Interval.M5)
    return series


def _nearest_fitting(length: timedelta) -> Interval:
    """The finest interval whose points fit; a day always does within the years we accept."""
    fitting = (i for i in (Interval.M5, Interval.H1) if length.total_seconds() / INTERVAL_S[i] <= MAX_POINTS)
    return next(fitting, Interval.D1)


def _too_many(fitting: Interval) -> Invalid:
    return Invalid(
        f"That is more than {MAX_POINTS} points; interval={fitting} fits, or ask for less time.",
        errors=[{"pointer": "/query/interval", "detail": f"use {fitting}"}],
    )
