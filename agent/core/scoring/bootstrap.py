"""Intervals by resampling events: what happened in one event, over many hours, models and legs, is one observation.

Law: events are drawn with replacement, then the markets within each drawn event; all predictions of a market come
along. Every statistic is a function of sums over rows, so one set of draws serves all of them: a draw is a vector of
market weights, and a thousand statistics are one matrix product. Draws come in chunks of fixed size, so memory does
not grow with their number; the seed is an argument, so the same rows give the same intervals. Pure.
Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.scoring.columns import Columns, Floats, Ints, Mask

N_DRAWS = 2_000
SEED = 5
_FLAT = 1e-12  # a spread this small is dust: nothing to correlate with
_CELLS = 400_000  # markets x draws held at once: some 20 MB with everything that is derived from them


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """Something that is a function of sums over rows."""

    terms: Floats  # shape (n_rows, n_terms); 0 outside `rows`
    rows: Mask  # which rows it speaks of
    of: Callable[[Floats], Floats]  # (…, n_terms) -> (…)


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """Something that needs every row's weight: medians, shares over time."""

    order: Ints  # the rows it speaks of, in the order it wants their weights
    of: Callable[[Floats], Floats]  # (draws, rows in that order) -> (draws,)

    @property
    def n(self) -> int:
        """How many rows it speaks of."""
        return int(self.order.size)


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A statistic's value and its draws."""

    value: float | None
    draws: Floats  # nan where a draw had nothing to divide by
    n: int
    events: int

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The middle `level` of the draws; None with fewer than two events."""
        drawn = self.draws[np.isfinite(self.draws)]
        if self.events < 2 or drawn.size == 0:
            return None
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def p(self, null: float) -> float | None:
        """Two-sided share of draws on the other side of the null; never 0, for the draws are finite."""
        drawn = self.draws[np.isfinite(self.draws)]
        if self.events < 2 or drawn.size == 0:
            return None
        below, above = int((drawn <= null).sum()), int((drawn >= null).sum())
        return min(1.0, 2 * (min(below, above) + 1) / (drawn.size + 1))


class Draws:
    """Market weights, draw by draw."""

    def __init__(self, event_of_market: Ints, *, width: int, n_draws: int = N_DRAWS, seed: int = SEED) -> None:
        """Group the markets by event; `width` is how many numbers a draw becomes in the caller's hands."""
        self._n_draws, self._seed = n_draws, seed
        self._per_chunk = max(1, _CELLS // max(1, width, event_of_market.size))
        self._order = np.argsort(event_of_market, kind="stable")
        self._sizes = np.bincount(event_of_market) if event_of_market.size else np.zeros(0, dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._n_markets = event_of_market.size

    def __iter__(self) -> Iterator[Floats]:
        """Chunks of shape (draws, markets): how often each market was drawn."""
        rng = np.random.Generator(np.random.PCG64(self._seed))
        for done in range(0, self._n_draws, self._per_chunk):
            yield self._chunk(rng, min(self._per_chunk, self._n_draws - done))

    def _chunk(self, rng: np.random.Generator, n: int) -> Floats:
        n_events = self._sizes.size
        events = rng.integers(0, n_events, size=n * n_events)
        sizes = self._sizes[events]
        if self._n_markets == n_events:
            places = events
        else:
            slot_size = np.repeat(sizes, sizes)
            within = (rng.random(slot_size.size) * slot_size).astype(np.int64)
            places = np.repeat(self._starts[events], sizes) + within
        draw = np.repeat(np.repeat(np.arange(n), n_events), sizes)
        counts = np.bincount(draw * self._n_markets + self._order[places], minlength=n * self._n_markets)
        return counts.reshape(n, self._n_markets).astype(np.float64)


def estimates(table: Columns, statistics: Sequence[Statistic | Weighted], *, n_draws: int = N_DRAWS) -> list[Estimate]:
    """Value and draws of every statistic, from one set of draws."""
    if not statistics or not table.rows:
        return [Estimate(None, np.empty(0), 0, 0) for _ in statistics]
    linear = [statistic for statistic in statistics if isinstance(statistic, Statistic)]
    weighted = [statistic for statistic in statistics if isinstance(statistic, Weighted) and statistic.n]
    sums, places = _by_market(table, linear)
    drawn_sums, drawn_values = list[Floats](), list[list[Floats]]()
    for weights in Draws(table.event_of_market, width=len(table.rows), n_draws=n_draws):
        drawn_sums.append(weights @ sums)
        drawn_values.append([one.of(weights[:, table.market[one.order]]) for one in weighted])
    drawn, whole = np.vstack(drawn_sums), sums.sum(axis=0)
    found = dict[int, Estimate]()
    for sum_like, own in zip(linear, places, strict=True):
        value, draws = sum_like.of(whole[own]), sum_like.of(drawn[:, own])
        found[id(sum_like)] = _estimate(table, sum_like.rows, value, draws)
    for position, one in enumerate(weighted):
        value = one.of(np.ones((1, one.n)))[0]
        draws = np.concatenate([values[position] for values in drawn_values])
        found[id(one)] = _estimate(table, np.isin(np.arange(len(table.rows)), one.order), value, draws)
    nothing = Estimate(None, np.empty(0), 0, 0)
    return [found.get(id(statistic), nothing) for statistic in statistics]


def _estimate(table: Columns, rows: Mask, value: Floats, draws: Floats) -> Estimate:
    n, number = int(rows.sum()), float(value)
    return Estimate(number if n and np.isfinite(number) else None, draws, n, table.n_events(rows))


def ratio(numerator: Floats, denominator: Floats, rows: Mask) -> Statistic:
    """Sum over sum, on some rows: means, shares, slopes and skills are all of this kind."""
    return Statistic(_masked(rows, numerator, denominator), rows, _ratio_of)


def mean(values: Floats, rows: Mask) -> Statistic:
    """The mean of some rows."""
    return ratio(values, np.ones_like(values), rows)


def correlation(x: Floats, y: Floats, rows: Mask) -> Statistic:
    """Pearson's correlation on some rows; of ranks it is Spearman's, the ranks those of all rows in every draw."""
    x, y = _standard(x, rows), _standard(y, rows)
    return Statistic(_masked(rows, np.ones_like(x), x, y, x * x, y * y, x * y), rows, _correlation_of)


def _standard(values: Floats, rows: Mask) -> Floats:
    """Centred and scaled, all 0 where nothing varies: sums of squares of raw ranks would drown a small spread."""
    if not rows.any():
        return np.zeros_like(values)
    centred = values - values[rows].mean()
    scale = float(centred[rows].std())
    return centred / scale if scale > _FLAT else np.zeros_like(values)


def _masked(rows: Mask, *terms: Floats) -> Floats:
    return np.where(rows[:, None], np.column_stack(terms), 0.0)


def _by_market(table: Columns, statistics: Sequence[Statistic]) -> tuple[Floats, list[list[int]]]:
    """Every term summed over each market, and where each statistic's own terms stand.

    Equal terms stand once: half of all of them are the same few counts of rows, and each costs its share of the
    matrix product.
    """
    n, held, places = table.event_of_market.size, dict[bytes, int](), list[list[int]]()
    sums = list[Floats]()
    for statistic in statistics:
        own = list[int]()
        for term in statistic.terms.T:
            summed = np.asarray(np.bincount(table.market, weights=term, minlength=n), dtype=np.float64)
            place = held.setdefault(summed.tobytes(), len(sums))
            if place == len(sums):
                sums.append(summed)
            own.append(place)
        places.append(own)
    return np.column_stack(sums) if sums else np.empty((n, 0)), places


def _ratio_of(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / np.where(sums[..., 1] == 0, np.nan, sums[..., 1]))


def _correlation_of(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, xx, yy, xy = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
        spread = np.maximum(xx - x * x, 0) * np.maximum(yy - y * y, 0)
        return np.asarray((xy - x * y) / np.sqrt(np.where(spread <= _FLAT, np.nan, spread)))
