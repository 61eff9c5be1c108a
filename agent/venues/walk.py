"""Walks a listing that is handed out with cursors.

Law: filters go with every page; the walk ends where the venue says so and never because a page was short or empty;
a cursor seen before or a page too many is an error, so that a pager gone wrong cannot pass for a complete catalogue.
While a page is being used the next one is on its way, and never more than that one: memory stays flat.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

from agent.errors import VenueDataError
from agent.venues.base import JsonSource, Page

_SEEN_BEFORE = "listed twice"
_Answer = tuple[bytes, float | None, datetime]  # the body, its age in a cache, when it arrived


def utc_now() -> datetime:
    """The wall clock, as records are stamped."""
    return datetime.now(UTC)


async def walk(
    source: JsonSource,
    url: str,
    filters: Mapping[str, str],
    *,
    cursor_param: str,
    parse: Callable[[bytes, datetime], Page],
    now: Callable[[], datetime],
    max_pages: int,
) -> AsyncIterator[Page]:
    """Yield page after page, the next one being fetched meanwhile. Raises: VenueError, after the pages before it."""

    def fetch(cursor: str | None) -> asyncio.Task[_Answer]:
        params = dict(filters) if cursor is None else {**filters, cursor_param: cursor}
        return asyncio.create_task(_fetch(source, url, params, now), name=f"fetch:{url}")

    cursors: set[str] = set()
    keys: set[str] = set()
    coming: asyncio.Task[_Answer] | None = fetch(None)
    try:
        while coming is not None:
            body, age_s, arrived_at = await coming
            page = parse(body, arrived_at)
            page.body = body
            page.held(age_s)
            _drop_seen(page, keys)
            cursor = page.next_cursor or None
            fault = None if cursor is None else _fault(url, cursor, cursors, max_pages)
            coming = None if cursor is None or fault is not None else fetch(cursor)
            yield page
            del page, body  # a Kalshi page has megabytes: none is held while the next is awaited
            if fault is not None:
                raise fault
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _fetch(source: JsonSource, url: str, params: Mapping[str, str], now: Callable[[], datetime]) -> _Answer:
    body, age_s = await source.fetch_json_bytes(url, params)
    return body, age_s, now()


def _fault(url: str, cursor: str, cursors: set[str], max_pages: int) -> VenueDataError | None:
    """What is wrong with going on to `cursor`; a good one is remembered."""
    if cursor in cursors:
        return VenueDataError(f"{url}: the cursor {cursor!r:.60} came twice: the listing runs in a circle")
    cursors.add(cursor)
    if len(cursors) >= max_pages:
        return VenueDataError(f"{url}: still not at the end after {max_pages} pages")
    return None


def _drop_seen(page: Page, keys: set[str]) -> None:
    """A market may belong to two events, or slip onto the next page while the list moves: one record is enough."""
    fresh = {market.market_key for market in page.markets} - keys
    if len(fresh) < len(page.markets):
        n_before = len(page.markets)
        page.markets = list(
            {market.market_key: market for market in page.markets if market.market_key in fresh}.values()
        )
        page.quotes = list({quote.market_key: quote for quote in page.quotes if quote.market_key in fresh}.values())
        page.n_dropped[_SEEN_BEFORE] = n_before - len(page.markets)
    keys |= fresh
