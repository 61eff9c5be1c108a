"""A no-skill reference: five points above or below the market, by a coin whose throw can be computed again."""

import hashlib
from typing import Literal

from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market

STEP = 0.05  # points off the market; small enough to stay plausible, large enough to count as a signal
LOWEST, HIGHEST = 0.01, 0.99


class Coin:
    """probability = mid + or - STEP, drawn from market and day, so that a rerun throws the same."""

    name = "coin"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = False
    saw_price: Literal[True] = True

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Throw."""
        if context.quote is None or context.quote.mid is None:
            return ExperimentSkip("no usable middle price")
        throw = hashlib.sha256(f"{market.market_key}|{context.run_day.isoformat()}".encode()).digest()[0] & 1
        moved = context.quote.mid + (STEP if throw else -STEP)
        return ExperimentResult(probability_yes=round(min(HIGHEST, max(LOWEST, moved)), 6))
