"""Quotes: history on change plus heartbeat, and the latest of each market."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.core.snapshots import is_news
from agent.store.tx import Reader, Row, Tx
from sync.records import Quote

_NUMBERS = ("bid", "ask", "last_price", "mid", "volume_24h", "open_interest", "liquidity_usd", "age_s")
_COLUMNS = ", ".join(_NUMBERS)
_Q_COLUMNS = ", ".join(f"q.{name}" for name in _NUMBERS)
_MARKS = ", ".join("?" * len(_NUMBERS))


class SavedQuotes(msgspec.Struct, frozen=True):
    """What a save did: rows stored, and looks that found the same."""

    n_stored: int
    n_unchanged: int


class Sight(msgspec.Struct, frozen=True):
    """When the venue showed a book last, and for how long a cache had held that when we looked."""

    seen_at: datetime
    age_s: float


def _numbers(quote: Quote) -> tuple[Any, ...]:
    return (
        quote.bid, quote.ask, quote.last_price, quote.mid,
        quote.volume_24h, quote.open_interest, quote.liquidity_usd, quote.age_s,
    )  # fmt: skip


def _from_row(market_key: str, at: int, numbers: Sequence[Any]) -> Quote:
    """A quote from its columns in the order of _NUMBERS; by place, since a look-up by name is the slow part."""
    bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd, age_s = numbers
    return Quote(
        market_key=market_key, fetched_at=from_ms(at), bid=bid, ask=ask, last_price=last_price, mid=mid,
        volume_24h=volume_24h, open_interest=open_interest, liquidity_usd=liquidity_usd, age_s=age_s,
    )  # fmt: skip


async def save_quotes(tx: Tx, quotes: Sequence[Quote], ids: Mapping[str, int]) -> SavedQuotes:
    """Store what is news; what is stored travels. That the rest was seen, save_markets has noted.

    Args:
        ids: row ids by market key, as save_markets returned them in this transaction.
    """
    latest = {quote.market_key: quote for quote in quotes}  # the same market twice on one page is one look
    previous = await _load_previous(tx, {ids[key]: key for key in latest})
    stored, unchanged = list[Quote](), list[Quote]()
    for key, quote in latest.items():
        before = previous.get(key)
        (stored if before is None or is_news(before, quote) else unchanged).append(quote)
    rows = [(ids[q.market_key], to_ms(q.fetched_at), *_numbers(q)) for q in stored]
    await tx.execute_many(
        f"INSERT INTO quotes (market_id, fetched_at, {_COLUMNS}) VALUES (?, ?, {_MARKS}) ON CONFLICT DO NOTHING", rows
    )
    tx.emit(*stored)
    return SavedQuotes(len(stored), len(unchanged))


async def _load_previous(reader: Reader, keys: Mapping[int, str]) -> dict[str, Quote]:
    rows = await reader.fetch(
        f"SELECT q.market_id, q.fetched_at, {_Q_COLUMNS} FROM json_each(?) j JOIN quotes q ON q.market_id = j.value"
        " AND q.fetched_at = (SELECT max(fetched_at) FROM quotes WHERE market_id = j.value)",
        (json.dumps(list(keys)),),
    )
    return {keys[row[0]]: _from_row(keys[row[0]], row[1], row[2:]) for row in rows}


async def load_latest_quotes(reader: Reader, keys: Iterable[str]) -> dict[str, Quote]:
    """The newest stored quote of each market that has one; `fetched_at` is when it was stored."""
    rows = await reader.fetch(
        f"SELECT m.market_key, q.stored_at, {_Q_COLUMNS} FROM markets m JOIN quotes_latest q ON q.market_id = m.id"
        " WHERE m.market_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )
    return {row[0]: _from_row(row[0], row[1], row[2:]) for row in rows}


async def load_seen_at(reader: Reader, keys: Iterable[str]) -> dict[str, datetime]:
    """When the venue last showed us each market's book, changed or not: an answer out of a cache is that much older."""
    rows = await reader.fetch(
        "SELECT m.market_key, q.seen_at FROM markets m JOIN quotes_latest q ON q.market_id = m.id"
        " WHERE m.market_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )
    return {row["market_key"]: from_ms(row["seen_at"]) for row in rows}


async def load_sight(reader: Reader, key: str) -> Sight | None:
    """The last sight of one market's book; None where it never had one."""
    row = await reader.fetch_one(
        "SELECT q.seen_at, q.age_ms FROM markets m JOIN quotes_latest q ON q.market_id = m.id WHERE m.market_key = ?",
        (key,),
    )
    return None if row is None else Sight(from_ms(row["seen_at"]), row["age_ms"] / 1000)


async def load_boards(reader: Reader, *, touched_since: datetime, at_most: int) -> list[list[int]]:
    """Row ids of what detectors look at, cut into boards of about `at_most` markets that split no event and no pair.

    Holds the open markets stored again since `touched_since`, their twins on the other venue, and every other open leg
    of their events: a sum over half the legs would prove nothing, nor would one side of a pair.
    """
    rows = await reader.fetch(
        "WITH stored AS (SELECT DISTINCT market_id AS id FROM quotes WHERE fetched_at >= ?),"
        " twins AS (SELECT polymarket_id AS id FROM matches JOIN stored ON id = kalshi_id WHERE relation = 'EQUIVALENT'"
        "   UNION SELECT kalshi_id FROM matches JOIN stored ON id = polymarket_id WHERE relation = 'EQUIVALENT'),"
        " touched AS (SELECT m.id, m.venue, m.event_id FROM markets m"
        "   WHERE m.id IN (SELECT id FROM stored UNION SELECT id FROM twins) AND m.status = 'open'),"
        " board AS (SELECT id FROM touched UNION SELECT m.id FROM markets m"
        "   JOIN (SELECT DISTINCT venue, event_id FROM touched) t USING (venue, event_id) WHERE m.status = 'open')"
        " SELECT id, venue, event_id FROM board JOIN markets USING (id) ORDER BY venue, event_id, id",
        (to_ms(touched_since),),
    )
    pairs = await reader.fetch("SELECT kalshi_id, polymarket_id FROM matches WHERE relation = 'EQUIVALENT'")
    boards = list[list[int]]()
    for together in _groups(rows, pairs):
        if not boards or len(boards[-1]) >= at_most:
            boards.append([])
        boards[-1] += together
    return boards


def _groups(rows: Iterable[Row], pairs: Iterable[Row]) -> list[list[int]]:
    """Row ids that must stand on one board: legs of an event, and whatever pairs tie to them."""
    home, groups = dict[int, int](), dict[int, list[int]]()
    event, last = None, 0
    for market_id, venue, event_id in rows:
        if event_id is None or (venue, event_id) != event:
            last, event = market_id, (venue, event_id)
            groups[last] = []
        groups[last].append(market_id)
        home[market_id] = last
    for one, other in pairs:
        if one not in home or other not in home or home[one] == home[other]:
            continue
        into, out_of = sorted((home[one], home[other]), key=lambda name: -len(groups[name]))
        moved = groups.pop(out_of)
        groups[into] += moved
        home |= dict.fromkeys(moved, into)
    return list(groups.values())


async def load_history(reader: Reader, since: datetime, market_ids: Sequence[int]) -> dict[str, list[Quote]]:
    """Quotes since a moment, oldest first, by market key; a market without any is absent."""
    rows = await reader.fetch(
        f"SELECT m.market_key, q.fetched_at, {_Q_COLUMNS} FROM json_each(?) j JOIN markets m ON m.id = j.value"
        " JOIN quotes q ON q.market_id = m.id WHERE q.fetched_at >= ? ORDER BY q.market_id, q.fetched_at",
        (json.dumps(market_ids), to_ms(since)),
    )
    histories: dict[str, list[Quote]] = defaultdict(list)
    for row in rows:
        histories[row[0]].append(_from_row(row[0], row[1], row[2:]))
    return dict(histories)
