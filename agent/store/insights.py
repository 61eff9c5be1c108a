"""Insights: what the model said about a pattern, as far as our rules let it."""

from datetime import datetime

import msgspec

from agent.core.instants import to_ms
from agent.errors import StoreError
from agent.store.tx import Reader, Tx
from sync.records import Insight

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Insight).decode


async def save_insight(tx: Tx, insight: Insight) -> None:
    """Store an insight and let it travel. Raises: StoreError if its market is unknown."""
    stored = await tx.execute(
        "INSERT INTO insights (insight_id, market_id, pattern_id, created_at, expires_at, body)"
        " SELECT ?, id, ?, ?, ?, ? FROM markets WHERE market_key = ?",
        (
            insight.insight_id,
            insight.pattern_id,
            to_ms(insight.created_at),
            to_ms(insight.expires_at),
            _encode(insight),
            insight.market_key,
        ),
    )
    if not stored:
        raise StoreError(f"insight {insight.insight_id}: its market {insight.market_key} is not in the store")
    tx.emit(insight)


async def load_insights_since(reader: Reader, since: datetime) -> list[Insight]:
    """Insights made since a moment, the newest first."""
    rows = await reader.fetch(
        "SELECT body FROM insights WHERE created_at >= ? ORDER BY created_at DESC", (to_ms(since),)
    )
    return [_decode(row["body"]) for row in rows]
