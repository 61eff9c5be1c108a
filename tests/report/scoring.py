"""`make scoring-report`: what each measure of the benchmark says of forecasters without skill, and of one with some.

Made worlds (tests/unit/core/scoring/made.py): fair prices of thirty-day markets, forecasts some ten points beside them.
The figures of docs/scoring.md come from here; the same on every run.
"""

import sys

import numpy as np

from agent.core.scoring.report import experiment_report
from agent.core.scoring.shapes import ArmReport
from sync.records import Evidence, Horizon
from tests.unit.core.scoring.made import NOON, fair_prices, fair_worlds, make_row, quote

N = 6_000
GAPS = ((0.50, 0.52, 24), (0.50, 0.65, 24), (0.20, 0.25, 168), (0.50, 0.505, 24))


def main() -> int:
    """Print the tables."""
    arm = _arm(list(fair_worlds(N, seed=1)))
    print(f"A forecaster without skill, {arm.n} predictions of {arm.events} events\n")
    print("| horizon | signed move, points | slope | lift | CONVERGING | convergence, points | shuffled |")
    print("|---|---|---|---|---|---|---|")
    for one in arm.horizons:
        print(
            f"| {one.horizon} | {_points(one.signed_move)} | {_plain(one.closure_slope)} | {_plain(one.lift)} |"
            f" {one.converging.value:.0%} | {_points(one.convergence)} |"
            f" {one.converging.null:.0%}, {100 * one.convergence.null:+.1f} |"
        )
    print("\nOne prediction on a fair price\n")
    for price, probability, hours in GAPS:
        print(_one_gap(price, probability, hours))
    print("\nPower: the share of samples in which a mean move of so many points is found (scatter 6 points)\n")
    for points in (0.5, 1.0, 2.0):
        print(f"{points} points: " + ", ".join(f"{n} events {_power(points, n):.0%}" for n in (100, 300, 1_000)))
    return 0


def _arm(rows: list) -> ArmReport:
    return experiment_report(rows, "single_model", now=NOON).arms[0]


def _points(measure) -> str:
    return f"{100 * measure.value:+.2f} ({100 * measure.low:+.2f} to {100 * measure.high:+.2f})"


def _plain(measure) -> str:
    return f"{measure.value:+.3f} ({measure.low:+.3f} to {measure.high:+.3f})"


def _one_gap(price: float, probability: float, hours: int) -> str:
    """Among simulated markets, those whose price starts within a point of the wanted one, moved onto it."""
    start, later = fair_prices(400_000, [hours], seed=3).T
    near = np.abs(start - price) < 0.01
    moved = later[near] - start[near]
    closed = abs(probability - price) - np.abs(probability - (price + moved))
    return (
        f"| {price:.2f} | {probability:.3f} | {hours} h | {(closed >= 0.005).mean():.0%} |"
        f" {(closed <= -0.005).mean():.0%} | {100 * closed.mean():+.1f} |"
        f" {np.median(100 * closed / abs(probability - price)):+.0f} % | {100 * moved.mean():+.2f} |"
    )


def _power(points: float, n: int, samples: int = 60) -> float:
    found = 0
    for seed in range(samples):
        moves = points / 100 + 0.06 * np.random.Generator(np.random.PCG64(seed)).normal(size=n)
        rows = [
            make_row(i, horizons={Horizon.H24: quote(float(np.clip(0.5 + m, 0.01, 0.99)))}) for i, m in enumerate(moves)
        ]
        arm = experiment_report(rows, "single_model", now=NOON, n_draws=200).arms[0]
        day = next(one for one in arm.horizons if one.horizon is Horizon.H24)
        found += day.signed_move.state is Evidence.BETTER
    return found / samples


if __name__ == "__main__":
    sys.exit(main())
