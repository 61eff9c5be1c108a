"""How markets ended: which of them owe an answer, and the verdicts with their reasons."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.core.resolution import Verdict
from agent.store.tx import Reader, Row, Tx
from sync.records import Market, Resolution, Venue

UNLISTED_AFTER = timedelta(hours=1)  # behind the venue's newest look: four cycles, so a half-read one proves nothing
FRESH = timedelta(days=7)  # how long an answer of the listing may still be held against other sources
LONGEST_WAIT = timedelta(days=7)  # some questions stay proposed for 300 days: they are asked about, seldom

_decode = msgspec.json.Decoder(Market).decode


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A market that owes an answer, as we hold it, and when its venue last listed it."""

    market: Market
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """What was decided about a market, and when."""

    verdict: Verdict
    checked_at: datetime


# The wait before the next question is a quarter of how long the market has been asked about in vain. A market with an
# open forecast comes first, then who was never asked, then who waited longest.
_UNSETTLED = """
SELECT m.body, s.seen_at FROM markets m
JOIN sights s ON s.market_id = m.id
LEFT JOIN resolutions r ON r.market_id = m.id
WHERE m.venue = :venue AND (
    (m.status IN ('open', 'paused', 'unopened') AND s.seen_at < :listed_at)
    OR (m.status IN ('open', 'paused') AND m.end_time < :now)
    OR m.status = 'closed'
    OR (m.status = 'resolved' AND r.market_id IS NULL AND m.changed_at >= :fresh)
) AND (r.checked_at IS NULL
    OR (:now - r.checked_at) * 4 >= r.checked_at - m.changed_at OR :now - r.checked_at >= :longest)
ORDER BY EXISTS (SELECT 1 FROM predictions p WHERE p.market_id = m.id AND p.state = 'active') DESC,
    r.checked_at IS NOT NULL, r.checked_at, m.end_time, m.id
LIMIT :limit
"""


async def load_unsettled(reader: Reader, venue: Venue, now: datetime, limit: int) -> list[Unsettled]:
    """Markets whose listing has gone quiet, whose end has passed, that closed, or whose answer nobody confirmed."""
    newest = await reader.fetch_value(
        "SELECT max(s.seen_at) FROM markets m JOIN sights s ON s.market_id = m.id WHERE m.venue = ?", (venue,)
    )
    rows = await reader.fetch(
        _UNSETTLED,
        {
            "venue": venue,
            "now": to_ms(now),
            "listed_at": (newest or 0) - UNLISTED_AFTER // timedelta(milliseconds=1),
            "fresh": to_ms(now - FRESH),
            "longest": LONGEST_WAIT // timedelta(milliseconds=1),
            "limit": limit,
        },
    )
    return [Unsettled(_decode(row["body"]), from_ms(row["seen_at"])) for row in rows]


async def save_verdicts(tx: Tx, verdicts: Mapping[str, Verdict], overruled: Iterable[str], now: datetime) -> None:
    """Keep the newest verdict of each market, by market key; `overruled` ones contradict what the listing says."""
    against = set(overruled)
    await tx.execute_many(
        "INSERT INTO resolutions (market_id, checked_at, resolution, value, overruled, reason)"
        " SELECT id, ?, ?, ?, ?, ? FROM markets WHERE market_key = ?"
        " ON CONFLICT (market_id) DO UPDATE SET checked_at = excluded.checked_at, resolution = excluded.resolution,"
        " value = excluded.value, overruled = excluded.overruled, reason = excluded.reason",
        [
            (to_ms(now), verdict.resolution, verdict.value, int(key in against), verdict.reason, key)
            for key, verdict in verdicts.items()
        ],
    )


async def load_verdicts(reader: Reader, keys: Iterable[str]) -> dict[str, StoredVerdict]:
    """The verdicts on these markets; those never looked at are absent."""
    rows = await reader.fetch(
        "SELECT m.market_key, r.* FROM resolutions r JOIN markets m ON m.id = r.market_id"
        " WHERE m.market_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )
    return {row["market_key"]: StoredVerdict(_verdict(row), from_ms(row["checked_at"])) for row in rows}


async def load_overruled(reader: Reader, venue: Venue) -> dict[str, Verdict]:
    """Markets of a venue whose listing tells an answer that other sources contradict."""
    rows = await reader.fetch(
        "SELECT m.market_key, r.* FROM resolutions r JOIN markets m ON m.id = r.market_id"
        " WHERE r.overruled = 1 AND m.venue = ?",
        (venue,),
    )
    return {row["market_key"]: _verdict(row) for row in rows}


async def mark_unlisted(tx: Tx, venue: Venue, walk_began_at: datetime, now: datetime) -> int:
    """Mark what a complete walk of the venue no longer showed. Returns: how many disappeared with it."""
    return await tx.execute(
        "UPDATE markets SET unlisted_at = ? FROM sights s WHERE s.market_id = markets.id"
        " AND venue = ? AND status <> 'resolved' AND s.seen_at < ?"
        " AND (unlisted_at IS NULL OR unlisted_at < s.seen_at)",
        (to_ms(now), venue, to_ms(walk_began_at)),
    )


async def load_watched_events(
    reader: Reader, venue: Venue, since: datetime, limit: int, watch: Collection[str] = ()
) -> list[str]:
    """Events of a venue that somebody waits for: an open forecast on a leg, a pattern since a moment, the watch list.

    Args:
        watch: market keys, the venue's own ids or event ids; what is resolved is waited for no longer. These come
            first: an operator named them.
    """
    rows = await reader.fetch(
        "WITH word AS (SELECT value FROM json_each(:watch)), named AS ("
        " SELECT id FROM markets WHERE status <> 'resolved'"
        " AND market_key IN (SELECT value FROM word UNION ALL SELECT :venue || ':' || value FROM word)"
        " UNION SELECT id FROM markets WHERE status <> 'resolved'"
        " AND venue = :venue AND event_id IN (SELECT value FROM word))"
        " SELECT m.event_id FROM markets m WHERE m.venue = :venue AND m.event_id IS NOT NULL AND m.id IN ("
        " SELECT id FROM named UNION SELECT market_id FROM predictions WHERE state = 'active'"
        " UNION SELECT market_id FROM patterns WHERE detected_at >= :since)"
        " GROUP BY m.event_id ORDER BY max(m.id IN (SELECT id FROM named)) DESC, min(m.end_time), m.event_id"
        " LIMIT :limit",
        {"watch": json.dumps(sorted(watch)), "venue": venue, "since": to_ms(since), "limit": limit},
    )
    return [row["event_id"] for row in rows]


def _verdict(row: Row) -> Verdict:
    word = row["resolution"]
    return Verdict(None if word is None else Resolution(word), row["value"], row["reason"])
