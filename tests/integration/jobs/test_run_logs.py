"""Every line that is logged while a run works carries the run's id, whoever writes it."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from agent import log as logs
from agent.jobs.context import RunContext, Unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(json=True, stream=stream)
    yield stream
    structlog.reset_defaults()


async def test_lines_of_job_units_and_libraries_carry_the_runs_id(lines, make_runner):
    """One search finds the whole story of a run, and of one unit of it."""

    async def ask(name: str) -> Unit:
        await asyncio.sleep(0)
        structlog.get_logger("any").info("asked")
        logging.getLogger("library").warning("slow")
        return Unit(name)

    async def job(ctx: RunContext, slot: datetime) -> None:
        structlog.get_logger("any").info("begins")
        await ctx.map(["a", "b"], key=lambda name: f"ask:{name}", fn=ask)

    result = await make_runner(job).run("job", NOON)
    structlog.get_logger("any").info("outside")

    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    inside = [line for line in told if line["action"] != "outside"]
    assert {line.get("run_id") for line in inside} == {result.run_id}
    assert {line["job"] for line in inside} == {"job"}
    assert (
        sorted(line["unit"] for line in inside if line["action"] in {"asked", "slow"}) == ["ask:a"] * 2 + ["ask:b"] * 2
    )
    assert not {"run_id", "unit"} & told[-1].keys()


async def test_runs_beside_each_other_keep_their_ids_apart(lines, make_runner, store):
    """The context belongs to the task."""
    both = asyncio.Barrier(2)

    async def job(ctx: RunContext, slot: datetime) -> None:
        await both.wait()
        structlog.get_logger("any").info("inside", mine=ctx.run_id)
        await both.wait()

    await asyncio.gather(make_runner(job, name="one").run("one", NOON), make_runner(job, name="two").run("two", NOON))

    inside = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["action"] == "inside"]
    assert len(inside) == 2
    assert all(line["mine"] == line["run_id"] for line in inside)
