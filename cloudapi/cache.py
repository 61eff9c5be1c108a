"""Ready answers: encoded bytes with a strong ETag, by (what, tier, version of the data).

Law: the key holds everything the answer depends on, so nothing is ever deleted: landing data changes the version and
the old entry fades by its time to live. One loader per key at a time. Redis is an optimisation: when it is away every
look-up is a miss, and a pause keeps a dead Redis from slowing each request.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

MEMORY_LIMIT_BYTES = 32 * 1024 * 1024
LOCAL_COPY_S = 1.0  # saves most round trips to Redis under load; versions in the key keep it from being stale
REDIS_TIMEOUT_S = 0.25  # a database read is quicker than a longer wait
REDIS_PAUSE_S = 5.0  # after a failure, before Redis is tried again


class CachedBody(msgspec.Struct, frozen=True, array_like=True):
    """One answer, ready to send."""

    etag: str
    body: bytes

    @classmethod
    def of(cls, body: bytes) -> "CachedBody":
        """Wrap encoded bytes; the ETag is their digest, so equal answers have equal tags on every replica."""
        return cls(f'"{hashlib.sha256(body).hexdigest()[:32]}"', body)


class Cache(Protocol):
    """A place for ready answers. Never raises for being away: it forgets instead."""

    async def get(self, key: str) -> CachedBody | None: ...

    async def put(self, key: str, entry: CachedBody, ttl_s: float) -> None: ...

    def lasts_until(self, key: str) -> float: ...

    async def close(self) -> None: ...


class MemoryCache:
    """This process alone; least recently used goes first when the limit is reached."""

    def __init__(
        self, *, limit_bytes: int = MEMORY_LIMIT_BYTES, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_bytes = limit_bytes
        self._monotonic = monotonic
        self._entries: OrderedDict[str, tuple[float, CachedBody]] = OrderedDict()
        self.size_bytes = 0

    async def get(self, key: str) -> CachedBody | None:
        found = self._entries.get(key)
        if found is None:
            return None
        expires_at, entry = found
        if self._monotonic() >= expires_at:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    async def put(self, key: str, entry: CachedBody, ttl_s: float) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._monotonic() + ttl_s, entry)
        self.size_bytes += len(entry.body)
        while self.size_bytes > self._limit_bytes:
            self._drop(next(iter(self._entries)))

    def lasts_until(self, key: str) -> float:
        """Until when (monotonic) this entry is given out here without asking anybody; 0 if it is not here."""
        found = self._entries.get(key)
        return 0.0 if found is None else found[0]

    async def close(self) -> None:
        self._entries.clear()
        self.size_bytes = 0

    def _drop(self, key: str) -> None:
        _, entry = self._entries.pop(key)
        self.size_bytes -= len(entry.body)


def make_redis_pool(url: str) -> BlockingConnectionPool:
    """Connections to share between cache and limiter; whoever makes the pool disconnects it.

    Blocking: the plain pool opens one connection per concurrent caller and raised "Too many connections" at 64.
    """
    return BlockingConnectionPool.from_url(
        url, max_connections=20, timeout=1, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )


class RedisCache:
    """Shared by all replicas, with a short local copy in front."""

    def __init__(self, pool: BlockingConnectionPool, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._redis = Redis(connection_pool=pool)
        self._local = MemoryCache(monotonic=monotonic)
        self._monotonic = monotonic
        self._paused_until = 0.0
        self.is_away = False

    async def get(self, key: str) -> CachedBody | None:
        entry = await self._local.get(key)
        if entry is not None or self._monotonic() < self._paused_until:
            return entry
        try:
            raw = await self._redis.get(f"oddsd:{key}")
        except (RedisError, OSError, TimeoutError) as exc:
            self._note_failure(exc)
            return None
        self._note_success()
        if raw is None:
            return None
        entry = msgspec.msgpack.decode(raw, type=CachedBody)
        await self._local.put(key, entry, LOCAL_COPY_S)
        return entry

    async def put(self, key: str, entry: CachedBody, ttl_s: float) -> None:
        await self._local.put(key, entry, min(ttl_s, LOCAL_COPY_S))
        if self._monotonic() < self._paused_until:
            return
        try:
            await self._redis.set(f"oddsd:{key}", msgspec.msgpack.encode(entry), px=int(ttl_s * 1000))
        except (RedisError, OSError, TimeoutError) as exc:
            self._note_failure(exc)
        else:
            self._note_success()

    def lasts_until(self, key: str) -> float:
        """The local copy's end: behind it Redis is asked."""
        return self._local.lasts_until(key)

    async def close(self) -> None:
        await self._local.close()

    def _note_failure(self, exc: Exception) -> None:
        self._paused_until = self._monotonic() + REDIS_PAUSE_S
        if not self.is_away:
            log.warning("redis is away; answers come from the database", action="redis_lost", cause=str(exc))
        self.is_away = True

    def _note_success(self) -> None:
        if self.is_away:
            log.info("redis is back", action="redis_back")
        self.is_away = False


class Shelf:
    """Fetch or make an answer, one maker per key at a time."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._making: dict[str, asyncio.Task[CachedBody]] = {}
        self.n_hits = 0
        self.n_misses = 0

    async def fetch(self, key: str, ttl_s: float, make: Callable[[], Awaitable[bytes]]) -> CachedBody:
        """The answer under `key`, made by `make` if nobody has it. Errors of `make` reach every waiter, uncached."""
        entry = await self._cache.get(key)
        if entry is not None:
            self.n_hits += 1
            return entry
        task = self._making.get(key)
        if task is None:
            self.n_misses += 1
            task = asyncio.create_task(self._make(key, ttl_s, make), name=f"answer {key}")
            self._making[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: one caller hanging up must not take the answer from the others.
        return await asyncio.shield(task)

    def lasts_until(self, key: str) -> float:
        """Until when (monotonic) `fetch` would give what lies under `key`; 0 if nothing does."""
        return self._cache.lasts_until(key)

    async def close(self) -> None:
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        await self._cache.close()

    async def _make(self, key: str, ttl_s: float, make: Callable[[], Awaitable[bytes]]) -> CachedBody:
        entry = CachedBody.of(await make())
        await self._cache.put(key, entry, ttl_s)
        return entry

    def _forget(self, key: str, done: asyncio.Task[CachedBody]) -> None:
        del self._making[key]
        if not done.cancelled():
            done.exception()  # read once, so that an error nobody waits for any more is not reported as lost
