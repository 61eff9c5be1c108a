"""Decides which quotes are worth a row: what changed, and a heartbeat where nothing did. Pure.

Law: after a stored row, silence means "looked and found the same" only while `seen_at` moves on; a heartbeat row
makes that visible in history and in the cloud. Called by the store when a cycle is saved.
"""

from datetime import datetime, timedelta

from sync.records import Quote

# One row an hour for a quiet market: 24 rows a day instead of 96, and a gap longer than this means "not seen".
HEARTBEAT = timedelta(hours=1)
# Volume moves with every trade; below a twentieth it is not news by itself, above it detectors need to see it.
VOLUME_STEP = 0.05


def shown_at(quote: Quote) -> datetime:
    """When the venue wrote the quote: our look, less the time a cache had held the answer."""
    return quote.fetched_at - timedelta(seconds=quote.age_s or 0)


def is_news(previous: Quote, quote: Quote, *, heartbeat: timedelta = HEARTBEAT) -> bool:
    """Whether a quote deserves a row of its own.

    Args:
        previous: the newest stored quote of the same market.
        quote: what was just read.
    """
    if quote.fetched_at <= previous.fetched_at or shown_at(quote) < shown_at(previous):
        return False  # an older look never overwrites a newer one, nor does a new look into an old cache
    book_moved = (quote.bid, quote.ask, quote.last_price) != (previous.bid, previous.ask, previous.last_price)
    return (
        book_moved
        or quote.fetched_at - previous.fetched_at >= heartbeat
        or _stepped(previous.volume_24h, quote.volume_24h)
    )


def _stepped(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) > VOLUME_STEP * max(before, 1.0)
