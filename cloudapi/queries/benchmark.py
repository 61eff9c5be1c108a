"""The benchmark as the edge worked it out: passes, marks and scores of a prediction, reports of experiments."""

from datetime import datetime
from typing import Any

import msgspec

from cloudapi.db import Pool, from_row
from sync.records import BenchmarkPass, BenchmarkReport, Mark, Score

LOAD_PASSES = """
select pass_id, checked_at, status, n_active, n_paused, n_completed, n_checks, n_converging, n_diverging, n_stable,
       n_overshot, n_stale, n_settled, n_marks, n_scores, n_excluded, mean_rate, max_rate, convergence_percentage
from benchmark_pass
where ($1::timestamptz is null or (checked_at, pass_id) < ($1, $2)) and ($4::timestamptz is null or checked_at < $4)
order by checked_at desc, pass_id desc limit $3
"""

LOAD_MARKS = """
select prediction_id, market_key, horizon, due_at, marked_at, missing, seen_at, bid, ask, mid, signal, signed_move,
       signed_move_exec
from prediction_mark join market using (market_id)
where prediction_id = $1 order by due_at, horizon
"""

LOAD_SCORE = """
select prediction_id, market_key, scored_at, s.resolution, s.resolution_value, excluded, brier_score, log_score,
       market_brier_score, day_before_brier_score
from prediction_score as s join market using (market_id)
where prediction_id = $1
"""

_REPORT = "report_id, scope, made_at, body"

LOAD_REPORT = f"""
select {_REPORT} from benchmark_report where scope = $1 and ($2::timestamptz is null or made_at < $2)
order by made_at desc, report_id desc limit 1
"""

# One newest report per scope, by walking the index from scope to scope.
LOAD_SCOPES = f"""
with recursive scopes as (
    (select scope from benchmark_report where scope >= $1 order by scope limit 1)
    union all
    select (select r.scope from benchmark_report as r where r.scope > s.scope order by r.scope limit 1)
    from scopes as s where s.scope is not null
)
select newest.* from scopes as s cross join lateral (
    select {_REPORT} from benchmark_report where scope = s.scope and ($2::timestamptz is null or made_at < $2)
    order by made_at desc, report_id desc limit 1
) as newest
where starts_with(s.scope, $1)
order by newest.scope
"""

EXPERIMENT = "experiment:"


async def load_passes(
    pool: Pool, *, before: tuple[datetime, str] | None, until: datetime | None, limit: int
) -> list[BenchmarkPass]:
    """A page, newest first, one row longer than `limit` if there are more."""
    moment, pass_id = before or (None, None)
    rows = await pool.fetch(LOAD_PASSES, moment, pass_id, limit + 1, until)
    return [from_row(row, BenchmarkPass) for row in rows]


async def load_marks(pool: Pool, prediction_id: str) -> list[Mark]:
    """The market at each horizon of a prediction, in the order they were due."""
    return [from_row(row, Mark) for row in await pool.fetch(LOAD_MARKS, prediction_id)]


async def load_score(pool: Pool, prediction_id: str) -> Score | None:
    """What the market's answer made of a prediction."""
    row = await pool.fetchrow(LOAD_SCORE, prediction_id)
    return None if row is None else from_row(row, Score)


async def load_report(pool: Pool, scope: str, *, until: datetime | None) -> BenchmarkReport | None:
    """The newest report of a scope made before `until`."""
    row = await pool.fetchrow(LOAD_REPORT, scope, until)
    return None if row is None else _report(dict(row))


async def load_experiments(pool: Pool, *, until: datetime | None) -> list[BenchmarkReport]:
    """The newest report of each experiment made before `until`, by name."""
    return [_report(dict(row)) for row in await pool.fetch(LOAD_SCOPES, EXPERIMENT, until)]


def _report(values: dict[str, Any]) -> BenchmarkReport:
    """The driver hands jsonb over as text."""
    return msgspec.convert(values | {"body": msgspec.json.decode(values["body"])}, BenchmarkReport)
