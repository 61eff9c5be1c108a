"""A cap that caps: reserve the worst case before a call, book the real cost after it.

Law: spent + reserved + this call's worst case never exceeds the day's cap, nor the share of its purpose, nor the day's
tokens, however many calls run at once, and no model is asked more often than its calls of the day; the check and the
reservation are one transaction, durable before anything is sent. A call whose outcome is unknown stays booked at its
worst case. The day is UTC, the state is in the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from agent.core.instants import to_ms
from agent.errors import BudgetExhausted, CallsExhausted
from agent.store import llm_calls
from agent.store.db import Store
from agent.store.llm_calls import CallRow, Settlement, Spending

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


@dataclass(frozen=True, slots=True)
class _Left:
    """What remains of one limit, and the words that name it."""

    amount: int
    of: str


class Budget:
    """The day's money, tokens and calls, over one store."""

    def __init__(
        self,
        store: Store,
        *,
        daily_cap_usd: Decimal,
        shares: Mapping[str, float],
        daily_tokens: int | None = None,
        daily_calls: int | None = None,
    ) -> None:
        """Wire the budget.

        Args:
            daily_tokens: of all models together; None: as many as the money pays.
            daily_calls: of each model; None: likewise.
        """
        self._store = store
        self._cap_nano = nano_from_usd(daily_cap_usd)
        self._share_nano = {name: nano_from_usd(daily_cap_usd * Decimal(str(part))) for name, part in shares.items()}
        self._daily_tokens, self._daily_calls = daily_tokens, daily_calls

    async def recover(self, *, older_than: timedelta) -> int:
        """Count what a dead process left reserved as spent; returns how many calls that were."""
        now = self._store.clock()
        async with self._store.write() as tx:
            return await llm_calls.abandon_older(tx, before_ms=to_ms(now - older_than), now_ms=to_ms(now))

    async def reserve(self, call: CallRow) -> None:
        """Set the worst case aside, durably. Raises: BudgetExhausted, CallsExhausted; then nothing was written."""
        async with self._store.write() as tx:
            spending = await llm_calls.load_spending(tx, call.day)
            self._refuse(call, spending)
            await llm_calls.insert_reservation(tx, call)

    async def settle(self, call_id: str, settlement: Settlement) -> None:
        """Replace a reservation by what the call came to."""
        async with self._store.write() as tx:
            await llm_calls.settle(tx, call_id, settlement)

    async def left_nano(self, purpose: str) -> int:
        """What a purpose may still spend today."""
        return self._money(purpose, await self._today()).amount

    async def shortage(self, purpose: str, usual_nano: Mapping[str, int]) -> str | None:
        """Why a usual call would be refused by every model just now, in words; None if one would pass.

        Args:
            usual_nano: by model, what a usual call costs at most.
        """
        spending, least = await self._today(), min(usual_nano.values())
        if (money := self._money(purpose, spending).amount) < least:
            return f"the {purpose} share of the daily cap is used up ({usd_from_nano(max(money, 0)):.4f} USD left)"
        if (tokens := self._tokens(spending)) is not None and tokens.amount <= 0:
            return f"the day's {self._daily_tokens:,} tokens are used up"
        calls = [self._calls(model, spending) for model in usual_nano]
        if all(left is not None and left.amount <= 0 for left in calls):
            return f"the day's {self._daily_calls:,} calls of each model are used up"
        return None

    def today(self) -> str:
        """The UTC day that costs count for now."""
        return self._store.clock().date().isoformat()

    async def _today(self) -> list[Spending]:
        return await llm_calls.load_spending(self._store.reader, self.today())

    def _refuse(self, call: CallRow, spending: Sequence[Spending]) -> None:
        who = f"{call.purpose} by {call.model}"
        money, tokens, calls = (
            self._money(call.purpose, spending),
            self._tokens(spending),
            self._calls(call.model, spending),
        )
        if call.reserved_nano > money.amount:
            worst, left = usd_from_nano(call.reserved_nano), usd_from_nano(money.amount)
            raise BudgetExhausted(
                f"{who}: may cost {worst:.6f} USD, and {left:.6f} USD is left of the {money.of} on {call.day}",
                advice="wait for the next UTC day or raise ai_daily_cap_usd",
            )
        if tokens is not None and call.reserved_tokens > tokens.amount:
            raise BudgetExhausted(
                f"{who}: may take {call.reserved_tokens} tokens, and {tokens.amount} are left of {tokens.of}",
                advice="wait for the next UTC day or raise ai_daily_tokens",
            )
        if calls is not None and calls.amount < 1:
            raise CallsExhausted(
                f"{who}: {calls.of} are used up", advice="wait for the next UTC day or raise ai_daily_calls"
            )

    def _money(self, purpose: str, spending: Sequence[Spending]) -> _Left:
        in_all = self._cap_nano - sum(row.total_nano for row in spending)
        own = self._share_nano.get(purpose, 0) - sum(row.total_nano for row in spending if row.purpose == purpose)
        return _Left(own, f"{purpose} share") if own < in_all else _Left(in_all, "daily cap")

    def _tokens(self, spending: Sequence[Spending]) -> _Left | None:
        if self._daily_tokens is None:
            return None
        return _Left(self._daily_tokens - sum(row.n_tokens for row in spending), f"the day's {self._daily_tokens:,}")

    def _calls(self, model: str, spending: Sequence[Spending]) -> _Left | None:
        if self._daily_calls is None:
            return None
        n_made = sum(row.n_calls for row in spending if row.model == model)
        return _Left(self._daily_calls - n_made, f"the day's {self._daily_calls:,} calls of this model")
