"""A prediction run that a person asked for, with numbers of his own: the same job, and its summary for an answer."""

from datetime import datetime

from agent.core.instants import to_the_ms
from agent.errors import JobError
from agent.jobs.ledger import Trigger
from agent.jobs.predict import Predictor
from agent.jobs.predict_summary import Summary
from agent.jobs.predict_window import Wish
from agent.jobs.runner import Runner


async def predict_now(
    runner: Runner, predictor: Predictor, wish: Wish, *, now: datetime, trigger: Trigger = "hand"
) -> Summary:
    """Run it, or tell what it would do. Raises: JobError where the run failed as a whole, ConfigError."""
    slot = to_the_ms(now)
    if wish.dry_run:
        return await predictor.rehearsed(wish, slot)
    with predictor.wishing(wish):
        result = await runner.run(wish.job, slot, trigger)
    summary = await predictor.last_summary(wish, slot)
    if summary is None or summary.run_id != result.run_id:
        raise JobError(
            f"{wish.job}: {result.state}: {result.reason}",
            advice="what was answered is kept: run it again and only the rest is asked",
        )
    return summary
