"""A venue that answers questions about single markets from what a test put into it.

Law: it holds state and is asked for it; what it does not hold it does not know. `errors` are raised once each, the
next one first, by whatever is asked.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.core.resolution import Evidence
from agent.venues.base import Book, HistoryPoint, Page, SeriesFees
from sync.records import Market, Quote, Venue


@dataclass
class Desk:
    """A VenueDetails and a VenueClient in one."""

    venue: Venue = Venue.POLYMARKET
    markets: dict[str, Market] = field(default_factory=dict)  # by venue_market_id
    quotes: list[Quote] = field(default_factory=list)
    evidence: dict[str, list[Evidence]] = field(default_factory=dict)  # by market_key
    evidence_errors: dict[str, Exception] = field(default_factory=dict)  # by market_key, for ever
    history: list[HistoryPoint] = field(default_factory=list)
    fees: list[SeriesFees] = field(default_factory=list)
    ended: list[Market] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    listing_error: Exception | None = None
    asked: list[str] = field(default_factory=list)  # ids, in order
    asked_since: list[datetime] = field(default_factory=list)

    def _raise(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def _page(self, markets: Sequence[Market]) -> Page:
        keys = {market.market_key for market in markets}
        quotes = [quote for quote in self.quotes if quote.market_key in keys]
        return Page(markets=list(markets), quotes=quotes, n_records=len(markets))

    async def pages(self) -> AsyncIterator[Page]:
        """Everything held, on one page; then the listing's error, if it has one."""
        yield self._page(list(self.markets.values()))
        if self.listing_error is not None:
            raise self.listing_error

    async def fetch_markets(self, venue_market_ids: Sequence[str]) -> Page:
        """Those that are held."""
        self._raise()
        self.asked += venue_market_ids
        return self._page([self.markets[one] for one in venue_market_ids if one in self.markets])

    async def fetch_events(self, event_ids: Sequence[str]) -> Page:
        """The held markets of these events."""
        self._raise()
        self.asked += event_ids
        return self._page([market for market in self.markets.values() if market.event_id in event_ids])

    async def closed_since(self, since: datetime) -> AsyncIterator[Page]:
        """What the test says has ended."""
        self._raise()
        self.asked_since.append(since)
        yield self._page(self.ended)

    async def fetch_evidence(self, market: Market) -> list[Evidence]:
        """The other sources' words."""
        if market.market_key in self.evidence_errors:
            raise self.evidence_errors[market.market_key]
        return self.evidence.get(market.market_key, [])

    async def fetch_history(self, market: Market, since: datetime, until: datetime) -> list[HistoryPoint]:
        """The points within the window."""
        self._raise()
        self.asked_since.append(since)
        return [point for point in self.history if since <= point.at < until]

    async def fetch_book(self, market: Market) -> Book:
        """An empty book."""
        return Book(market_key=market.market_key, fetched_at=market.fetched_at)

    async def fetch_fees(self) -> list[SeriesFees]:
        """The terms."""
        return self.fees
