"""Backfill: fetches a venue's own price history of one market, on demand.

Law: what comes is stored as the venue's history with its source, never as quotes of ours: nobody knows what a point
of Polymarket's series is, and a bar is not a look at a book. Called by the control verb and by `oddsd backfill`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.errors import UnknownMarket
from agent.store.db import Store
from agent.store.decisions import find_markets
from agent.store.history import save_history
from agent.venues.base import VenueDetails
from sync.records import Market, Venue

DEFAULT_DAYS = 30
MOST_DAYS = 1500  # older than either venue's history


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What one backfill brought."""

    market_key: str
    title: str
    points: int
    new: int
    sources: tuple[str, ...]
    first_at: datetime | None = None
    last_at: datetime | None = None


async def backfill(
    store: Store, details: Mapping[Venue, VenueDetails], words: str, *, days: int, now: datetime
) -> Backfilled:
    """Fetch and store the last `days` of a market's history.

    Args:
        words: a market key, a venue's own id, or words of a title that only one market has.
    Raises: UnknownMarket, VenueError, StoreError.
    """
    market = await _the_one(store, words)
    if market.venue not in details:
        raise UnknownMarket(f"{market.market_key}: {market.venue} is not read", advice="see the setting `venues`")
    points = await details[market.venue].fetch_history(market, now - timedelta(days=min(days, MOST_DAYS)), now)
    async with store.write() as tx:
        n_new = await save_history(tx, market.market_key, points)
    return Backfilled(
        market.market_key,
        market.title,
        len(points),
        n_new,
        tuple(sorted({point.source for point in points})),
        points[0].at if points else None,
        points[-1].at if points else None,
    )


async def _the_one(store: Store, words: str) -> Market:
    found = await find_markets(store.reader, words)
    if not found:
        raise UnknownMarket(f"no market we hold is {words!r:.80}", advice="collect first, or check the id")
    if len(found) > 1:
        shown = ", ".join(market.market_key for market in found[:3])
        raise UnknownMarket(f"{len(found)} markets fit {words!r:.80}: {shown} …", advice="give one market's key")
    return found[0]
