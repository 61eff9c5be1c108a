"""`oddsd benchmark …` as an operator uses it: from the file, over the control socket, as JSON, on 80 columns."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from agent.commands.benchmark import benchmark
from agent.desk.base import ask, verbs
from agent.desk.benchmark import AskBenchmark, AskCheck, AskExportRows, AskLeaderboard, AskReport, AskSetBenchmark
from agent.desk.benchmark_screen import render_state
from agent.desk.table import QUESTIONS
from agent.errors import UnknownPrediction
from agent.settings import Settings
from agent.status.control import ControlServer
from agent.store.db import Store
from agent.store.exports import COLUMNS
from sync.records import BenchmarkStatus, MarketStatus, Movement, Resolution
from tests.conftest import ManualClock
from tests.integration.bench_house import Bench


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An edge of its own."""
    return Settings(data_dir=tmp_path / "data", runtime_dir=tmp_path / "run", host_id="t")


@pytest.fixture
async def config(settings: Settings, tmp_path: Path, clock: ManualClock) -> Path:
    """Its configuration file; its database holds three forecasts, checked once."""
    async with await Store.open(settings.database_path, clock=clock) as store:
        bench = Bench(store, clock)
        await bench.market(0.60)
        await bench.predict(0.75, 0.40)
        await bench.predict(0.65, experiment="other", prediction_id="q0")
        clock.forward(hours=1)
        await bench.market(0.66)
        await bench.run()
    file = tmp_path / "oddsd.toml"
    file.write_text(f'data_dir = "{settings.data_dir}"\nruntime_dir = "{settings.runtime_dir}"\n')
    return file


def called(config: Path, *words: str) -> str:
    """What a command prints; it must end well."""
    result = CliRunner().invoke(benchmark, [*words, "--config", str(config)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_status_tells_counts_states_and_the_last_pass(config):
    """One screen, and the same as JSON."""
    told = json.loads(called(config, "status", "--json"))
    shown = called(config, "status")

    assert (told["status"], told["n_active"], told["last"]["n_checks"]) == ("ACTIVE", 3, 3)
    assert [one["experiment"] for one in told["experiments"]] == ["blind", "other"]
    assert "3 active, 0 paused, 0 completed" in shown
    assert "no evidence of skill" in shown


def test_pause_resume_and_complete_by_prediction_experiment_and_all(config):
    """Completed is for good; an operator's word changes what it names and nothing else."""
    pause_one = called(config, "pause", "--prediction-id", "p0")
    pause_other = json.loads(called(config, "pause", "--experiment", "other", "--json"))
    middle = json.loads(called(config, "status", "--json"))
    called(config, "complete", "--prediction-id", "p1")
    resumed = json.loads(called(config, "resume", "--all", "--json"))
    end = json.loads(called(config, "status", "--json"))

    assert pause_one == "1 now PAUSED\n"
    assert pause_other == {"status": "PAUSED", "n_changed": 1}
    assert (middle["n_active"], middle["n_paused"]) == (1, 2)
    assert resumed["n_changed"] == 2
    assert (end["n_active"], end["n_paused"], end["n_completed"]) == (2, 0, 1)


@pytest.mark.parametrize("words", [(), ("--all", "--experiment", "blind"), ("--prediction-id", "p0", "--all")])
def test_a_switch_without_one_object_is_refused(config, words):
    """Nobody pauses everything by forgetting a word."""
    result = CliRunner().invoke(benchmark, ["pause", *words, "--config", str(config)])

    assert result.exit_code == 64
    assert "--prediction-id" in result.stderr


def test_run_checks_one_prediction_or_all(config):
    """The one in words; the pass with its counts."""
    one = json.loads(called(config, "run", "--prediction-id", "p0", "--json"))
    line = called(config, "run", "--prediction-id", "p0")

    assert one["prediction_id"] == "p0"
    assert one["movement_direction"] == "STALE"  # the world's clock is far from the last look
    assert "no usable quote" in line
    assert "\nbenchmark ok in" in called(config, "run")  # below its log lines


def test_the_report_stands_with_n_events_intervals_and_nulls_on_80_columns(config, monkeypatch):
    """Too early is a verdict like any other, and no line is broken by the screen's edge."""
    monkeypatch.setenv("COLUMNS", "80")
    told = json.loads(called(config, "report", "--experiment", "blind", "--json"))
    shown = called(config, "report", "--experiment", "blind")

    assert (told["n"], told["events"]) == (2, 1)
    assert {one["state"] for arm in told["arms"] for one in [arm["horizons"][0]["signed_move"]]} == {"TOO_EARLY"}
    for word in ("value", "95 %", "no skill", "n", "events", "verdict", "too early", "1h (corrected"):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_without_a_name_every_experiment_is_reported(config):
    """Who does not know the names yet sees what there is."""
    told = json.loads(called(config, "report", "--json"))
    shown = called(config, "report")

    assert [one["experiment"] for one in told] == ["blind", "other"]
    assert all(one["experiment"] in shown for one in told)


@pytest.mark.parametrize("sort", ["brier_skill", "convergence", "confidence", "recent"])
def test_the_leaderboard_ranks_nothing_it_is_too_early_to_rank(config, sort, monkeypatch):
    """Three forecasts on one market are one observation."""
    monkeypatch.setenv("COLUMNS", "80")
    told = json.loads(called(config, "leaderboard", "--sort", sort, "--json"))
    shown = called(config, "leaderboard", "--sort", sort)

    assert (told["sort"], len(told["entries"])) == (sort, 3)
    assert {entry["rank"] for entry in told["entries"]} == {None}
    assert max(map(len, shown.splitlines())) <= 80


def test_an_unknown_name_is_told_with_those_there_are(config):
    """A typing error, not an empty report."""
    result = CliRunner().invoke(benchmark, ["report", "--experiment", "blynd", "--config", str(config)])

    assert isinstance(result.exception, UnknownPrediction)
    assert "blind, other" in str(result.exception.advice)


def test_an_export_has_the_same_columns_whatever_happened(config, tmp_path):
    """CSV, JSON and Parquet hold the same rows; a missing value is empty, null, null."""
    import pyarrow.parquet as pq

    rows = list(csv.DictReader(io.StringIO(called(config, "export", "--format", "csv"))))
    told = json.loads(called(config, "export", "--format", "json"))
    said = called(config, "export", "--format", "parquet", "--output", str(tmp_path / "b.parquet"))
    table = pq.read_table(tmp_path / "b.parquet").to_pylist()

    assert tuple(rows[0]) == tuple(told[0]) == tuple(table[0]) == COLUMNS
    assert [row["prediction_id"] for row in rows] == ["p0", "p1", "q0"]
    assert told == table
    assert said == f"3 predictions in {tmp_path / 'b.parquet'}\n"
    first = told[0]
    assert (first["mid_1h"], first["signed_move_1h"], first["cumulative_convergence"]) == (0.66, 0.06, 0.06)
    assert (first["mid_24h"], first["brier_score"], first["missing_1h"]) == (None, None, None)
    assert (rows[0]["mid_24h"], rows[0]["status"]) == ("", "ACTIVE")


def test_an_export_of_one_experiment_to_a_file(config, tmp_path):
    """Only its rows, and a sentence."""
    said = called(config, "export", "--format", "csv", "--experiment", "other", "--output", str(tmp_path / "b.csv"))

    assert said.startswith("1 predictions in")
    assert (tmp_path / "b.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_file_that_cannot_be_written_is_a_sentence(config, tmp_path, kind):
    """A folder misspelt in a cron job is no bug of ours."""
    path = tmp_path / "nowhere" / "b"
    result = CliRunner().invoke(benchmark, ["export", "--format", kind, "--output", str(path), "--config", str(config)])

    assert (result.exit_code, str(path) in result.stderr) == (74, True)


def test_parquet_without_its_library_says_how_to_get_it(config, tmp_path, monkeypatch):
    """The extra is optional; a traceback would be no help."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = CliRunner().invoke(
        benchmark, ["export", "--format", "parquet", "--output", str(tmp_path / "b"), "--config", str(config)]
    )

    assert "oddsd[parquet]" in str(result.exception)


def test_parquet_is_not_written_to_a_terminal(config):
    """It names what is missing."""
    result = CliRunner().invoke(benchmark, ["export", "--format", "parquet", "--config", str(config)])

    assert (result.exit_code, "--output" in result.stderr) == (64, True)


async def test_the_daemon_answers_the_same_questions(bench_house, settings, clock):
    """Asked over the control socket while the daemon holds the file."""
    store = bench_house.store
    served = verbs(QUESTIONS, store, settings, clock)
    settings.runtime_dir.mkdir()
    async with ControlServer(settings.control_socket, served):
        state = await ask(settings, AskBenchmark(), clock=clock)
        check = await ask(settings, AskCheck(prediction_id="p0"), clock=clock)
        report = await ask(settings, AskReport(experiment="blind"), clock=clock)
        board = await ask(settings, AskLeaderboard(sort="recent"), clock=clock)
        page = await ask(settings, AskExportRows(), clock=clock)
        change = await ask(settings, AskSetBenchmark(status=BenchmarkStatus.PAUSED), clock=clock)

    assert state.n_active == 2
    assert check.movement_direction is Movement.STABLE
    assert (report["n"], board["sort"], len(page.rows), page.next_after) == (2, "recent", 2, None)
    assert change.n_changed == 2


@pytest.fixture
async def bench_house(store: Store, clock: ManualClock) -> Bench:
    """Two forecasts, just made."""
    bench = Bench(store, clock)
    await bench.market(0.60)
    await bench.predict(0.75, 0.40)
    return bench


async def test_an_export_goes_page_by_page(bench_house, settings, clock, monkeypatch):
    """Neither side holds them all, and an answer stays below the socket's limit."""
    from agent.desk import benchmark as desk

    monkeypatch.setattr(desk, "MAX_PAGE", 1)
    given = desk.Desk(bench_house.store, settings, clock())
    async with bench_house.store.write() as tx:
        await desk.enrol_predictions(tx)

    first = await AskExportRows().answer(given)
    second = await AskExportRows(after_seq=first.next_after or 0).answer(given)
    third = await AskExportRows(after_seq=second.next_after or 0).answer(given)

    ids = [row["prediction_id"] for page in (first, second, third) for row in page.rows]
    assert (ids, third.next_after) == (["p0", "p1"], None)


async def test_a_scored_export_row_tells_the_answer(bench_house, settings, clock):
    """Resolution, scores and every horizon's reason in one row."""
    clock.forward(hours=2)
    await bench_house.market(status=MarketStatus.RESOLVED, resolution=Resolution.YES, resolution_value=1.0)
    await bench_house.run()

    from agent.desk.base import Desk

    (row, _) = (await AskExportRows().answer(Desk(bench_house.store, settings, clock()))).rows
    assert (row["status"], row["resolution"], row["brier_score"]) == ("COMPLETED", "yes", 0.0625)
    assert row["missing_72h"] == "not_trading"


def test_nothing_forecast_yet_is_a_sentence(settings, tmp_path):
    """A fresh edge has no benchmark to be ashamed of."""
    config = tmp_path / "oddsd.toml"
    config.write_text(f'data_dir = "{settings.data_dir}"\nruntime_dir = "{settings.runtime_dir}"\n')

    assert "nothing has been forecast yet" in called(config, "status")
    assert "nothing has been forecast yet" in called(config, "leaderboard")


async def test_the_screen_fits_its_columns(bench_house):
    """Eighty of them, whatever is counted."""
    from agent.desk.benchmark import load_state

    bench_house.clock.forward(hours=1)
    await bench_house.market(0.66)
    await bench_house.run()
    console = Console(width=80, record=True, file=io.StringIO())

    console.print(render_state(await load_state(bench_house.store.reader)))

    lines: list[Any] = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("1 converging, 1 diverging" in line for line in lines)


def test_a_data_folder_is_read_instead_of_asking_the_daemon(config, tmp_path, settings):
    """A replay's database beside a running edge; its present is its own, not today."""
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(f'data_dir = "{tmp_path}/none"\nruntime_dir = "{tmp_path}/none"\n')

    told = json.loads(called(elsewhere, "leaderboard", "--json", "--data-dir", str(settings.data_dir)))

    assert len(told["entries"]) == 3
    assert told["made_at"] == "2026-11-21T13:00:00Z"
