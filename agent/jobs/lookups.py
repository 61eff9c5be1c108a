"""Stores what was looked up by id or found outside the open listing, the way a page of that listing is stored.

Law: a look-up often comes without its event, so what it leaves out is taken from the record we hold; a format that is
distrusted is distrusted here too. Called by the jobs resolve, refresh-events and catalogue.
"""

from agent.core.resolution import completed
from agent.jobs.collect import save_pages
from agent.store.db import Store
from agent.store.drift import load_drifts
from agent.store.markets import load_markets
from agent.venues.base import Page
from agent.venues.drift import Watch
from sync.records import Venue


async def save_found(store: Store, venue: Venue, page: Page) -> dict[str, int]:
    """Store a page of look-ups. Returns: what collect counts of a page."""
    held = await load_markets(store.reader, (market.market_key for market in page.markets))
    page.markets = [completed(market, held.get(market.market_key)) for market in page.markets]
    standing = (await load_drifts(store.reader)).get(venue)
    watch = Watch(venue, None, set(standing.distrusted if standing else ()))
    return await save_pages(store, watch, [page])
