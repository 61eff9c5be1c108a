"""The command `oddsd status`: what the daemon says about itself, once or as it goes.

Law: nothing heavy is imported before the answer is on the screen; settings are read only where the place of the
control socket cannot be known without them, or nobody answers there.
"""

from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import config_option, fail, json_option, settings_from
from agent.errors import ControlError, NotRunning
from agent.places import SNAPSHOT_NAME, SOCKET_NAME, quick_runtime_dir
from agent.status.asking import TIMEOUT_S, fetch_report
from agent.status.contract import SCHEMA_VERSION, Sight

EXIT_NOT_RUNNING, EXIT_UNKNOWN = 3, 4  # 3 and 4 as LSB has them
_WATCH_TIMEOUT_S = 2.0  # a key must not wait longer


def runtime_dir(config: Path | None) -> Path:
    """Where the daemon of this configuration listens. Leaves with 66 or 78 where the configuration cannot be read."""
    return quick_runtime_dir(config) or settings_from(config).runtime_dir


@click.command()
@config_option
@json_option
@click.option("--watch", "watching", is_flag=True, help="Again each second, until you press q.")
@click.option("--no-color", is_flag=True, help="Without colours; NO_COLOR in the environment says the same.")
def status(config: Path | None, as_json: bool, watching: bool, no_color: bool) -> None:
    """Show what the daemon says about itself.

    Leaves with 0 running, 3 not running (the last report is shown, marked as old), 4 unknown.
    """
    folder = runtime_dir(config)
    if watching:
        _watch(folder, as_json=as_json, no_color=no_color)
        return
    try:
        sight, code = Sight(report=fetch_report(folder / SOCKET_NAME)), 0
    except NotRunning as exc:
        settings_from(config)  # a configuration that cannot be read is the likelier reason, and says so
        sight, code = _last_words(folder, exc), EXIT_NOT_RUNNING
    except ControlError as exc:
        fail(str(exc), advice=exc.advice, code=EXIT_UNKNOWN)
    _show(sight, as_json=as_json, no_color=no_color)
    raise SystemExit(code)


def _last_words(folder: Path, exc: NotRunning) -> Sight:
    """The report of a daemon that is gone. Raises: the error itself where it left none."""
    from agent.status.snapshot import load_snapshot

    snapshot = load_snapshot(folder / SNAPSHOT_NAME)
    if snapshot is None:
        raise exc
    return Sight(report=snapshot.report, stale=f"not running; last report of {snapshot.written_at:%Y-%m-%d %H:%M} UTC")


def _show(sight: Sight, *, as_json: bool, no_color: bool) -> None:
    if as_json:
        told = {"schema_version": SCHEMA_VERSION, "running": sight.stale is None, "report": sight.report}
        print(msgspec.json.encode(told).decode())
        return
    from rich.console import Console

    from agent.status.screen import render

    if sight.report is not None:
        Console(no_color=no_color or None).print(render(sight.report, stale=sight.stale))


def _watch(folder: Path, *, as_json: bool, no_color: bool) -> None:
    """Until somebody presses q; a terminal is needed for that."""
    from rich.console import Console

    from agent.status.watch import watch

    console = Console(no_color=no_color or None)
    if as_json or not console.is_terminal:
        fail(
            "--watch draws on a terminal", advice="leave it out, or run `oddsd status --json` again and again", code=64
        )
    seen = Sight(report=None)

    def look() -> Sight:
        nonlocal seen
        try:
            seen = Sight(report=fetch_report(folder / SOCKET_NAME, min(TIMEOUT_S, _WATCH_TIMEOUT_S)))
        except ControlError as exc:
            seen = Sight(report=seen.report, stale=f"{exc}; {exc.advice}")
        return seen

    watch(look, console)
