"""How many live streams an account has open over all replicas: a place is taken, kept while it is used, given back.

Law: exact while Redis is there. A place nobody keeps falls free after three heartbeats, so a replica that was killed
holds none for long; a Redis that forgot learns them again at the next heartbeat. With Redis away each replica counts
its own. One question keeps hundreds of places: ten thousand streams must not be ten thousand questions.
"""

import asyncio
import time
import uuid
from itertools import islice
from typing import NamedTuple

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from cloudapi.cache import REDIS_PAUSE_S

log = structlog.get_logger(__name__)

PREFIX = "oddsd-streams"
KEEP_EVERY_S = 15.0
LASTS_S = 3 * KEEP_EVERY_S  # one heartbeat may be late and one lost
KEPT_AT_ONCE = 500

# Each key holds an account's places, each with the instant (ms, by Redis' own clock) at which it falls free.
NOW = """
local clock = redis.call('time')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# ARGV: the place, how long it lasts in ms, how many there may be.
TAKE = f"""{NOW}
redis.call('zremrangebyscore', KEYS[1], '-inf', now)
if redis.call('zcard', KEYS[1]) >= tonumber(ARGV[3]) then
    return 0
end
redis.call('zadd', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('pexpire', KEYS[1], ARGV[2])
return 1
"""

# ARGV: how long they last in ms, then the place of each key.
KEEP = f"""{NOW}
for n = 1, #KEYS do
    redis.call('zadd', KEYS[n], now + ARGV[1], ARGV[n + 1])
    redis.call('pexpire', KEYS[n], ARGV[1])
end
"""

COUNT = f"""{NOW}
return redis.call('zcount', KEYS[1], '(' .. string.format('%d', now), '+inf')
"""


class Place(NamedTuple):
    """One stream's place among those of its account."""

    account_id: uuid.UUID
    name: str

    @property
    def key(self) -> str:
        return _key(self.account_id)


class Places:
    """The places this replica has taken, and the question whether there are more."""

    def __init__(self, pool: BlockingConnectionPool | None, *, lasts_s: float = LASTS_S) -> None:
        self._lasts_ms = int(lasts_s * 1000)
        self._held: dict[Place, None] = {}
        self._paused_until = 0.0
        self._redis = None if pool is None else Redis(connection_pool=pool)
        if self._redis is not None:
            self._take, self._keep, self._count = map(self._redis.register_script, (TAKE, KEEP, COUNT))

    async def take(self, account_id: uuid.UUID, most: int) -> Place | None:
        """A place; None if all are taken. Where nobody can say there is one. Whoever got it gives it back."""
        place = Place(account_id, uuid.uuid4().hex)
        if self._is_there:
            try:
                if not await self._take(keys=[place.key], args=[place.name, self._lasts_ms, most]):
                    return None
            except (RedisError, OSError, TimeoutError) as exc:
                self._pause(exc)
        self._held[place] = None
        return place

    async def give_back(self, place: Place) -> None:
        """The stream is over. Where Redis cannot be told, the place falls free by itself."""
        del self._held[place]
        await self._strike([place])

    async def n_taken(self, account_id: uuid.UUID) -> int:
        """How many places an account has taken, as far as can be said."""
        if self._is_there:
            try:
                return int(await self._count(keys=[_key(account_id)]))
            except (RedisError, OSError, TimeoutError) as exc:
                self._pause(exc)
        return sum(place.account_id == account_id for place in self._held)

    async def run(self) -> None:
        """Keep what is held, for ever."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            await self.keep()

    async def keep(self) -> None:
        """Say of every stream of this replica that it lives."""
        waiting = iter(list(self._held))
        while self._is_there and (some := list(islice(waiting, KEPT_AT_ONCE))):
            try:
                await self._keep(keys=[place.key for place in some], args=[self._lasts_ms, *(p.name for p in some)])
            except (RedisError, OSError, TimeoutError) as exc:
                self._pause(exc)
            # Given back meanwhile, and perhaps entered anew behind it.
            await self._strike([place for place in some if place not in self._held])

    @property
    def _is_there(self) -> bool:
        return self._redis is not None and time.monotonic() >= self._paused_until

    async def _strike(self, places: list[Place]) -> None:
        for place in places:
            if self._redis is not None and self._is_there:
                try:
                    await self._redis.zrem(place.key, place.name)
                except (RedisError, OSError, TimeoutError) as exc:
                    self._pause(exc)

    def _pause(self, exc: Exception) -> None:
        if time.monotonic() >= self._paused_until:  # many may hear it at once
            log.warning("live streams are counted by replica", action="places_local", cause=str(exc))
        self._paused_until = time.monotonic() + REDIS_PAUSE_S


def _key(account_id: uuid.UUID) -> str:
    return f"{PREFIX}:{{{account_id}}}"
