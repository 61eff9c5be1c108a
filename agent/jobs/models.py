"""Models: ask the service which models it has and what they cost. At every start of the daemon and once a week.

Law: the list only ever informs. A configured model that is missing from it, or that became dearer, is said in words and
makes the run partial; a list that cannot be read changes nothing. No call of this job is paid.
"""

from datetime import datetime

import structlog

from agent.errors import AnalysisError
from agent.jobs.context import Job, RunContext
from agent.llm.gateway import Gateway

log = structlog.get_logger("models")


def models_job(gateway: Gateway) -> Job:
    """Wire the job."""

    async def models(ctx: RunContext, slot: datetime) -> None:
        del slot
        ctx.count(warnings=0, skipped=0)
        if (silent := gateway.silent_reason) is not None:
            ctx.count(skipped=1)
            log.info("model list skipped", action="models_skipped", reason=silent)
            return
        try:
            warnings = await gateway.refresh_models()
        except AnalysisError as exc:
            ctx.partial(f"{exc}; going on with what is known")
            return
        ctx.count(warnings=len(warnings))
        for warning in warnings:
            ctx.partial(warning)

    return models
