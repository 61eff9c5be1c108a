"""Lets go of what is old: finds it with the reading connection, deletes it in small transactions.

Law: what the cloud has not acknowledged is never deleted; the newest quote of a market stays; the writer is held for
some ten milliseconds at a time. Each function does one chunk and says how many rows went: 0 is the end.
"""

from datetime import datetime, timedelta

from agent.core.instants import from_ms, moment, to_ms
from agent.store.db import Store
from agent.store.tx import Reader, Tx

# Rows of one transaction: 500 small ones take about 10 ms, and whoever waits for the writer does not notice.
CHUNK = 500
BATCH_CHUNK = 20  # batches hold up to 4 MB each, and freeing their pages is the work
MARKET_CHUNK = 200  # each with its prices
VACUUM_PAGES = 500  # 2 MB are given back at a time

# Goes with its market; whatever else refers to one keeps it.
_OF_A_MARKET = ("quotes", "patterns", "resolutions", "history")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def thin_hour(store: Store, hour: datetime, keep_last_of: timedelta) -> int:
    """Of the quotes in [hour, +1 h), delete those followed by another of the same market within the same period.

    Args:
        hour: a full hour.
        keep_last_of: the period (an hour, a day) whose last quote stays.
    """
    period = keep_last_of // timedelta(milliseconds=1)
    start = to_ms(hour)
    rows = await store.reader.fetch(
        "SELECT market_id, fetched_at FROM quotes q WHERE fetched_at >= :start AND fetched_at < :end AND EXISTS"
        " (SELECT 1 FROM quotes n WHERE n.market_id = q.market_id AND n.fetched_at > q.fetched_at"
        "  AND n.fetched_at < :period_end)",
        {"start": start, "end": to_ms(hour + HOUR), "period_end": start - start % period + period},
    )
    for first in range(0, len(rows), CHUNK):
        async with store.write() as tx:
            await tx.execute_many(
                "DELETE FROM quotes WHERE market_id = ? AND fetched_at = ?",
                [tuple(row) for row in rows[first : first + CHUNK]],
            )
    return len(rows)


async def prune_quotes(tx: Tx, before: datetime) -> int:
    """Delete quotes of long ago, except a market's newest while it is open."""
    return await tx.execute(
        "DELETE FROM quotes WHERE (market_id, fetched_at) IN ("
        " SELECT q.market_id, q.fetched_at FROM quotes q JOIN markets m ON m.id = q.market_id"
        " WHERE q.fetched_at < ? AND (m.status <> 'open' OR EXISTS"
        "  (SELECT 1 FROM quotes n WHERE n.market_id = q.market_id AND n.fetched_at > q.fetched_at)) LIMIT ?)",
        (to_ms(before), CHUNK),
    )


async def prune_rejects(tx: Tx, before: datetime) -> int:
    """Delete unreadable records that did not come again."""
    return await _prune_seen(tx, "rejects", before)


async def prune_raw(tx: Tx, before: datetime) -> int:
    """Delete records kept raw that did not come again."""
    return await _prune_seen(tx, "raw", before)


async def _prune_seen(tx: Tx, table: str, before: datetime) -> int:
    return await tx.execute(
        f"DELETE FROM {table} WHERE digest IN (SELECT digest FROM {table} WHERE last_seen_at < ? LIMIT ?)",
        (to_ms(before), CHUNK),
    )


async def prune_patterns(tx: Tx, before: datetime) -> int:
    """Delete findings of long ago."""
    return await tx.execute(
        "DELETE FROM patterns WHERE pattern_id IN (SELECT pattern_id FROM patterns WHERE detected_at < ? LIMIT ?)",
        (to_ms(before), CHUNK),
    )


async def prune_signals(tx: Tx, before: datetime) -> int:
    """Delete signals of long ago."""
    return await tx.execute(
        "DELETE FROM signals WHERE signal_id IN (SELECT signal_id FROM signals WHERE created_at < ? LIMIT ?)",
        (to_ms(before), CHUNK),
    )


async def prune_arbitrage(tx: Tx, before: datetime) -> int:
    """Delete packages that ended long ago; one that still pays stays whatever its age."""
    return await tx.execute(
        "DELETE FROM arbitrage WHERE arbitrage_id IN"
        " (SELECT arbitrage_id FROM arbitrage WHERE status = 'EXPIRED' AND computed_at < ? LIMIT ?)",
        (to_ms(before), CHUNK),
    )


async def prune_checks(tx: Tx, before: datetime) -> int:
    """Delete hourly checks of long ago; what they came to (marks, scores, when a price arrived) is for ever."""
    n = await tx.execute(
        "DELETE FROM checks WHERE (checked_at, chain_seq) IN"
        " (SELECT checked_at, chain_seq FROM checks WHERE checked_at < ? ORDER BY checked_at LIMIT ?)",
        (to_ms(before), CHUNK),
    )
    if not n:
        await tx.execute("DELETE FROM check_times WHERE checked_at < ?", (to_ms(before),))
    return n


async def prune_batches(tx: Tx, before: datetime) -> int:
    """Delete batches the cloud has held for a while; one without an acknowledgement stays whatever its age.

    The newest acknowledged batch stays too: the status tells by it when the cloud was last reached.
    """
    return await tx.execute(
        "DELETE FROM batches WHERE (stream_id, lo) IN (SELECT stream_id, lo FROM batches b WHERE acked_at < ?"
        " AND lo < (SELECT max(lo) FROM batches n WHERE n.stream_id = b.stream_id AND n.acked_at IS NOT NULL) LIMIT ?)",
        (to_ms(before), BATCH_CHUNK),
    )


async def prune_markets(tx: Tx, before: datetime) -> int:
    """Delete markets that ended and were last listed long ago, with their prices; one that a record of ours speaks of
    (a forecast, an insight) stays.

    What refers to markets is asked of the schema, so that a table added later keeps its markets until it is known here.
    """
    tables = await tx.fetch(
        "SELECT t.name, f.[from] AS field FROM sqlite_schema t, pragma_foreign_key_list(t.name) f"
        " WHERE f.[table] = 'markets' AND f.on_delete <> 'CASCADE' ORDER BY t.name"
    )
    kept = "".join(
        f" AND NOT EXISTS (SELECT 1 FROM {row['name']} r WHERE r.{row['field']} = m.id)"
        for row in tables
        if row["name"] not in _OF_A_MARKET
    )
    rows = await tx.fetch(
        "SELECT m.id FROM markets m JOIN sights s ON s.market_id = m.id"
        f" WHERE s.seen_at < ? AND m.status <> 'open'{kept} LIMIT ?",
        (to_ms(before), MARKET_CHUNK),
    )
    ids = [(row["id"],) for row in rows]
    if ids:
        for table in _OF_A_MARKET:
            await tx.execute_many(f"DELETE FROM {table} WHERE market_id = ?", ids)
        await tx.execute_many("DELETE FROM markets WHERE id = ?", ids)
    return len(ids)


async def vacuum(tx: Tx) -> int:
    """Give some free pages back to the file system; returns how many."""
    before = await tx.fetch_value("PRAGMA freelist_count")
    await tx.fetch(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    return int(before - await tx.fetch_value("PRAGMA freelist_count"))


async def load_first_quote_at(reader: Reader, since: datetime | None) -> datetime | None:
    """When the oldest stored quote since a moment, or of all, is from."""
    first = await reader.fetch_value(
        "SELECT min(fetched_at) FROM quotes WHERE fetched_at >= ?", (0 if since is None else to_ms(since),)
    )
    return moment(first)


async def load_mark(reader: Reader, name: str) -> datetime | None:
    """How far a thinning has come."""
    value = await reader.fetch_value("SELECT value FROM meta WHERE key = ?", (f"retention.{name}",))
    return None if value is None else from_ms(int(value))


async def save_mark(tx: Tx, name: str, moment: datetime) -> None:
    """Remember how far a thinning has come: what is thin already is not looked at again."""
    await tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (f"retention.{name}", str(to_ms(moment))),
    )
