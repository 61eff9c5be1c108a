"""kill -9 in the middle of a paid job: nothing is lost, nothing is stored twice, next to nothing is paid twice."""

import asyncio
import random
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.jobs.worker import N_UNITS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("n_kills", [3, pytest.param(20, marks=pytest.mark.slow)])
async def test_a_killed_job_is_finished_by_its_successors(tmp_path: Path, n_kills: int):
    """The kept row and the data share a transaction: a unit is wholly there or asked for again."""
    database, calls = tmp_path / "oddsd.db", tmp_path / "calls"
    chance, n_killed = random.Random(7), 0

    for _ in range(10 * n_kills):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.jobs.worker", str(database), str(calls),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if n_killed < n_kills:
            before = calls.stat().st_size if calls.exists() else 0
            goal = before + chance.randint(1, 3 * N_UNITS // n_kills)
            while worker.returncode is None and (not calls.exists() or calls.stat().st_size < goal):
                await asyncio.sleep(0.002)  # another process's progress has no event to wait for
            if worker.returncode is None:
                worker.kill()
                n_killed += 1
        if await worker.wait() == 0:
            break

    answered = Counter(calls.read_text().split())
    with closing(sqlite3.connect(database)) as connection:
        stored = Counter(str(n) for (n,) in connection.execute("SELECT n FROM paid"))
        runs = connection.execute("SELECT state, attempt FROM job_runs").fetchall()
    assert stored == Counter(map(str, range(N_UNITS)))
    assert runs == [("ok", n_killed + 1)]
    assert n_killed > 0
    # At most the eight calls of the lane can stand between their answer and their record when the kill comes.
    assert answered.total() - N_UNITS <= 8 * n_killed
    print(f"{n_killed} kills, {answered.total() - N_UNITS} of {N_UNITS} answers paid for again")
