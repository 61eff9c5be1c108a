"""The command `oddsd`: one function per subcommand, errors as one sentence with advice, honest exit codes.

Exit codes: 0 done · 1 once: partial, status --json: none · 2 once: failed · 3 not running · 64 usage ·
66 no such file · 69 refused · 70 bug · 74 storage · 75 already running · 77 permission · 78 configuration.
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import rich_click as click

from agent.errors import ConfigError, NotRunning, OddsdError
from agent.jobs.table import TIMERS
from agent.settings import Settings, load_settings

EXIT_PARTIAL, EXIT_FAILED, EXIT_NO_FILE = 1, 2, 66


def _fail(sentence: str, *, advice: str | None, code: int) -> NoReturn:
    print(f"oddsd: {sentence}", file=sys.stderr)
    if advice:
        print(f"       {advice}", file=sys.stderr)
    raise SystemExit(code)


def _settings(file: Path | None) -> Settings:
    """Read the configuration or leave with every fault in words."""
    try:
        return load_settings(file, known_jobs=tuple(TIMERS))
    except ConfigError as exc:
        print(f"oddsd: the configuration has {len(exc.faults)} fault{'s'[: len(exc.faults) > 1]}:", file=sys.stderr)
        for fault in exc.faults:
            print(f"  - {fault}", file=sys.stderr)
        raise SystemExit(exc.exit_code) from exc
    except FileNotFoundError as exc:
        _fail(f"no configuration file at {exc}", advice=None, code=EXIT_NO_FILE)


def main() -> None:
    """Run a command; what can be foreseen is a sentence, its advice and an exit code, a traceback is a bug."""
    try:
        commands(prog_name="oddsd")
    except OddsdError as exc:
        _fail(str(exc), advice=exc.advice, code=exc.exit_code)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


config_option = click.option(
    "--config", "config", type=click.Path(path_type=Path), help="TOML file; default /etc/oddsd/oddsd.toml"
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, for scripts.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oddsd")
def commands() -> None:
    """Watch prediction markets, explain them, forecast them, and keep an honest record. It never trades."""


@commands.command()
@config_option
def run(config: Path | None) -> None:
    """Run the daemon in the foreground; systemd's service does this."""
    from agent import daemon

    settings = _settings(config)
    _configure_log(settings)
    _serve(daemon.run(settings))


@commands.command()
@click.argument("jobs", nargs=-1, required=True)
@config_option
@json_option
@click.option("--recordings", type=click.Path(path_type=Path), help="With collect: read the recorded files below here.")
@click.option("--into", type=click.Path(path_type=Path), help="With --recordings: keep the database in this folder.")
def once(jobs: tuple[str, ...], config: Path | None, as_json: bool, recordings: Path | None, into: Path | None) -> None:
    """Run JOBS to completion, in order, without the daemon: collect, predict, benchmark, analyse, sync.

    Leaves with 0 when all did all their work, 1 when one was partial, 2 when one failed.
    """
    settings = _settings(config)
    unknown = [job for job in jobs if job not in (*TIMERS, "sync")]
    if unknown:
        _fail(f"no such job: {', '.join(unknown)}", advice=f"the jobs are: {', '.join(TIMERS)}, sync", code=64)
    _configure_log(settings)
    if recordings is not None:
        _once_recordings(settings, jobs, recordings, into, as_json=as_json)
    from agent.once import run_once

    results = asyncio.run(run_once(settings, jobs))
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
        _fail("--recordings goes with the job collect alone", advice=None, code=64)
    from agent.once import recordings_once
    from agent.recordings import render

    files = asyncio.run(recordings_once(settings, folder, into))
    print(msgspec.json.encode(files).decode() if as_json else render(files))
    raise SystemExit(EXIT_PARTIAL if any(file.error for file in files) else 0)


@commands.command("run-now")
@click.argument("job")
@config_option
@json_option
def run_now(job: str, config: Path | None, as_json: bool) -> None:
    """Ask the running daemon to run JOB now, and wait for its end."""
    from agent.status.control import call

    result = asyncio.run(call(_settings(config).control_socket, "run_now", None, job=job))
    print(json.dumps(result) if as_json else f"{result['job']}: {result['state']} in {result['duration_s']:.2f} s")
    if not as_json and result.get("reason"):
        print(result["reason"])
    raise SystemExit({"ok": 0, "partial": EXIT_PARTIAL}.get(result["state"], EXIT_FAILED))


@commands.command()
@click.argument("market")
@click.option("--days", type=click.IntRange(1, 1500), default=30, show_default=True, help="How far back.")
@config_option
@json_option
def backfill(market: str, days: int, config: Path | None, as_json: bool) -> None:
    """Fetch MARKET's price history from its venue: through the running daemon, or without one.

    MARKET is a market key, the venue's own id, or words only one title has.
    """
    from agent.once import backfill_once
    from agent.status.control import call

    settings = _settings(config)
    try:
        found = asyncio.run(call(settings.control_socket, "backfill", None, market=market, days=days))
    except NotRunning:
        _configure_log(settings)
        found = msgspec.to_builtins(asyncio.run(backfill_once(settings, market, days)))
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['market_key']}  {found['title']}")
    span = f", {found['first_at']:.16} to {found['last_at']:.16} UTC" if found["points"] else ""
    print(f"{found['points']} points, {found['new']} of them new{span}  {' '.join(found['sources'])}".rstrip())


@commands.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Show what the daemon says about itself; exit 0 running, 3 not running."""
    from agent.status.control import call
    from agent.status.report import Report
    from agent.status.snapshot import load_snapshot

    settings = _settings(config)
    stale: str | None = None
    try:
        found = asyncio.run(call(settings.control_socket, "status"))
        present = msgspec.convert(found, Report)
    except NotRunning as exc:
        snapshot = load_snapshot(settings.snapshot_path)
        if snapshot is None:
            raise
        stale = f"not running; last report of {snapshot.written_at:%Y-%m-%d %H:%M} UTC"
        present, code = snapshot.report, exc.exit_code
    else:
        code = 0
    if as_json:
        print(msgspec.json.encode({"running": stale is None, "report": present}).decode())
    else:
        from rich.console import Console

        from agent.status.screen import render

        Console().print(render(present, stale=stale))
    raise SystemExit(code)


@commands.command()
@click.argument("market")
@config_option
@json_option
def why(market: str, config: Path | None, as_json: bool) -> None:
    """Tell why MARKET was or was not sent, analysed and predicted; works with and without the daemon.

    MARKET is a market key, the venue's own id, or a part of titles.
    """
    from agent.app import utc_now
    from agent.why import render
    from agent.why import why as load_why

    found = asyncio.run(load_why(_settings(config), market, clock=utc_now))
    print(msgspec.json.encode(found).decode() if as_json else render(found))


@commands.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="UTC day; today where none is given.")
@config_option
@json_option
def spend(day: datetime | None, config: Path | None, as_json: bool) -> None:
    """Show what a day's model calls cost, by purpose and model; works with and without the daemon."""
    from agent.app import utc_now
    from agent.spend import render
    from agent.spend import spend as load_spend

    asked = (day or utc_now()).date()
    found = asyncio.run(load_spend(_settings(config), asked, clock=utc_now))
    print(msgspec.json.encode(found).decode() if as_json else render(found))


@commands.command("check-config")
@click.option("--file", "file", type=click.Path(path_type=Path), help="Check this file instead of the installed one.")
def check_config(file: Path | None) -> None:
    """Check the configuration without touching network or state: 0 good, 66 no file, 78 wrong."""
    settings = _settings(file)
    print(f"configuration is good: host {settings.host_id}, data in {settings.data_dir}")


def _configure_log(settings: Settings) -> None:
    from agent.log import configure

    configure(json=settings.log_json, level=settings.log_level, secrets=settings.secrets())


def _serve(loops: Coroutine[Any, Any, None]) -> None:
    """Run the daemon; the first foreseen error among its loops gives the exit code."""
    try:
        asyncio.run(loops)
    except ExceptionGroup as group:
        foreseen, bugs = group.split(OddsdError)
        if foreseen is None or bugs is not None:
            raise
        raise _first(foreseen) from group


def _first(group: BaseExceptionGroup[OddsdError]) -> OddsdError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
