"""Commands that run the daemon or speak to a running one."""

import asyncio
import json
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click

from agent.commands.base import EXIT_FAILED, EXIT_PARTIAL, config_option, configure_log, json_option, settings_from
from agent.errors import OddsdError
from agent.jobs.table import TIMERS
from agent.settings import load_settings


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Run the daemon in the foreground; systemd's service does this."""
    from agent import daemon

    settings = settings_from(config)
    configure_log(settings)
    _serve(daemon.run(settings, partial(load_settings, config, known_jobs=tuple(TIMERS))))


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
