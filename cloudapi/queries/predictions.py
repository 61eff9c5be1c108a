"""Predictions and the checks of the benchmark against them."""

from datetime import datetime

import msgspec

from cloudapi.db import Pool, from_row
from cloudapi.queries.prices import SCALE
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

MAX_POINTS = 5000

LOAD_PATH = f"""
with points as (
    select checked_at, predicted_probability, yes_price, abs_delta, cumulative_convergence
    from prediction_check where prediction_id = $1 order by checked_at desc limit {MAX_POINTS}
)
select
    coalesce(array_agg(extract(epoch from checked_at)::bigint order by checked_at), '{{}}') as t,
    coalesce(array_agg(round(predicted_probability * {SCALE})::integer order by checked_at), '{{}}') as model,
    coalesce(array_agg(round(yes_price * {SCALE})::integer order by checked_at), '{{}}') as market,
    coalesce(array_agg(round(abs_delta * {SCALE})::integer order by checked_at), '{{}}') as abs_delta,
    coalesce(array_agg(round(cumulative_convergence * {SCALE})::integer order by checked_at), '{{}}')
        as cumulative_convergence
from points
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
    category: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class PredictionPath(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast beside its market at every check, oldest first, as columns; numbers are integers in 1/scale."""

    prediction_id: str
    scale: int = SCALE
    t: list[int]  # epoch seconds
    model: list[int]
    market: list[int | None]
    abs_delta: list[int | None]
    cumulative_convergence: list[int | None]


async def load_path(pool: Pool, prediction_id: str) -> PredictionPath:
    """The newest 5,000 checks of a prediction as columns."""
    row = await pool.fetchrow(LOAD_PATH, prediction_id)
    return msgspec.convert({"prediction_id": prediction_id, **dict(row or {})}, PredictionPath)


async def load_prediction(pool: Pool, prediction_id: str) -> Prediction | None:
    """One prediction as it was registered."""
    row = await pool.fetchrow(LOAD_PREDICTION, prediction_id)
    return None if row is None else from_row(row, Prediction)


async def load_predictions(
    pool: Pool, filters: PredictionFilters, *, before: tuple[datetime, str] | None, limit: int
) -> list[Prediction]:
    """A page, newest first, one row longer than `limit` if there are more."""
    wanted = (
        ("market_key = {}", filters.market),
        ("experiment = {}", filters.experiment),
        ("lower(category) = lower({})", filters.category),
        ("predicted_at >= {}", filters.since),
        ("predicted_at < {}", filters.until),
    )
    given = [(condition, value) for condition, value in wanted if value is not None]
    conditions = ["true", *(condition.format(f"${number}") for number, (condition, _) in enumerate(given, start=1))]
    arguments: list[object] = [value for _, value in given]
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
