"""A process that does one job of the real house to its end, on whichever engine the configuration names.

Arguments: configuration, job, slot. It recovers what a killed predecessor left, then runs the slot if it is not over.
Exits 0 when the run ended well, 1 when it was partial.
"""

import asyncio
import logging
import sys
from datetime import datetime
from pathlib import Path

import agent.jobs.dbos  # noqa: F401 - imported before a nursery forks
from agent.app import open_house
from agent.log import configure
from agent.settings import load_settings
from agent.store.lock import data_dir_lock


async def do(config: Path, job: str, slot: datetime) -> int:
    """The job, to its end."""
    settings = load_settings(config)
    with data_dir_lock(settings.data_dir):
        async with open_house(settings) as house:
            cut_off = [run for run in await house.runner.recover() if (run.job, run.slot) == (job, slot)]
            result = await house.runner.run(job, slot, "recovery" if cut_off else "once")
    return {"ok": 0, "partial": 1}.get(result.state, 2)


def main(arguments: list[str]) -> int:
    """Called in a nursery's child."""
    configure(json=True, level="warning", stream=sys.stderr)
    logging.getLogger("dbos").setLevel(logging.WARNING)
    config, job, slot = arguments
    return asyncio.run(do(Path(config), job, datetime.fromisoformat(slot)))
