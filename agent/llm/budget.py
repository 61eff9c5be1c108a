"""A cap that caps: reserve the worst case before a call, book the real cost after it.

Law: spent + reserved + this call's worst case never exceeds the day's cap, nor the share of its purpose, however
many calls run at once; the check and the reservation are one transaction, durable before anything is sent. A call
whose outcome is unknown stays booked at its worst case. The day is UTC, the state is in the database.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from agent.core.instants import to_ms
from agent.errors import BudgetExhausted
from agent.store import llm_calls
from agent.store.db import Reader, Store
from agent.store.llm_calls import CallRow, Settlement

NANO = 1_000_000_000  # nano-dollars in a dollar


class Purpose(StrEnum):
    """What money is spent for."""

    FORECAST = "forecast"
    ANALYSIS = "analysis"
    DIGEST = "digest"
    MATCHING = "matching"


def nano_from_usd(usd: Decimal) -> int:
    """Whole nano-dollars, rounded down: a cap is never raised by rounding."""
    return int(usd * NANO)


def usd_from_nano(nano: int) -> Decimal:
    """Dollars, exactly."""
    return Decimal(nano) / NANO


class Budget:
    """The day's money, over one store."""

    def __init__(self, store: Store, *, daily_cap_usd: Decimal, shares: Mapping[str, float]) -> None:
        self._store = store
        self._cap_nano = nano_from_usd(daily_cap_usd)
        self._share_nano = {name: nano_from_usd(daily_cap_usd * Decimal(str(part))) for name, part in shares.items()}

    async def recover(self, *, older_than: timedelta) -> int:
        """Count what a dead process left reserved as spent; returns how many calls that were."""
        now = self._store.clock()
        async with self._store.write() as tx:
            return await llm_calls.abandon_older(tx, before_ms=to_ms(now - older_than), now_ms=to_ms(now))

    async def reserve(self, call: CallRow) -> None:
        """Set the worst case aside, durably. Raises: BudgetExhausted, and then nothing was written."""
        async with self._store.write() as tx:
            left, why = await self._left(tx, call.day, call.purpose)
            if call.reserved_nano > left:
                worst = usd_from_nano(call.reserved_nano)
                raise BudgetExhausted(
                    f"{call.purpose} by {call.model}: may cost {worst:.6f} USD, {why}",
                    advice="wait for the next UTC day or raise the daily cap",
                )
            await llm_calls.insert_reservation(tx, call)

    async def settle(self, call_id: str, settlement: Settlement) -> None:
        """Replace a reservation by what the call came to."""
        async with self._store.write() as tx:
            await llm_calls.settle(tx, call_id, settlement)

    async def left_nano(self, purpose: str) -> int:
        """What a purpose may still spend today."""
        left, _ = await self._left(self._store.reader, self.today(), purpose)
        return left

    def today(self) -> str:
        """The UTC day that costs count for now."""
        return self._store.clock().date().isoformat()

    async def _left(self, reader: Reader, day: str, purpose: str) -> tuple[int, str]:
        """What is left for a purpose, and the sentence that says which limit decides."""
        spending = await llm_calls.load_spending(reader, day)
        in_all = self._cap_nano - sum(row.total_nano for row in spending)
        own = self._share_nano.get(purpose, 0) - sum(row.total_nano for row in spending if row.purpose == purpose)
        if own < in_all:
            return own, f"and {usd_from_nano(own):.6f} USD is left of the {purpose} share on {day}"
        return in_all, f"and {usd_from_nano(in_all):.6f} USD is left of the daily cap on {day}"
