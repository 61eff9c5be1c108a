"""Experiments over time: what each version was, how its resolved forecasts stand, and the summaries of runs."""

from collections.abc import Mapping
from datetime import date, datetime

import msgspec

from agent.core.ensemble import Author, Past
from agent.core.instants import from_ms, moment, to_ms
from agent.core.scoring.sift import is_too_late
from agent.store.tx import Reader, Row, Tx
from sync.records import MarketStatus, Resolution

Parts = dict[str, str]


async def load_frozen(reader: Reader) -> dict[tuple[str, str], Parts]:
    """The parts of every version that has made a forecast, by (experiment, version)."""
    rows = await reader.fetch("SELECT experiment, version, parts FROM frozen_versions")
    return {(row["experiment"], row["version"]): msgspec.json.decode(row["parts"], type=Parts) for row in rows}


async def freeze(tx: Tx, versions: Mapping[tuple[str, str], Parts], *, now: datetime) -> None:
    """Write down what these versions are; one that is there stays as it was."""
    await tx.execute_many(
        "INSERT INTO frozen_versions (experiment, version, parts, first_used_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [(*key, msgspec.json.encode(parts, order="sorted").decode(), to_ms(now)) for key, parts in versions.items()],
    )


# A verdict of ours against the listing counts; a void has no outcome and is not here, nor what was said in a market's
# last hour. What we knew when: the moment the answer was stored, which is never before it was true. A market that is
# alone is an event of its own.
_PAST = """
SELECT p.experiment, p.experiment_version, p.model, p.predicted_at, m.market_key,
    coalesce(m.event_id, m.market_key) AS event_id, m.venue, m.changed_at,
    json_extract(CAST(p.body AS TEXT), '$.probability_yes') AS probability,
    json_extract(CAST(p.body AS TEXT), '$.initial_price') AS market,
    json_extract(CAST(p.body AS TEXT), '$.saw_price') AS saw_price,
    json_extract(CAST(m.body AS TEXT), '$.category') AS category,
    json_extract(CAST(m.body AS TEXT), '$.resolution') AS resolution,
    json_extract(CAST(m.body AS TEXT), '$.closed_time') AS closed_time, s.closes_at
FROM predictions p JOIN markets m ON m.id = p.market_id LEFT JOIN standings s ON s.chain_seq = p.chain_seq
WHERE m.status = :resolved
ORDER BY p.chain_seq
"""


async def load_past(reader: Reader) -> list[Past]:
    """Every forecast that counts whose market has ended in YES or NO, in the record's order."""
    rows = await reader.fetch(_PAST, {"resolved": MarketStatus.RESOLVED})
    outcomes = {Resolution.YES.value: 1, Resolution.NO.value: 0}
    return [_past(row, outcomes[row["resolution"]]) for row in rows if row["resolution"] in outcomes and _counts(row)]


def _counts(row: Row) -> bool:
    stated = moment(row["closes_at"])
    ended = None if row["closed_time"] is None else msgspec.convert(row["closed_time"], datetime)
    return not is_too_late(from_ms(row["predicted_at"]), stated, ended)


def _past(row: Row, outcome: int) -> Past:
    return Past(
        author=Author(row["experiment"], row["experiment_version"], row["model"] or None),
        market_key=row["market_key"],
        event_key=f"{row['venue']}:{row['event_id']}",
        category=row["category"],
        saw_price=bool(row["saw_price"]),
        predicted_at=from_ms(row["predicted_at"]),
        known_at=from_ms(row["changed_at"]),
        probability=row["probability"],
        market=row["market"],
        outcome=outcome,
    )


async def save_summary(tx: Tx, job: str, run_day: date, span: str, body: bytes, *, ended_at: datetime) -> None:
    """Keep a run's summary; that of the same day and window before it gives way."""
    await tx.execute(
        "INSERT OR REPLACE INTO prediction_runs (job, run_day, span, ended_at, body) VALUES (?, ?, ?, ?, ?)",
        (job, run_day.isoformat(), span, to_ms(ended_at), body),
    )


async def load_summary(reader: Reader, job: str, run_day: date, span: str) -> bytes | None:
    """The summary of a day and window."""
    found: bytes | None = await reader.fetch_value(
        "SELECT body FROM prediction_runs WHERE job = ? AND run_day = ? AND span = ?", (job, run_day.isoformat(), span)
    )
    return found
