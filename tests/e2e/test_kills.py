"""Kill the daemon and the database in the middle of the work: nothing is lost, nothing is doubled."""

import asyncio
import contextlib
import random

import pytest

from agent.errors import OddsdError
from tests.e2e.edge import Edge
from tests.fakes.exchange import ExchangeServer
from tests.fakes.world import World
from tests.oracle import judge

MIN_ROUNDS, MAX_ROUNDS = 12, 40
MIN_INTERRUPTED = 4  # kills that left rows unsent: without them a run proves nothing
LONGEST_LIFE_S = 0.2  # a quick machine has collected and sent a tick within this


@pytest.mark.timeout(240)
async def test_kill_9_of_daemon_and_postgres_in_mid_sync_loses_and_doubles_nothing(tmp_path, postgres):
    """The promise of sync, under the two deaths that happen at home: a power cut here, a crash there."""
    dice = random.Random(20261121)
    owner_dsn, edge_dsn = postgres.create_database()
    n_interrupted = 0
    async with ExchangeServer(World(n_ticks=MAX_ROUNDS + 2)) as exchange:
        settings = {
            "database_url": edge_dsn,
            "polymarket_url": exchange.polymarket_url,
            "kalshi_url": exchange.kalshi_url,
            "ai_analysis_enabled": False,
            "processing_experiments": ["market_prior", "coin"],
        }
        async with Edge(tmp_path, **settings) as edge:
            for number in range(MAX_ROUNDS):
                if number >= MIN_ROUNDS and n_interrupted >= MIN_INTERRUPTED:
                    break
                child = await edge.start()
                work = asyncio.ensure_future(_work(edge, predict=number == 2))
                await asyncio.sleep(dice.uniform(0.0, LONGEST_LIFE_S))
                victim = dice.choice(["daemon", "postgres", "both"])
                if victim != "daemon":
                    await asyncio.to_thread(postgres.restart_immediate)
                if victim == "postgres":
                    await asyncio.sleep(dice.uniform(0.0, 0.3))  # alive, with the line torn off
                await child.kill()
                await work
                n_interrupted += edge.pending_rows() > 0
                exchange.forward()

            child = await edge.start()
            await _work(edge, predict=False)
            await edge.until_drained()
            assert await child.stop() == 0

        verdict = await judge(edge.database, owner_dsn)

    assert n_interrupted >= MIN_INTERRUPTED, "the kills never hit a sync under way: this run proved nothing"
    assert verdict.lost == verdict.doubled == verdict.foreign == verdict.quarantined == 0, verdict
    assert verdict.rows_sealed == verdict.rows_acked == verdict.rows_in_cloud > 3_000, verdict


async def _work(edge: Edge, *, predict: bool) -> None:
    """Ask for jobs until they are done or the daemon is gone."""
    with contextlib.suppress(OddsdError, ConnectionError, asyncio.IncompleteReadError):
        await edge.ask("run_now", job="collect")
        if predict:
            await edge.ask("run_now", job="predict")
        await edge.ask("run_now", job="benchmark")
