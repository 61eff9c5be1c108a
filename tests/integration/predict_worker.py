"""A process that does one prediction run to its end, for the kill test: `python -m ... DATABASE GROQ_URL`.

Exits 0 when the run ended well. One call of each model at a time, so that what a kill can cost is a known number.
"""

import asyncio
import sys
from pathlib import Path

from agent.experiments.registry import Registry
from agent.jobs.forecast_door import Turns
from agent.jobs.predict import Predictor
from agent.jobs.predict_window import DAILY, PredictOptions
from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.store.db import Store
from tests.factories import NOON
from tests.integration.predicting import BOTH, runner_of

EXPERIMENTS = ("market_prior", "single_model", "research", "research_forecast", "ensemble")
LIMITS = {"all": 1}


async def main(database: Path, groq_url: str) -> int:
    """Recover what a killed predecessor left, or begin."""
    options = GatewayOptions(api_key="k", base_url=groq_url, models=BOTH)
    async with await Store.open(database, clock=lambda: NOON) as store, Gateway(store, options) as gateway:
        predictor = Predictor(store, Registry.load(EXPERIMENTS), gateway, PredictOptions(models=BOTH), Turns(LIMITS))
        runner = runner_of(store, lambda: NOON, predictor)
        trigger = "recovery" if await runner.recover() else "timer"
        result = await runner.run(DAILY, NOON, trigger)
    return 0 if result.state == "ok" else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
