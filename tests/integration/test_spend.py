"""`oddsd spend`: the same sum in the service's books, in the file, over the control socket and on the screen."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from agent.desk.base import ask, verbs
from agent.desk.spend import AskSpend, DaySpend, load_day_spend, render
from agent.errors import AnalysisError
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.llm.prompt import Prompt
from agent.llm.schemas import ANALYSIS, FORECAST, digest_schema
from agent.settings import Settings
from agent.status.control import ControlServer
from agent.store.db import Store
from tests.fakes.groq import GroqServer

DAY = date(2026, 11, 21)
CAP = Decimal("0.50")
PROMPT = Prompt(system="You answer in json.", user="DATA-77\nx\nDATA-77", version="v@1", marker="DATA-77")


@pytest.fixture
async def groq() -> AsyncIterator[GroqServer]:
    """The service, which keeps its own books."""
    async with GroqServer(seed=2) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An edge of its own."""
    return Settings(data_dir=tmp_path / "data", runtime_dir=tmp_path / "run", host_id="t")


async def work(store: Store, groq: GroqServer) -> None:
    """A day: three purposes, two models, answers that fit and answers that do not, refusals that cost nothing."""
    options = GatewayOptions(api_key="k", base_url=groq.url)
    async with Gateway(store, options, sleep=lambda _: asyncio.sleep(0)) as gateway:

        async def ask(purpose: str, schema, **over) -> None:
            with contextlib.suppress(AnalysisError):
                await gateway.complete(purpose, schema, PROMPT, **over)

        groq.fault("unavailable")
        groq.fault("out_of_range", times=2)
        await ask(Purpose.FORECAST, FORECAST)
        await asyncio.gather(*(ask(Purpose.FORECAST, FORECAST, model="openai/gpt-oss-120b") for _ in range(5)))
        await ask(Purpose.ANALYSIS, ANALYSIS)
        groq.fault("unprocessable")
        await ask(Purpose.ANALYSIS, ANALYSIS)
        await ask(Purpose.DIGEST, digest_schema(["M1", "M2"]))


async def test_the_days_spend_is_the_sum_of_the_calls_the_service_saw(store, groq):
    """To the last nano-dollar the service rounds to, per purpose and model, failed calls included."""
    await work(store, groq)

    found = await load_day_spend(store.reader, DAY, cap_usd=CAP)

    per_call_rounding = Decimal("1e-9") * len(groq.told)
    assert 0 <= found.spent_usd - groq.cost_usd() < per_call_rounding
    assert found.spent_usd == sum(line.spent_usd for line in found.lines)
    assert found.n_calls == len(groq.calls)
    assert sum(line.n_tokens for line in found.lines) == sum(usage["total_tokens"] for _, usage in groq.told)
    by_model = {model: sum(u["total_tokens"] for m, u in groq.told if m == model) for model in groq.models}
    for line in found.lines:
        if line.purpose == "forecast" and line.model == "openai/gpt-oss-120b":
            assert line.n_tokens == by_model[line.model]
    assert {(line.purpose, line.n_failed) for line in found.lines} >= {("analysis", 1), ("digest", 0)}
    assert found.reserved_usd == 0


async def test_money_of_a_call_under_way_is_shown_apart(store, groq):
    """The cap counts it at its worst, so the screen must say where it is."""
    groq.fault("slow", seconds=30)
    async with Gateway(store, GatewayOptions(api_key="k", base_url=groq.url)) as gateway:
        asking = asyncio.create_task(gateway.complete(Purpose.FORECAST, FORECAST, PROMPT))
        await asyncio.wait_for(groq.arrived.wait(), 10)
        found = await load_day_spend(store.reader, DAY, cap_usd=CAP)
        groq.released.set()
        await asking

    assert found.spent_usd == 0
    assert found.reserved_usd > 0
    assert "at worst under way" in render(found)


async def test_the_daemon_and_its_file_tell_the_same(settings, groq, clock):
    """With the daemon its control socket answers, without it the file is read under the lock."""
    async with await Store.open(settings.database_path, clock=clock) as store:
        await work(store, groq)

        settings.runtime_dir.mkdir()
        async with ControlServer(settings.control_socket, verbs((AskSpend,), store, settings, clock)):
            asked = await ask(settings, AskSpend(day=DAY), clock=clock)
    read = await ask(settings, AskSpend(day=DAY), clock=clock)

    assert asked == read
    assert read.n_calls > 5
    assert (await ask(settings, AskSpend(day=date(2026, 11, 20)), clock=clock)).lines == ()


async def test_asking_makes_no_database(settings, clock):
    """A command that shows something must not leave something behind."""
    found = await ask(settings, AskSpend(day=DAY), clock=clock)

    assert (found.n_calls, found.spent_usd) == (0, 0)
    assert not settings.data_dir.exists()
    assert render(found) == "2026-11-21 (UTC): 0.000000 USD of 0.50 in 0 calls"


async def test_the_command_prints_a_table_or_json(settings, groq, clock):
    """The same figures for people and for scripts."""
    async with await Store.open(settings.database_path, clock=clock) as store:
        await work(store, groq)
        found = await load_day_spend(store.reader, DAY, cap_usd=CAP)
    environment = os.environ | {
        "ODDSD_DATA_DIR": str(settings.data_dir), "ODDSD_RUNTIME_DIR": str(settings.runtime_dir), "ODDSD_HOST_ID": "t",
    }  # fmt: skip

    def oddsd(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from agent.cli import main; main()", "spend", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)

    table, document, wrong = await asyncio.gather(
        asyncio.to_thread(oddsd, "--day", "2026-11-21"),
        asyncio.to_thread(oddsd, "--day", "2026-11-21", "--json"),
        asyncio.to_thread(oddsd, "--day", "yesterday"),
    )
    if document.returncode == 75:  # the two readers met at the lock, as two people might
        document = oddsd("--day", "2026-11-21", "--json")
    if table.returncode == 75:
        table = oddsd("--day", "2026-11-21")

    assert msgspec.convert(json.loads(document.stdout), DaySpend) == found
    assert f"{found.spent_usd:.6f} USD of 0.50 in {found.n_calls} calls" in table.stdout
    assert [line.split()[:2] for line in table.stdout.splitlines()[3:]] == [
        [line.purpose, line.model] for line in found.lines
    ]
    assert wrong.returncode == 2
