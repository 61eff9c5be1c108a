"""A price-blind forecast on what the research found: research, generate, persist, notify; each step kept."""

from typing import Any, Literal

from agent.core.blind import BlindMarket
from agent.experiments.base import BlindContext, ExperimentResult, ExperimentSkip
from agent.experiments.single_model import asked_as, forecast_of
from agent.llm.forecasts import render_researched
from agent.llm.prompt import system_text
from agent.llm.safety import new_marker
from agent.llm.schemas import FORECAST


class ResearchForecast:
    """One call on the findings of the same model."""

    name = "research_forecast"
    version = "1"
    requires: tuple[str, ...] = ("research",)
    asks_model = True
    saw_price: Literal[False] = False

    @property
    def parameters(self) -> dict[str, Any]:
        """Frozen with the version."""
        return {"prompt": system_text("researched-v1").text, "schema": asked_as(FORECAST)}

    async def run(self, market: BlindMarket, context: BlindContext) -> ExperimentResult | ExperimentSkip:
        """Ask once, with the findings beside the question. Raises: AnalysisError."""
        findings: dict[str, str] = context.results["research"][0].payload["findings"]
        prompt = render_researched(market, findings, now=context.now, marker=new_marker())
        return forecast_of(await context.door.complete(FORECAST, prompt))
