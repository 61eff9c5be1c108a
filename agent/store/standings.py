"""What the benchmark holds of each prediction: a narrow row that passes read and move on, beside the frozen record.

Law: every prediction of the record gets a row, whatever becomes of it; only its state tells whether hourly checks go
on.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from agent.core.instants import from_ms, moment, to_ms
from agent.core.movement import Book, Previous, Standing
from agent.store.tx import Reader, Row, Tx
from sync.records import BenchmarkStatus, Check, MarketStatus

STATES: Final = {status: status.value.lower() for status in BenchmarkStatus}

_ENROL = """
INSERT INTO standings (chain_seq, market_id, prediction_id, probability, confidence, initial_price, initial_bid,
    initial_ask, initial_seen_at, predicted_at, closes_at, due_at)
SELECT p.chain_seq, p.market_id, p.prediction_id, r.value ->> 'probability_yes', r.value ->> 'confidence',
    r.value ->> 'initial_price', r.value ->> 'initial_bid', r.value ->> 'initial_ask',
    CAST(round((julianday(r.value ->> 'initial_seen_at') - 2440587.5) * 86400000) AS INTEGER),
    p.predicted_at, m.end_time, p.predicted_at
FROM predictions p
JOIN markets m ON m.id = p.market_id
JOIN (SELECT chain_seq, CAST(body AS TEXT) AS value FROM predictions) r ON r.chain_seq = p.chain_seq
WHERE p.chain_seq > (SELECT coalesce(max(chain_seq), 0) FROM standings)
"""


async def enrol_predictions(tx: Tx) -> int:
    """Give each prediction recorded since the last time its row; returns how many there were."""
    return await tx.execute(_ENROL)


# An active prediction owes a check each hour; one of a closed market a check that says so, and a last one with the
# answer. Index-only on predictions: their rows are a thousand bytes each.
_OWING = """
WITH watched AS (
    SELECT p.chain_seq FROM predictions p INDEXED BY predictions_active
    JOIN markets m ON m.id = p.market_id
    WHERE p.state = 'active' AND m.status NOT IN ('closed', 'resolved')
    UNION ALL
    SELECT s.chain_seq FROM standings s INDEXED BY standings_unsettled JOIN markets m ON m.id = s.market_id
    WHERE s.settled < 2 AND (m.status = 'resolved' OR (m.status = 'closed' AND s.settled = 0))
)
SELECT s.chain_seq, s.market_id, s.prediction_id, s.probability, s.confidence, s.predicted_at, s.initial_price,
    s.checked_at, s.abs_delta
FROM watched JOIN standings s ON s.chain_seq = watched.chain_seq ORDER BY s.chain_seq
"""

# One statement, so that all predictions of a pass see one price table. The newest quote is looked up by hand: a left
# join of the view quotes_latest makes SQLite build it for every market there is.
_BOOKS = """
SELECT m.id, m.market_key, m.status, m.end_time, q.bid, q.ask, i.shown_at AS seen_at,
    CAST(m.body AS TEXT) ->> 'tick_size' AS tick_size
FROM ({markets}) s
JOIN markets m ON m.id = s.market_id
LEFT JOIN sights i ON i.market_id = m.id
LEFT JOIN quotes q ON q.market_id = m.id
    AND q.fetched_at = (SELECT max(fetched_at) FROM quotes WHERE market_id = m.id)
"""


@dataclass(frozen=True, slots=True)
class MarketBook:
    """A market with forecasts on it, and its book as it was last seen."""

    market_key: str
    book: Book


async def load_books(reader: Reader, market_id: int | None = None) -> dict[int, MarketBook]:
    """The price table of a pass: every market with a prediction that may still owe a check, by row id; or one."""
    chosen = "SELECT :id AS market_id" if market_id else "SELECT DISTINCT market_id FROM standings WHERE settled < 2"
    rows = await reader.fetch(_BOOKS.format(markets=chosen), {"id": market_id})
    return {row["id"]: MarketBook(row["market_key"], _book(row)) for row in rows}


def _book(row: Row) -> Book:
    end_time, seen_at = row["end_time"], row["seen_at"]
    return Book(
        status=MarketStatus(row["status"]),
        ends_at=moment(end_time),
        tick_size=row["tick_size"],
        bid=row["bid"],
        ask=row["ask"],
        seen_at=moment(seen_at),
    )


async def load_one(reader: Reader, prediction_id: str) -> Row | None:
    """The row of one prediction, as load_owing gives them; None where there is no such prediction."""
    return await reader.fetch_one(
        "SELECT s.chain_seq, s.market_id, s.prediction_id, s.probability, s.confidence, s.predicted_at,"
        " s.initial_price, s.checked_at, s.abs_delta FROM predictions p JOIN standings s ON s.chain_seq = p.chain_seq"
        " WHERE p.prediction_id = ?",
        (prediction_id,),
    )


async def load_owing(reader: Reader) -> list[Row]:
    """Rows of the predictions that may owe a check, in the record's order; read them with `standing_from_row`."""
    return await reader.fetch(_OWING)


_moment = lru_cache(maxsize=1_000)(from_ms)  # predictions of one run and checks of one pass share their moments


def standing_from_row(row: Row, market_key: str) -> Standing:
    """One of load_owing's rows; by place, since a pass reads 100,000 of them."""
    _, _, prediction_id, probability, confidence, predicted_at, initial_price, checked_at, abs_delta = row
    previous = None if checked_at is None else Previous(_moment(checked_at), abs_delta)
    return Standing(prediction_id, market_key, probability, confidence, _moment(predicted_at), initial_price, previous)


async def move_on(tx: Tx, checks: Sequence[tuple[int, Check]], converged: Iterable[int]) -> None:
    """Remember the checks of one moment as their predictions' last.

    Args:
        checks: (place in the record, check).
        converged: places whose price had reached the prediction at this check.
    """
    at = to_ms(checks[0][1].checked_at) if checks else 0
    priced = [
        (one.movement_direction, at, one.abs_delta, one.yes_price, chain_seq)
        for chain_seq, one in checks
        if one.abs_delta is not None
    ]
    await tx.execute_many(
        "UPDATE standings SET movement = ?, checked_at = ?, abs_delta = ?, yes_price = ? WHERE chain_seq = ?",
        priced,
    )
    await tx.execute_many(
        "UPDATE standings SET movement = ?, settled = ? WHERE chain_seq = ?",
        [
            (one.movement_direction, one.closed + one.resolved, chain_seq)
            for chain_seq, one in checks
            if one.abs_delta is None
        ],
    )
    await tx.execute(
        "UPDATE standings SET converged_at = checked_at WHERE converged_at IS NULL"
        " AND chain_seq IN (SELECT value FROM json_each(?))",
        (json.dumps(list(converged)),),
    )


async def complete_closed(tx: Tx) -> int:
    """Predictions whose market has closed or resolved are completed, paused ones too; returns how many were not."""
    return await tx.execute(
        "UPDATE predictions SET state = 'completed' WHERE state IN ('active', 'paused')"
        " AND (SELECT status FROM markets WHERE id = predictions.market_id) IN ('closed', 'resolved')"
    )


async def count_states(reader: Reader) -> dict[BenchmarkStatus, int]:
    """How many predictions stand in each state."""
    rows = await reader.fetch("SELECT state, count(*) AS n FROM predictions GROUP BY state")
    found = {row["state"]: row["n"] for row in rows}
    return {status: found.get(word, 0) for status, word in STATES.items()}


async def load_experiments(reader: Reader) -> list[dict[str, Any]]:
    """Each experiment with how many of its predictions stand where."""
    rows = await reader.fetch(
        "SELECT p.experiment, sum(p.state = 'active') AS n_active, sum(p.state = 'paused') AS n_paused,"
        " sum(p.state = 'completed') AS n_completed, count(x.chain_seq) AS n_scored,"
        " coalesce(sum(CAST(x.body AS TEXT) ->> 'excluded' IS NOT NULL), 0) AS n_excluded"
        " FROM predictions p LEFT JOIN scores x ON x.chain_seq = p.chain_seq GROUP BY p.experiment ORDER BY 1"
    )
    return [dict(row) for row in rows]


async def set_state(
    tx: Tx, status: BenchmarkStatus, *, prediction_id: str | None = None, experiment: str | None = None
) -> int:
    """Pause, resume or complete one prediction, an experiment's, or all; returns how many changed.

    A completed one stays so: its market closed, or an operator said that it is enough.
    """
    return await tx.execute(
        "UPDATE predictions SET state = :state WHERE state NOT IN ('completed', :state)"
        " AND (:prediction IS NULL OR prediction_id = :prediction)"
        " AND (:experiment IS NULL OR experiment = :experiment)",
        {"state": STATES[status], "prediction": prediction_id, "experiment": experiment},
    )
