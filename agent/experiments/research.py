"""What a model knows of a question, asked aspect by aspect in parallel: findings for others, no forecast.

Law: price-blind, in and out. A model may remember what such a market once traded at, or a stranger's rules may say it:
sentences that speak of the market's own price are taken out of the findings before anybody reads them.
"""

import asyncio
from typing import Any, Literal

from agent.core.blind import BlindMarket, without_own_price
from agent.experiments.base import BlindContext, ExperimentResult, ExperimentSkip
from agent.experiments.single_model import asked_as
from agent.llm.forecasts import FINDING_CHARS, RESEARCH, RESEARCH_QUESTIONS, render_research
from agent.llm.gateway import Reply
from agent.llm.prompt import system_text
from agent.llm.safety import new_marker, tidy
from agent.llm.schemas import ModelReply


class Research:
    """One call for each aspect; each answer is kept by itself."""

    name = "research"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = True
    saw_price: Literal[False] = False

    @property
    def parameters(self) -> dict[str, Any]:
        """Frozen with the version."""
        return {
            "prompt": system_text("research-v1").text,
            "questions": dict(RESEARCH_QUESTIONS),
            "schema": asked_as(RESEARCH),
        }

    async def run(self, market: BlindMarket, context: BlindContext) -> ExperimentResult | ExperimentSkip:
        """Ask all aspects at once. Raises: AnalysisError."""
        prompts = {a: render_research(market, a, now=context.now, marker=new_marker()) for a in RESEARCH_QUESTIONS}
        replies = await gathered(
            {aspect: context.door.complete(RESEARCH, prompt, step=aspect) for aspect, prompt in prompts.items()}
        )
        findings = {
            aspect: without_own_price(tidy(f"{reply.value.findings} Not known: {reply.value.gaps}", FINDING_CHARS))
            for aspect, reply in replies.items()
        }
        first = next(iter(replies.values()))
        return ExperimentResult(
            probability_yes=None,
            model=first.model,
            prompt_version=first.prompt_version,
            payload={
                "findings": findings,
                "cost_usd": str(sum(reply.cost_usd for reply in replies.values())),
                "call_ids": [reply.call_id for reply in replies.values()],
            },
            artifact="\n\n".join(f"{aspect}: {text}" for aspect, text in findings.items()),
        )


async def gathered(asked: dict[str, Any]) -> dict[str, Reply[Any]]:
    """All answers, or the first error once every answer under way is in: what is paid is kept before anything ends."""
    answers = await asyncio.gather(*asked.values(), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    found: dict[str, Reply[ModelReply]] = dict(zip(asked, answers, strict=True))  # type: ignore[arg-type]  # no error is left
    return found
