"""Forecasters without skill, computed beside every experiment on its own rows: what must be beaten.

The market itself scores exactly zero skill. A coin moves it five points at random. The fader knows one thing,
that longshots are overpriced; who does not beat it has learned nothing else. Pure; standard library only.
Source of the bias: Buergi, Deng and Whelan, 2025.
"""

import hashlib
from datetime import date
from typing import Final

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
