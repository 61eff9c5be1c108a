"""An authenticated cached page over HTTP, against bare routes of two frameworks that answer the very same bytes.

Ours does what a bare route does not: looks the key up, counts it against the limits, finds the body of tier and version,
and sets the headers. One server process on one core, the load generator on another.
"""

import importlib.util
import shutil
import tempfile
from pathlib import Path

import asyncpg
import httpx

from tests.bench.cloud.bench_storage import INSIGHTS, MARKETS, PLACES, TOPICS
from tests.bench.cloud.processes import load, pro_key, served
from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.redis import RedisServer

PAGE = "/v1/insights?limit=5"
GOAL = {"requests_per_s": 10_000, "p99_ms": 10}
SATURATED = 64


async def measure(seconds: float) -> dict[str, object]:
    """Requests per second and percentiles at 64 connections and at one."""
    postgres = EmbeddedPostgres().start()
    try:
        dsn, _ = postgres.create_database()
        key = await pro_key(dsn)
        owner = await asyncpg.connect(dsn)
        await owner.execute(MARKETS, 2500, TOPICS, PLACES)
        await owner.execute(INSIGHTS, 5000)
        await owner.close()
        async with served("ours", dsn=dsn) as (port, pid):
            body = await _body(port, key)
            ours = await _both(port, pid, PAGE, seconds, key)
        found: dict[str, object] = {"bytes": len(body), "goal_at_64": GOAL, "ours": ours}
        found["ours_with_redis"] = await _with_redis(dsn, key, seconds)
        for framework in ("litestar", "fastapi"):
            found[f"bare_{framework}"] = await _bare(framework, body, seconds)
        return found
    finally:
        postgres.stop()


async def _with_redis(dsn: str, key: str, seconds: float) -> object:
    """As two replicas would run: each answer counted in Redis."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed"
    async with RedisServer() as redis, served("ours", dsn=dsn, redis_url=redis.url) as (port, pid):
        await _body(port, key)
        return await _both(port, pid, PAGE, seconds, key)


async def _bare(framework: str, body: bytes, seconds: float) -> object:
    if importlib.util.find_spec(framework) is None:
        return "not installed: pip install fastapi into an environment of your own to compare"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body.json"
        file.write_bytes(body)
        async with served(framework, str(file)) as (port, pid):
            return await _both(port, pid, "/", seconds, None)


async def _both(port: int, pid: int, path: str, seconds: float, key: str | None) -> dict[str, object]:
    return {
        "at_64": await load(port, pid, path, connections=SATURATED, seconds=seconds, key=key),
        "at_1": await load(port, pid, path, connections=1, seconds=seconds / 2, key=key),
    }


async def _body(port: int, key: str) -> bytes:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}{PAGE}", headers={"authorization": f"Bearer {key}"})
    answer.raise_for_status()
    return answer.content
