"""How often somebody may ask: sliding windows per account, per key and, before anyone is known, per address.

Law: exact over replicas while Redis is there, and nobody is refused early: nothing is taken in advance (`flights.py`).
With Redis away reads stay open, each replica counting for itself; what creates something is closed, for a limit that is
not exact would be a gift there. The headers follow draft-ietf-httpapi-ratelimit-headers; remaining counts only on 429
and /v1/usage, they cost a second round trip.
"""

import ipaddress
import time
from functools import lru_cache

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from litestar.types import Scope
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from cloudapi.cache import REDIS_PAUSE_S
from cloudapi.errors import RateLimited, Unavailable
from cloudapi.flights import Flights
from cloudapi.windows import WINDOW_S, Windows

log = structlog.get_logger(__name__)

PREFIX = "oddsd-limit"  # of the counters in Redis
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
        self._local = Windows()
        self._flights: Flights | None = None
        self._paused_until = 0.0
        if pool is not None:
            storage = RedisStorage(
                "async+redis://from-the-pool:1",  # parsed, never used: connections come from the pool
                implementation="redispy",
                key_prefix=PREFIX,
                connection_pool=pool,  # type: ignore[arg-type]  # the option exists, its stub knows plain values only
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)
            self._flights = Flights(Redis(connection_pool=pool), WINDOW_S)

    async def hit(self, subject: str, per_minute: int, *, creates: bool = False) -> None:
        """Count one request.

        Args:
            subject: `account:`, `key:` or `address:` and who.
            creates: refuse rather than count inexactly.
        Raises: RateLimited with the seconds to wait; Unavailable.
        """
        if self._flights is not None:
            if time.monotonic() >= self._paused_until:
                try:
                    if not await self._flights.hit(_counter(subject, per_minute), per_minute):
                        raise _refusal(subject, per_minute, (await self._ask_left(subject, per_minute))[1])
                except (RedisError, OSError, TimeoutError) as exc:
                    self._pause(exc)
                else:
                    return
            if creates:
                raise Unavailable("Nothing can be created while requests cannot be counted.", retry_after_s=5)
        now = time.time()
        if not self._local.take(subject, per_minute, now):
            raise _refusal(subject, per_minute, self._local.left(subject, per_minute, now)[1])

    async def remaining(self, subject: str, per_minute: int) -> tuple[int, int]:
        """How many requests are left in the window, and the seconds until it has moved on."""
        if self._flights is not None and time.monotonic() >= self._paused_until:
            try:
                left, wait_s = await self._ask_left(subject, per_minute)
            except (RedisError, OSError, TimeoutError) as exc:
                self._pause(exc)
            else:
                return left, _whole(wait_s)
        left, wait_s = self._local.left(subject, per_minute, time.time())
        return left, _whole(wait_s)

    async def _ask_left(self, subject: str, per_minute: int) -> tuple[int, float]:
        stats = await self._shared.get_window_stats(_item(per_minute), subject)
        return stats.remaining, stats.reset_time - time.time()

    def _pause(self, exc: Exception) -> None:
        if time.monotonic() >= self._paused_until:  # many may hear it at once
            log.warning("counting requests locally", action="limiter_local", cause=str(exc))
        self._paused_until = time.monotonic() + REDIS_PAUSE_S


def _counter(subject: str, per_minute: int) -> str:
    """Where `limits` keeps this window."""
    return f"{PREFIX}:{{{_item(per_minute).key_for(subject)}}}"


@lru_cache(maxsize=64)
def _item(per_minute: int) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(per_minute)


def _refusal(subject: str, per_minute: int, wait_s: float) -> RateLimited:
    who, seconds = subject.partition(":")[0], _whole(wait_s)
    return RateLimited(f"This {who} may ask {per_minute} times a minute; wait {seconds} s.", retry_after_s=seconds)


def _whole(wait_s: float) -> int:
    return min(max(1, int(wait_s) + 1), WINDOW_S)
