"""The market itself as forecaster: the baseline every other one must beat. Its skill is zero by definition."""

from typing import Literal

from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market


class MarketPrior:
    """probability = mid."""

    name = "market_prior"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = False
    saw_price: Literal[True] = True

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """The middle of a sane book; a last trade never stands in for it."""
        del market
        if context.quote is None or context.quote.mid is None:
            return ExperimentSkip("no usable middle price")
        return ExperimentResult(probability_yes=context.quote.mid)
