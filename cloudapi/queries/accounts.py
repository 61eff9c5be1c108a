"""Accounts and their API keys.

Law: whatever belongs to an account is found by (account_id, name): a stranger's object is no object. What changes who
may do what is announced, so that every replica forgets what it remembered.
"""

import uuid
from datetime import datetime

import msgspec
import uuid_utils.compat

from cloudapi.db import Connection, Pool, from_row
from cloudapi.keys import hash_key, prefix_of
from cloudapi.live import KEYS_CHANNEL
from cloudapi.tiers import Tier

LOAD_KEY = """
select k.key_id, k.account_id, a.tier, k.scopes, k.requests_per_minute, k.expires_at
from api_key as k join account as a using (account_id)
where k.key_hash = $1 and a.closed_at is null and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now())
"""

INSERT_ACCOUNT = "insert into account (account_id, name, tier) values ($1, $2, $3)"

INSERT_KEY = """
insert into api_key (
    key_id, account_id, key_hash, prefix, last_four, label, scopes, requests_per_minute, expires_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
returning key_id, prefix, last_four, label, scopes, requests_per_minute, created_at, expires_at
"""

LIST_KEYS = """
select k.prefix, k.last_four, a.name, a.tier, k.created_at, k.expires_at, k.revoked_at
from api_key as k join account as a using (account_id)
order by k.created_at, k.prefix
"""

LIST_OWN_KEYS = """
select key_id, prefix, last_four, label, scopes, requests_per_minute, created_at, expires_at
from api_key where account_id = $1 and revoked_at is null order by created_at desc, key_id desc
"""

# A statement that waits for a lock counts on in what it saw before the wait: what is capped is counted after this one.
HOLD = "select from account where account_id = $1 for no key update"
COUNT_OWN_KEYS = "select count(*) from api_key where account_id = $1 and revoked_at is null"

REVOKE_OWN_KEY = """
update api_key set revoked_at = now() where account_id = $1 and key_id = $2 and revoked_at is null returning prefix
"""

LOAD_ACCOUNT = "select account_id, email, name, tier, created_at, is_operator from account where account_id = $1"

INSERT_PERSON = """
insert into account (account_id, name, email, password_hash, tier) values ($1, $2, $3, $4, $5)
on conflict (email) where email is not null do nothing returning account_id
"""

LOAD_CREDENTIAL = "select account_id, password_hash from account where email = $1 and closed_at is null"

SET_OPERATOR = "update account set is_operator = $2 where email = $1 returning account_id"

SET_TIER = "update account set tier = $2 where email = $1 returning account_id"

REVOKE_KEY = "update api_key set revoked_at = now() where prefix = $1 and revoked_at is null returning prefix"


class KeyOwner(msgspec.Struct, frozen=True):
    """What a valid key stands for."""

    key_id: uuid.UUID
    account_id: uuid.UUID
    tier: Tier
    scopes: tuple[str, ...]
    requests_per_minute: int | None
    expires_at: datetime | None


class OwnKey(msgspec.Struct, frozen=True):
    """A key in the list of its own account."""

    key_id: uuid.UUID
    prefix: str
    last_four: str
    label: str
    scopes: tuple[str, ...]
    requests_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None


class Account(msgspec.Struct, frozen=True):
    """An account as its owner sees it."""

    account_id: uuid.UUID
    email: str | None
    name: str
    tier: Tier
    created_at: datetime
    is_operator: bool


class KeyRow(msgspec.Struct, frozen=True):
    """A key as its owner may see it again: never the key."""

    prefix: str
    last_four: str
    name: str
    tier: Tier
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def load_key(pool: Pool, key_hash: bytes) -> KeyOwner | None:
    """Whose key this is, if it opens anything now."""
    row = await pool.fetchrow(LOAD_KEY, key_hash)
    return None if row is None else from_row(row, KeyOwner)


async def save_key(
    connection: Connection, *, key: str, name: str, tier: Tier, scopes: tuple[str, ...] = ("read",)
) -> str:
    """An account of its own with this key. Returns: the prefix to name the key by."""
    account_id = new_id()
    async with connection.transaction():
        await connection.execute(INSERT_ACCOUNT, account_id, name, tier)
        await add_key(connection, account_id, key=key, label=name, scopes=scopes)
    return prefix_of(key)


async def add_key(
    connection: Connection,
    account_id: uuid.UUID,
    *,
    key: str,
    label: str,
    scopes: tuple[str, ...],
    requests_per_minute: int | None = None,
    expires_at: datetime | None = None,
) -> OwnKey:
    """One more key of an account."""
    row = await connection.fetchrow(
        INSERT_KEY,
        new_id(),
        account_id,
        hash_key(key),
        prefix_of(key),
        key[-4:],
        label,
        list(scopes),
        requests_per_minute,
        expires_at,
    )
    return msgspec.convert(dict(row or {}), OwnKey)


async def hold(connection: Connection, account_id: uuid.UUID) -> None:
    """Hold the account's row until the transaction ends, so that two at once cannot both add the last one."""
    await connection.execute(HOLD, account_id)


async def count_own_keys(connection: Connection, account_id: uuid.UUID) -> int:
    """How many live keys an account has; holds the account."""
    await hold(connection, account_id)
    return int(await connection.fetchval(COUNT_OWN_KEYS, account_id))


async def load_own_keys(pool: Pool, account_id: uuid.UUID) -> list[OwnKey]:
    """The live keys of one account, newest first."""
    return [from_row(row, OwnKey) for row in await pool.fetch(LIST_OWN_KEYS, account_id)]


async def revoke_own_key(pool: Pool, account_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    """Close a key of this account on every replica. Returns: False if this account has no such key."""
    async with pool.acquire() as connection, connection.transaction():
        prefix = await connection.fetchval(REVOKE_OWN_KEY, account_id, key_id)
        if prefix is not None:
            await announce(connection, prefix)
    return prefix is not None


async def load_account(pool: Pool, account_id: uuid.UUID) -> Account | None:
    """One account."""
    row = await pool.fetchrow(LOAD_ACCOUNT, account_id)
    return None if row is None else from_row(row, Account)


async def save_person(
    pool: "Pool | Connection", *, email: str, password_hash: str, tier: Tier = Tier.BASIC
) -> uuid.UUID | None:
    """An account for a person. Returns: None if this e-mail has one."""
    made: uuid.UUID | None = await pool.fetchval(
        INSERT_PERSON, new_id(), email.partition("@")[0], email, password_hash, tier
    )
    return made


async def load_password(pool: Pool, email: str) -> tuple[uuid.UUID, str | None] | None:
    """The account behind an e-mail and what its password is checked against."""
    row = await pool.fetchrow(LOAD_CREDENTIAL, email)
    return None if row is None else (row["account_id"], row["password_hash"])


async def set_tier(connection: Connection, email: str, tier: Tier) -> bool:
    """Move an account to another tier, on every replica at once. Returns: False if nobody has this e-mail."""
    async with connection.transaction():
        account_id = await connection.fetchval(SET_TIER, email, tier)
        if account_id is not None:
            await announce(connection, "tier")
    return account_id is not None


async def set_operator(connection: Connection, email: str, *, is_operator: bool) -> bool:
    """Let an account look at the edges, or no more. Returns: False if nobody has this e-mail."""
    return bool(await connection.fetchval(SET_OPERATOR, email, is_operator))


async def load_keys(connection: Connection) -> list[KeyRow]:
    """All keys ever made, oldest first."""
    return [from_row(row, KeyRow) for row in await connection.fetch(LIST_KEYS)]


async def revoke_key(connection: Connection, prefix: str) -> bool:
    """Close a key on every replica at once. Returns: False if no live key has this prefix."""
    async with connection.transaction():
        revoked = await connection.fetchval(REVOKE_KEY, prefix)
        if revoked is not None:
            await announce(connection, prefix)
    return revoked is not None


async def announce(connection: Connection, about: str) -> None:
    """Tell every replica, at commit, to forget who may do what."""
    await connection.execute("select pg_notify($1, $2)", KEYS_CHANNEL, about)


def new_id() -> uuid.UUID:
    """A UUIDv7: sorted by time, made here because PostgreSQL learns to in 18 only."""
    return uuid.UUID(str(uuid_utils.compat.uuid7()))
