"""The standby as a cron service runs it: the script itself, local venues, a local model, a real Postgres."""

import asyncio
import json
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from tests.demo.processes import BIN
from tests.e2e.test_daemon import QUIET
from tests.fakes.exchange import ExchangeServer
from tests.fakes.groq import GroqServer
from tests.fakes.world import World

SCRIPT = Path(__file__).resolve().parents[2] / "cloudapi" / "deploy" / "standby"


async def standby(folder, *arguments, **env):
    """Run the script in an environment of its own; its exit code, stdout and stderr."""
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", "ODDSD_DATA_DIR": str(folder), "ODDSD_RUNTIME_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        SCRIPT, *arguments, env=own | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_without_a_database_or_with_a_crooked_window_it_ends_before_it_begins(tmp_path):
    """What it would forecast, it would pay for and lose."""
    code, out, err = await standby(tmp_path)
    odd, _, words = await standby(tmp_path, "7; true", DATABASE_URL="postgresql://x/y")

    assert (code, out) == (78, "")
    assert "DATABASE_URL is not set" in err
    assert odd == 78
    assert 'not "7; true"' in words
    assert not list(tmp_path.iterdir())


async def test_the_days_jobs_run_once_and_arrive(tmp_path, postgres):
    """Forecasts of the wanted day are in the cloud, the summary tells of them, a second run pays for nothing."""
    owner, edge = postgres.create_database()
    config = tmp_path / "oddsd.toml"
    async with ExchangeServer(World(n_ticks=1, start=datetime.now(UTC))) as exchange, GroqServer() as groq:
        places = {
            "polymarket_url": exchange.polymarket_url,
            "kalshi_url": exchange.kalshi_url,
            "groq_base_url": groq.url,
            "predict_limit": 2,
        }
        config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in places.items()) + QUIET)
        told = {"ODDSD_CONFIG": str(config), "DATABASE_URL": edge, "GROQ_API_KEY": "k"}
        told |= {"STANDBY_SUMMARY": str(tmp_path / "summary.json")}
        first, out, err = await standby(tmp_path / "data", "7", **told)
        n_paid = len(groq.calls)
        second, _, _ = await standby(tmp_path / "data", "7", **told)
        n_again = len(groq.calls) - n_paid

    cloud = await asyncpg.connect(owner)
    arrived = await cloud.fetchval("select count(*) from prediction")
    hosts = await cloud.fetch("select host_id from edge_host")
    await cloud.close()
    ran = {result["job"]: result for result in json.loads(out)}
    assert (first, second) == (0, 0), err
    assert list(ran) == ["collect", "resolve", "predict", "benchmark", "horizons", "sync"]
    with sqlite3.connect(tmp_path / "data" / "oddsd.db") as kept:
        (n_kept,) = kept.execute("select count(*) from predictions").fetchone()
    assert arrived == n_kept > 0
    assert ran["predict"]["counts"]["made"] >= n_kept
    assert [row["host_id"] for row in hosts] == ["standby"]
    assert n_paid > 0
    assert n_again == 0
    assert json.loads((tmp_path / "summary.json").read_text())[0]["job"] == "collect"
