"""How often a key may ask: a sliding window per key, exact over replicas when Redis is there.

Law: counted after authentication, one round trip. With Redis away reads stay open, each replica counting for itself.
The headers follow draft-ietf-httpapi-ratelimit-headers; remaining counts only on 429, they cost a second round trip.
"""

import time

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from cloudapi.cache import REDIS_PAUSE_S
from cloudapi.errors import RateLimited

log = structlog.get_logger(__name__)

WINDOW_S = 60


def policy_header(per_minute: int) -> str:
    """The tier's limit, static: sent on every answer."""
    return f'"burst";q={per_minute};w={WINDOW_S}'


class RateLimiter:
    """Counts requests per key; raises when there were too many."""

    def __init__(self, pool: BlockingConnectionPool | None = None) -> None:
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._paused_until = 0.0
        if pool is not None:
            storage = RedisStorage(
                "async+redis://from-the-pool:1",  # parsed, never used: connections come from the pool
                implementation="redispy",
                key_prefix="oddsd-limit",
                connection_pool=pool,  # type: ignore[arg-type]  # the option exists, its stub knows plain values only
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, key_id: str, per_minute: int) -> None:
        """Count one request. Raises: RateLimited with the seconds to wait."""
        item = RateLimitItemPerMinute(per_minute)
        if self._shared is not None and time.monotonic() >= self._paused_until:
            try:
                await _hit(self._shared, item, key_id)
            except (RedisError, OSError, TimeoutError) as exc:
                self._paused_until = time.monotonic() + REDIS_PAUSE_S
                log.warning("counting requests locally", action="limiter_local", cause=str(exc))
            else:
                return
        await _hit(self._local, item, key_id)


async def _hit(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, key_id: str) -> None:
    if await limiter.hit(item, key_id):
        return
    stats = await limiter.get_window_stats(item, key_id)
    wait_s = min(max(1, int(stats.reset_time - time.time()) + 1), WINDOW_S)
    raise RateLimited(f"This key may ask {item.amount} times a minute; wait {wait_s} s.", retry_after_s=wait_s)
