"""Forecasters without skill, computed beside every experiment on its own rows: what must be beaten.

The market itself scores exactly zero skill. A coin moves it five points at random. The fader knows one thing,
that longshots are overpriced; who does not beat it has learned nothing else. The status quo knows no price, only how
often such questions ended YES so far; who does not beat it has learned nothing about this one. Pure; standard library
only. Source of the bias: Buergi, Deng and Whelan, 2025.
"""

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import Final

from agent.core.scoring.rows import Row
from agent.core.scoring.sift import outcome

LONGSHOT: Final = 0.20  # below it, and above 1 minus it
SHADE: Final = 0.9
COIN_STEP: Final = 0.05  # points off the market; plausible, and large enough to count as a signal
LOWEST, HIGHEST = 0.01, 0.99
ALWAYS_HALF: Final = 0.5


def faded(mid: float) -> float:
    """0.9 mid below 0.2, mirrored above 0.8, the mid between."""
    if mid < LONGSHOT:
        return SHADE * mid
    if mid > 1 - LONGSHOT:
        return 1 - SHADE * (1 - mid)
    return mid


def tossed(mid: float, market_key: str, day: date) -> float:
    """The mid moved up or down, drawn from market and day so that a second run throws the same."""
    throw = hashlib.sha256(f"{market_key}|{day.isoformat()}".encode()).digest()[0] & 1
    return round(min(HIGHEST, max(LOWEST, mid + (COIN_STEP if throw else -COIN_STEP))), 6)


def status_quo(rows: Sequence[Row]) -> list[float]:
    """For each row, how often markets of its category had ended YES before it was made, by Laplace's rule.

    (yes + 1) / (n + 2): one half where none had. Known are the markets of these rows, each counted once however often
    it was asked about, from the moment its answer was stored here; no row knows its own.
    """
    ended: dict[str | None, dict[str, tuple[datetime, int]]] = defaultdict(dict)
    for row in rows:
        answer = outcome(row)
        if answer is not None and row.known_at is not None:
            ended[row.category][row.market_key] = row.known_at, answer
    known = dict[str | None, tuple[list[datetime], list[int]]]()
    for category, markets in ended.items():
        in_order = sorted(markets.values())
        known[category] = [at for at, _ in in_order], [0, *accumulate(answer for _, answer in in_order)]
    said = list[float]()
    for row in rows:
        moments, n_yes = known.get(row.category, ([], [0]))
        n = bisect_left(moments, row.predicted_at)
        said.append((n_yes[n] + 1) / (n + 2))
    return said
