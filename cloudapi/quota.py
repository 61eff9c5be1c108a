"""The month's requests of an account, taken from the database in blocks.

Law: no number of replicas lets more through than the quota; the blocks get smaller towards its end, the last ones are
single requests. What is held and unused goes back at the end. While the database is away requests are not counted:
what can be answered then comes from a cache and costs nothing.
"""

import asyncio
import calendar
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta

import structlog

from cloudapi.db import AWAY, Pool
from cloudapi.errors import QuotaSpent
from cloudapi.queries import usage

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 256  # with those ahead what a crash may cost an account, of 20,000 at least
AHEAD = 64  # left when the next block is asked for, so that nobody waits for it; blocks near the end are smaller
GIVE_BACK_S = 1.0


class Quota:
    """Blocks held by this replica."""

    def __init__(self, pool: Pool, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._now = now
        self._month = date.min
        self._held: dict[uuid.UUID, int] = {}
        self._taking: dict[uuid.UUID, asyncio.Task[int | None]] = {}

    async def spend(self, account_id: uuid.UUID, per_month: int) -> None:
        """Count one request. Raises: QuotaSpent until the first of the next month."""
        self._turn_month()
        while not self._held.get(account_id, 0):  # others who waited for the same block may have used it up
            taken = await asyncio.shield(self._block(account_id, per_month))
            if taken is None:
                return
            if not taken and not self._held.get(account_id, 0):
                raise self._spent(per_month)
        left = self._held[account_id] = self._held[account_id] - 1
        if left == AHEAD:
            self._block(account_id, per_month)

    def _block(self, account_id: uuid.UUID, per_month: int) -> "asyncio.Task[int | None]":
        """The next block, under way for all who wait: handed on one by one, the last of them would wait for all."""
        known = self._taking.get(account_id)
        if known is not None:
            return known
        task = self._taking[account_id] = asyncio.create_task(self._take(account_id, per_month), name="quota block")
        return task

    async def _take(self, account_id: uuid.UUID, per_month: int) -> int | None:
        month = self._month
        try:
            taken = await usage.take(self._pool, account_id, month, quota=per_month, most=MOST_AT_ONCE)
        except AWAY as exc:
            log.warning("requests are not counted", action="quota_uncounted", cause=type(exc).__name__)
            return None
        finally:
            if self._taking.get(account_id) is asyncio.current_task():
                del self._taking[account_id]
        if month == self._month:
            self._held[account_id] = self._held.get(account_id, 0) + taken
        return taken

    def give_back(self, account_id: uuid.UUID) -> None:
        """The answer was `not modified`: that is free."""
        self._held[account_id] = self._held.get(account_id, 0) + 1

    async def used(self, account_id: uuid.UUID) -> int:
        """Requests of this month, as far as this replica can tell: less what it holds itself."""
        self._turn_month()
        taken = await usage.load_used(self._pool, account_id, self._month)
        return max(taken - self._held.get(account_id, 0), 0)

    async def close(self) -> None:
        """Give back what is held."""
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                await asyncio.gather(*self._taking.values(), return_exceptions=True)
                held, self._held = self._held, {}
                for account_id, n_requests in held.items():
                    if n_requests:
                        await usage.give_back(self._pool, account_id, self._month, n_requests)
        except AWAY as exc:
            log.warning("unused requests stay counted", action="quota_kept", cause=type(exc).__name__)

    def _turn_month(self) -> None:
        today = self._now().date()
        if today.month != self._month.month or today.year != self._month.year:
            self._month = today.replace(day=1)
            self._held.clear()
            self._taking.clear()

    def _spent(self, per_month: int) -> QuotaSpent:
        now = self._now()
        days = calendar.monthrange(now.year, now.month)[1]
        next_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
        wait_s = int((next_month - now).total_seconds()) + 1
        return QuotaSpent(f"All {per_month} requests of this month are used.", retry_after_s=wait_s)
