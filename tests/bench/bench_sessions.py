"""How soon a session begins once it is accepted: one at a time, and twenty at once, with a model that answers slowly.

Two hundred of the first, five times twenty of the second: enough for a p99 that is more than the slowest of a few.

`python -m tests.bench.bench_sessions` prints one JSON object. Begun: the edge's first step has landed in the cloud. The
baseline of the same run is the bare bell: the same PostgreSQL telling a listener in the same process, and a row written
back.
"""

import asyncio
import json
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from cloudapi.queries.accounts import new_id
from cloudapi.queries.sessions import save_session
from tests.factories import make_market, make_quote
from tests.fakes.groq import GroqServer
from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.session_edge import MODELS, SessionEdge

N_SINGLE, N_BURST, N_BURSTS = 200, 20, 5  # a p99 of sixty would be their slowest
N_MARKETS = N_BURST * (N_BURSTS + 1)  # a forecast of a day is made once: each burst asks about markets of its own
GOAL_S, PROMISED_S = 2.0, 10.0
MODEL_S = 2.0  # what one answer takes while the twenty come

WAITS = """
select extract(epoch from started_at - asked_at)::float8 as wait_s from prediction_session where session_id = any ($1)
"""


async def measure() -> dict[str, Any]:
    """Seconds from acceptance to the first step, p50 and p99, beside the bare bell."""
    server = EmbeddedPostgres().start()
    try:
        owner_dsn, edge_dsn = server.create_database()
        with tempfile.TemporaryDirectory() as folder:
            return await _measured(owner_dsn, edge_dsn, Path(folder))
    finally:
        server.stop()


async def _measured(owner_dsn: str, edge_dsn: str, folder: Path) -> dict[str, Any]:
    owner, now = await asyncpg.connect(owner_dsn), datetime.now(UTC)
    account = new_id()
    await owner.execute("insert into account (account_id, name, tier) values ($1, 'bench', 'pro')", account)
    keys = [f"kalshi:K{n}" for n in range(N_MARKETS)]
    async with GroqServer(seed=1) as groq, SessionEdge(folder / "oddsd.db", edge_dsn, groq.url) as edge:
        ends = now + timedelta(days=7)
        markets = [make_market(market_key=key, fetched_at=now, close_time=ends) for key in keys]
        await edge.save(markets, [make_quote(market_key=key, fetched_at=now) for key in keys])
        while await owner.fetchval("select count(*) from market") < N_MARKETS:
            await asyncio.sleep(0.05)

        async def ask(number: int) -> uuid.UUID:
            session_id = new_id()
            async with asyncio.timeout(30), owner_lock, owner.transaction():
                await save_session(
                    owner, session_id, account, market_key=keys[number % N_MARKETS], models=MODELS[:1], charged=0,
                    shadow=True, wait_s=600,
                )  # fmt: skip
            return session_id

        owner_lock = asyncio.Lock()
        await _until_begun(owner, [await ask(0)])  # the first connects and warms up
        singles = []
        for number in range(N_SINGLE):
            singles.append(await ask(number % N_BURST))
            await _until_begun(owner, singles[-1:])
        at_once = list[float]()
        for number in range(1, N_BURSTS + 1):
            groq.fault("slow", times=N_BURST, seconds=MODEL_S)
            first = number * N_BURST
            burst = list(await asyncio.gather(*(ask(first + place) for place in range(N_BURST))))
            await _until_begun(owner, burst)
            at_once += await _waits(owner, burst)
            await _until_ended(owner, burst)
        bell = await _bell(owner, owner_dsn)
        single = await _waits(owner, singles)
        groq.released.set()
    await owner.close()
    return {
        "n_single": N_SINGLE,
        "queue_to_start_p50_s": _share(single, 0.5),
        "queue_to_start_p99_s": _share(single, 0.99),
        "n_burst": N_BURST * N_BURSTS,
        "burst_p50_s": _share(at_once, 0.5),
        "burst_p99_s": _share(at_once, 0.99),
        "baseline_bell_p50_s": _share(bell, 0.5),
        "baseline_bell_p99_s": _share(bell, 0.99),
        "times_the_bell": round(_share(single, 0.5) / _share(bell, 0.5), 1),
        "goal_s": GOAL_S,
        "promised_s": PROMISED_S,
        "reached": _share(single, 0.99) < GOAL_S and _share(at_once, 0.99) < GOAL_S,
    }


async def _until_begun(owner: asyncpg.Connection, sessions: list[uuid.UUID]) -> None:
    """Asked rarely enough not to be in the way."""
    async with asyncio.timeout(60):
        while len(await _waits(owner, sessions)) < len(sessions):
            await asyncio.sleep(0.02)


async def _until_ended(owner: asyncpg.Connection, sessions: list[uuid.UUID]) -> None:
    """So that the next burst meets an edge at rest."""
    ended = "select count(*) from prediction_session where session_id = any ($1) and ended_at is not null"
    async with asyncio.timeout(120):
        while await owner.fetchval(ended, sessions) < len(sessions):
            await asyncio.sleep(0.05)


async def _waits(owner: asyncpg.Connection, sessions: list[uuid.UUID]) -> list[float]:
    return [row["wait_s"] for row in await owner.fetch(WAITS, sessions) if row["wait_s"] is not None]


async def _bell(owner: asyncpg.Connection, dsn: str) -> list[float]:
    """A notification, a listener that writes a row, and the writer knowing it."""
    listener, took, rung = await asyncpg.connect(dsn), list[float](), asyncio.Event()
    await listener.execute("create table if not exists bench_written (n integer)")
    await listener.add_listener("bench", lambda *_: rung.set())
    for _ in range(N_SINGLE):
        began = time.perf_counter()
        await owner.execute("notify bench")
        await rung.wait()
        rung.clear()
        await listener.execute("insert into bench_written values (1)")
        took.append(time.perf_counter() - began)
    await listener.close()
    return took


def _share(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=2))
