"""The commands `oddsd benchmark …`: run, report, leaderboard, export, status, pause, resume, complete."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec
import rich_click as click

from agent.commands.base import (
    EXIT_FAILED,
    EXIT_IO,
    EXIT_PARTIAL,
    config_option,
    configure_log,
    fail,
    json_option,
    settings_from,
)
from agent.desk.base import Ask, ask
from agent.errors import NotRunning
from agent.settings import Settings
from sync.records import BenchmarkStatus

T = TypeVar("T")
AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Ask the database in this folder, such as a replay's, not the daemon.",
)


def _shared(command: AnyCommand) -> AnyCommand:
    """The options every subcommand has."""
    for option in (json_option, data_dir_option, config_option):
        command = option(command)
    return command


@click.group()
def benchmark() -> None:
    """How forecasts fare against the market; works with and without the daemon."""


@benchmark.command()
@click.option("--prediction-id", help="Check this one prediction alone.")
@config_option
@json_option
def run(prediction_id: str | None, config: Path | None, as_json: bool) -> None:
    """Hold every active prediction against the market now, or one of them."""
    settings = settings_from(config)
    if prediction_id is None:
        _run_all(settings, as_json=as_json)
    from agent.desk.benchmark import AskCheck
    from agent.desk.benchmark_screen import check_line

    check = _answer(settings, AskCheck(prediction_id=prediction_id))
    print(msgspec.json.encode(check).decode() if as_json else check_line(check))


def _run_all(settings: Settings, *, as_json: bool) -> NoReturn:
    """One pass, by the daemon or by ourselves; leaves with 0, 1 partial, 2 failed."""
    from agent.status.control import call

    try:
        result = asyncio.run(call(settings.control_socket, "run_now", None, job="benchmark"))
    except NotRunning:
        from agent.once import run_once

        configure_log(settings)
        result = msgspec.to_builtins(asyncio.run(run_once(settings, ["benchmark"]))[0])
    if as_json:
        print(msgspec.json.encode(result).decode())
    else:
        counts = ", ".join(f"{name} {n}" for name, n in sorted((result.get("counts") or {}).items()) if n)
        print(f"benchmark {result['state']} in {result['duration_s']:.2f} s  {counts}".rstrip())
        if result.get("reason"):
            print(result["reason"])
    raise SystemExit({"ok": 0, "partial": EXIT_PARTIAL}.get(result["state"], EXIT_FAILED))


@benchmark.command()
@click.option("--experiment", help="Its name, as `benchmark status` lists it; without one, all of them.")
@_shared
def report(experiment: str | None, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """What an experiment has shown: each number with n, events, its interval and what no skill would give."""
    from agent.desk.benchmark import AskBenchmark, AskReport

    settings = _settings(config, data_dir)
    names = [experiment] if experiment else [one.experiment for one in _answer(settings, AskBenchmark()).experiments]
    replay = data_dir is not None
    reports = [_answer(settings, AskReport(experiment=name, as_of_last_pass=replay)) for name in names]
    if as_json:
        print(msgspec.json.encode(reports[0] if experiment else reports).decode())
        return
    from agent.core.scoring.shapes import ExperimentReport
    from agent.desk.benchmark_report import render_report

    for found in reports:
        _show(render_report(msgspec.convert(found, ExperimentReport)))
    if not reports:
        print("no forecast is on record yet: `oddsd once predict` makes the day's")


@benchmark.command()
@click.option(
    "--sort",
    type=click.Choice(["brier_skill", "convergence", "confidence", "recent"]),
    default="brier_skill",
    show_default=True,
)
@_shared
def leaderboard(sort: Any, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """All experiments in order; those it is too early to rank come last, without a rank."""
    from agent.desk.benchmark import AskLeaderboard

    found = _answer(_settings(config, data_dir), AskLeaderboard(sort=sort, as_of_last_pass=data_dir is not None))
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    from agent.core.scoring.shapes import Leaderboard
    from agent.desk.benchmark_report import render_leaderboard

    _show(render_leaderboard(msgspec.convert(found, Leaderboard)))


@benchmark.command()
@click.option("--format", "kind", type=click.Choice(["csv", "json", "parquet"]), required=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File; else stdout (not for parquet).")
@click.option("--experiment", help="Only this experiment's predictions.")
@config_option
@data_dir_option
def export(kind: str, output: Path | None, experiment: str | None, config: Path | None, data_dir: Path | None) -> None:
    """One row per prediction with every horizon and score; what is missing is empty, never 0."""
    from agent.desk.benchmark_export import write_csv, write_json, write_parquet

    if kind == "parquet" and output is None:
        fail("parquet is not for a terminal", advice="name a file: --output benchmark.parquet", code=64)
    write = {"csv": write_csv, "json": write_json, "parquet": write_parquet}[kind]
    try:
        n = write(_export_rows(_settings(config, data_dir), experiment), output)
    except OSError as exc:
        if output is None:
            raise  # a pipe whose reader has seen enough: cli.py ends it
        fail(f"{output}: {exc.strerror}", advice="name a file in a folder you may write to", code=EXIT_IO)
    if output is not None:
        print(f"{n} predictions in {output}")


def _export_rows(settings: Settings, experiment: str | None) -> Iterator[dict[str, Any]]:
    """Page after page, so that neither side holds them all."""
    from agent.desk.benchmark import AskExportRows

    after: int | None = 0
    while after is not None:
        page = _answer(settings, AskExportRows(experiment=experiment, after_seq=after))
        yield from page.rows
        after = page.next_after


@benchmark.command()
@_shared
def status(config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Where the benchmark stands: active, paused, completed; the last pass; each experiment's counts."""
    from agent.desk.benchmark import AskBenchmark
    from agent.desk.benchmark_screen import render_state

    found = _answer(_settings(config, data_dir), AskBenchmark())
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _show(render_state(found))


def _switch(name: str, wanted: BenchmarkStatus, words: str) -> click.Command:
    @click.command(name, help=words)
    @click.option("--prediction-id", help="This prediction.")
    @click.option("--experiment", help="All predictions of this experiment.")
    @click.option("--all", "everything", is_flag=True, help="All predictions.")
    @config_option
    @json_option
    def command(
        prediction_id: str | None, experiment: str | None, everything: bool, config: Path | None, as_json: bool
    ) -> None:
        from agent.desk.benchmark import AskSetBenchmark

        if (prediction_id is not None) + (experiment is not None) + everything != 1:
            fail(f"{name}: say which", advice="one of --prediction-id, --experiment, --all", code=64)
        change = _answer(
            settings_from(config), AskSetBenchmark(status=wanted, prediction_id=prediction_id, experiment=experiment)
        )
        print(msgspec.json.encode(change).decode() if as_json else f"{change.n_changed} now {change.status}")

    return command


_KEPT = "Horizons and scores go on: nobody chooses which forecasts count."
benchmark.add_command(_switch("pause", BenchmarkStatus.PAUSED, f"Stop hourly checks for now. {_KEPT}"))
benchmark.add_command(_switch("resume", BenchmarkStatus.ACTIVE, "Go on with hourly checks where they were paused."))
benchmark.add_command(_switch("complete", BenchmarkStatus.COMPLETED, f"End hourly checks for good. {_KEPT}"))


def _settings(config: Path | None, data_dir: Path | None) -> Settings:
    """The configuration; with another data folder nobody listens there, and its file answers."""
    settings = settings_from(config)
    if data_dir is None:
        return settings
    return settings.model_copy(update={"data_dir": data_dir, "runtime_dir": data_dir})


def _answer(settings: Settings, question: Ask[T]) -> T:
    from agent.app import utc_now

    return asyncio.run(ask(settings, question, clock=utc_now))


def _show(renderable: Any) -> None:
    from rich.console import Console

    Console().print(renderable)
