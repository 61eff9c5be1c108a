"""One model, one question, no price: the forecast that is benchmarked."""

from typing import Any, Literal

from agent.core.blind import BlindMarket
from agent.experiments.base import BlindContext, ExperimentResult, ExperimentSkip
from agent.llm.gateway import Reply
from agent.llm.prompt import render_forecast, system_text
from agent.llm.safety import new_marker, tidy
from agent.llm.schemas import FORECAST, ForecastReply

RATIONALE_CHARS = 1_500


class SingleModel:
    """Price-blind, in one call."""

    name = "single_model"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = True
    saw_price: Literal[False] = False

    @property
    def parameters(self) -> dict[str, Any]:
        """Frozen with the version."""
        return {"prompt": system_text("forecast-v1").text, "schema": asked_as(FORECAST)}

    async def run(self, market: BlindMarket, context: BlindContext) -> ExperimentResult | ExperimentSkip:
        """Ask once. Raises: AnalysisError."""
        prompt = render_forecast(market, now=context.now, marker=new_marker())
        return forecast_of(await context.door.complete(FORECAST, prompt))


def forecast_of(reply: Reply[ForecastReply]) -> ExperimentResult:
    """A model's answer as a result."""
    return ExperimentResult(
        probability_yes=reply.value.probability_yes,
        confidence=reply.value.confidence,
        rationale=rationale(reply.value),
        model=reply.model,
        prompt_version=reply.prompt_version,
        payload={"cost_usd": str(reply.cost_usd), "call_id": reply.call_id},
    )


def rationale(reply: ForecastReply) -> str:
    """The steps a model gave, as plain words."""
    steps = (reply.time_left, reply.status_quo, reply.base_rate, reply.case_no, reply.case_yes)
    return tidy(" ".join(steps), RATIONALE_CHARS)


def asked_as(schema: Any) -> dict[str, Any]:
    """What of a schema shapes the answers."""
    return {
        "schema": schema.json_schema,
        "temperature": schema.temperature,
        "effort": schema.effort,
        "max_completion_tokens": schema.max_completion_tokens,
    }
