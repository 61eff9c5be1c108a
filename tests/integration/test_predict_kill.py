"""kill -9 in the middle of a paid prediction run: everything is forecast once, next to nothing is paid twice."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from agent.core.record import verify
from agent.store.db import Store
from agent.store.predictions import load_record
from tests.factories import NOON
from tests.fakes.groq import GroqServer
from tests.integration.predict_worker import EXPERIMENTS
from tests.integration.predicting import BOTH, save_open

ROOT = Path(__file__).resolve().parents[2]
KEYS = [f"kalshi:K{i}" for i in range(6)]
N_PAID = len(KEYS) * len(BOTH) * 5  # single_model, three aspects, research_forecast


def question(call) -> str:
    """What was asked of whom, less the fence's marker, which is new each time."""
    words = call["messages"][-1]["content"]
    plain = "\n".join("" if line.startswith("DATA-") else line for line in words.split("\n"))
    return f"{call['model']}|{call['messages'][0]['content'][:40]}|{plain}"


async def worker(database, groq):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.predict_worker", str(database), groq.url,
        cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("n_kills", [3, pytest.param(15, marks=pytest.mark.slow)])
async def test_a_killed_prediction_run_pays_for_nothing_it_has_kept(tmp_path, n_kills):
    """Counted at the service: at most the one call between its answer and its record, per kill."""
    database, dice, n_killed = tmp_path / "oddsd.db", random.Random(11), 0
    async with await Store.open(database, clock=lambda: NOON) as store:
        # Each its own title, so that a question names its market.
        for key in KEYS:
            await save_open(store, [key], title=f"Will {key[-2:]} happen?")

    async with GroqServer(seed=3) as groq:
        for _ in range(5 * n_kills):
            child = await worker(database, groq)
            if n_killed < n_kills:
                goal = len(groq.calls) + dice.randint(1, max(1, N_PAID // n_kills))
                while child.returncode is None and len(groq.calls) < goal:
                    groq.arrived.clear()
                    ended = asyncio.ensure_future(child.wait())
                    arrived = asyncio.ensure_future(groq.arrived.wait())
                    await asyncio.wait({ended, arrived}, return_when=asyncio.FIRST_COMPLETED)
                    arrived.cancel()
                if child.returncode is None:
                    child.kill()
                    n_killed += 1
            if await child.wait() == 0:
                break
        asked = Counter(question(call) for call in groq.calls)

    async with await Store.open(database, clock=lambda: NOON) as store:
        record = await load_record(store.reader)
        n_settled = await store.reader.fetch_value("SELECT count(*) FROM forecasts WHERE state <> 'made'")
    per_market = 1 + 2 * len(BOTH) + 1
    assert n_killed > 0
    assert len(asked) == N_PAID
    assert asked.total() - N_PAID <= n_killed
    assert (len(record), n_settled) == (len(KEYS) * per_market, 0)
    assert len({(p.market_key, p.experiment, p.model) for p in record}) == len(record)
    assert verify(record) is None
    assert set(EXPERIMENTS) - {"research"} == {p.experiment for p in record}
    print(f"{n_killed} kills, {asked.total() - N_PAID} of {N_PAID} calls paid for again")
