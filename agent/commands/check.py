"""The command `oddsd check`: for monitors that run a program and read its exit code."""

from pathlib import Path

import rich_click as click

from agent.commands.base import config_option
from agent.commands.status import runtime_dir
from agent.errors import ControlError, NotRunning
from agent.places import SOCKET_NAME
from agent.status.asking import fetch_report

_EXIT_CRITICAL = 2


@click.command()
@config_option
@click.option("-w", "--warning", "warn_s", type=click.FloatRange(min=0), help="Seconds since the last tick to warn at.")
@click.option("-c", "--critical", "crit_s", type=click.FloatRange(min=0), help="The same for critical.")
def check(config: Path | None, warn_s: float | None, crit_s: float | None) -> None:
    """One line and an exit code for monitors: 0 ok, 1 warning, 2 critical, 3 unknown."""
    from agent.status.nagios import UNKNOWN, verdict

    try:
        found = verdict(fetch_report(runtime_dir(config) / SOCKET_NAME), warn_s=warn_s, crit_s=crit_s)
    except NotRunning as exc:
        print(f"ODDSD CRITICAL - not running: {exc}")
        raise SystemExit(_EXIT_CRITICAL) from exc
    except ControlError as exc:
        print(f"ODDSD UNKNOWN - {exc}")
        raise SystemExit(UNKNOWN) from exc
    except SystemExit as exc:  # the configuration; its faults are on stderr
        print("ODDSD UNKNOWN - the configuration cannot be read")
        raise SystemExit(UNKNOWN) from exc
    print(found.line)
    raise SystemExit(found.code)
