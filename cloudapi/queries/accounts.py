"""Accounts and their API keys."""

import uuid
from datetime import datetime

import msgspec
import uuid_utils.compat

from cloudapi.db import Connection, Pool, from_row
from cloudapi.keys import hash_key, prefix_of
from cloudapi.live import KEYS_CHANNEL
from cloudapi.tiers import Tier

LOAD_KEY = """
select k.key_id, k.account_id, a.tier
from api_key as k join account as a using (account_id)
where k.key_hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
"""

INSERT_ACCOUNT = "insert into account (account_id, name, tier) values ($1, $2, $3)"

INSERT_KEY = """
insert into api_key (key_id, account_id, key_hash, prefix, last_four) values ($1, $2, $3, $4, $5)
"""

LIST_KEYS = """
select k.prefix, k.last_four, a.name, a.tier, k.created_at, k.expires_at, k.revoked_at
from api_key as k join account as a using (account_id)
order by k.created_at, k.prefix
"""

REVOKE_KEY = "update api_key set revoked_at = now() where prefix = $1 and revoked_at is null returning prefix"


class KeyOwner(msgspec.Struct, frozen=True):
    """What a valid key stands for."""

    key_id: uuid.UUID
    account_id: uuid.UUID
    tier: Tier


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


async def save_key(connection: Connection, *, key: str, name: str, tier: Tier) -> str:
    """An account of its own with this key. Returns: the prefix to name the key by."""
    account_id = uuid.UUID(str(uuid_utils.compat.uuid7()))
    async with connection.transaction():
        await connection.execute(INSERT_ACCOUNT, account_id, name, tier)
        key_id = uuid.UUID(str(uuid_utils.compat.uuid7()))
        await connection.execute(INSERT_KEY, key_id, account_id, hash_key(key), prefix_of(key), key[-4:])
    return prefix_of(key)


async def load_keys(connection: Connection) -> list[KeyRow]:
    """All keys ever made, oldest first."""
    return [from_row(row, KeyRow) for row in await connection.fetch(LIST_KEYS)]


async def revoke_key(connection: Connection, prefix: str) -> bool:
    """Close a key on every replica at once. Returns: False if no live key has this prefix."""
    async with connection.transaction():
        revoked = await connection.fetchval(REVOKE_KEY, prefix)
        if revoked is not None:
            await connection.execute("select pg_notify($1, $2)", KEYS_CHANNEL, prefix)
    return revoked is not None
