"""How often somebody may ask: sliding windows per account, per key and, before anyone is known, per address.

Law: one round trip per window, exact over replicas while Redis is there. With Redis away reads stay open, each replica
counting for itself; what creates something is closed, for a limit that is not exact would be a gift there. The headers
follow draft-ietf-httpapi-ratelimit-headers; remaining counts only on 429 and /v1/usage, they cost a second round trip.
"""

import ipaddress
import time

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from litestar.types import Scope
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from cloudapi.cache import REDIS_PAUSE_S
from cloudapi.errors import RateLimited, Unavailable

log = structlog.get_logger(__name__)

WINDOW_S = 60
MONTH_S = 2_592_000  # the month of a policy header, by the draft's habit; the quota itself follows the calendar

# Requests a minute of one network that bring nothing we have seen in the last half minute: wrong keys, no keys, logins.
STRANGERS_PER_MINUTE = 120
IPV6_NETWORK = 64  # a household has a /64, so one address of it is nobody


def policy_header(per_minute: int, per_month: int) -> str:
    """The tier's limits, static: sent on every answer."""
    return f'"burst";q={per_minute};w={WINDOW_S}, "month";q={per_month};w={MONTH_S}'


def address_of(scope: Scope, header: bytes | None) -> str:
    """The network a request comes from: as the platform's edge names it where one is configured, else the peer."""
    given = dict(scope["headers"]).get(header, b"").decode("latin-1").strip() if header is not None else ""
    client = scope.get("client")
    text = given or (client[0] if client else "")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
    return str(address)


class RateLimiter:
    """Counts requests per subject; raises when there were too many."""

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

    async def hit(self, subject: str, per_minute: int, *, creates: bool = False) -> None:
        """Count one request.

        Args:
            subject: `account:`, `key:` or `address:` and who.
            creates: refuse rather than count inexactly.
        Raises: RateLimited with the seconds to wait; Unavailable.
        """
        item = RateLimitItemPerMinute(per_minute)
        if self._shared is not None and time.monotonic() >= self._paused_until:
            try:
                await _hit(self._shared, item, subject)
            except (RedisError, OSError, TimeoutError) as exc:
                self._pause(exc)
            else:
                return
        if creates and self._shared is not None:
            raise Unavailable("Nothing can be created while requests cannot be counted.", retry_after_s=5)
        await _hit(self._local, item, subject)

    async def remaining(self, subject: str, per_minute: int) -> tuple[int, int]:
        """How many requests are left in the window, and the seconds until it has moved on."""
        item = RateLimitItemPerMinute(per_minute)
        limiter = self._local
        if self._shared is not None and time.monotonic() >= self._paused_until:
            limiter = self._shared
        try:
            stats = await limiter.get_window_stats(item, subject)
        except (RedisError, OSError, TimeoutError) as exc:
            self._pause(exc)
            stats = await self._local.get_window_stats(item, subject)
        return stats.remaining, _wait_s(stats.reset_time)

    def _pause(self, exc: Exception) -> None:
        self._paused_until = time.monotonic() + REDIS_PAUSE_S
        log.warning("counting requests locally", action="limiter_local", cause=str(exc))


async def _hit(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, subject: str) -> None:
    if await limiter.hit(item, subject):
        return
    stats = await limiter.get_window_stats(item, subject)
    wait_s = _wait_s(stats.reset_time)
    who = subject.partition(":")[0]
    raise RateLimited(f"This {who} may ask {item.amount} times a minute; wait {wait_s} s.", retry_after_s=wait_s)


def _wait_s(reset_time: float) -> int:
    return min(max(1, int(reset_time - time.time()) + 1), WINDOW_S)
