"""Runs jobs to completion without the daemon: the same jobs, the same store, the same lock. For cron and for people."""

from collections.abc import Sequence

from agent.app import House, open_house
from agent.jobs.runner import RunResult
from agent.settings import Settings
from agent.store.lock import data_dir_lock
from agent.store.outbox import load_backlog
from sync.errors import TransportError


async def run_once(settings: Settings, jobs: Sequence[str]) -> list[RunResult]:
    """Run each job in order; "sync" sends everything pending. Raises: AlreadyRunning, StoreError."""
    with data_dir_lock(settings.data_dir):
        async with open_house(settings) as house:
            return [
                await _sync(house) if job == "sync" else await house.runner.run(job, trigger="once") for job in jobs
            ]


async def _sync(house: House) -> RunResult:
    """Drain the outbox; a cloud that is away is a failed run, and the backlog waits."""
    began = house.clock()
    before = await load_backlog(house.store.reader)
    failure: str | None = "no cloud is configured: set database_url" if house.sender is None else None
    if house.sender is not None:
        try:
            await house.sender.drain()
        except TransportError as exc:
            failure = f"{exc}; {exc.advice}" if exc.advice else str(exc)
    after = await load_backlog(house.store.reader)
    return RunResult(
        run_id="",
        job="sync",
        state="failed" if failure else "partial" if after.n_held else "ok",
        counts={"sent": before.n_rows - after.n_rows, "pending": after.n_rows, "held": after.n_held},
        reason=failure,
        duration_s=(house.clock() - began).total_seconds(),
    )
