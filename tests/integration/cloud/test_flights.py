"""Counting in Redis for many at once: the same counters as `limits`, exact over replicas, nobody refused early."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool, Redis
from structlog.testing import capture_logs

from cloudapi.cache import make_redis_pool
from cloudapi.errors import RateLimited
from cloudapi.ratelimit import PREFIX, RateLimiter

LIMIT = 60


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def make_limiter(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], RateLimiter]]:
    monkeypatch.setattr("cloudapi.cache.REDIS_TIMEOUT_S", 10)  # a machine at its limit is not a Redis that is away
    pools: list[BlockingConnectionPool] = []

    def make() -> RateLimiter:
        pools.append(make_redis_pool(redis_url))
        return RateLimiter(pools[-1])

    yield make
    for pool in pools:
        await pool.disconnect()


async def passed(limiter: RateLimiter, subject: str, n_asked: int, limit: int = LIMIT) -> int:
    answers = await asyncio.gather(*(limiter.hit(subject, limit) for _ in range(n_asked)), return_exceptions=True)
    assert all(answer is None or isinstance(answer, RateLimited) for answer in answers)
    return sum(answer is None for answer in answers)


async def test_all_of_the_limit_and_no_more_over_replicas(make_limiter: Callable[[], RateLimiter]) -> None:
    """Whatever shares of it each replica asks for, together and at the same time."""
    replicas = [make_limiter() for _ in range(3)]

    first = await asyncio.gather(*(passed(replica, "account:x", 19) for replica in replicas))
    rest = await asyncio.gather(*(passed(replica, "account:x", 19) for replica in replicas))

    assert first == [19, 19, 19]
    assert sum(rest) == LIMIT - 57


async def test_counters_are_those_of_limits(redis_url: str, make_limiter: Callable[[], RateLimiter]) -> None:
    """A replica of the release before counts in them too while the new one rolls out."""
    ours = make_limiter()
    pool = make_redis_pool(redis_url)
    storage = RedisStorage(f"async+{redis_url}", implementation="redispy", key_prefix=PREFIX, connection_pool=pool)
    library = SlidingWindowCounterRateLimiter(storage)
    item = RateLimitItemPerMinute(LIMIT)

    assert await passed(ours, "account:x", 20) == 20
    assert [await library.hit(item, "account:x") for _ in range(20)] == [True] * 20
    assert (await library.get_window_stats(item, "account:x")).remaining == 20
    assert (await ours.remaining("account:x", LIMIT))[0] == 20
    assert await passed(ours, "account:x", 50) == 20
    assert not await library.hit(item, "account:x")
    await pool.disconnect()


async def test_minute_before_counts_by_its_share(redis: Redis, make_limiter: Callable[[], RateLimiter]) -> None:
    """The window slides: 40 of half a minute ago that last half a minute more are 20."""
    limiter = make_limiter()
    await passed(limiter, "account:x", 1)
    (key,) = await redis.keys()
    await redis.set(key, 40, px=30_000)

    n_passed = await passed(limiter, "account:x", LIMIT)

    assert n_passed in {40, 41}  # the share falls while we look
    assert await passed(limiter, "account:x", 1) == 0


async def test_who_asks_at_once_shares_a_question(redis: Redis, make_limiter: Callable[[], RateLimiter]) -> None:
    """Two hundred requests of forty accounts are a few round trips, and each account is counted for itself."""
    limiter = make_limiter()
    await limiter.hit("account:warm", LIMIT)
    await limiter.remaining("account:warm", LIMIT)  # or each of the first to ask would find its script unknown
    await redis.config_resetstat()

    n_passed = await asyncio.gather(*(passed(limiter, f"account:{n}", 5, limit=3) for n in range(40)))

    stats = await redis.info("commandstats")
    assert n_passed == [3] * 40
    # The refused ask when they may come again, each for itself; the counting itself was one question.
    assert stats["cmdstat_evalsha"]["calls"] == 1 + 80
    assert [(await limiter.remaining(f"account:{n}", 3))[0] for n in range(40)] == [0] * 40


async def test_one_who_hangs_up_takes_nothing_from_the_others(make_limiter: Callable[[], RateLimiter]) -> None:
    """The first to ask owns nothing: the others' answers still come."""
    limiter = make_limiter()
    asking = [asyncio.create_task(limiter.hit("account:x", LIMIT)) for _ in range(10)]
    await asyncio.sleep(0)

    asking[0].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(answer) for answer in answers] == [asyncio.CancelledError, *[type(None)] * 9]


async def test_redis_gone_under_many_who_wait_is_told_once_and_counted_here(
    redis: Redis, make_limiter: Callable[[], RateLimiter]
) -> None:
    """Everybody who waited is counted by this replica: slower, never wrong."""
    limiter = make_limiter()
    await redis.shutdown(nosave=True)

    with capture_logs() as lines:
        n_passed = await passed(limiter, "account:x", LIMIT + 10)

    assert n_passed == LIMIT
    assert [line["action"] for line in lines] == ["limiter_local"]
