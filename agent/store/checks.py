"""Hourly checks of predictions against the market: appended pass by pass, read again one prediction at a time."""

from collections.abc import Sequence
from datetime import datetime

from agent.core.instants import from_ms, to_ms
from agent.store.tx import Reader, Row, Tx
from sync.records import Check, Movement

_HOUR_MS = 3_600_000


async def save_checks(tx: Tx, checks: Sequence[tuple[int, Check]]) -> None:
    """Store checks of one moment, each with its prediction's place in the record, and let them travel."""
    if not checks:
        return
    at = to_ms(checks[0][1].checked_at)
    await tx.execute("INSERT OR IGNORE INTO check_times VALUES (?)", (at,))
    await tx.execute_many(
        "INSERT INTO checks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                at, chain_seq, c.movement_direction, c.closed, c.resolved, c.yes_price,
                c.abs_delta, c.convergence_rate, c.cumulative_convergence, c.signed_move,
            )
            for chain_seq, c in checks
        ],
    )  # fmt: skip
    tx.emit(*(check for _, check in checks))


_COLUMNS = """
s.prediction_id, m.market_key, c.checked_at, c.movement, s.probability, s.predicted_at, c.closed, c.resolved,
s.confidence, c.yes_price, c.abs_delta, c.convergence_rate, c.cumulative_convergence, c.signed_move
"""


async def load_checks(reader: Reader, prediction_id: str, *, since: datetime | None = None) -> list[Check]:
    """The checks of one prediction, oldest first."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM predictions p CROSS JOIN standings s ON s.chain_seq = p.chain_seq"
        " CROSS JOIN markets m ON m.id = s.market_id"
        " CROSS JOIN check_times t ON t.checked_at >= max(:since, s.predicted_at - 86400000)"  # a clock may go back
        " CROSS JOIN checks c ON c.checked_at = t.checked_at AND c.chain_seq = s.chain_seq"
        " WHERE p.prediction_id = :prediction ORDER BY c.checked_at",
        {"prediction": prediction_id, "since": 0 if since is None else to_ms(since)},
    )
    return [_from_row(row) for row in rows]


async def load_checks_between(reader: Reader, start: datetime, end: datetime) -> list[Check]:
    """All checks made in [start, end], in order of time and record."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM checks c JOIN standings s ON s.chain_seq = c.chain_seq"
        " JOIN markets m ON m.id = s.market_id WHERE c.checked_at BETWEEN ? AND ? ORDER BY c.checked_at, c.chain_seq",
        (to_ms(start), to_ms(end)),
    )
    return [_from_row(row) for row in rows]


def _from_row(row: Row) -> Check:
    price = row["yes_price"]
    return Check(
        prediction_id=row["prediction_id"],
        market_key=row["market_key"],
        checked_at=from_ms(row["checked_at"]),
        movement_direction=Movement(row["movement"]),
        predicted_probability=row["probability"],
        predicted_confidence=row["confidence"],
        hours_since_prediction=max(0, row["checked_at"] - row["predicted_at"]) / _HOUR_MS,
        closed=bool(row["closed"]),
        resolved=bool(row["resolved"]),
        yes_price=price,
        no_price=None if price is None else round(1 - price, 9),
        abs_delta=row["abs_delta"],
        convergence_rate=row["convergence_rate"],
        cumulative_convergence=row["cumulative_convergence"],
        signed_move=row["signed_move"],
    )
