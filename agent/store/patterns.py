"""Patterns the detectors found."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from agent.core.instants import to_ms
from agent.store.tx import Reader, Tx
from sync.records import Pattern

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Pattern).decode


async def save_patterns(tx: Tx, patterns: Sequence[Pattern]) -> None:
    """Store patterns and let them travel."""
    await tx.execute_many(
        "INSERT INTO patterns (pattern_id, market_id, detector, score, detected_at, body)"
        " SELECT ?, id, ?, ?, ?, ? FROM markets WHERE market_key = ?",
        [(p.pattern_id, p.detector, p.score, to_ms(p.detected_at), _encode(p), p.market_key) for p in patterns],
    )
    tx.emit(*patterns)


async def load_patterns_since(reader: Reader, since: datetime, min_score: int) -> list[Pattern]:
    """Patterns found since a moment whose score is above `min_score`, the highest score first."""
    rows = await reader.fetch(
        "SELECT body FROM patterns WHERE detected_at >= ? AND score > ? ORDER BY score DESC, detected_at DESC",
        (to_ms(since), min_score),
    )
    return [_decode(row["body"]) for row in rows]


async def load_recent_scores(reader: Reader, since: datetime) -> dict[tuple[str, str], int]:
    """Highest score by (market key, detector) since a moment: what need not be said again."""
    rows = await reader.fetch(
        "SELECT m.market_key, p.detector, max(p.score) AS score FROM patterns p JOIN markets m ON m.id = p.market_id"
        " WHERE p.detected_at >= ? GROUP BY p.market_id, p.detector",
        (to_ms(since),),
    )
    return {(row["market_key"], row["detector"]): row["score"] for row in rows}
