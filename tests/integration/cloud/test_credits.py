"""Credits against a real PostgreSQL: whatever happens at once, nothing is spent that is not there."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudapi.db import Pool
from cloudapi.queries import credits as ledger
from cloudapi.queries.accounts import new_id

AT_ONCE = 6


@pytest.fixture
async def pool(dsns) -> AsyncIterator[Pool]:
    """As many connections as act at once."""
    async with asyncpg.create_pool(dsns[0], min_size=AT_ONCE, max_size=AT_ONCE) as opened:
        yield opened


@pytest.fixture
def make_account(owner):
    """A fresh account."""

    async def make() -> uuid.UUID:
        account_id = new_id()
        await owner.execute("insert into account (account_id, name, tier) values ($1, 'buyer', 'pro')", account_id)
        return account_id

    return make


MOVES = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["grant", "charge", "refund"]), st.integers(1, 5), st.integers(0, 9)),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=AT_ONCE,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(work=MOVES)
async def test_no_order_of_concurrent_bookings_overdraws_or_loses_one(work, pool, make_account):
    """Several transactions at once, some abandoned; the ledger adds up entry by entry and never goes below nothing."""
    account_id = await make_account()

    async def act(moves) -> None:
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            said = [
                await ledger.move(connection, account_id, -n if kind == "charge" else n, kind, f"{kind}:{name}")
                for kind, n, name in moves
            ]
            # Whoever was refused a part takes nothing at all, as a session does.
            await (transaction.rollback() if None in said else transaction.commit())

    await asyncio.gather(*(act(moves) for moves in work))

    entries = await ledger.load_entries(pool, account_id, before=None, limit=100)
    balance = 0
    for number, entry in enumerate(reversed(entries), start=1):
        balance += entry.amount
        assert (entry.entry_no, entry.balance) == (number, balance)
        assert balance >= 0
    assert len({entry.what for entry in entries}) == len(entries)
    assert await ledger.load_balance(pool, account_id) == balance


async def test_of_many_at_once_only_as_many_are_served_as_there_are_credits(pool, make_account):
    """Thirty spenders, seven credits: seven are served whatever the interleaving."""
    account_id = await make_account()
    async with pool.acquire() as connection:
        await ledger.move(connection, account_id, 7, "grant", "start")

    async def spend(n: int) -> int | None:
        async with pool.acquire() as connection:
            return await ledger.move(connection, account_id, -1, "charge", f"n:{n}")

    said = await asyncio.gather(*(spend(n) for n in range(30)))

    assert sorted(balance for balance in said if balance is not None) == [0, 1, 2, 3, 4, 5, 6]
    assert await ledger.load_balance(pool, account_id) == 0


async def test_an_amount_is_booked_once_under_its_name(pool, make_account):
    """A refund that is said twice, on two replicas at once, comes once."""
    account_id = await make_account()

    async def refund() -> int | None:
        async with pool.acquire() as connection:
            return await ledger.move(connection, account_id, 3, "refund", "refund:one")

    assert await asyncio.gather(*(refund() for _ in range(AT_ONCE))) == [3] * AT_ONCE
    assert await ledger.load_balance(pool, account_id) == 3


async def test_an_entry_cannot_be_changed_or_forged(pool, owner, make_account):
    """The database itself refuses what would make a balance without an entry."""
    account_id = await make_account()
    async with pool.acquire() as connection:
        await ledger.move(connection, account_id, 3, "grant", "start")

    for statement in (
        "update credit_entry set balance = 100 where account_id = $1",
        "delete from credit_entry where account_id = $1",
        "insert into credit_entry values ($1, 2, 1, 100, 'grant', 'more')",
        "insert into credit_entry values ($1, 9, 1, 4, 'grant', 'later')",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(statement, account_id)

    assert await ledger.load_balance(pool, account_id) == 3
