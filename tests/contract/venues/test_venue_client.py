"""What every VenueClient promises, over real sockets against the local exchange."""

import json

import pytest

from agent.errors import VenueRejected, VenueUnavailable
from agent.venues.base import Page, VenueClient
from agent.venues.http import VenueHttp
from agent.venues.kalshi import Kalshi
from agent.venues.polymarket import Polymarket
from sync.records import MarketStatus, Venue
from tests.fakes.exchange import ExchangeServer
from tests.fakes.exchange_recordings import Json


async def all_pages(client: VenueClient) -> list[Page]:
    """The walk to its end."""
    return [page async for page in client.pages()]


def listed(exchange: ExchangeServer, venue: Venue) -> list[Json]:
    """The markets the exchange holds at this tick."""
    frame = exchange.frames[exchange.tick]
    events = frame.gamma_events if venue is Venue.POLYMARKET else frame.kalshi_events
    return [market for event in events for market in event["markets"]]


async def test_a_walk_brings_every_market_once(client: VenueClient, exchange: ExchangeServer) -> None:
    """Over page borders nothing is lost or doubled; only combos are left out."""
    pages = await all_pages(client)
    keys = [market.market_key for page in pages for market in page.markets]
    n_dropped = sum(sum(page.n_dropped.values()) for page in pages)
    assert len(keys) == len(set(keys))
    assert sum(page.n_records for page in pages) == len(listed(exchange, client.venue)) == len(keys) + n_dropped
    assert {market.venue for page in pages for market in page.markets} == {client.venue}
    assert not any(page.rejects for page in pages)


async def test_quotes_move_with_the_ticks(client: VenueClient, exchange: ExchangeServer) -> None:
    """Two walks at two ticks are the smallest price history there is."""
    first = {quote.market_key: quote.mid for page in await all_pages(client) for quote in page.quotes}
    exchange.forward()
    second = {quote.market_key: quote.mid for page in await all_pages(client) for quote in page.quotes}
    assert first.keys() == second.keys()
    assert sum(first[key] != second[key] for key in first) > len(first) / 2


async def test_a_market_that_resolves_between_ticks_shows_it(client: VenueClient, exchange: ExchangeServer) -> None:
    """Its quote goes, its resolution comes."""
    for _ in exchange.frames:
        exchange.forward()
    pages = await all_pages(client)
    (late,) = [m for page in pages for m in page.markets if m.title == "Will the harbor bridge open this hour?"]
    assert (late.status, late.resolution_value) == (MarketStatus.RESOLVED, 1.0)
    assert late.market_key not in {quote.market_key for page in pages for quote in page.quotes}


@pytest.mark.parametrize("kind", ["429", "500", "truncated", "html", "reset", "drip"])
async def test_a_fault_that_passes_leaves_no_trace(client: VenueClient, exchange: ExchangeServer, kind: str) -> None:
    """One bad answer, then the whole catalogue."""
    exchange.fault(client.venue, kind)
    pages = await all_pages(client)
    assert sum(page.n_records for page in pages) == len(listed(exchange, client.venue))
    assert len(exchange.requests) == len(pages) + 1


@pytest.mark.parametrize("kind", ["429", "500", "truncated", "html", "reset"])
async def test_a_fault_that_stays_is_a_named_error(client: VenueClient, exchange: ExchangeServer, kind: str) -> None:
    """After the last try the cycle learns which venue failed and how."""
    exchange.fault(client.venue, kind, times=100)
    with pytest.raises(Exception) as caught:
        await all_pages(client)
    assert type(caught.value).__name__ == ("VenueRateLimited" if kind == "429" else "VenueUnavailable")
    assert exchange.url in str(caught.value)


async def test_one_venue_failing_leaves_the_other_alone(exchange: ExchangeServer, http: VenueHttp) -> None:
    """They share a client, and nothing else."""
    exchange.fault("kalshi", "500", times=100)
    with pytest.raises(VenueUnavailable):
        await all_pages(Kalshi(http, base_url=exchange.kalshi_url))
    assert await all_pages(Polymarket(http, base_url=exchange.polymarket_url))


async def test_changed_types_cost_the_records_they_hit(client: VenueClient, exchange: ExchangeServer) -> None:
    """Every third market has an object for an ask: rejected one by one, the rest as before."""
    exchange.fault(client.venue, "types", times=100)
    pages = await all_pages(client)
    n_rejects = sum(len(page.rejects) for page in pages)
    n_read = sum(len(page.markets) + sum(page.n_dropped.values()) for page in pages)
    assert n_rejects + n_read == len(listed(exchange, client.venue))
    assert 0.3 < n_rejects / (n_rejects + n_read) < 0.36
    assert all(json.loads(reject.body) for page in pages for reject in page.rejects)


async def test_pages_before_a_failure_are_handed_over(exchange: ExchangeServer, http: VenueHttp) -> None:
    """Half a catalogue is better than none, and the error still comes."""
    walk = Polymarket(http, base_url=exchange.polymarket_url).pages()
    first = await anext(walk)
    exchange.fault("polymarket", "500", times=100)
    with pytest.raises(VenueUnavailable):
        await anext(walk)
    assert first.markets


async def test_a_wrong_address_is_a_rejection(exchange: ExchangeServer, http: VenueHttp) -> None:
    """404 for the whole listing is not an empty exchange."""
    with pytest.raises(VenueRejected):
        await all_pages(Kalshi(http, base_url=f"{exchange.kalshi_url}/nowhere"))


async def test_every_page_repeats_the_filters(client: VenueClient, exchange: ExchangeServer) -> None:
    """A cursor is bound to its query; without the filters it is refused or means something else."""
    await all_pages(client)
    filters = {"closed": "false", "limit": "100"}
    if client.venue is Venue.KALSHI:
        filters = {"status": "open", "with_nested_markets": "true", "limit": "200"}
    for request in exchange.requests:
        assert filters.items() <= request.params.items()


async def test_polymarket_pages_with_after_cursor_and_records_the_age(
    exchange: ExchangeServer, http: VenueHttp
) -> None:
    """`cursor` would give page one for ever; the age says how stale a fresh answer is."""
    pages = await all_pages(Polymarket(http, base_url=exchange.polymarket_url))
    assert [sorted(request.params) for request in exchange.requests] == [
        ["closed", "limit"],
        ["after_cursor", "closed", "limit"],
    ]
    assert [page.age_s for page in pages] == [12.0, 12.0]
