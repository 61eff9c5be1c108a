"""Predictions and the checks of the benchmark against them."""

from datetime import datetime

import msgspec

from cloudapi.db import Pool, from_row
from sync.records import Check, Prediction

COLUMNS = """
prediction_id, market_key, experiment, experiment_version, run_day, probability_yes, saw_price, predicted_at, model,
prompt_version, confidence, rationale, initial_price, initial_bid, initial_ask, initial_seen_at, chain, chain_seq,
previous_hash, record_hash
"""

CHECK_COLUMNS = """
prediction_id, market_key, checked_at, movement_direction, predicted_probability, hours_since_prediction, closed,
resolved, predicted_confidence, yes_price, no_price, abs_delta, convergence_rate, cumulative_convergence, signed_move
"""

LOAD_PREDICTION = f"select {COLUMNS} from prediction join market using (market_id) where prediction_id = $1"

LOAD_CHECKS = f"""
select {CHECK_COLUMNS} from prediction_check join market using (market_id)
where prediction_id = $1 and ($2::timestamptz is null or checked_at < $2)
order by checked_at desc limit $3
"""


class PredictionFilters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list of predictions is narrowed to."""

    market: str | None = None
    experiment: str | None = None


async def load_prediction(pool: Pool, prediction_id: str) -> Prediction | None:
    """One prediction as it was registered."""
    row = await pool.fetchrow(LOAD_PREDICTION, prediction_id)
    return None if row is None else from_row(row, Prediction)


async def load_predictions(
    pool: Pool, filters: PredictionFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Prediction]:
    """A page, newest first, one row longer than `limit` if there are more."""
    conditions, arguments = ["true"], list[object]()
    if filters.market is not None:
        arguments.append(filters.market)
        conditions.append(f"market_key = ${len(arguments)}")
    if filters.experiment is not None:
        arguments.append(filters.experiment)
        conditions.append(f"experiment = ${len(arguments)}")
    if before is not None:
        arguments += before
        conditions.append(f"(predicted_at, prediction_id) < (${len(arguments) - 1}, ${len(arguments)})")
    arguments.append(limit + 1)
    rows = await pool.fetch(
        f"select {COLUMNS} from prediction join market using (market_id) where {' and '.join(conditions)} "
        f"order by predicted_at desc, prediction_id desc limit ${len(arguments)}",
        *arguments,
    )
    return [from_row(row, Prediction) for row in rows]


async def load_checks(pool: Pool, prediction_id: str, *, before: datetime | None, limit: int) -> list[Check]:
    """The checks of one prediction, newest first, one row longer than `limit` if there are more."""
    return [from_row(row, Check) for row in await pool.fetch(LOAD_CHECKS, prediction_id, before, limit + 1)]
