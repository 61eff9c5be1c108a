"""Polymarket asked about single markets and events: Gamma by id, the winner at the CLOB, the word of the oracle.

Law: `closed` defaults to false, so whoever is not found open is asked for again as closed; 40 ids a request (80 drew a
403 from the edge); what came back is held against what was asked. facts: exchanges.md 1.2, 1.5, 1.7.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote as url_quote

from agent.core.market import yes_index
from agent.core.placeholders import without_leading_placeholder
from agent.core.resolution import Evidence, Standing
from agent.errors import VenueDataError, VenueNotFound
from agent.venues import polymarket_clob as clob
from agent.venues import polymarket_data as data
from agent.venues.base import Book, HistoryPoint, JsonSource, Page, SeriesFees
from agent.venues.lookup import chunks, joined, keep_asked
from agent.venues.polymarket import BASE_URL, MAX_PAGES, PAGE_EVENTS, parse_page
from agent.venues.walk import utc_now, walk
from sync.records import Market, Venue

CLOB_URL: Final = "https://clob.polymarket.com"
DATA_URL: Final = "https://data-api.polymarket.com"
CHUNK: Final = 40  # ids a request: 80 drew a 403 in HTML, 40 went through (pmxt, June 2026)
HISTORY_WINDOW: Final = timedelta(days=15)  # more is cut without a word
HISTORY_MINUTES: Final = 60
HISTORY_BUCKET_S: Final = 10_800  # three hours: kept for ever, where finer points are kept for weeks
MAX_HISTORY_PAGES: Final = 20  # of 10,000 points; a market of four years has 12,000
_WALK_LIMIT: Final = str(PAGE_EVENTS)


class PolymarketDetails:
    """The VenueDetails of Polymarket."""

    venue = Venue.POLYMARKET

    def __init__(
        self,
        source: JsonSource,
        *,
        base_url: str = BASE_URL,
        clob_url: str | None = CLOB_URL,
        data_url: str | None = DATA_URL,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """A host that is None is not asked: its word is missing from evidence and history."""
        self._source, self._now = source, now
        self._gamma = base_url.rstrip("/")
        self._clob = clob_url.rstrip("/") if clob_url else None
        self._data = data_url.rstrip("/") if data_url else None

    async def fetch_markets(self, venue_market_ids: Sequence[str]) -> Page:
        """Markets by condition id, or by Gamma's own id where there never was a condition."""
        conditions = [one for one in venue_market_ids if one.startswith("0x")]
        numbers = [one for one in venue_market_ids if not one.startswith("0x")]
        by_condition = await self._lookup("markets", "condition_ids", conditions, lambda market: market.venue_market_id)
        by_number = await self._lookup("markets", "id", numbers, lambda market: market.venue_market_id)
        return joined([by_condition, by_number])

    async def fetch_events(self, event_ids: Sequence[str]) -> Page:
        """All legs of events by Gamma's event id."""
        return await self._lookup("events", "id", event_ids, lambda market: market.event_id)

    async def _lookup(
        self, records: str, parameter: str, asked: Iterable[str], id_of: Callable[[Market], str | None]
    ) -> Page:
        pages = list[Page]()
        for chunk in chunks(dict.fromkeys(asked), CHUNK):
            missing = chunk
            for closed in ("false", "true"):
                if not missing:
                    break
                params = {parameter: missing, "closed": closed, "limit": _WALK_LIMIT}
                body, age_s = await self._source.fetch_json_bytes(f"{self._gamma}/{records}/keyset", params)
                page = keep_asked(parse_page(body, self._now()), missing, id_of)
                page.held(age_s)
                pages.append(page)
                found = {id_of(market) for market in page.markets}
                missing = [one for one in missing if one not in found]
        return joined(pages)

    async def closed_since(self, since: datetime) -> AsyncIterator[Page]:
        """Closed events whose nominal end lies since then: Gamma has no filter on the moment of closing."""
        pages = walk(
            self._source,
            f"{self._gamma}/events/keyset",
            {"closed": "true", "limit": _WALK_LIMIT, "end_date_min": f"{since:%Y-%m-%dT%H:%M:%SZ}"},
            cursor_param="after_cursor",
            parse=parse_page,
            now=self._now,
            max_pages=MAX_PAGES,
        )
        async for page in pages:
            yield page

    async def fetch_evidence(self, market: Market) -> list[Evidence]:
        """The winner at the CLOB and the state of the question at the oracle."""
        condition_id = market.venue_market_id
        if not condition_id.startswith("0x"):
            return []
        said = list[Evidence]()
        if self._clob is not None:
            said.append(await self._winner(self._clob, market))
        if self._data is not None:
            params = {"condition": condition_id}
            body, _ = await self._source.fetch_json_bytes(f"{self._data}/v2/resolutions", params)
            said.append(data.parse_resolution(body, condition_id, yes_index(market.outcome_labels)))
        return said

    async def _winner(self, clob_url: str, market: Market) -> Evidence:
        try:
            body, _ = await self._source.fetch_json_bytes(
                f"{clob_url}/markets/{url_quote(market.venue_market_id, safe='')}"
            )
        except VenueNotFound:  # markets from before the order book
            return Evidence(clob.SOURCE, Standing.SILENT)
        return clob.parse_winner(body, market.venue_market_id, _yes_token(market))

    async def fetch_book(self, market: Market) -> Book:
        """The book of the YES token."""
        token = _yes_token(market)
        if token is None or self._clob is None:
            raise VenueNotFound(f"{market.market_key}: {'no order book host' if token else 'it has no tokens'}")
        body, _ = await self._source.fetch_json_bytes(f"{self._clob}/book", {"token_id": token})
        return clob.parse_book(body, market.market_key, self._now())

    async def fetch_history(self, market: Market, since: datetime, until: datetime) -> list[HistoryPoint]:
        """Hourly points from the CLOB; where it has none (closed markets), three-hourly ones from the data host."""
        token = _yes_token(market)
        if token is None:
            return []
        points = await self._clob_history(token, since, until) if self._clob else []
        if not points and self._data:
            whole = without_leading_placeholder(await self._data_history(self._data, token))
            return [point for point in whole if since <= point.at < until]
        return without_leading_placeholder(points)

    async def _clob_history(self, token: str, since: datetime, until: datetime) -> list[HistoryPoint]:
        points: dict[datetime, HistoryPoint] = {}
        start = since
        while start < until:
            end = min(start + HISTORY_WINDOW, until)
            params = {
                "market": token,
                "startTs": str(int(start.timestamp())),
                "endTs": str(int(end.timestamp())),
                "fidelity": str(HISTORY_MINUTES),
            }
            body, _ = await self._source.fetch_json_bytes(f"{self._clob}/prices-history", params)
            points |= {point.at: point for point in clob.parse_history(body)}
            start = end
        return [points[at] for at in sorted(points) if since <= at < until]

    async def _data_history(self, data_url: str, token: str) -> list[HistoryPoint]:
        params = {"token_id": token, "interval": "max", "bucket_seconds": str(HISTORY_BUCKET_S)}
        points: dict[datetime, HistoryPoint] = {}
        for _ in range(MAX_HISTORY_PAGES):
            body, _ = await self._source.fetch_json_bytes(f"{data_url}/v2/prices-history", params)
            page = data.parse_history(body)
            points |= {point.at: point for point in page.points}
            if page.next_cursor is None:
                return [points[at] for at in sorted(points)]
            if params.get("cursor") == page.next_cursor:
                raise VenueDataError(f"{data_url}: the cursor of a price history came twice")
            params["cursor"] = page.next_cursor
        raise VenueDataError(f"{data_url}: a price history without end: {MAX_HISTORY_PAGES} pages")

    async def fetch_fees(self) -> list[SeriesFees]:
        """None: here each market states its own fee schedule."""
        return []


def _yes_token(market: Market) -> str | None:
    """The token of the outcome a YES price speaks of."""
    index = yes_index(market.outcome_labels)
    return market.token_ids[index] if index < len(market.token_ids) else None
