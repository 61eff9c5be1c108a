"""The command `oddsd once`: jobs to completion, without the daemon."""

import asyncio
from pathlib import Path
from typing import NoReturn

import msgspec
import rich_click as click

from agent.commands.base import (
    EXIT_FAILED,
    EXIT_PARTIAL,
    config_option,
    configure_log,
    fail,
    json_option,
    settings_from,
)
from agent.jobs.table import TIMERS
from agent.settings import Settings


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@config_option
@json_option
@click.option("--recordings", type=click.Path(path_type=Path), help="With collect: read the recorded files below here.")
@click.option("--standby", is_flag=True, help="Only where no other host works: for a cron job in the cloud.")
@click.option("--into", type=click.Path(path_type=Path), help="With --recordings: keep the database in this folder.")
def once(
    jobs: tuple[str, ...],
    config: Path | None,
    recordings: Path | None,
    into: Path | None,
    *,
    as_json: bool,
    standby: bool,
) -> None:
    """Run JOBS to completion, in order, without the daemon: collect, predict, benchmark, analyse, sync.

    Leaves with 0 when all did all their work, 1 when one was partial, 2 when one failed.
    """
    settings = settings_from(config)
    unknown = [job for job in jobs if job not in (*TIMERS, "sync")]
    if unknown:
        fail(f"no such job: {', '.join(unknown)}", advice=f"the jobs are: {', '.join(TIMERS)}, sync", code=64)
    configure_log(settings)
    if recordings is not None:
        _once_recordings(settings, jobs, recordings, into, as_json=as_json)
    from agent.once import run_once

    results = asyncio.run(run_once(settings, jobs, standby=standby))
    if isinstance(results, str):
        print(msgspec.json.encode({"standing_by": results}).decode() if as_json else results)
        return
    if as_json:
        print(msgspec.json.encode(results).decode())
    else:
        for result in results:
            counts = ", ".join(f"{name} {n}" for name, n in sorted(result.counts.items()) if n)
            print(f"{result.job:<10} {result.state:<8} {result.duration_s:6.2f} s  {counts}")
            if result.reason:
                print(f"{'':<10} {result.reason}")
    states = {result.state for result in results}
    raise SystemExit(EXIT_FAILED if "failed" in states else EXIT_PARTIAL if "partial" in states else 0)


def _once_recordings(
    settings: Settings, jobs: tuple[str, ...], folder: Path, into: Path | None, *, as_json: bool
) -> NoReturn:
    """The collect of recorded files; leaves with 0 when all were read, else 1."""
    if jobs != ("collect",):
        fail("--recordings goes with the job collect alone", advice=None, code=64)
    from agent.once import recordings_once
    from agent.recordings import render

    files = asyncio.run(recordings_once(settings, folder, into))
    print(msgspec.json.encode(files).decode() if as_json else render(files))
    raise SystemExit(EXIT_PARTIAL if any(file.error for file in files) else 0)
