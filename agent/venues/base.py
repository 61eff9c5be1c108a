"""What every exchange looks like to the rest of the house.

Law: a venue hands over its open markets page by page; whatever it sent is a record, a counted drop, a kept reject or
a named error. Nothing here talks to a network; `http.py` does. Called by jobs/collect.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from sync.records import Market, Quote, Venue


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


class JsonSource(Protocol):
    """Where a venue's client gets its answers from."""

    async def fetch_json_bytes(self, url: str, params: Mapping[str, str] | None = None) -> tuple[bytes, float | None]:
        """The body and its cache age in seconds. Raises: VenueError."""
