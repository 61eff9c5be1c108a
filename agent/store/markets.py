"""Markets as the venues describe them: saved when they change, remembered as seen when they do not."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from agent.core.instants import to_ms
from agent.core.market import end_time
from agent.store.tx import Reader, Row, Tx
from sync.records import Market, MarketStatus

_FETCHED_AT = b'"fetched_at":"'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Market).decode


class SavedMarkets(msgspec.Struct, frozen=True):
    """What a save did: ids by market key, how many were new or had changed, and what does not travel yet."""

    ids: dict[str, int]
    n_new: int
    n_changed: int
    withheld: Sequence[str] = ()  # market keys
    newly_withheld: Sequence[str] = ()
    released: Sequence[str] = ()


class _Save(msgspec.Struct):
    """A save in the making."""

    ids: dict[str, int]
    ages: Mapping[str, float] = {}
    rows: list[tuple[object, ...]] = []
    seen: list[tuple[int, int, int]] = []  # every market of the page: row id, when, and when the venue showed it
    travelling: list[msgspec.Raw] = []
    withheld: list[str] = []
    newly_withheld: list[str] = []
    released: list[str] = []


def digest(body: bytes) -> bytes:
    """Identity of everything a venue said about a market, whenever it was fetched.

    Args:
        body: the encoded market. A quote inside a text is escaped, so the mark stands there once.
    """
    head, _, rest = body.partition(_FETCHED_AT)
    return hashlib.blake2b(head + rest[rest.index(b'"') :], digest_size=16).digest()


async def save_markets(
    tx: Tx, markets: Sequence[Market], silent: Collection[str] = (), ages: Mapping[str, float] | None = None
) -> SavedMarkets:
    """Insert new markets, update changed ones, mark the others as seen. New and changed ones travel.

    A market that appears twice in one page counts once, the last one wins. An older look changes nothing but ids.

    Args:
        silent: keys of markets with nothing to tell. Such a one is withheld while it stays so from its first sight
            on; once it has travelled it always does, or the cloud would keep its last state for ever.
        ages: seconds a cache had held what was said about a market, by key, where anyone told.
    """
    latest = {market.market_key: market for market in markets}
    known = {row["market_key"]: row for row in await _known(tx, latest)}
    next_id = 0 if len(known) == len(latest) else 1 + (await tx.fetch_value("SELECT max(id) FROM markets") or 0)
    save = _Save({key: row["id"] for key, row in known.items()}, ages=ages or {})
    for key, market in latest.items():
        if key not in known:
            save.ids[key] = next_id
            next_id += 1
        _add(save, market, known.get(key), silent=key in silent)
    await tx.execute_many(_UPSERT, save.rows)
    await tx.execute_many(
        "INSERT INTO sights (market_id, seen_at, shown_at) VALUES (?, ?, ?) ON CONFLICT (market_id) DO UPDATE SET"
        " seen_at = max(seen_at, excluded.seen_at), shown_at = max(shown_at, excluded.shown_at)",
        save.seen,
    )
    tx.emit(*save.travelling)
    n_new = len(latest) - len(known)
    return SavedMarkets(save.ids, n_new, len(save.rows) - n_new, save.withheld, save.newly_withheld, save.released)


def _add(save: _Save, market: Market, known: Row | None, *, silent: bool) -> None:
    """Sort one market into what there is to do."""
    key, at, body = market.market_key, to_ms(market.fetched_at), _encode(market)
    save.seen.append((save.ids[key], at, at - round(1000 * save.ages.get(key, 0))))
    fingerprint = digest(body)
    withheld = silent and (known is None or bool(known["withheld"]))
    if withheld:
        save.withheld.append(key)
    if known is None:
        save.newly_withheld += [key] if withheld else []
    elif known["changed_at"] > at or (known["digest"] == fingerprint and known["withheld"] == withheld):
        return
    elif known["withheld"] and not withheld:
        save.released.append(key)
    end = end_time(market)
    save.rows.append(
        (save.ids[key], key, market.venue, market.status, market.event_id, None if end is None else to_ms(end),
         fingerprint, at, at, body, withheld)
    )  # fmt: skip
    if not withheld:
        save.travelling.append(msgspec.Raw(body))


async def _known(reader: Reader, keys: Iterable[str]) -> list[Row]:
    return await reader.fetch(
        "SELECT market_key, id, digest, changed_at, withheld FROM markets"
        " WHERE market_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )


_UPSERT = """
INSERT INTO markets
    (id, market_key, venue, status, event_id, end_time, digest, first_seen_at, changed_at, body, withheld)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (market_key) DO UPDATE SET
    status = excluded.status, event_id = excluded.event_id, end_time = excluded.end_time,
    digest = excluded.digest, changed_at = excluded.changed_at, body = excluded.body, withheld = excluded.withheld
"""


async def has_markets(reader: Reader) -> bool:
    """Whether any collect has stored anything yet."""
    return bool(await reader.fetch_value("SELECT EXISTS (SELECT 1 FROM markets)"))


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
