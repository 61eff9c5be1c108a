"""Redis shared by replicas: faster together, correct without it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from cloudapi.cache import CachedBody, RedisCache, make_redis_pool
from cloudapi.tiers import ENTITLEMENTS, Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_market, make_quote


async def test_answer_made_by_one_replica_is_found_by_another(redis_url: str) -> None:
    """The point of sharing: one replica's work is everybody's."""
    pools = [make_redis_pool(redis_url), make_redis_pool(redis_url)]
    first, second = (RedisCache(pool) for pool in pools)
    await first.put("key", CachedBody.of(b"answer"), 30)

    found = await second.get("key")

    assert found == CachedBody.of(b"answer")
    assert await second.get("other") is None
    for pool in pools:
        await pool.disconnect()


async def test_limit_is_exact_over_two_replicas(
    redis_url: str, start_replica: Callable[..., Awaitable[Replica]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework's own limiter let 190 of 100 through."""
    monkeypatch.setattr("cloudapi.cache.REDIS_TIMEOUT_S", 10)  # a machine at its limit is not a Redis that is away
    replicas = [await start_replica(redis_url=redis_url), await start_replica(redis_url=redis_url)]
    allowed = ENTITLEMENTS[Tier.BASIC].requests_per_minute

    answers = await asyncio.gather(
        *(replica.get("/v1/markets", tier=Tier.BASIC) for replica in replicas for _ in range(allowed))
    )

    assert sum(answer.status_code == 200 for answer in answers) == allowed


async def test_landed_data_is_visible_at_once_with_redis(
    redis_url: str, edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """A shared cache must not keep alive what a landing has replaced."""
    replicas = [await start_replica(redis_url=redis_url), await start_replica(redis_url=redis_url)]
    await edge.hello()
    for n_markets in (1, 2, 3):
        await edge.send([make_market(f"KX{n_markets}")])
        for replica in replicas:
            await replica.landed(n_markets)

            page = (await replica.get("/v1/markets")).json()

            assert len(page["data"]) == n_markets


async def test_everything_works_with_redis_down(
    edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """Redis is speed, not truth: reads go on, limits are kept by each replica for itself."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        replica = await start_replica(redis_url=f"redis://127.0.0.1:{held.getsockname()[1]}/0?family=0")
        await edge.hello()
        await edge.send([make_market(), make_quote()])
        await replica.landed(2)

        answers = [await replica.get("/v1/markets/kalshi:KXRAIN-26/price") for _ in range(3)]
        allowed = ENTITLEMENTS[Tier.BASIC].requests_per_minute
        limited = await asyncio.gather(*(replica.get("/v1/markets", tier=Tier.BASIC) for _ in range(allowed + 5)))

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    # Not always five: the window may turn in between, and the exact count is held by the test with Redis.
    assert 1 <= sum(answer.status_code == 429 for answer in limited) <= 5


async def test_dead_redis_is_not_asked_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a dead Redis at each request would be slower than the database."""
    moment = 0.0
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        pool = make_redis_pool(f"redis://127.0.0.1:{held.getsockname()[1]}/0")
        cache = RedisCache(pool, monotonic=lambda: moment)
        assert await cache.get("key") is None
        assert cache.is_away
        asked = []
        monkeypatch.setattr(cache._redis, "get", asked.append)

        assert await cache.get("key") is None

    assert asked == []
    await pool.disconnect()
