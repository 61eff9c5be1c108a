"""Counting in Redis for all who ask at one moment: one question under way, the next one carries whoever came since.

Law: nobody is counted in advance and nobody twice: each window gives as many of those who wait as fit, and they go in
the order they came. The counters are those of `limits`, key for key, so replicas of an older release count the same
ones; its own script answers one request of one window: 230 us of a replica's work, where 64 at once cost 35 each.
"""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

# KEYS: previous and current counter of each window. ARGV: its length in ms; then limit and wanted of each.
TAKE = """
local expiry, fitting = tonumber(ARGV[1]), {}
for n = 1, #KEYS / 2 do
    local previous, current = KEYS[2 * n - 1], KEYS[2 * n]
    local ttl = redis.call('pttl', current)
    if ttl > 0 and ttl < expiry then
        redis.call('rename', current, previous)
        redis.call('set', current, 0, 'PX', ttl + expiry)
    end
    local before = tonumber(redis.call('get', previous) or 0) * math.max(redis.call('pttl', previous), 0) / expiry
    local here = redis.call('get', current)
    local left = tonumber(ARGV[2 * n]) - math.floor(before) - tonumber(here or 0)
    fitting[n] = math.max(math.min(left, tonumber(ARGV[2 * n + 1])), 0)
    if here then
        redis.call('incrby', current, fitting[n])
    elseif fitting[n] > 0 then
        redis.call('set', current, fitting[n], 'PX', expiry * 2)
    end
end
return fitting
"""

Seat = asyncio.Future[bool]


class Flights:
    """Who waits, by window, and the one question under way."""

    def __init__(self, redis: "Redis", window_s: int) -> None:
        self._take = redis.register_script(TAKE)
        self._window_ms = window_s * 1000
        self._waiting: dict[tuple[str, int], list[Seat]] = {}
        self._flying: asyncio.Task[None] | None = None

    async def hit(self, counter: str, limit: int) -> bool:
        """Count one request in the window of `counter`. Returns: whether it fits. Raises: what Redis' client does."""
        seat: Seat = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((counter, limit), []).append(seat)
        if self._flying is None:
            # A task of its own: who asked first may hang up, the others have not.
            self._flying = asyncio.create_task(self._fly(), name="count requests")
        return await seat

    async def _fly(self) -> None:
        try:
            while self._waiting:
                boarded, self._waiting = self._waiting, {}
                await self._ask(list(boarded), list(boarded.values()))
        finally:
            self._flying = None

    async def _ask(self, windows: list[tuple[str, int]], boarded: Sequence[list[Seat]]) -> None:
        keys = [key for counter, _ in windows for key in (f"{counter}/-1", counter)]
        wanted = [each for (_, limit), seats in zip(windows, boarded, strict=True) for each in (limit, len(seats))]
        try:
            fitting = await self._take(keys=keys, args=[self._window_ms, *wanted])
        except BaseException as exc:
            failure = exc if isinstance(exc, Exception) else ConnectionError("the service stops")
            for seat in (seat for seats in boarded for seat in seats if not seat.done()):
                seat.set_exception(failure)
            if failure is not exc:
                raise
            return
        for n_fitting, seats in zip(fitting, boarded, strict=True):
            for place, seat in enumerate(seats):
                if not seat.done():  # he hung up
                    seat.set_result(place < n_fitting)
