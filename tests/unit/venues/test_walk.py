"""The walk over a listing: it ends where the venue says so, and never runs in a circle."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from itertools import count

import pytest

from agent.errors import VenueDataError
from agent.venues.base import Page
from agent.venues.walk import walk
from tests.factories import NOON, make_market, make_quote


class Listing:
    """Pages with their next cursors, handed out in order; the last one for ever."""

    def __init__(self, *pages: tuple[list[str], str | None]) -> None:
        self._pages = list(pages)
        self.params: list[dict[str, str]] = []

    async def fetch_json_bytes(self, url: str, params: Mapping[str, str] | None = None) -> tuple[bytes, float | None]:
        self.params.append(dict(params or {}))
        return b"", 7.0

    def parse(self, body: bytes, fetched_at: datetime) -> Page:
        keys, cursor = self._pages.pop(0) if len(self._pages) > 1 else self._pages[0]
        return Page(
            markets=[make_market(market_key=f"kalshi:{key}") for key in keys],
            quotes=[make_quote(market_key=f"kalshi:{key}") for key in keys],
            n_records=len(keys),
            next_cursor=cursor,
        )


async def walked(listing: Listing, max_pages: int = 10) -> list[Page]:
    """The walk to its end."""
    pages = walk(
        listing,
        "https://venue.test/events",
        {"status": "open"},
        cursor_param="cursor",
        parse=listing.parse,
        now=lambda: NOON,
        max_pages=max_pages,
    )
    return [page async for page in pages]


async def test_an_empty_page_is_not_the_end() -> None:
    """Only the missing cursor is."""
    listing = Listing((["A"], "1"), ([], "2"), (["B"], None))
    pages = await walked(listing)
    assert [len(page.markets) for page in pages] == [1, 0, 1]
    assert listing.params == [{"status": "open"}, {"status": "open", "cursor": "1"}, {"status": "open", "cursor": "2"}]


async def test_what_was_quoted_out_of_a_cache_says_how_old_it_is() -> None:
    """The page is gone when it is stored; the quote is what is left of it."""
    pages = await walked(Listing((["A"], None)))
    assert pages[0].age_s == 7.0
    assert [quote.age_s for quote in pages[0].quotes] == [7.0]


async def test_a_cursor_that_comes_twice_is_an_error() -> None:
    """A parameter the venue ignores gives page one for ever."""
    listing = Listing((["A"], "1"))
    with pytest.raises(VenueDataError, match="came twice"):
        await walked(listing)
    assert len(listing.params) == 2


async def test_a_listing_without_end_is_an_error() -> None:
    """Fresh cursors for ever look like progress."""
    listing = Listing(*((["A"], str(number)) for number in range(20)))
    with pytest.raises(VenueDataError, match="not at the end after 5 pages"):
        await walked(listing, max_pages=5)


async def test_a_market_listed_twice_is_kept_once() -> None:
    """It may belong to two events, or slip to the next page while the list moves."""
    pages = await walked(Listing((["A", "B", "A"], "1"), (["B", "C"], None)))
    assert [[market.venue_market_id for market in page.markets] for page in pages] == [["A", "B"], ["C"]]
    assert [len(page.quotes) for page in pages] == [2, 1]
    assert [page.n_dropped for page in pages] == [{"listed twice": 1}, {"listed twice": 1}]


class Road:
    """Answers with pages for ever, and remembers how many were asked for and given up."""

    def __init__(self) -> None:
        self.n_asked = self.n_cancelled = 0
        self.held = asyncio.Event()
        self.held.set()

    async def fetch_json_bytes(self, url: str, params: Mapping[str, str] | None = None) -> tuple[bytes, float | None]:
        self.n_asked += 1
        try:
            await self.held.wait()
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        return b"page", None


def endless(road: Road) -> AsyncGenerator[Page, None]:
    """A walk that would not end."""
    numbers = count()
    pages = walk(
        road,
        "https://venue.test/events",
        {},
        cursor_param="cursor",
        parse=lambda body, at: Page(next_cursor=str(next(numbers))),
        now=lambda: NOON,
        max_pages=100,
    )
    assert isinstance(pages, AsyncGenerator)
    return pages


async def test_one_page_is_on_its_way_while_another_is_used() -> None:
    """Storing and fetching share the time; more than one page ahead would fill the memory."""
    road = Road()
    pages = endless(road)
    for n_used in range(1, 5):
        page = await anext(pages)
        for _ in range(5):
            await asyncio.sleep(0)
        assert road.n_asked == n_used + 1
        assert page.body == b"page"  # for whoever watches the format
    await pages.aclose()


async def test_a_walk_given_up_takes_its_request_with_it() -> None:
    """A store that fails in the middle must not leave a request behind."""
    road = Road()
    pages = endless(road)
    await anext(pages)
    road.held.clear()
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await pages.aclose()
    assert (road.n_asked, road.n_cancelled) == (2, 1)
