"""What no skill at all would give on these very rows: the value every measure is read against.

Law: nulls are exact expectations, not guesses and not one half. A side is shuffled only among predictions of like
markets (venue, price bucket, days to the end), because a fair price at 5 cents goes up far less often than down.
Pure.
"""

import numpy as np

from agent.core.scoring.columns import Columns, Floats, Ints, Mask


def share_above(table: Columns, counted: Mask) -> Floats:
    """For each counted row: how many of its stratum lie above the market, so how likely a shuffled side is +1.

    Returns: nan outside `counted`.
    """
    return _share_in_stratum(table.stratum, table.side > 0, counted)


def expected_hits(table: Columns, up: Mask, counted: Mask) -> Floats:
    """Chance of each row to be a hit once the sides of its stratum are shuffled: the permutation's exact mean.

    Shuffling all sides of a stratum gives each of its rows every side with its share there; so the mean over all
    permutations needs no draws. A row alone in its stratum can only keep its side and contributes no lift.
    """
    above = share_above(table, counted)
    return np.where(up, above, 1 - above)


def side_rates(table: Columns, up: Mask, counted: Mask) -> Floats:
    """How often the market moved to the side a row took, over all counted rows of its stratum.

    What a forecaster knows who knows only how such markets move: the baseline for a stated confidence.
    """
    rate = _share_in_stratum(table.stratum, up, counted)
    return np.where(table.side > 0, rate, 1 - rate)


def expected_at_settlement(table: Columns) -> Floats:
    """Chance, at a fair price, that the answer lies on the predicted side: the price of that side."""
    return np.where(table.side > 0, table.mid, 1 - table.mid)


def fair_reach(table: Columns) -> Floats:
    """The most often a fair price, moving without jumps until it settles at 0 or 1, reaches each prediction.

    Source: optional stopping; from m up to p with chance m / p, down to it with (1 - m) / (1 - p).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        up = table.mid / table.probability
        down = (1 - table.mid) / (1 - table.probability)
    return np.minimum(np.where(table.side > 0, up, down), 1.0)


def mixed(table: Columns, counted: Mask, as_predicted: Floats, mirrored: Floats) -> Floats:
    """Expectation of a value once sides are shuffled, from what a row gives with its side and with the other one."""
    above = share_above(table, counted)
    keeps = np.where(table.side > 0, above, 1 - above)
    return keeps * as_predicted + (1 - keeps) * mirrored


def _share_in_stratum(stratum: Ints, chosen: Mask, counted: Mask) -> Floats:
    share = np.full(stratum.size, np.nan)
    if counted.any():
        _, own = np.unique(stratum[counted], return_inverse=True)
        n_chosen = np.bincount(own, weights=chosen[counted].astype(np.float64))
        share[counted] = (n_chosen / np.bincount(own))[own]
    return share
