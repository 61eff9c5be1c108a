"""The benchmark as flat rows for other programs: one prediction a row, every horizon and score beside it."""

import json
from collections import defaultdict
from typing import Any

import msgspec

from agent.core.instants import from_ms
from agent.store.tx import Reader, Row
from sync.records import Horizon, Mark, Score

_mark = msgspec.json.Decoder(Mark).decode
_score = msgspec.json.Decoder(Score).decode
_HOUR_MS = 3_600_000

_PLAIN = ("prediction_id", "market_key", "experiment", "experiment_version", "model", "saw_price")
_NUMBERS = ("probability", "confidence", "initial_price", "initial_bid", "initial_ask")
_SCORES = ("resolution", "resolution_value", "excluded", "brier_score", "log_score", "market_brier_score",
           "day_before_brier_score")  # fmt: skip
_OF_A_MARK = ("missing", "mid", "signed_move", "signed_move_exec")

COLUMNS: tuple[str, ...] = (
    *_PLAIN, "event_id", "category", "predicted_at", *_NUMBERS, "status", "movement_direction", "yes_price",
    "abs_delta", "cumulative_convergence", "hours_watched", "hours_to_convergence",
    *(f"{name}_{horizon.value}" for horizon in Horizon for name in _OF_A_MARK), *_SCORES,
)  # fmt: skip

_ROWS = """
SELECT s.*, p.experiment, p.experiment_version, p.model, p.state, m.market_key, m.event_id, x.body AS score,
    CAST(p.body AS TEXT) ->> 'saw_price' AS saw_price, CAST(m.body AS TEXT) ->> 'category' AS category
FROM standings s JOIN predictions p ON p.chain_seq = s.chain_seq JOIN markets m ON m.id = s.market_id
LEFT JOIN scores x ON x.chain_seq = s.chain_seq
WHERE s.chain_seq > :after AND (:experiment IS NULL OR p.experiment = :experiment) ORDER BY s.chain_seq LIMIT :limit
"""


async def load_export(
    reader: Reader, *, experiment: str | None, after_seq: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """A page in the record's order, and the place to go on after; None at the end."""
    rows = await reader.fetch(_ROWS, {"experiment": experiment, "after": after_seq, "limit": limit})
    places = [row["chain_seq"] for row in rows]
    marks: dict[int, list[Mark]] = defaultdict(list)
    found = await reader.fetch(
        "SELECT chain_seq, body FROM marks WHERE chain_seq IN (SELECT value FROM json_each(?))", (json.dumps(places),)
    )
    for chain_seq, body in found:
        marks[chain_seq].append(_mark(body))
    page = [_flat(row, marks[row["chain_seq"]]) for row in rows]
    return page, places[-1] if len(rows) == limit else None


def _flat(row: Row, marks: list[Mark]) -> dict[str, Any]:
    """Every column, None where there is nothing: a file has the same columns whatever happened."""
    flat: dict[str, Any] = dict.fromkeys(COLUMNS)
    flat |= {name: row[name] for name in (*_PLAIN, *_NUMBERS, "event_id", "category", "yes_price", "abs_delta")}
    flat |= {
        "model": row["model"] or None,
        "saw_price": bool(row["saw_price"]),
        "predicted_at": from_ms(row["predicted_at"]).isoformat(),
        "status": row["state"].upper(),
        "movement_direction": row["movement"],
        "hours_watched": _hours(row, "checked_at"),
        "hours_to_convergence": _hours(row, "converged_at"),
    }
    if row["initial_price"] is not None and row["abs_delta"] is not None:
        flat["cumulative_convergence"] = round(abs(row["probability"] - row["initial_price"]) - row["abs_delta"], 9)
    for one in marks:
        flat |= {f"{name}_{one.horizon.value}": getattr(one, name) for name in _OF_A_MARK}
    if row["score"] is not None:
        score = _score(row["score"])
        flat |= {name: getattr(score, name) for name in _SCORES}
    return flat


def _hours(row: Row, name: str) -> float | None:
    return None if row[name] is None else max(0.0, (row[name] - row["predicted_at"]) / _HOUR_MS)
