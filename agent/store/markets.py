"""Markets as the venues describe them: saved when they change, remembered as seen when they do not."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from agent.core.instants import EPOCH, from_ms, to_ms
from agent.core.market import end_time
from agent.store.db import Reader, Row, Tx
from sync.records import Market, MarketStatus, Venue

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Market).decode


class SavedMarkets(msgspec.Struct, frozen=True):
    """What a save did: ids by market key, and how many were new or had changed."""

    ids: dict[str, int]
    n_new: int
    n_changed: int


def digest(market: Market) -> bytes:
    """Identity of everything a venue said about a market, whenever it was fetched."""
    return hashlib.blake2b(_encode(msgspec.structs.replace(market, fetched_at=EPOCH)), digest_size=16).digest()


async def save_markets(tx: Tx, markets: Sequence[Market]) -> SavedMarkets:
    """Insert new markets, update changed ones, mark the others as seen. New and changed ones travel.

    A market that appears twice in one page counts once, the last one wins. An older look changes nothing but ids.
    """
    latest = {market.market_key: market for market in markets}
    known = {row["market_key"]: row for row in await _known(tx, latest)}
    news, seen, n_new = list[tuple[Market, bytes]](), list[tuple[int, int]](), 0
    for key, market in latest.items():
        row, fingerprint = known.get(key), digest(market)
        if row is None:
            n_new += 1
        elif row["digest"] == fingerprint or row["changed_at"] > to_ms(market.fetched_at):
            seen.append((to_ms(market.fetched_at), row["id"]))
            continue
        news.append((market, fingerprint))
    await tx.execute_many(_UPSERT, [_row(market, fingerprint) for market, fingerprint in news])
    await tx.execute_many("UPDATE markets SET seen_at = max(seen_at, ?) WHERE id = ?", seen)
    tx.emit(*(market for market, _ in news))
    ids = {key: row["id"] for key, row in known.items()}
    if n_new:
        ids.update({row["market_key"]: row["id"] for row in await _known(tx, latest.keys() - known.keys())})
    return SavedMarkets(ids, n_new, len(news) - n_new)


async def _known(reader: Reader, keys: Iterable[str]) -> list[Row]:
    return await reader.fetch(
        "SELECT market_key, id, digest, changed_at FROM markets WHERE market_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )


_UPSERT = """
INSERT INTO markets (market_key, venue, status, event_id, end_time, digest, first_seen_at, changed_at, seen_at, body)
VALUES (:market_key, :venue, :status, :event_id, :end_time, :digest, :at, :at, :at, :body)
ON CONFLICT (market_key) DO UPDATE SET
    status = excluded.status, event_id = excluded.event_id, end_time = excluded.end_time,
    digest = excluded.digest, changed_at = excluded.changed_at, seen_at = excluded.seen_at, body = excluded.body
"""


def _row(market: Market, fingerprint: bytes) -> dict[str, object]:
    return {
        "market_key": market.market_key,
        "venue": market.venue,
        "status": market.status,
        "event_id": market.event_id,
        "end_time": None if (end := end_time(market)) is None else to_ms(end),
        "digest": fingerprint,
        "at": to_ms(market.fetched_at),
        "body": _encode(market),
    }


async def load_markets(reader: Reader, keys: Iterable[str]) -> dict[str, Market]:
    """Markets by key; unknown keys are absent."""
    rows = await reader.fetch(
        "SELECT body FROM markets WHERE market_key IN (SELECT value FROM json_each(?))", (json.dumps(list(keys)),)
    )
    return {market.market_key: market for market in (_decode(row["body"]) for row in rows)}


async def load_open_closing(reader: Reader, start: datetime, end: datetime, limit: int) -> list[Market]:
    """Open markets whose end lies in [start, end), the busiest of each venue's last day first.

    Volumes of the two venues are different units, so each venue is ranked on its own and the ranks interleave.
    """
    rows = await reader.fetch(
        "SELECT m.body FROM markets m LEFT JOIN quotes_latest q ON q.market_id = m.id"
        " WHERE m.status = ? AND m.end_time >= ? AND m.end_time < ?"
        " ORDER BY row_number() OVER (PARTITION BY m.venue ORDER BY q.volume_24h DESC NULLS LAST, m.id), m.venue"
        " LIMIT ?",
        (MarketStatus.OPEN, to_ms(start), to_ms(end), limit),
    )
    return [_decode(row["body"]) for row in rows]


async def load_unlisted(reader: Reader, venue: Venue, before: datetime) -> list[tuple[str, datetime]]:
    """Markets of a venue we hold as open that its last full listing no longer showed: (key, last seen)."""
    rows = await reader.fetch(
        "SELECT market_key, seen_at FROM markets WHERE venue = ? AND status = ? AND seen_at < ?",
        (venue, MarketStatus.OPEN, to_ms(before)),
    )
    return [(row["market_key"], from_ms(row["seen_at"])) for row in rows]
