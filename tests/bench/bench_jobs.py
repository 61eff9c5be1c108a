"""The engine: what a unit costs, how soon a run asked for by hand begins, and what sharing over Postgres adds.

The baseline of a unit is the same coroutine in a TaskGroup, with nothing kept; of two workers, one worker.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from agent.jobs.context import RunContext, Unit
from agent.jobs.runner import JobSpec, Runner
from agent.log import configure
from agent.status.control import ControlServer, call
from agent.store.db import Store
from tests.demo.processes import BIN
from tests.fakes.nursery import Nursery
from tests.fakes.paid_worker import LEDGER, Work
from tests.fakes.postgres import EmbeddedPostgres

N_UNITS, N_ASKED = 1000, 50
GOAL_START_MS = 50.0


async def measure() -> dict[str, object]:
    """All of it, on a store of its own."""
    configure(level="warning")  # two lines a run are not what is measured
    with tempfile.TemporaryDirectory(prefix="oddsd-") as folder:
        return {
            "units": await _units(Path(folder)),
            "run_now": await _run_now(Path(folder)),
            "shared": await _shared(Path(folder)),
        }


def _now() -> datetime:
    return datetime.now(UTC)


async def _nothing(n: int) -> Unit:
    return Unit(n)


async def _units(folder: Path) -> dict[str, float]:
    """Seconds for a map of trivial units, each kept in a transaction of its own, fully synced."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(range(N_UNITS), key=str, fn=_nothing)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n in range(N_UNITS):
            group.create_task(_nothing(n))
    bare_s = time.perf_counter() - began
    async with await Store.open(folder / "units.db", clock=_now) as store:
        runner = Runner(store, _now, [_spec(job)], {"default": 32})
        began = time.perf_counter()
        result = await runner.run("job")
        first_s = time.perf_counter() - began
        began = time.perf_counter()
        await runner.run("job", trigger="hand")
        again_s = time.perf_counter() - began
    assert result.state == "ok"
    return {
        "n": N_UNITS,
        "bare_s": round(bare_s, 4),
        "kept_s": round(first_s, 3),
        "all_found_again_s": round(again_s, 3),
    }


async def _run_now(folder: Path) -> dict[str, object]:
    """Milliseconds from the request on the socket to the job's first line; and a whole `oddsd --version` beside it."""
    began_at = list[float]()

    async def job(ctx: RunContext, slot: datetime) -> None:
        began_at.append(time.perf_counter())

    asked_at = list[float]()
    async with await Store.open(folder / "now.db", clock=_now) as store:
        runner = Runner(store, _now, [_spec(job)], {})

        async def run_now(request: dict[str, object]) -> object:
            return await runner.run(str(request["job"]), trigger="hand")

        async with ControlServer(folder / "control.sock", {"run_now": run_now}, long_verbs={"run_now"}):
            for _ in range(N_ASKED):
                asked_at.append(time.perf_counter())
                await call(folder / "control.sock", "run_now", None, job="job")
    starts_ms = [1000 * (begin - ask) for ask, begin in zip(asked_at, began_at, strict=True)]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(BIN / "oddsd", "--version", stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    return {
        "starts_ms_median": round(median(starts_ms), 2),
        "starts_ms_max": round(max(starts_ms), 2),
        "goal_ms": GOAL_START_MS,
        "interpreter_and_command_ms": round(1000 * (time.perf_counter() - began)),
    }


async def _shared(folder: Path) -> dict[str, object]:
    """400 calls of 200 ms, 8 at once on each worker: the ledger, DBOS alone, DBOS on two workers."""
    postgres = EmbeddedPostgres().start()
    try:
        url = postgres.create_empty_database()
        alone_s, _ = await _together(folder, "ledger", [LEDGER])
        one_s, _ = await _together(folder, "one", [url])
        two_s, shares = await _together(folder, "two", [postgres.create_empty_database()] * 2)
    finally:
        postgres.stop()
    return {
        "calls": 400,
        "perfect_s": 400 * 0.2 / 8,
        "ledger_s": alone_s,
        "dbos_one_worker_s": one_s,
        "dbos_two_workers_s": two_s,
        "shares_of_two": shares,
    }


async def _together(folder: Path, name: str, backends: list[str]) -> tuple[float, list[int]]:
    """(seconds until the last worker ended, paid calls by worker)."""
    works = [
        Work(
            database=folder / f"{name}{number}.db", calls=folder / f"{name}.calls", backend=backend, host=f"w{number}",
            n_units=400, at_once=8, shortest_s=0.2, longest_s=0.2,
        )
        for number, backend in enumerate(backends)
    ]  # fmt: skip
    nurseries = [Nursery("tests.fakes.paid_worker") for _ in works]
    for nursery in nurseries:
        await nursery.__aenter__()
    try:
        began = time.perf_counter()
        for nursery, work in zip(nurseries, works, strict=True):
            await nursery.born(*work.arguments())
        codes = [await nursery.ended() for nursery in nurseries]
        took_s = time.perf_counter() - began
    finally:
        for nursery in nurseries:
            await nursery.__aexit__(None, None, None)
    calls = [line.split() for line in works[0].calls.read_text().splitlines()]
    if any(codes) or len({unit for unit, _ in calls}) != len(calls):
        print(f"{name}: exit codes {codes}, {len(calls)} calls", file=sys.stderr)
    return round(took_s, 2), sorted(Counter(worker for _, worker in calls).values())


def _spec(job: object) -> JobSpec:
    return JobSpec(name="job", run=job, schedule="* * * * *", missed="latest", timeout_s=600)  # type: ignore[arg-type]
