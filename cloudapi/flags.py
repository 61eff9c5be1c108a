"""Switches: a capability turned off, or on for a share of accounts, without a deployment.

Law: what has no row is on. A flag is read from the database at every use that costs money or leaves the house, so a
kill switch works at once and on every replica. Who is in a share is a hash of flag and account: the same every time.
A switch makes what is owed wait; a share decides who is owed anything, so nothing waits behind those left out.
"""

import hashlib
import uuid
from datetime import datetime
from enum import StrEnum

import msgspec

from cloudapi.audit import Actor, note
from cloudapi.db import Connection, Pool, from_row
from cloudapi.errors import Unavailable

LOAD = "select is_on, share from feature_flag where name = $1"
LOAD_SHARE = "select share from feature_flag where name = $1"
LOAD_ALL = "select name, is_on, share, note, changed_at from feature_flag order by name"
SAVE = """
insert into feature_flag (name, is_on, share, note) values ($1, $2, $3, $4)
on conflict (name) do update set is_on = excluded.is_on, share = excluded.share, note = excluded.note,
    changed_at = now()
"""


class Flag(StrEnum):
    """What can be switched. `outside` is the kill switch: nothing leaves for anyone."""

    OUTSIDE = "outside"
    BILLING = "billing"
    MAIL = "mail"
    WEBHOOKS = "webhooks"
    NOTIFICATIONS = "notifications"
    SESSIONS = "sessions"


LEAVES = frozenset({Flag.MAIL, Flag.WEBHOOKS, Flag.NOTIFICATIONS})


class FlagRow(msgspec.Struct, frozen=True, kw_only=True):
    """A switch as its operator set it."""

    name: str
    is_on: bool
    share: int
    note: str
    changed_at: datetime


async def is_on(db: "Pool | Connection", flag: Flag, account_id: uuid.UUID | None = None) -> bool:
    """Whether a capability is on, for this account if one is named; the kill switch included."""
    if flag in LEAVES and not await is_on(db, Flag.OUTSIDE):
        return False
    row = await db.fetchrow(LOAD, flag.value)
    if row is None:
        return True
    return bool(row["is_on"]) and (account_id is None or is_in(flag, account_id, row["share"]))


async def load_share(db: "Pool | Connection", flag: Flag) -> int:
    """For how many of a hundred accounts a capability is; whether it is on is another question."""
    share: int | None = await db.fetchval(LOAD_SHARE, flag.value)
    return 100 if share is None else share


def is_in(flag: Flag, account_id: uuid.UUID, share: int) -> bool:
    """Whether an account is among the share of a flag. Who is in stays in when the share grows."""
    return _place(flag, account_id) < share


async def require(db: "Pool | Connection", flag: Flag, account_id: uuid.UUID) -> None:
    """Raises: Unavailable while a capability is off for this account."""
    if not await is_on(db, flag, account_id):
        raise Unavailable(f"{flag.value.capitalize()} is switched off just now; try again later.", retry_after_s=600)


async def set_flag(connection: Connection, flag: Flag, *, is_on: bool, share: int = 100, why: str = "") -> None:
    """Turn a capability on or off."""
    async with connection.transaction():
        await connection.execute(SAVE, flag.value, is_on, share, why)
        await note(connection, None, "flag_set", actor=Actor.OPERATOR, name=flag.value, is_on=is_on, share=share)


async def load_flags(db: "Pool | Connection") -> list[FlagRow]:
    """Every switch that was ever touched."""
    return [from_row(row, FlagRow) for row in await db.fetch(LOAD_ALL)]


def _place(flag: Flag, account_id: uuid.UUID) -> int:
    """Where an account stands, 0 to 99."""
    digest = hashlib.sha256(f"{flag.value}:{account_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100
