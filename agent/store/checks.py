"""Checks of predictions against the market: what a pass of the benchmark reads, and what it leaves behind."""

import asyncio
from collections.abc import Sequence

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.core.movement import Previous, Standing
from agent.store.tx import Reader, Row, Tx
from sync.records import Check, MarketStatus, Movement

_encode = msgspec.json.Encoder().encode

# One statement, so that all predictions of a pass see one price table. A market that closed is looked at once (the
# SETTLED check says so) and again when it resolves. A body is a BLOB: json_extract reads it only as text.
_STANDINGS = """
SELECT p.chain_seq, p.prediction_id, p.predicted_at, m.market_key, m.status, m.end_time,
    json_extract(CAST(p.body AS TEXT), '$.probability_yes') AS probability,
    json_extract(CAST(p.body AS TEXT), '$.confidence') AS confidence,
    json_extract(CAST(p.body AS TEXT), '$.initial_price') AS initial_price,
    json_extract(CAST(m.body AS TEXT), '$.tick_size') AS tick_size,
    q.bid, q.ask, q.seen_at, c.checked_at, c.abs_delta
FROM predictions p
JOIN markets m ON m.id = p.market_id
LEFT JOIN quotes_latest q ON q.market_id = p.market_id
LEFT JOIN checks c ON c.prediction_id = p.prediction_id AND c.checked_at =
    (SELECT max(checked_at) FROM checks WHERE prediction_id = p.prediction_id AND abs_delta IS NOT NULL)
WHERE p.state = 'active' AND (m.status <> :closed OR :settled IS NOT json_extract(CAST(
    (SELECT body FROM checks WHERE prediction_id = p.prediction_id ORDER BY checked_at DESC LIMIT 1) AS TEXT),
    '$.movement_direction'))
ORDER BY p.chain_seq
"""


async def load_standings(reader: Reader) -> list[tuple[int, Standing]]:
    """Every active prediction that owes a check, with its market, its latest quote and its last priced check.

    Returns: pairs (place in the record, standing) in the record's order.
    """
    rows = await reader.fetch(_STANDINGS, {"closed": MarketStatus.CLOSED, "settled": Movement.SETTLED})
    return await asyncio.to_thread(lambda: [(row["chain_seq"], _from_row(row)) for row in rows])


def _from_row(row: Row) -> Standing:
    end_time, seen_at = row["end_time"], row["seen_at"]
    return Standing(
        prediction_id=row["prediction_id"],
        market_key=row["market_key"],
        probability=row["probability"],
        confidence=row["confidence"],
        predicted_at=from_ms(row["predicted_at"]),
        initial_price=row["initial_price"],
        status=MarketStatus(row["status"]),
        ends_at=None if end_time is None else from_ms(end_time),
        tick_size=row["tick_size"],
        bid=row["bid"],
        ask=row["ask"],
        seen_at=None if seen_at is None else from_ms(seen_at),
        previous=None if row["checked_at"] is None else Previous(from_ms(row["checked_at"]), row["abs_delta"]),
    )


async def save_checks(tx: Tx, checks: Sequence[Check]) -> None:
    """Store checks and let them travel; a prediction whose market is resolved is completed."""
    await tx.execute_many(
        "INSERT INTO checks (prediction_id, checked_at, abs_delta, body) VALUES (?, ?, ?, ?)",
        [(check.prediction_id, to_ms(check.checked_at), check.abs_delta, _encode(check)) for check in checks],
    )
    await tx.execute_many(
        "UPDATE predictions SET state = 'completed' WHERE prediction_id = ?",
        [(check.prediction_id,) for check in checks if check.resolved],
    )
    tx.emit(*checks)
