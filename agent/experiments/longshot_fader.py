"""A no-skill reference with a known bias: longshots are overpriced, so shade them and their mirror image.

A model that does not beat this one has learned nothing but the favourite-longshot bias (Bürgi, Deng, Whelan 2025).
"""

from typing import Literal

from agent.core.scoring.references import faded
from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market


class LongshotFader:
    """probability = 0.9 mid below 0.2, mirrored above 0.8, the mid between."""

    name = "longshot_fader"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = False
    saw_price: Literal[True] = True

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Fade."""
        del market
        if context.quote is None or context.quote.mid is None:
            return ExperimentSkip("no usable middle price")
        return ExperimentResult(probability_yes=round(faded(context.quote.mid), 6))
