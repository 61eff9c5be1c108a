"""Bootstrap and reports: 10,000 predictions x 2,000 draws in under five seconds, linear, and flat in memory.

The baseline is the bootstrap as it is written down: events drawn with `random`, the markets within them, sums in a
loop. It does a hundredth of the draws and is scaled; both give the same interval to within what draws scatter.
"""

import random
import time
import tracemalloc
from collections import defaultdict
from datetime import timedelta
from statistics import fmean

import numpy as np

from agent.core.scoring.bootstrap import estimates, mean
from agent.core.scoring.columns import Columns, columns
from agent.core.scoring.report import experiment_report
from agent.core.scoring.rows import HORIZONS, Row
from tests.unit.core.scoring.made import NOON, make_row, quote

N, DRAWS = 10_000, 2_000
LEGS = 4  # markets of an event
PLAIN_DRAWS = 20


def _rows(n: int) -> list[Row]:
    """Predictions with every horizon due and half of their markets resolved."""
    rng = random.Random(7)
    rows = []
    for number in range(n):
        start, gap = rng.uniform(0.1, 0.9), rng.gauss(0, 0.1)
        mids = [min(0.99, max(0.01, start + rng.gauss(0, 0.05))) for _ in HORIZONS]
        rows.append(
            make_row(
                number,
                event_key=f"kalshi:E-{number // LEGS}",
                probability=min(0.99, max(0.01, start + gap)),
                initial_mid=start,
                initial_bid=start - 0.01,
                initial_ask=start + 0.01,
                confidence=rng.randint(1, 99),
                closes_at=NOON + timedelta(days=rng.uniform(1, 60)),
                horizons={name: quote(mid, mid - start - 0.03) for name, mid in zip(HORIZONS, mids, strict=True)},
                latest_mid=mids[-1],
                hours_watched=rng.uniform(1, 400),
                resolution_value=None if number % 2 else float(rng.random() < start),
            )
        )
    return rows


def _plain(table: Columns, values: np.ndarray, draws: int) -> list[float]:
    """The bootstrap in plain Python."""
    rng = random.Random(1)
    events = defaultdict[int, dict[int, list[float]]](lambda: defaultdict(list))
    for market, event, value in zip(table.market, table.event, values, strict=True):
        events[int(event)][int(market)].append(float(value))
    pool, means = [list(markets.values()) for markets in events.values()], []
    for _ in range(draws):
        total, n = 0.0, 0
        for _ in pool:
            markets = pool[rng.randrange(len(pool))]
            for _ in markets:
                chosen = markets[rng.randrange(len(markets))]
                total, n = total + sum(chosen), n + len(chosen)
        means.append(total / n)
    return means


def _timed(table: Columns, values: np.ndarray) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    (found,) = estimates(table, [mean(values, np.ones(len(table.rows), dtype=bool))], n_draws=DRAWS)
    return time.perf_counter() - started, found.draws


def _peak_mb(rows: list[Row], draws: int) -> float:
    tracemalloc.start()
    experiment_report(rows, "single_model", now=NOON, n_draws=draws)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return round(peak, 1)


async def measure() -> dict[str, object]:
    """Figures for `make bench`."""
    rows = _rows(N)
    table = columns(rows)
    values = np.nan_to_num(table.at(HORIZONS[2]) - table.mid) * table.side
    _timed(table, values)
    ours_s, draws = min((_timed(table, values) for _ in range(3)), key=lambda one: one[0])
    small = columns(rows[: N // 10])
    small_s = min(_timed(small, values[: N // 10])[0] for _ in range(3))
    started = time.perf_counter()
    plain = _plain(table, values, PLAIN_DRAWS)
    plain_s = (time.perf_counter() - started) * DRAWS / PLAIN_DRAWS
    started = time.perf_counter()
    experiment_report(rows, "single_model", now=NOON, n_draws=DRAWS)
    report_s = time.perf_counter() - started
    return {
        "predictions": N,
        "draws": DRAWS,
        "bootstrap_s": round(ours_s, 2),
        "bootstrap_limit_s": 5,
        "plain_python_s": round(plain_s, 1),
        "times_faster": round(plain_s / ours_s, 1),
        "exponent": round(float(np.log10(ours_s / small_s)), 2),
        "standard_error": [round(float(draws.std()), 6), round(float(np.std(plain)), 6)],
        "difference_of_means": round(abs(float(draws.mean()) - fmean(plain)), 6),
        "whole_report_s": round(report_s, 2),
        "report_peak_mb_by_draws": {str(n): _peak_mb(rows, n) for n in (200, DRAWS)},
    }
