"""The informed arm: the same question with the price in plain sight, to see what a model adds to it. Scored apart."""

from typing import Any, Literal

from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from agent.experiments.single_model import asked_as, forecast_of
from agent.llm.forecasts import render_informed
from agent.llm.prompt import system_text
from agent.llm.safety import new_marker
from agent.llm.schemas import FORECAST
from sync.records import Market


class Informed:
    """One call, price shown. A model mostly copies what it is shown: never mix its score with a blind one's."""

    name = "informed"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = True
    saw_price: Literal[True] = True

    @property
    def parameters(self) -> dict[str, Any]:
        """Frozen with the version."""
        return {"prompt": system_text("informed-v1").text, "schema": asked_as(FORECAST)}

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Ask once. Raises: AnalysisError."""
        if context.quote is None or context.quote.mid is None:
            return ExperimentSkip("no usable middle price to show")
        prompt = render_informed(market, context.quote, now=context.now, marker=new_marker())
        return forecast_of(await context.door.complete(FORECAST, prompt))
