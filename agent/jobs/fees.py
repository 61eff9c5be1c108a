"""What a taker pays in a market: by the market's own listing, and on Kalshi by its series.

Law: terms nobody told stay unknown, and whoever asks gets nothing for such a market. The job catalogue stores the
series' terms each day; where some are missing (a first day, a new series) they are fetched here, seldom.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from agent.core.fees import Fees, SeriesTerms, market_fees
from agent.errors import VenueError
from agent.store.db import Store
from agent.store.history import load_fees, save_fees
from agent.venues.base import SeriesFees, VenueDetails
from sync.records import Market, Venue

AGAIN = timedelta(hours=6)  # after a fetch that may have left a series unknown

log = structlog.get_logger("fees")


class FeeBook:
    """Fee terms of markets, over one store."""

    def __init__(self, store: Store, details: Mapping[Venue, VenueDetails]) -> None:
        self._store, self._details = store, details
        self._fetched_at: datetime | None = None

    async def load(self, markets: Sequence[Market], now: datetime) -> dict[str, Fees]:
        """What a taker pays, by market key; a market whose terms nobody told is absent."""
        wanted = {one.series_id for one in markets if one.venue is Venue.KALSHI and one.series_id is not None}
        held = await load_fees(self._store.reader, Venue.KALSHI, sorted(wanted))
        if wanted - held.keys() and (self._fetched_at is None or now - self._fetched_at >= AGAIN):
            self._fetched_at = now
            await self._fetch()
            held = await load_fees(self._store.reader, Venue.KALSHI, sorted(wanted))
        fees = {market.market_key: market_fees(market, _terms(market, held)) for market in markets}
        return {key: terms for key, terms in fees.items() if terms is not None}

    async def _fetch(self) -> None:
        if (details := self._details.get(Venue.KALSHI)) is None:
            return
        try:
            fetched = await details.fetch_fees()
        except VenueError as exc:
            log.warning("fees not fetched", action="fees_not_fetched", reason=str(exc))
            return
        async with self._store.write() as tx:
            await save_fees(tx, Venue.KALSHI, fetched)


def _terms(market: Market, held: Mapping[str, SeriesFees]) -> SeriesTerms | None:
    series = held.get(market.series_id or "")
    return None if series is None else SeriesTerms(series.fee_type, series.fee_multiplier)
