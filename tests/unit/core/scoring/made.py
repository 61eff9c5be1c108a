"""Rows for the scoring tests: one valid row, and worlds in which we know what there is to find."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import erf, sqrt
from typing import Any

import numpy as np

from agent.core.scoring.rows import HORIZONS, HorizonQuote, Row
from sync.records import Resolution

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAYS = 30.0
HALF_SPREAD = 0.01
COST = 0.03  # two half spreads and two fees
_normal = np.vectorize(lambda x: 0.5 * (1 + erf(x / sqrt(2))))


def make_row(number: int = 0, **over: Any) -> Row:
    """A blind forecast of 60 % on a market at 50 cents, alone in its event, nothing due yet."""
    defaults: dict[str, Any] = {
        "prediction_id": f"prd-{number}",
        "market_key": f"kalshi:M-{number}",
        "event_key": f"kalshi:E-{number}",
        "experiment": "single_model",
        "version": "1",
        "model": "m",
        "category": "Politics",
        "saw_price": False,
        "predicted_at": NOON,
        "probability": 0.60,
        "initial_mid": 0.50,
        "initial_bid": 0.49,
        "initial_ask": 0.51,
        "tick_size": 0.01,
        "closes_at": NOON + timedelta(days=DAYS),
    }
    return Row(**defaults | over)


def quote(mid: float, move_exec: float | None = None) -> HorizonQuote:
    """A usable book around a mid, narrower where the price is pinned; so a fair world loses no row near its end."""
    half = min(HALF_SPREAD, mid / 4, (1 - mid) / 4)
    return HorizonQuote(mid=mid, bid=mid - half, ask=mid + half, move_exec=move_exec)


def fair_prices(n: int, hours: list[float], *, seed: int) -> np.ndarray:
    """Fair prices of n markets thirty days from their answer, at hour 0 and at each of some hours."""
    rng = np.random.Generator(np.random.PCG64(seed))
    at = np.array([0.0, *hours])
    steps = rng.normal(size=(n, at.size)) * np.sqrt(np.diff(np.concatenate([[-DAYS * 24], at])) / 24)
    return _normal(np.cumsum(steps, axis=1) / np.sqrt(DAYS - at / 24))


def fair_worlds(n: int, *, seed: int, legs: int = 1, knows: float = 0.0) -> Iterator[Row]:
    """Markets whose price is a fair one, moving without jumps for thirty days to its answer.

    Args:
        legs: markets of one event; they share most of what moves them.
        knows: how much of the coming day the forecaster knows: 0 nothing, 1 all of it.
    Its forecasts lie off the price by noise of some ten points, whatever it knows.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    hours = np.array([1, 6, 24, 72, 168, DAYS * 24 - 2, DAYS * 24.0])
    for event in range(n):
        shared = rng.normal(size=hours.size)
        for leg in range(legs):
            shocks = 0.9 * shared + sqrt(1 - 0.81) * rng.normal(size=hours.size) if legs > 1 else shared
            start = rng.normal() * sqrt(DAYS)
            steps = np.sqrt(np.diff(np.concatenate([[0], hours])) / 24) * shocks
            place = start + np.cumsum(steps)
            initial = float(_normal(start / sqrt(DAYS)))
            if not 0.05 <= initial <= 0.95:
                continue
            mids = np.clip(_normal(place[:-1] / np.sqrt(DAYS - hours[:-1] / 24)), 1e-6, 1 - 1e-6)
            gap = 0.10 * rng.normal() + knows * float(mids[2] - initial)
            prices = dict(zip(HORIZONS, mids, strict=True))
            yield make_row(
                event,
                prediction_id=f"prd-{event}-{leg}",
                market_key=f"kalshi:M-{event}-{leg}",
                probability=float(np.clip(initial + gap, 0.01, 0.99)),
                initial_mid=initial,
                initial_bid=initial - HALF_SPREAD,
                initial_ask=initial + HALF_SPREAD,
                horizons={
                    name: quote(float(mid), abs(float(mid) - initial) * np.sign((mid - initial) * gap) - COST)
                    for name, mid in prices.items()
                },
                latest_mid=float(mids[2]),
                confidence=int(rng.integers(1, 100)),
                hours_watched=168.0,
                resolution=Resolution.YES if place[-1] > 0 else Resolution.NO,
                resolution_value=float(place[-1] > 0),
                resolved_at=NOON + timedelta(days=DAYS),
            )
