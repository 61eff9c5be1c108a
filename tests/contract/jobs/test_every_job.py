"""Every job of the house, on the ledger and on DBOS over Postgres, killed in the middle: it ends as if nothing had been.

The judge is the same job on the ledger, not killed: same state, same rows in every table that jobs fill.
"""

import asyncio
import random
import signal
import time
from datetime import UTC, datetime

import pytest

from agent.jobs.table import TIMERS
from tests.fakes.nursery import Nursery

N_KILLS = 2
COLLECTED = ("collect", "collect", "collect")
NEEDS = {
    "collect": COLLECTED,
    "analyse": COLLECTED,
    "predict": COLLECTED,
    "resolve": COLLECTED,
    "refresh-events": COLLECTED,
    "catalogue": COLLECTED,
    "retention": COLLECTED,
    "models": (),
}
ALL_BEFORE = (*COLLECTED, "analyse", "predict")  # for jobs that read what others made
FINE = {0, 1}  # ok, partial


async def test_nothing_is_missing_here():
    """A job that is added stands in this suite by itself."""
    assert NEEDS.keys() <= TIMERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["ledger", "dbos"])
@pytest.mark.parametrize("job", TIMERS)
async def test_a_killed_job_ends_as_one_that_was_not(job, backend, houses, engine_url, tmp_path):
    """What was done stays done, what was cut off is done once more, on either engine."""
    data = await houses.data_after(NEEDS.get(job, ALL_BEFORE))
    quiet = houses.place("quiet", data=data)
    killed = houses.place("killed", data=data, jobs_database_url=engine_url(backend))
    slot, log = datetime.now(UTC).replace(microsecond=0), tmp_path / "log"
    chance = random.Random(f"{job}{backend}")

    async with Nursery("tests.fakes.house_worker", log) as nursery:
        began = time.monotonic()
        await nursery.born(quiet.config, job, slot.isoformat())
        assert await nursery.ended() in FINE, log.read_text()[-3000:]
        took_s = time.monotonic() - began + (0.5 if backend == "dbos" else 0.0)
        n_killed = 0
        while n_killed < N_KILLS:
            await nursery.born(killed.config, job, slot.isoformat())
            await asyncio.sleep(chance.uniform(0.3, 0.95) * took_s)
            nursery.kill()
            if (code := await nursery.ended()) != -signal.SIGKILL:
                assert code in FINE, log.read_text()[-3000:]
                break
            n_killed += 1
        await nursery.born(killed.config, job, slot.isoformat())
        assert await nursery.ended() in FINE, log.read_text()[-3000:]

    done, should_be = killed.contents(), quiet.contents()
    assert killed.run_at(job, slot) == quiet.run_at(job, slot)
    # The analyses of a run are capped, and a run that is begun again chooses anew among what nobody has explained.
    assert done.pop("insights") >= should_be.pop("insights")
    assert done == should_be
    assert killed.n_said_twice() == 0
