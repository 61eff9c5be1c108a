"""The cap caps: side by side, over restarts, per purpose and per day."""

import asyncio
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import BudgetExhausted
from agent.llm.budget import NANO, Budget, Purpose
from agent.store.db import Store
from agent.store.llm_calls import CallRow, Settlement, load_spending
from tests.conftest import ManualClock

EVEN = {Purpose.FORECAST: 0.6, Purpose.ANALYSIS: 0.4}


def make_row(
    n: int, nano: int, purpose: str = Purpose.FORECAST, *, day: str = "2026-11-21", started_at: int = 0
) -> CallRow:
    """A reservation."""
    return CallRow(
        call_id=f"{n:04d}", day=day, purpose=purpose, model="m", reserved_nano=nano, prompt_hash="h", prompt_version="v", started_at=started_at
    )  # fmt: skip


def booked(cost_nano: int) -> Settlement:
    """A call that was answered."""
    return Settlement(state="booked", outcome="ok", ended_at=1, cost_nano=cost_nano)


async def reserved(budget: Budget, row: CallRow) -> bool:
    """Whether the money was set aside."""
    try:
        await budget.reserve(row)
    except BudgetExhausted:
        return False
    return True


@settings(max_examples=5, deadline=None)  # each is 200 durable transactions
@given(
    sizes=st.lists(st.integers(1, 40), min_size=200, max_size=200),
    purposes=st.lists(st.sampled_from([Purpose.FORECAST, Purpose.ANALYSIS]), min_size=200, max_size=200),
    books=st.lists(st.integers(0, 100), min_size=200, max_size=200),
)
def test_two_hundred_calls_at_once_never_overshoot(sizes, purposes, books):
    """Checking the day's spend before a call and booking after it lets parallel calls pass the cap; this must not."""

    async def race(folder: str) -> None:
        async with await Store.open(Path(folder) / "oddsd.db", clock=ManualClock()) as store:
            budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares=EVEN)

            async def call(n: int) -> None:
                if await reserved(budget, make_row(n, sizes[n], purposes[n])):
                    await budget.settle(f"{n:04d}", booked(sizes[n] * books[n] // 100))
                spending = {row.purpose: row.total_nano for row in await load_spending(store.reader, "2026-11-21")}
                assert sum(spending.values()) <= 1000
                assert spending.get(Purpose.FORECAST, 0) <= 600
                assert spending.get(Purpose.ANALYSIS, 0) <= 400

            await asyncio.gather(*(call(n) for n in range(200)))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(race(folder))


async def test_what_is_reserved_counts_until_it_is_booked(store):
    """The worst case stands until the real cost replaces it."""
    budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares={Purpose.FORECAST: 1.0})
    assert await reserved(budget, make_row(1, 900))
    assert not await reserved(budget, make_row(2, 101))

    await budget.settle("0001", booked(200))

    assert await reserved(budget, make_row(3, 800))
    assert not await reserved(budget, make_row(4, 1))


async def test_a_released_call_gives_everything_back(store):
    """A call that was surely not charged costs nothing."""
    budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares={Purpose.FORECAST: 1.0})
    await budget.reserve(make_row(1, 1000))

    await budget.settle("0001", Settlement(state="released", outcome="refused", ended_at=1, cost_nano=0))

    assert await budget.left_nano(Purpose.FORECAST) == 1000


async def test_a_settled_call_is_never_settled_again(store):
    """A late answer of a call already written off must not change the books."""
    budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares={Purpose.FORECAST: 1.0})
    await budget.reserve(make_row(1, 1000))
    await budget.settle("0001", booked(700))

    await budget.settle("0001", booked(1))

    assert await budget.left_nano(Purpose.FORECAST) == 300


async def test_one_purpose_cannot_eat_anothers_share(store):
    """The digest always runs: nobody else may spend its part."""
    budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares=EVEN)
    assert await reserved(budget, make_row(1, 600, Purpose.FORECAST))

    assert not await reserved(budget, make_row(2, 1, Purpose.FORECAST))
    assert await reserved(budget, make_row(3, 400, Purpose.ANALYSIS))
    assert not await reserved(budget, make_row(4, 1, "something else"))


async def test_the_refusal_says_what_is_left_and_of_what(store):
    """An operator must see which limit it was."""
    budget = Budget(store, daily_cap_usd=Decimal("0.000001"), shares={Purpose.FORECAST: 0.5})

    with pytest.raises(
        BudgetExhausted, match=r"may cost 0\.000001 USD, and 0\.000000 USD is left of the forecast share on 2026-11-21"
    ):
        await budget.reserve(make_row(1, 501))


async def test_a_new_utc_day_is_a_new_budget(store, clock):
    """The day is UTC, by the clock of the store."""
    budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares={Purpose.FORECAST: 1.0})
    await budget.reserve(make_row(1, 1000))
    assert await budget.left_nano(Purpose.FORECAST) == 0

    clock.forward(hours=12)

    assert budget.today() == "2026-11-22"
    assert await budget.left_nano(Purpose.FORECAST) == 1000


async def test_what_a_dead_process_left_reserved_is_spent_after_the_restart(tmp_path, clock):
    """The call may have been billed; only the time limit tells that nobody waits for it any more."""
    path = tmp_path / "restarted.db"
    at = int(clock.now.timestamp() * 1000)
    async with await Store.open(path, clock=clock) as store:
        budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares={Purpose.FORECAST: 1.0})
        await budget.reserve(make_row(1, 400, started_at=at - 61_000))
        await budget.reserve(make_row(2, 100, started_at=at - 59_000))

    async with await Store.open(path, clock=clock) as store:
        budget = Budget(store, daily_cap_usd=Decimal(1000) / NANO, shares={Purpose.FORECAST: 1.0})
        n = await budget.recover(older_than=timedelta(seconds=60))
        rows = {row["call_id"]: row for row in await store.reader.fetch("SELECT * FROM llm_calls")}
        left = await budget.left_nano(Purpose.FORECAST)

    assert n == 1
    assert (rows["0001"]["state"], rows["0001"]["outcome"], rows["0001"]["cost_nano"]) == ("booked", "abandoned", 400)
    assert rows["0002"]["state"] == "reserved"
    assert left == 500
