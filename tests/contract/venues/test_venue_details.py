"""What every VenueDetails promises about single markets, over real sockets against the local exchange."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from agent.core.resolution import Standing, decide, evidence_of
from agent.errors import VenueDataError, VenueNotFound
from agent.venues.base import VenueClient, VenueDetails
from agent.venues.http import VenueHttp
from agent.venues.kalshi_details import KalshiDetails
from agent.venues.polymarket_details import PolymarketDetails
from sync.records import Market, MarketStatus, Resolution, Venue
from tests.factories import NOON
from tests.fakes.exchange import ExchangeServer, Request
from tests.fakes.exchange_details import CUTOFF

DAY = timedelta(days=1)


@pytest.fixture
def polymarket(exchange: ExchangeServer, http: VenueHttp) -> PolymarketDetails:
    """Polymarket's three hosts."""
    return PolymarketDetails(
        http, base_url=exchange.polymarket_url, clob_url=exchange.clob_url, data_url=exchange.data_url, now=lambda: NOON
    )


@pytest.fixture
def kalshi(exchange: ExchangeServer, http: VenueHttp) -> KalshiDetails:
    """Kalshi, live and historical."""
    return KalshiDetails(http, base_url=exchange.kalshi_url, now=lambda: NOON)


@pytest.fixture
def details(client: VenueClient, polymarket: PolymarketDetails, kalshi: KalshiDetails) -> VenueDetails:
    """The details of the venue whose listing `client` walks."""
    return polymarket if client.venue is Venue.POLYMARKET else kalshi


async def listed(client: VenueClient) -> list[Market]:
    """Every market of the open listing."""
    return [market for page in [page async for page in client.pages()] for market in page.markets]


async def market_of(client: VenueClient, fits: Callable[[Market], bool]) -> Market:
    """The first market of the listing that fits."""
    return next(market for market in await listed(client) if fits(market))


async def test_a_look_up_says_how_old_its_prices_are(client: VenueClient, details: VenueDetails) -> None:
    """Gamma's edge caches look-ups like listings; Kalshi says nothing about its answers, which is not zero."""
    page = await details.fetch_markets([market.venue_market_id for market in await listed(client)])
    assert {quote.age_s for quote in page.quotes} == {12.0 if details.venue is Venue.POLYMARKET else None}


async def test_markets_are_found_by_id_whatever_became_of_them(client: VenueClient, details: VenueDetails) -> None:
    """Closed is not the default anywhere: a resolved market must not look as if it were gone."""
    markets = await listed(client)
    page = await details.fetch_markets([market.venue_market_id for market in markets])
    assert {market.market_key for market in page.markets} == {market.market_key for market in markets}
    told = {market.market_key: (market.status, market.resolution) for market in markets}
    assert {market.market_key: (market.status, market.resolution) for market in page.markets} == told
    assert {MarketStatus.RESOLVED, MarketStatus.OPEN} <= {market.status for market in page.markets}


async def test_ids_are_asked_for_in_bounded_chunks(
    client: VenueClient, details: VenueDetails, exchange: ExchangeServer
) -> None:
    """80 ids in an address drew a 403 from the edge; 40 went through."""
    markets = await listed(client)
    exchange.requests.clear()
    await details.fetch_markets([market.venue_market_id for market in markets])
    asked = [
        len(request.asked.get("condition_ids", request.params.get("tickers", "").split(",")))
        for request in exchange.requests
    ]
    assert max(asked) == (40 if client.venue is Venue.POLYMARKET else 100)


async def test_an_unknown_id_is_absent_and_the_others_are_found(client: VenueClient, details: VenueDetails) -> None:
    """One id that is gone must not cost its chunk."""
    known = (await listed(client))[0].venue_market_id
    page = await details.fetch_markets(["0xdead" if client.venue is Venue.POLYMARKET else "KXDEAD-1", known])
    assert [market.venue_market_id for market in page.markets] == [known]


async def test_what_was_not_asked_for_is_dropped(
    client: VenueClient, details: VenueDetails, exchange: ExchangeServer
) -> None:
    """A venue that ignores a filter answers with something else entirely."""
    markets = await listed(client)
    path = "/markets/keyset" if client.venue is Venue.POLYMARKET else "/markets"
    exchange.requests.clear()
    everything = exchange._answer(Request(client.venue.value, path, {"limit": "100"})).document
    exchange.overrides[client.venue.value, path] = everything
    page = await details.fetch_markets([markets[0].venue_market_id])
    assert {market.market_key for market in page.markets} <= {markets[0].market_key}
    assert page.n_dropped["not asked for"] > 50


async def test_events_come_whole_by_id(client: VenueClient, details: VenueDetails) -> None:
    """Every leg of the event, ended ones included, and no other event."""
    markets = await listed(client)
    wanted = {market.event_id for market in markets if market.status is MarketStatus.RESOLVED}
    page = await details.fetch_events(sorted(one for one in wanted if one))
    expected = {market.market_key for market in markets if market.event_id in wanted}
    assert {market.market_key for market in page.markets} == expected


async def test_what_settled_lately_can_be_walked(client: VenueClient, details: VenueDetails) -> None:
    """The daily look adds what left the open listing between two looks."""
    pages = [page async for page in details.closed_since(datetime(2026, 11, 20, tzinfo=UTC))]
    ended = [market for page in pages for market in page.markets]
    if client.venue is Venue.KALSHI:
        assert ended
        assert {market.status for market in ended} == {MarketStatus.RESOLVED}
    else:  # the made world keeps every event open; the walk ends without one
        assert ended == []


async def test_the_sources_agree_on_how_a_market_ended(
    client: VenueClient, details: VenueDetails, exchange: ExchangeServer
) -> None:
    """A second and a third opinion, in the words of one."""
    for market in await listed(client):
        if market.resolution in (Resolution.YES, Resolution.NO, Resolution.VOID):
            evidence = [evidence_of(market, "listing"), *await details.fetch_evidence(market)]
            verdict = decide(evidence)
            assert (verdict.resolution, verdict.value) == (market.resolution, market.resolution_value)
            assert len(evidence) == (3 if client.venue is Venue.POLYMARKET else 1)


async def test_a_proposed_answer_is_pending_everywhere(
    exchange: ExchangeServer, polymarket: PolymarketDetails, http: VenueHttp
) -> None:
    """The price is pinned already and may still turn round."""
    (proposed,) = [m for event in exchange.frames[0].gamma_events for m in event["markets"] if m["question"].endswith("proposed come up?")]  # fmt: skip
    page = await polymarket.fetch_markets([proposed["conditionId"]])
    said = await polymarket.fetch_evidence(page.markets[0])
    assert [one.standing for one in said] == [Standing.SILENT, Standing.PENDING]
    assert decide([evidence_of(page.markets[0], "listing"), *said]).resolution is None


async def test_settled_markets_are_found_on_the_historical_route(
    exchange: ExchangeServer, kalshi: KalshiDetails
) -> None:
    """After about eighty days the live route leaves them out without a word."""
    (old,) = [m for e in exchange.frames[0].kalshi_events for m in e["markets"] if m["result"] == "scalar"]
    exchange.moved.add(old["ticker"])
    page = await kalshi.fetch_markets([old["ticker"]])
    assert [(market.resolution, market.resolution_value) for market in page.markets] == [(Resolution.VOID, 0.5)]
    assert [request.path for request in exchange.requests] == ["/markets", "/historical/markets"]


@pytest.mark.parametrize("ended", [None, datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)])
async def test_kalshi_bars_come_from_wherever_the_market_lives(
    exchange: ExchangeServer, kalshi: KalshiDetails, ended: datetime | None
) -> None:
    """Live by series; before the cutoff, or where the live route says 404, from the historical route."""
    ticker = exchange.frames[0].kalshi_events[0]["markets"][0]["ticker"]
    market = (await kalshi.fetch_markets([ticker])).markets[0]
    if ended is not None:
        exchange.moved.add(ticker)
    market = msgspec.structs.replace(market, closed_time=ended, series_id="KXANY")
    exchange.requests.clear()
    points = await kalshi.fetch_history(market, NOON - 3 * DAY, NOON)
    assert len(points) == 3 * 24 * 5 // 6 + 1
    assert {(point.bid, point.ask) for point in points} == {(0.4, 0.44)}
    assert {point.price for point in points} == {0.42, None}  # a quiet hour has no trade
    assert all(point.price is None for point in points if point.volume == 0)
    routes = {request.path.split("/")[1] for request in exchange.requests if request.path.endswith("/candlesticks")}
    before_cutoff = ended is not None and ended < datetime.fromisoformat(CUTOFF)
    assert routes == ({"historical"} if before_cutoff else {"series"} if ended is None else {"series", "historical"})


async def test_kalshi_bars_without_a_known_series_use_the_batch_route(
    exchange: ExchangeServer, kalshi: KalshiDetails
) -> None:
    """A ticker must not be cut to guess its series."""
    ticker = exchange.frames[0].kalshi_events[0]["markets"][0]["ticker"]
    market = (await kalshi.fetch_markets([ticker])).markets[0]
    assert market.series_id is None
    assert await kalshi.fetch_history(market, NOON - DAY, NOON)
    assert exchange.requests[-1].path == "/markets/candlesticks"


async def test_polymarket_history_is_windowed_and_in_order(
    exchange: ExchangeServer, polymarket: PolymarketDetails
) -> None:
    """More than fifteen days in one request is cut without a word."""
    condition = exchange.frames[0].gamma_events[0]["markets"][0]["conditionId"]
    market = (await polymarket.fetch_markets([condition])).markets[0]
    exchange.requests.clear()
    points = await polymarket.fetch_history(market, NOON - 40 * DAY, NOON)
    assert [point.at for point in points] == sorted({point.at for point in points})
    assert len(points) == 40 * 24
    spans = [int(request.params["endTs"]) - int(request.params["startTs"]) for request in exchange.requests]
    assert len(spans) == 3
    assert max(spans) <= 15 * 86_400
    assert {point.source for point in points} == {"clob-prices-history"}


async def test_a_closed_market_has_its_history_at_the_data_host(
    exchange: ExchangeServer, polymarket: PolymarketDetails
) -> None:
    """The order book host answers with an empty list; the placeholders before the first trade are dropped."""
    (ended,) = [m for e in exchange.frames[0].gamma_events for m in e["markets"] if m["question"].endswith("case yes come up?")]  # fmt: skip
    market = (await polymarket.fetch_markets([ended["conditionId"]])).markets[0]
    points = await polymarket.fetch_history(market, datetime(2020, 1, 1, tzinfo=UTC), NOON)
    assert {point.source for point in points} == {"data-prices-history"}
    assert points[0].price != 0.5
    assert len(points) > 50 * 2  # several pages
    pages = [request for request in exchange.requests if request.path == "/v2/prices-history"]
    assert len({request.params.get("cursor") for request in pages}) == len(pages) > 2


async def test_a_history_cursor_that_comes_twice_is_an_error(
    exchange: ExchangeServer, polymarket: PolymarketDetails
) -> None:
    """A host that ignores the cursor would give page one for ever."""
    (ended,) = [m for e in exchange.frames[0].gamma_events for m in e["markets"] if m["question"].endswith("case yes come up?")]  # fmt: skip
    market = (await polymarket.fetch_markets([ended["conditionId"]])).markets[0]
    page = {"data": [{"timestamp": 1789295100, "price": 0.34}], "pagination": {"has_more": True, "next_cursor": "a"}}
    exchange.overrides["data", "/v2/prices-history"] = page
    with pytest.raises(VenueDataError, match="came twice"):
        await polymarket.fetch_history(market, NOON - DAY, NOON)


async def test_a_book_has_two_sorted_sides(client: VenueClient, details: VenueDetails) -> None:
    """Best level first on both; what the venue lists as best is what the book shows."""
    market = await market_of(
        client, lambda one: one.status is MarketStatus.OPEN and one.title.startswith("Will Okafor")
    )
    page = await details.fetch_markets([market.venue_market_id])
    book = await details.fetch_book(market)
    assert float(book.bids[0].price) == pytest.approx(page.quotes[0].bid)
    assert float(book.asks[0].price) == pytest.approx(page.quotes[0].ask)
    assert [level.price for level in book.bids] == sorted((level.price for level in book.bids), reverse=True)
    assert [level.price for level in book.asks] == sorted(level.price for level in book.asks)
    assert all(isinstance(level.size, Decimal) and level.size > 0 for level in (*book.bids, *book.asks))


async def test_a_market_without_a_book_is_not_found(
    exchange: ExchangeServer, polymarket: PolymarketDetails, kalshi: KalshiDetails
) -> None:
    """Closed at Polymarket, unknown at Kalshi: a name for it, and not an empty book."""
    (ended,) = [m for e in exchange.frames[0].gamma_events for m in e["markets"] if m["question"].endswith("case yes come up?")]  # fmt: skip
    market = (await polymarket.fetch_markets([ended["conditionId"]])).markets[0]
    with pytest.raises(VenueNotFound):
        await polymarket.fetch_book(market)
    with pytest.raises(VenueNotFound):
        await kalshi.fetch_book(msgspec.structs.replace(market, venue_market_id="KXDEAD-1"))


async def test_fee_terms_are_exact(kalshi: KalshiDetails, polymarket: PolymarketDetails) -> None:
    """A multiplier of one half is charged on some series: money, so decimal."""
    fees = await kalshi.fetch_fees()
    assert {one.fee_multiplier for one in fees} == {Decimal("1.0"), Decimal("0.5")}
    assert {one.fee_type for one in fees} == {"quadratic"}
    assert await polymarket.fetch_fees() == []


async def test_a_host_that_is_not_configured_is_not_asked(exchange: ExchangeServer, http: VenueHttp) -> None:
    """Whoever replaces Gamma must not have the public hosts called beside it."""
    alone = PolymarketDetails(http, base_url=exchange.polymarket_url, clob_url=None, data_url=None, now=lambda: NOON)
    condition = exchange.frames[0].gamma_events[0]["markets"][0]["conditionId"]
    market = (await alone.fetch_markets([condition])).markets[0]
    assert await alone.fetch_evidence(market) == []
    assert await alone.fetch_history(market, NOON - DAY, NOON) == []
    assert {request.venue for request in exchange.requests} == {"polymarket"}
