"""Whether confidence goes with being right: rank correlations, plain and with the confounders taken out.

Law: ranks share ties; a partial correlation first takes out what the gap's size, the market's price and the days to
its end explain, because quiet long-dated markets make any confidence look earned. Pure.
"""

import numpy as np

from agent.core.scoring.bootstrap import Statistic, correlation
from agent.core.scoring.columns import Columns, Floats, Mask


def spearman(x: Floats, y: Floats, rows: Mask) -> Statistic:
    """Correlation of ranks."""
    return correlation(_placed(ranks(x[rows]), rows), _placed(ranks(y[rows]), rows), rows)


def partial_spearman(table: Columns, x: Floats, y: Floats, rows: Mask) -> Statistic:
    """Correlation of ranks after gap size, price bucket and days to close have explained what they can of both."""
    known = _confounders(table, rows)
    left_x, left_y = (_unexplained(ranks(values[rows]), known) for values in (x, y))
    return correlation(_placed(left_x, rows), _placed(left_y, rows), rows)


def ranks(values: Floats) -> Floats:
    """Places from 1 upward, equal values sharing the mean of theirs."""
    if not values.size:
        return values
    _, own, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[own], dtype=np.float64)


def _confounders(table: Columns, rows: Mask) -> Floats:
    days = table.days_to_close[rows]
    unknown = np.isnan(days)
    buckets = table.price_bucket[rows]
    levels = np.unique(buckets)
    dummies = (buckets[:, None] == levels[None, :]).astype(np.float64)
    day_ranks = ranks(np.where(unknown, -1.0, days))
    return np.column_stack([ranks(np.abs(table.gap[rows])), day_ranks, unknown, dummies])


def _unexplained(values: Floats, known: Floats) -> Floats:
    if not values.size:
        return values
    left = values - known @ np.linalg.lstsq(known, values, rcond=None)[0]
    left[np.abs(left) < 1e-9] = 0.0  # what is explained whole leaves dust that would correlate with anything
    return np.asarray(left)


def _placed(values: Floats, rows: Mask) -> Floats:
    full = np.zeros(rows.size)
    full[rows] = values
    return full
