"""Runs jobs to completion without the daemon: the same jobs, the same store, the same lock. For cron and for people."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from agent.app import House, open_house, utc_now
from agent.errors import CloudAway, ConfigError
from agent.jobs.backfill import Backfilled, backfill
from agent.jobs.detectors import load_detectors
from agent.jobs.predict_now import predict_now
from agent.jobs.predict_summary import Summary
from agent.jobs.predict_window import Wish
from agent.jobs.redrive import Redriven, redrive
from agent.jobs.runner import RunResult
from agent.recordings import FileCounts, collect_recordings
from agent.settings import Settings
from agent.store.db import Store
from agent.store.lock import data_dir_lock
from agent.store.outbox import load_backlog
from sync.duty import ATTEND_EVERY_S
from sync.errors import TransportError

log = structlog.get_logger("once")


async def run_once(settings: Settings, jobs: Sequence[str], *, standby: bool = False) -> list[RunResult] | str:
    """Run each job in order; "sync" sends everything pending.

    Args:
        standby: only where no other host works; the lease is kept up meanwhile and given back at the end.
    Returns: the results, or for a standby that is not needed, why.
    Raises: AlreadyRunning, StoreError, ConfigError where a standby has no cloud to ask, CloudAway.
    """
    if standby:
        settings = settings.model_copy(update={"standby": True})
    with data_dir_lock(settings.data_dir):
        async with open_house(settings) as house, _on_duty(house, standby=standby) as why_not:
            if why_not is not None:
                return why_not
            return [
                await _sync(house) if job == "sync" else await house.runner.run(job, trigger="once") for job in jobs
            ]


@asynccontextmanager
async def _on_duty(house: House, *, standby: bool) -> AsyncIterator[str | None]:
    """Attend while the jobs run; yields why this host has nothing to do, None where it works."""
    duty, lease = house.runner.duty, house.downlink
    if not standby and (lease is None or not duty.has_met):
        yield None
        return
    if lease is None:
        raise ConfigError(["--standby: needs database_url or cloud_url, to know of the other hosts"])
    try:
        await lease.attend_once()
        if not duty.view_is_settled():  # a view of a moment ago: the others see it within one round
            await asyncio.sleep(ATTEND_EVERY_S)
            await lease.attend_once()
    except TransportError as exc:
        if standby:
            raise CloudAway(f"--standby: {exc}", advice=exc.advice) from exc
        log.warning("what several hosts share is left alone: no cloud", action="shares_unknown", reason=str(exc))
    if standby and not house.runner.serves():
        yield f"standing by: {', '.join(duty.view.members if duty.view else ())} works"
        return
    keeping = asyncio.create_task(lease.run(), name="downlink")
    try:
        yield None
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def recordings_once(settings: Settings, folder: Path, into: Path | None) -> list[FileCounts]:
    """Collect from recorded files, into a database of its own that is gone afterwards unless `into` names a folder.

    Raises: ConfigError, AlreadyRunning, StoreError.
    """
    _refuse_live(settings, into)
    with TemporaryDirectory(prefix="oddsd-") as temporary:
        target = into or Path(temporary)
        with data_dir_lock(target):
            async with await Store.open(target / "oddsd.db", clock=utc_now) as store:
                return await collect_recordings(store, folder, load_detectors(settings.patterns))


def _refuse_live(settings: Settings, into: Path | None) -> None:
    if into is not None and into.resolve() == settings.data_dir.resolve():
        raise ConfigError([f"{into}: recordings do not go into the data directory, where they would travel"])


async def backfill_once(settings: Settings, words: str, days: int) -> Backfilled:
    """Fetch the history of one market while no daemon runs. Raises: AlreadyRunning, UnknownMarket, VenueError."""
    with data_dir_lock(settings.data_dir):
        async with open_house(settings) as house:
            return await backfill(house.store, house.details, words, days=days, now=house.clock())


async def redrive_once(settings: Settings, job: str, words: str | None) -> Redriven:
    """Ask dead letters again while no daemon runs. Raises: AlreadyRunning, UnknownJob, NoDeadLetter."""
    with data_dir_lock(settings.data_dir):
        async with open_house(settings) as house, _on_duty(house, standby=False):
            return await redrive(house.runner, job, words)


async def predict_once(settings: Settings, wish: Wish) -> Summary:
    """A prediction run with numbers of one's own, without a daemon. Raises: AlreadyRunning, JobError, ConfigError."""
    with data_dir_lock(settings.data_dir):
        async with open_house(settings) as house, _on_duty(house, standby=False):
            return await predict_now(house.runner, house.predictor, wish, now=house.clock(), trigger="once")


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
