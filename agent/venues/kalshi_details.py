"""Kalshi asked about single markets and events, live or moved to its historical routes.

Law: what the live routes leave out is asked for once more under /historical, where everything settled before the
cutoff lives; what came back is held against what was asked. facts: exchanges.md 2.3 and 2.7.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote as url_quote

from agent.core.resolution import Evidence
from agent.errors import VenueNotFound
from agent.venues.base import Book, HistoryPoint, JsonSource, Page, Params, SeriesFees
from agent.venues.kalshi import BASE_URL, MAX_PAGES, PAGE_EVENTS, parse_page
from agent.venues.kalshi_book import parse_book
from agent.venues.kalshi_history import parse_candles, parse_cutoff
from agent.venues.kalshi_series import parse_fees
from agent.venues.lookup import chunks, joined, keep_asked
from agent.venues.walk import utc_now, walk
from sync.records import Market, Venue

CHUNK: Final = 100  # tickers a request: about 4 kB of address
PAGE_MARKETS: Final = 1_000
HISTORY_MINUTES: Final = 60
HISTORY_WINDOW: Final = timedelta(days=60)  # 1,440 bars an answer; 5,000 is where the exchange stops


class KalshiDetails:
    """The VenueDetails of Kalshi."""

    venue = Venue.KALSHI

    def __init__(self, source: JsonSource, *, base_url: str = BASE_URL, now: Callable[[], datetime] = utc_now) -> None:
        self._source, self._now = source, now
        self._base = base_url.rstrip("/")

    async def fetch_markets(self, venue_market_ids: Sequence[str]) -> Page:
        """Markets by ticker, from the live route or else from the historical one."""
        pages = list[Page]()
        for chunk in chunks(dict.fromkeys(venue_market_ids), CHUNK):
            live = await self._by_ticker("markets", chunk)
            found = {market.venue_market_id for market in live.markets}
            pages.append(live)
            if missing := [ticker for ticker in chunk if ticker not in found]:
                pages.append(await self._by_ticker("historical/markets", missing))
        return joined(pages)

    async def _by_ticker(self, route: str, tickers: list[str]) -> Page:
        params = {"tickers": ",".join(tickers), "limit": str(PAGE_MARKETS)}
        try:
            page = await self._page(route, params)
        except VenueNotFound:  # a server without history, or none of these known
            return Page()
        return keep_asked(page, tickers, lambda market: market.venue_market_id)

    async def fetch_events(self, event_ids: Sequence[str]) -> Page:
        """All markets of events, by event ticker."""
        pages = list[Page]()
        for chunk in chunks(dict.fromkeys(event_ids), CHUNK):
            params = {"tickers": ",".join(chunk), "with_nested_markets": "true", "limit": str(PAGE_EVENTS)}
            page = await self._page("events", params)
            pages.append(keep_asked(page, chunk, lambda market: market.event_id))
        return joined(pages)

    async def _page(self, route: str, params: Params) -> Page:
        body, age_s = await self._source.fetch_json_bytes(f"{self._base}/{route}", params)
        page = parse_page(body, self._now())
        page.held(age_s)
        return page

    async def closed_since(self, since: datetime) -> AsyncIterator[Page]:
        """Markets settled since then, combos excluded."""
        pages = walk(
            self._source,
            f"{self._base}/markets",
            {
                "status": "settled",
                "min_settled_ts": str(int(since.timestamp())),
                "mve_filter": "exclude",
                "limit": str(PAGE_MARKETS),
            },
            cursor_param="cursor",
            parse=parse_page,
            now=self._now,
            max_pages=MAX_PAGES,
        )
        async for page in pages:
            yield page

    async def fetch_evidence(self, market: Market) -> list[Evidence]:
        """None: the exchange decides and says so in the market itself."""
        del market
        return []

    async def fetch_book(self, market: Market) -> Book:
        """The book of YES, all levels."""
        url = f"{self._base}/markets/{_quoted(market.venue_market_id)}/orderbook"
        body, _ = await self._source.fetch_json_bytes(url, {"depth": "0"})
        return parse_book(body, market.market_key, self._now())

    async def fetch_history(self, market: Market, since: datetime, until: datetime) -> list[HistoryPoint]:
        """Hourly bars; gaps are quiet hours and stay gaps."""
        if market.closed_time is None or not await self._moved(market.closed_time):
            try:
                return await self._candles(market, self._live_route(market), since, until)
            except VenueNotFound:
                if market.closed_time is None:
                    raise
        route = f"{self._base}/historical/markets/{_quoted(market.venue_market_id)}/candlesticks"
        return await self._candles(market, (route, {}), since, until)

    async def _moved(self, closed_time: datetime) -> bool:
        """Whether a market that ended then has left the live routes."""
        try:
            body, _ = await self._source.fetch_json_bytes(f"{self._base}/historical/cutoff")
        except VenueNotFound:
            return False
        cutoff = parse_cutoff(body)
        return cutoff is not None and closed_time < cutoff

    def _live_route(self, market: Market) -> tuple[str, dict[str, str]]:
        """By series where we know it; the batch route does not ask for one."""
        if market.series_id is None:
            return f"{self._base}/markets/candlesticks", {"market_tickers": market.venue_market_id}
        series, ticker = _quoted(market.series_id), _quoted(market.venue_market_id)
        return f"{self._base}/series/{series}/markets/{ticker}/candlesticks", {}

    async def _candles(
        self, market: Market, route: tuple[str, dict[str, str]], since: datetime, until: datetime
    ) -> list[HistoryPoint]:
        url, filters = route
        points: dict[datetime, HistoryPoint] = {}
        start = since
        while start < until:
            end = min(start + HISTORY_WINDOW, until)
            params = filters | {
                "start_ts": str(int(start.timestamp())),
                "end_ts": str(int(end.timestamp())),
                "period_interval": str(HISTORY_MINUTES),
            }
            body, _ = await self._source.fetch_json_bytes(url, params)
            points |= {point.at: point for point in parse_candles(body, market.venue_market_id)}
            start = end
        return [points[at] for at in sorted(points) if since <= at <= until]

    async def fetch_fees(self) -> list[SeriesFees]:
        """Every series' terms; the route has no pages."""
        body, _ = await self._source.fetch_json_bytes(f"{self._base}/series")
        return parse_fees(body, self._now()).fees


def _quoted(part: str) -> str:
    return url_quote(part, safe="")
