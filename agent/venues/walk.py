"""Walks a listing that is handed out with cursors.

Law: filters go with every page; the walk ends where the venue says so and never because a page was short or empty;
a cursor seen before or a page too many is an error, so that a pager gone wrong cannot pass for a complete catalogue.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

from agent.errors import VenueDataError
from agent.venues.base import JsonSource, Page

_SEEN_BEFORE = "listed twice"


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
    """Yield page after page. Raises: VenueError."""
    params = dict(filters)
    cursors: set[str] = set()
    keys: set[str] = set()
    for _ in range(max_pages):
        body, age_s = await source.fetch_json_bytes(url, params)
        page = parse(body, now())
        page.age_s = age_s
        _drop_seen(page, keys)
        yield page
        if not page.next_cursor:
            return
        if page.next_cursor in cursors:
            raise VenueDataError(f"{url}: the cursor {page.next_cursor!r:.60} came twice: the listing runs in a circle")
        cursors.add(page.next_cursor)
        params[cursor_param] = page.next_cursor
    raise VenueDataError(f"{url}: still not at the end after {max_pages} pages")


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
