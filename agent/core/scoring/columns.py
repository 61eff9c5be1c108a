"""Rows as columns of numbers, so that a measure is one line of arithmetic over thousands of predictions.

Law: inside these arrays, and nowhere else, a missing number is nan; whoever computes masks first. Strata are what a
prediction's side is shuffled within: venue, bucket of the market's price, days to its end. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from agent.core.scoring.rows import Row
from agent.core.scoring.sift import DEFAULT_TICK, has_signal, outcome
from sync.records import Horizon

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PRICE_EDGES = (0.05, 0.10, 0.20, 0.40, 0.60, 0.80, 0.90, 0.95)  # finer where a cent is a larger share of the price
DAY_EDGES = (1.0, 3.0, 7.0, 30.0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Columns:
    """One array per thing a measure asks for, in the order of `rows`."""

    rows: tuple[Row, ...]
    probability: Floats
    mid: Floats  # at the prediction
    gap: Floats  # probability minus mid
    side: Floats  # +1 above the market, -1 below, 0 where the prediction takes no side
    outcome: Floats
    confidence: Floats  # share, not percent
    tick: Floats
    days_to_close: Floats
    price_bucket: Ints
    stratum: Ints
    market: Ints  # 0 … n_markets - 1
    event_of_market: Ints  # 0 … n_events - 1

    @property
    def event(self) -> Ints:
        """The event of each row."""
        return self.event_of_market[self.market]

    def n_events(self, mask: Mask) -> int:
        """Independent events among some rows."""
        return int(np.unique(self.event[mask]).size)

    def at(self, horizon: Horizon) -> Floats:
        """The mid at a horizon."""
        return _column(self.rows, lambda r: r.horizons[horizon].mid if horizon in r.horizons else None)

    def executed_at(self, horizon: Horizon) -> Floats:
        """What one contract of the predicted side earned by a horizon, spread and fees paid."""
        return _column(self.rows, lambda r: r.horizons[horizon].move_exec if horizon in r.horizons else None)


def columns(rows: Sequence[Row]) -> Columns:
    """The columns of sifted rows."""
    probability, mid = _column(rows, lambda r: r.probability), _column(rows, lambda r: r.initial_mid)
    gap = probability - mid
    takes_side = np.array([has_signal(row) for row in rows], dtype=bool)
    days = _column(rows, _days_to_close)
    bucket = np.searchsorted(PRICE_EDGES, np.nan_to_num(mid, nan=0.5), side="right").astype(np.int64)
    market, event_of_market = _clusters(rows)
    return Columns(
        rows=tuple(rows),
        probability=probability,
        mid=mid,
        gap=gap,
        side=np.where(takes_side, np.sign(np.nan_to_num(gap)), 0.0),
        outcome=_column(rows, outcome),
        confidence=_column(rows, lambda r: None if r.confidence is None else r.confidence / 100),
        tick=_column(rows, lambda r: r.tick_size or DEFAULT_TICK),
        days_to_close=days,
        price_bucket=bucket,
        stratum=_strata(rows, bucket, days),
        market=market,
        event_of_market=event_of_market,
    )


def floats(values: Sequence[float | None]) -> Floats:
    """An array with nan where there is no number."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def day_bucket(days: Floats) -> Ints:
    """Bucket of days to a market's end; those nobody knows have one of their own."""
    known = np.searchsorted(DAY_EDGES, np.nan_to_num(days), side="left")
    return np.where(np.isnan(days), len(DAY_EDGES) + 1, known).astype(np.int64)


def _column(rows: Sequence[Row], of: Callable[[Row], float | None]) -> Floats:
    return floats([of(row) for row in rows])


def _days_to_close(row: Row) -> float | None:
    return None if row.closes_at is None else (row.closes_at - row.predicted_at) / timedelta(days=1)


def _strata(rows: Sequence[Row], bucket: Ints, days: Floats) -> Ints:
    names = [row.market_key.partition(":")[0] for row in rows]
    venue = np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)
    n_days = len(DAY_EDGES) + 2
    return (venue * (len(PRICE_EDGES) + 1) + bucket) * n_days + day_bucket(days)


def _clusters(rows: Sequence[Row]) -> tuple[Ints, Ints]:
    """Markets and events numbered as they appear; a market belongs to the event of its first row."""
    markets, events, event_of = dict[str, int](), dict[str, int](), list[int]()
    numbers = list[int]()
    for row in rows:
        number = markets.setdefault(row.market_key, len(markets))
        if number == len(event_of):
            event_of.append(events.setdefault(row.event_key, len(events)))
        numbers.append(number)
    return np.array(numbers, dtype=np.int64), np.array(event_of, dtype=np.int64)
