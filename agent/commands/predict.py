"""The commands `oddsd predict daily` and `oddsd predict batch`."""

import asyncio
import re
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec
import rich_click as click

from agent.commands.base import (
    EXIT_IO,
    EXIT_PARTIAL,
    asked,
    config_option,
    configure_log,
    fail,
    json_option,
    settings_from,
)
from agent.errors import NotRunning

ARTIFACTS_AT_ONCE = 10  # markets per question: an answer stays far below the socket's limit
REASONS_SHOWN = 8


@click.group()
def predict() -> None:
    """Forecast now what the daily jobs forecast at their hours; through the running daemon, or without one."""


def _run(name: Literal["daily", "batch"], words: str) -> click.Command:
    @click.command(name, help=words)
    @click.option("--window-days", type=click.IntRange(0, 365), help="UTC days ahead; else what the settings say.")
    @click.option("--limit", type=click.IntRange(0, 10_000), help="Most markets, the busiest first.")
    @click.option("--dry-run", is_flag=True, help="Tell who would be asked about what; store, ask and pay nothing.")
    @click.option(
        "--debug-artifacts", type=click.Path(path_type=Path), help="Write each forecast with its prompts here."
    )
    @config_option
    @json_option
    def command(*, debug_artifacts: Path | None, config: Path | None, as_json: bool, **wish: Any) -> None:
        summary = _predicted(config, kind=name, **wish)
        if debug_artifacts is not None:
            try:
                _write_artifacts(config, summary, debug_artifacts)
            except OSError as exc:
                words = "the forecasts are kept: name a folder you may write to and run it again, it asks nothing twice"
                fail(f"{debug_artifacts}: {exc.strerror}", advice=words, code=EXIT_IO)
        print(msgspec.json.encode(summary).decode() if as_json else _rendered(summary))
        raise SystemExit(0 if summary["state"] == "ok" else EXIT_PARTIAL)

    return command


predict.add_command(_run("daily", "Markets that close exactly N UTC days ahead, midnight to midnight."))
predict.add_command(_run("batch", "The busiest markets that close within N days, by each configured model."))


def _predicted(config: Path | None, **wish: Any) -> dict[str, Any]:
    """The summary, from the daemon or from a run of our own. Raises: OddsdError."""
    from agent.status.control import call

    settings = settings_from(config)
    try:
        found: dict[str, Any] = asyncio.run(call(settings.control_socket, "predict", None, **wish))
    except NotRunning:
        from agent.jobs.predict_window import Wish
        from agent.once import predict_once

        configure_log(settings)
        found = msgspec.to_builtins(asyncio.run(predict_once(settings, Wish(**wish))))
    return found


def _write_artifacts(config: Path | None, summary: dict[str, Any], folder: Path) -> None:
    """One file for each forecast: what was said, why not, and every prompt and answer on the way."""
    from agent.desk.forecasts import AskForecasts

    target, keys = folder / summary["run_day"], summary["markets"]
    run_day = date.fromisoformat(summary["run_day"])
    target.mkdir(parents=True, exist_ok=True)
    (target / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)))
    for first in range(0, len(keys), ARTIFACTS_AT_ONCE):
        chunk = tuple(keys[first : first + ARTIFACTS_AT_ONCE])
        for one in asked(config, AskForecasts(market_keys=chunk, run_day=run_day)):
            stem = "--".join(filter(None, (one.market_key, one.experiment, one.version, one.model)))
            name = re.sub(r"[^A-Za-z0-9._-]", "_", stem)[:200]
            (target / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(one)))


def _rendered(summary: dict[str, Any]) -> str:
    """For people: what happened, who forecast how much, why not more."""
    counts = ", ".join(f"{name} {n}" for name, n in summary["counts"].items() if n or name == "markets")
    told = "would do" if summary["dry_run"] else f"{summary['state']} in {summary['runtime_s']:.2f} s"
    build = f"{summary['version']} {(summary['commit'] or '')[:12]}".rstrip()
    window = f"closing {summary['closing_from']:.16} to {summary['closing_before']:.16} UTC"
    lines = [
        f"{summary['job']} {summary['run_day']}, {window}: {told}",
        f"  {counts}; {summary['cost_usd']} USD; oddsd {build}",
    ]
    width = max((len(name) for name in summary["experiments"]), default=0)
    for name, states in summary["experiments"].items():
        lines.append(f"  {name:<{width}}  {', '.join(f'{state} {n}' for state, n in states.items())}")
    lines += [f"  {n} x {reason}" for reason, n in list(summary["reasons"].items())[:REASONS_SHOWN]]
    for failure in summary["failures"][:REASONS_SHOWN]:
        who = f"{failure['experiment']} {failure['model'] or ''}".rstrip()
        again = "may succeed later" if failure["retriable"] else "will not succeed today"
        lines.append(f"  failed: {failure['market_key']} by {who}: {failure['reason']} ({again})")
    if summary["reason"]:
        lines.append(summary["reason"])
    return "\n".join(lines)
