"""Commands that run the daemon or speak to a running one."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from agent.commands.base import EXIT_FAILED, EXIT_PARTIAL, config_option, configure_log, json_option, settings_from
from agent.errors import NotRunning, OddsdError


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Run the daemon in the foreground; systemd's service does this."""
    from agent import daemon

    settings = settings_from(config)
    configure_log(settings)
    _serve(daemon.run(settings))


@click.command("run-now")
@click.argument("job")
@config_option
@json_option
def run_now(job: str, config: Path | None, as_json: bool) -> None:
    """Ask the running daemon to run JOB now, and wait for its end."""
    from agent.status.control import call

    result = asyncio.run(call(settings_from(config).control_socket, "run_now", None, job=job))
    print(json.dumps(result) if as_json else f"{result['job']}: {result['state']} in {result['duration_s']:.2f} s")
    if not as_json and result.get("reason"):
        print(result["reason"])
    raise SystemExit({"ok": 0, "partial": EXIT_PARTIAL}.get(result["state"], EXIT_FAILED))


@click.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Show what the daemon says about itself; exit 0 running, 3 not running."""
    from agent.status.control import call
    from agent.status.report import Report
    from agent.status.snapshot import load_snapshot

    settings = settings_from(config)
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
