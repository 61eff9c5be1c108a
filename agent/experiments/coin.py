"""A no-skill reference: five points above or below the market, by a coin whose throw can be computed again."""

from typing import Literal

from agent.core.scoring.references import tossed
from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market


class Coin:
    """probability = mid + or - five points, drawn from market and day, so that a rerun throws the same."""

    name = "coin"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = False
    saw_price: Literal[True] = True

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Throw."""
        if context.quote is None or context.quote.mid is None:
            return ExperimentSkip("no usable middle price")
        return ExperimentResult(probability_yes=tossed(context.quote.mid, market.market_key, context.run_day))
