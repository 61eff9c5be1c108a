"""The commands that ask about jobs and steer them, without a daemon: each works on the file, under its lock."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli import commands
from agent.errors import OddsdError
from agent.jobs.context import RunContext, Unit
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def some_runs(database: Path) -> str:
    """A run of collect in which one of two units died; returns its id."""

    async def ask(name: str) -> Unit:
        if name == "bad":
            raise OddsdError("the venue refuses")
        return Unit(name)

    async def job(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(["good", "bad"], key=lambda name: f"ask:{name}", fn=ask)

    async with await Store.open(database, clock=lambda: NOON) as store:
        spec = JobSpec(name="collect", run=job, schedule="* * * * *", missed="latest", timeout_s=60)
        return (await Runner(store, lambda: NOON, [spec], {}).run("collect", NOON)).run_id


@pytest.fixture
def oddsd(tmp_path: Path):
    """Runs a command on a configuration of its own."""
    config = tmp_path / "oddsd.toml"
    folders = {"data_dir": tmp_path, "runtime_dir": tmp_path}
    config.write_text("".join(f'{name} = "{folder}"\n' for name, folder in folders.items()))

    def run(*words: str) -> Result:
        return CliRunner().invoke(commands, [*words, "--config", str(config)])

    return run


@pytest.fixture
def run_id(tmp_path: Path) -> str:
    return asyncio.run(some_runs(tmp_path / "oddsd.db"))


def test_runs_are_listed_for_people_and_scripts(oddsd, run_id):
    """`oddsd runs`, of one job, as JSON."""
    assert run_id[-8:] in oddsd("runs").output
    assert "no runs yet" in oddsd("runs", "predict").output
    (run,) = json.loads(oddsd("runs", "collect", "--last", "5", "--json").output)
    assert (run["run_id"], run["state"], run["counts"]) == (run_id, "partial", {})


def test_a_run_is_shown_by_the_end_of_its_id(oddsd, run_id):
    """As the list shows it; the whole id is as good."""
    short, whole = oddsd("runs", "show", run_id[-8:]), oddsd("runs", "show", run_id)

    assert "dead: the venue refuses" in short.output
    assert short.output == whole.output
    units = json.loads(oddsd("runs", "show", run_id, "--json").output)["units"]
    assert [(unit["key"], unit["error"]) for unit in sorted(units, key=lambda unit: unit["key"])] == [
        ("ask:bad", "the venue refuses"), ("ask:good", None),
    ]  # fmt: skip


def test_an_unknown_run_is_refused(oddsd, run_id):
    """In a sentence; the exit code is the caller's fault."""
    result = oddsd("runs", "show", "nonsense")

    assert isinstance(result.exception, OddsdError)
    assert result.exception.exit_code == 64


def test_dead_letters_are_listed_and_dropped(oddsd, run_id):
    """The reason is there when the decision is made."""
    assert "the venue refuses" in oddsd("dead-letter", "list").output
    assert oddsd("dead-letter", "drop", "collect", "bad").output == "dropped collect  ask:bad\n"
    assert json.loads(oddsd("dead-letter", "list", "--json").output) == []


def test_a_pause_before_the_first_start_stands(oddsd):
    """There is no database yet: one that only asked would make none, and the pause would be gone."""
    assert oddsd("pause", "collect", "--reason", "new router").output.startswith("collect paused since ")
    assert json.loads(oddsd("resume", "--json").output)["changed"]


def test_a_pause_set_without_the_daemon_stands(oddsd, run_id):
    """It is a row in the file."""
    oddsd("pause")
    assert oddsd("pause", "collect").output.startswith("all jobs paused since ")
    assert json.loads(oddsd("resume", "--json").output) == {"changed": True, "standing": []}
