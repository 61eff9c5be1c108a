"""What the market did after a prediction: signed and executable moves, closure, direction, and the descriptive words.

Law: a move counts only from a usable price to a usable price, for predictions that took a side. The honest measures
have a no-skill value known beforehand (0, or the permutation's); the descriptive ones are biased under a fair price,
so they are never shown without what shuffled sides would have given. Pure. facts: scoring.md 5.3.
"""

from dataclasses import dataclass

import numpy as np

from agent.core.movement import MIN_GAP_FOR_PERCENTAGE, NOISE, PERCENTAGE_BOUND
from agent.core.scoring.bootstrap import Statistic, Weighted, mean, ratio
from agent.core.scoring.chance import expected_hits, mixed, share_above
from agent.core.scoring.columns import Columns, Floats, Mask
from sync.records import Horizon

_DUST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """One horizon's statistics, and what they left out."""

    signed_move: Statistic
    signed_move_exec: Statistic
    closure_slope: Statistic
    gap_closed: Statistic
    direction_hit: Statistic
    lift: Statistic
    converging: Statistic
    convergence: Statistic
    expected_hit: float | None  # no-skill values, on the same rows
    expected_converging: float | None
    expected_convergence: float | None
    mean_cost: float | None  # of the executable move: two half spreads and two fees
    n_ties: int
    n_unknown_cost: int


def moves(table: Columns, horizon: Horizon) -> Moves:
    """Everything measured at one horizon."""
    mid, executed = table.at(horizon), table.executed_at(horizon)
    rows = (table.side != 0) & np.isfinite(mid)
    change = np.where(rows, mid - table.mid, 0.0)
    signed, gap = table.side * change, np.where(rows, table.gap, 0.0)
    priced = rows & np.isfinite(executed)
    decided = rows & (np.abs(signed) > table.tick / 2 + _DUST)
    hits = (signed > 0).astype(np.float64)
    expected = expected_hits(table, change > 0, decided)
    kept, turned = _closed(gap, change, +1), _closed(gap, change, -1)
    step = np.maximum(NOISE, table.tick) - _DUST
    words = (kept >= step).astype(np.float64), (turned >= step).astype(np.float64)
    return Moves(
        signed_move=mean(signed, rows),
        signed_move_exec=mean(executed, priced),
        closure_slope=ratio(gap * change, gap * gap, rows),
        gap_closed=ratio(signed, np.abs(gap), rows),
        direction_hit=mean(hits, decided),
        lift=mean(hits - expected, decided),
        converging=mean(words[0], rows),
        convergence=mean(kept, rows),
        expected_hit=_mean(expected, decided),
        expected_converging=_mean(mixed(table, rows, *words), rows),
        expected_convergence=_mean(mixed(table, rows, kept, turned), rows),
        mean_cost=_mean(signed - executed, priced),
        n_ties=int((rows & ~decided).sum()),
        n_unknown_cost=int((rows & ~priced).sum()),
    )


def latest_percentages(table: Columns) -> tuple[Mask, Floats, Floats]:
    """Share of each gap that has closed by the last usable mid, in percent: as predicted, and with the side turned.

    Returns: which rows have one (gaps of 5 points and more), both values bounded to +-200.
    """
    latest = np.array([np.nan if row.latest_mid is None else row.latest_mid for row in table.rows])
    rows = (table.side != 0) & np.isfinite(latest) & (np.abs(table.gap) >= MIN_GAP_FOR_PERCENTAGE - _DUST)
    gap, change = np.where(rows, table.gap, 1.0), np.where(rows, latest - table.mid, 0.0)
    kept, turned = (
        np.clip(100 * _closed(gap, change, way) / np.abs(gap), -PERCENTAGE_BOUND, PERCENTAGE_BOUND) for way in (1, -1)
    )
    return rows, kept, turned


def median_of(values: Floats, rows: Mask) -> Weighted:
    """The median of some rows."""
    chosen = np.flatnonzero(rows)
    order = chosen[np.argsort(values[chosen], kind="stable")]
    return Weighted(order, lambda weights: weighted_median(values[order], weights))


def weighted_median(ascending: Floats, weights: Floats) -> Floats:
    """The middle of values in ascending order, one for each row of weights; halfway between two where they balance."""
    running = np.cumsum(weights, axis=1)
    half = running[:, -1:] / 2
    last = ascending.size - 1
    low = np.minimum((running < half - _DUST).sum(axis=1), last)
    high = np.minimum((running <= half + _DUST).sum(axis=1), last)
    middle = (ascending[low] + ascending[high]) / 2
    return np.where(running[:, -1] > 0, middle, np.nan)


def expected_median(table: Columns, rows: Mask, kept: Floats, turned: Floats) -> float | None:
    """The median once sides are shuffled: of the mixture in which each row has both values with their chances."""
    if not rows.any():
        return None
    above = share_above(table, rows)[rows]
    keeps = np.where(table.side[rows] > 0, above, 1 - above)
    values, weights = np.concatenate([kept[rows], turned[rows]]), np.concatenate([keeps, 1 - keeps])
    order = np.argsort(values, kind="stable")
    return float(weighted_median(values[order], weights[None, order])[0])


def _closed(gap: Floats, change: Floats, way: int) -> Floats:
    """How much smaller the gap has become, predicted as it was (+1) or on the market's other side (-1)."""
    return np.asarray(np.abs(gap) - np.abs(change - way * gap))


def _mean(values: Floats, rows: Mask) -> float | None:
    return float(values[rows].mean()) if rows.any() else None
