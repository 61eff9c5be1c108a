"""How long a price takes to reach a prediction, counting those that have not yet: a row nobody can watch any longer
tells only that it took longer.

Law: watching ends without arrival for most predictions, so shares are Kaplan and Meier's, never "of those that
arrived". A fair price reaches a prediction often by mere wandering; the most it can is shown beside. Pure.
Source: Kaplan and Meier, 1958.
"""

import numpy as np

from agent.core.scoring.bootstrap import Weighted
from agent.core.scoring.columns import Columns, Floats, Ints, Mask, floats

_DUST = 1e-12


def watched(table: Columns) -> tuple[Mask, Floats, Mask]:
    """Rows that were watched for a time, for how many hours, and whether the price arrived."""
    arrived_h = floats([row.hours_to_convergence for row in table.rows])
    watched_h = floats([row.hours_watched for row in table.rows])
    hours = np.where(np.isfinite(arrived_h), arrived_h, watched_h)
    rows = (table.side != 0) & np.isfinite(hours) & (hours > 0)
    return rows, hours, np.isfinite(arrived_h)


def share_arrived(hours: Floats, arrived: Mask, rows: Mask, *, within_h: float) -> Weighted:
    """The share of prices that reached the prediction within some hours of it."""
    order = _in_order(hours, arrived, rows)
    counted = np.flatnonzero(arrived[order] & (hours[order] <= within_h))

    def of(weights: Floats) -> Floats:
        return np.asarray(1 - _staying(weights, counted).prod(axis=1))

    return Weighted(order, of)


def median_hours(hours: Floats, arrived: Mask, rows: Mask) -> float | None:
    """When half of the prices had arrived; None where they never have."""
    order = _in_order(hours, arrived, rows)
    counted = np.flatnonzero(arrived[order])
    staying = np.cumprod(_staying(np.ones((1, order.size)), counted)[0])
    below = np.flatnonzero(staying <= 0.5 + _DUST)
    return float(hours[order][counted[below[0]]]) if below.size else None


def _in_order(hours: Floats, arrived: Mask, rows: Mask) -> Ints:
    """Rows by time; at the same hour arrivals come before those whose watch ended then, who were still at risk."""
    chosen = np.flatnonzero(rows)
    return np.asarray(chosen[np.lexsort((~arrived[chosen], hours[chosen]))], dtype=np.int64)


def _staying(weights: Floats, counted: Ints) -> Floats:
    """Of those still watched when each counted row arrives: the share that does not arrive with it."""
    running = np.cumsum(weights, axis=1)
    at_risk = running[:, -1:] - running[:, counted] + weights[:, counted]
    return np.asarray(1 - weights[:, counted] / np.maximum(at_risk, _DUST))
