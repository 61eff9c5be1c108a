"""What venues say about the past: price histories fetched on demand, fee terms with the time they were read."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from agent.core.instants import from_ms, to_ms
from agent.store.tx import Reader, Tx
from agent.venues.base import HistoryPoint, SeriesFees
from sync.records import Venue


async def save_history(tx: Tx, market_key: str, points: Sequence[HistoryPoint]) -> int:
    """Store points; one fetched again replaces itself. Returns: how many instants were not known before."""
    market_id = await tx.fetch_value("SELECT id FROM markets WHERE market_key = ?", (market_key,))
    before = await _count(tx, market_id)
    await tx.execute_many(
        "INSERT INTO history (market_id, source, at, price, bid, ask, volume) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET price = excluded.price, bid = excluded.bid, ask = excluded.ask,"
        " volume = excluded.volume",
        [(market_id, p.source, to_ms(p.at), p.price, p.bid, p.ask, p.volume) for p in points],
    )
    return await _count(tx, market_id) - before


async def _count(reader: Reader, market_id: int) -> int:
    return int(await reader.fetch_value("SELECT count(*) FROM history WHERE market_id = ?", (market_id,)))


async def load_points(reader: Reader, market_key: str) -> list[HistoryPoint]:
    """A market's points of every source, oldest first."""
    rows = await reader.fetch(
        "SELECT h.source, h.at, h.price, h.bid, h.ask, h.volume FROM history h JOIN markets m ON m.id = h.market_id"
        " WHERE m.market_key = ? ORDER BY h.at, h.source",
        (market_key,),
    )
    return [
        HistoryPoint(
            at=from_ms(row["at"]),
            source=row["source"],
            price=row["price"],
            bid=row["bid"],
            ask=row["ask"],
            volume=row["volume"],
        )
        for row in rows
    ]


async def save_fees(tx: Tx, venue: Venue, fees: Sequence[SeriesFees]) -> int:
    """Store the terms that differ from the newest we hold. Returns: how many."""
    held = await load_fees(tx, venue, [one.series_id for one in fees])
    news = [
        one
        for one in {one.series_id: one for one in fees}.values()
        if (before := held.get(one.series_id)) is None
        or (before.fee_type, before.fee_multiplier) != (one.fee_type, one.fee_multiplier)
    ]
    await tx.execute_many(
        "INSERT INTO series_fees (venue, series_id, fetched_at, fee_type, fee_multiplier) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [(venue, one.series_id, to_ms(one.fetched_at), one.fee_type, str(one.fee_multiplier)) for one in news],
    )
    return len(news)


async def load_fees(
    reader: Reader, venue: Venue, series_ids: Sequence[str], at: datetime | None = None
) -> dict[str, SeriesFees]:
    """The terms of each series as we knew them at a moment (None: now); unknown ones are absent."""
    rows = await reader.fetch(
        "SELECT series_id, max(fetched_at) AS fetched_at, fee_type, fee_multiplier FROM series_fees"
        " WHERE venue = ? AND series_id IN (SELECT value FROM json_each(?)) AND (? IS NULL OR fetched_at <= ?)"
        " GROUP BY series_id",
        (venue, json.dumps(list(series_ids)), *(2 * (None if at is None else to_ms(at),))),
    )
    return {
        row["series_id"]: SeriesFees(
            series_id=row["series_id"],
            fee_type=row["fee_type"],
            fee_multiplier=Decimal(row["fee_multiplier"]),
            fetched_at=from_ms(row["fetched_at"]),
        )
        for row in rows
    }
