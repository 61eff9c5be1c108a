"""Whether things said with 70 % happen seven times in ten, and how far off a perfect forecaster would look by luck.

Law: bins hold equally many forecasts, at least MIN_PER_BIN of them, and there are none below MIN_FORECASTS. An error
is never shown without what outcomes drawn from the stated probabilities give, for it is never 0: a perfect forecaster
shows 0.14 with 50 forecasts. All forecasts of one market share one drawn outcome. Pure.
Source: Broecker and Smith, 2007 (consistency bars); Roelofs et al., 2021 (bias, equal mass).
"""

from collections.abc import Iterator

import numpy as np

from agent.core.scoring.bootstrap import SEED
from agent.core.scoring.columns import Floats, Ints
from agent.core.scoring.measures import MIN_EVENTS
from agent.core.scoring.shapes import Calibration, CalibrationBin
from sync.records import Evidence

MIN_FORECASTS = 100
MIN_PER_BIN = 20
MAX_BINS = 10
N_SIMULATIONS = 1_000
_CELLS = 1_000_000


def calibration(said: Floats, happened: Floats, market: Ints, *, events: int, seed: int = SEED) -> Calibration:
    """The table of some forecasts with known outcomes.

    Args:
        said, happened: shape (n,), probability and 0 or 1.
        market: whose outcome it was; forecasts of one market are right or wrong together.
        events: how many independent ones there are.
    """
    n = said.size
    if n < MIN_FORECASTS or events < MIN_EVENTS:
        return Calibration(state=Evidence.TOO_EARLY if n else Evidence.NOT_MEASURED, n=n, events=events)
    order = np.argsort(said, kind="stable")
    said, happened, market = said[order], happened[order], market[order]
    sizes = bin_sizes(n)
    starts = np.cumsum(sizes) - sizes
    predicted, observed = (np.add.reduceat(values, starts) / sizes for values in (said, happened))
    drawn = np.vstack(list(_drawn_shares(said, market, starts, sizes, seed)))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    errors = (np.abs(drawn - predicted) * sizes).sum(axis=1) / n
    error = float((np.abs(observed - predicted) * sizes).sum() / n)
    band_high = float(np.quantile(errors, 0.95))
    return Calibration(
        state=Evidence.WORSE if error > band_high else Evidence.NO_EVIDENCE,
        n=n,
        events=events,
        bins=tuple(
            CalibrationBin(predicted=float(p), observed=float(o), low=float(a), high=float(b), n=int(size))
            for p, o, a, b, size in zip(predicted, observed, low, high, sizes, strict=True)
        ),
        error=error,
        expected_error=float(errors.mean()),
        error_band_high=band_high,
    )


def bin_sizes(n: int) -> Ints:
    """Sizes of bins of equal mass: they differ by one at most."""
    n_bins = max(1, min(MAX_BINS, n // MIN_PER_BIN))
    whole, rest = divmod(n, n_bins)
    return np.array([whole + (number < rest) for number in range(n_bins)], dtype=np.int64)


def _drawn_shares(said: Floats, market: Ints, starts: Ints, sizes: Ints, seed: int) -> Iterator[Floats]:
    """Shares per bin, were the stated probabilities true: (simulations, bins), in chunks of fixed memory."""
    rng = np.random.Generator(np.random.PCG64(seed))
    numbers, own = np.unique(market, return_inverse=True)
    per_chunk = max(1, _CELLS // said.size)
    for done in range(0, N_SIMULATIONS, per_chunk):
        luck = rng.random((min(per_chunk, N_SIMULATIONS - done), numbers.size))
        happened = (luck[:, own] < said).astype(np.float64)
        yield np.add.reduceat(happened, starts, axis=1) / sizes
