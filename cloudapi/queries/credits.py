"""The ledger of credits. Law: a balance is what the newest entry says; entries are added by `credit_move` alone."""

import uuid
from datetime import datetime
from typing import Literal

import msgspec

from cloudapi.db import Connection, Pool, from_row

EntryKind = Literal["grant", "purchase", "charge", "refund", "correction"]

MOVE = "select credit_move($1, $2, $3, $4, $5)"
LOAD_BALANCE = "select balance from credit_entry where account_id = $1 order by entry_no desc limit 1"
LOAD_ENTRIES = """
select entry_no, amount, balance, kind, what, session_id, made_at from credit_entry
where account_id = $1 and ($2::integer is null or entry_no < $2) order by entry_no desc limit $3
"""


class CreditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One booking; what an account has is the balance of its newest one."""

    entry_no: int
    amount: int
    balance: int  # after it
    kind: EntryKind
    what: str
    made_at: datetime
    session_id: uuid.UUID | None = None


async def move(
    connection: Connection,
    account_id: uuid.UUID,
    amount: int,
    kind: EntryKind,
    what: str,
    *,
    session_id: uuid.UUID | None = None,
) -> int | None:
    """Book an amount once under its name; bookings of one account wait for each other until the transaction ends.

    Returns: the balance after it, that of the first time where it is booked already; None where there is not enough.
    """
    balance: int | None = await connection.fetchval(MOVE, account_id, amount, kind, what, session_id)
    return balance


async def load_balance(source: "Pool | Connection", account_id: uuid.UUID) -> int:
    """What an account has."""
    return int(await source.fetchval(LOAD_BALANCE, account_id) or 0)


async def load_entries(pool: Pool, account_id: uuid.UUID, *, before: int | None, limit: int) -> list[CreditEntry]:
    """Bookings of one account, newest first, one row longer than `limit` if there are more."""
    return [from_row(row, CreditEntry) for row in await pool.fetch(LOAD_ENTRIES, account_id, before, limit + 1)]
