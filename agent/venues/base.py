"""What every exchange looks like to the rest of the house.

Law: a venue hands over its open markets page by page and answers questions about single ones; whatever it sent is a
record, a counted drop, a kept reject or a named error. Nothing here talks to a network; `http.py` does. Called by jobs.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Protocol

import msgspec

from agent.core.resolution import Evidence
from sync.records import Market, Quote, Venue

Params = Mapping[str, str | Sequence[str]]  # a list becomes a repeated parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A record that cannot be read: counted and kept by its hash, never stored as zeros."""

    venue: Venue
    reason: str
    path: str  # where on the page it stood, as in "$.events[3].markets[0]"
    body: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as they came, in hex."""
        return sha256(self.body).hexdigest()


@dataclass(slots=True, kw_only=True)
class Page:
    """One answer of a venue, normalised.

    `n_records` counts the market records on it: len(markets) + drops + rejected markets. A market that trades or
    pauses has a quote, empty sides being None; one that has not opened or is over has none.
    """

    markets: list[Market] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    n_records: int = 0
    n_dropped: dict[str, int] = field(default_factory=dict)  # left out on purpose, by reason
    age_s: float | None = None  # how long a cache had held the answer, where it said so
    next_cursor: str | None = None
    body: bytes = b""  # as it came, for the drift watch; gone with the page

    def held(self, age_s: float | None) -> None:
        """Note how long a cache had held the answer, on the page and on all that was quoted there."""
        self.age_s = age_s
        if age_s is not None:
            self.quotes = [msgspec.structs.replace(quote, age_s=age_s) for quote in self.quotes]

    def drop(self, reason: str) -> None:
        """Count a record left out on purpose."""
        self.n_dropped[reason] = self.n_dropped.get(reason, 0) + 1


class VenueClient(Protocol):
    """An exchange we read."""

    @property
    def venue(self) -> Venue:
        """Which one."""

    def pages(self) -> AsyncIterator[Page]:
        """All markets of all open events, decoded as they arrive. Raises: VenueError, after the pages before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One point of a venue's own price history. What it means depends on `source`; none of it is a quote of ours."""

    at: datetime  # the end of the bar, where it is one
    source: str  # the route it came from
    price: float | None = None  # undefined on Polymarket; the last trade in the bar on Kalshi
    bid: float | None = None
    ask: float | None = None
    volume: float | None = None  # contracts in the bar


@dataclass(frozen=True, slots=True)
class Level:
    """A price and how much of it there is."""

    price: Decimal
    size: Decimal  # contracts


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The book of a market's YES side; the best level of each side first."""

    market_key: str
    fetched_at: datetime
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFees:
    """The fee terms a venue states for a series of markets, as read at `fetched_at`."""

    series_id: str
    fee_type: str
    fee_multiplier: Decimal
    fetched_at: datetime


class VenueDetails(Protocol):
    """An exchange we ask about single markets. Every method raises VenueError."""

    @property
    def venue(self) -> Venue:
        """Which one."""

    async def fetch_markets(self, venue_market_ids: Sequence[str]) -> Page:
        """Markets by their venue's id, open or not; what the venue does not know is absent from the page."""

    async def fetch_events(self, event_ids: Sequence[str]) -> Page:
        """All markets of events, open or not; what the venue does not know is absent from the page."""

    def closed_since(self, since: datetime) -> AsyncIterator[Page]:
        """Markets that ended since a moment, as far as the venue can be asked so."""

    async def fetch_evidence(self, market: Market) -> list[Evidence]:
        """What the venue's other sources say about how a market ended; its listing's own word is not among them."""

    async def fetch_history(self, market: Market, since: datetime, until: datetime) -> list[HistoryPoint]:
        """The venue's own price history, oldest first, known placeholders dropped."""

    async def fetch_book(self, market: Market) -> Book:
        """The book of the YES side in its full depth. Raises: VenueNotFound where there is none.

        One market a call on purpose: Kalshi charges its batch route per market, and Polymarket's limit lets the few
        dozen books of a run through in seconds. Ask for several side by side; the client keeps to the limits.
        """

    async def fetch_fees(self) -> list[SeriesFees]:
        """The fee terms of every series; empty where the venue states them elsewhere."""


class JsonSource(Protocol):
    """Where a venue's client gets its answers from."""

    async def fetch_json_bytes(self, url: str, params: Params | None = None) -> tuple[bytes, float | None]:
        """The body and its cache age in seconds. Raises: VenueError."""
