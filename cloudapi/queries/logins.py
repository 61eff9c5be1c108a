"""Logins: on which devices an account is logged in, by tokens or by a browser's session; and failed attempts.

Law: a refresh token works once; its second use ends the login it belongs to, for one of the two users is a thief.
Every end is announced, so access tokens of an ended login stop on all replicas at once.
"""

import uuid
from datetime import datetime

import msgspec

from cloudapi.db import Connection, Pool, from_row
from cloudapi.queries.accounts import announce, new_id
from cloudapi.tiers import Tier

INSERT_LOGIN = """
insert into account_login (login_id, account_id, session_hash, expires_at, key_id) values ($1, $2, $3, $4, $5)
"""
INSERT_REFRESH = "insert into refresh_token (token_hash, login_id) values ($1, $2)"

# A session opened with a key lives as long as the key does.
_LIVE = """
l.ended_at is null and l.expires_at > now() and a.closed_at is null
    and not exists (select from api_key as k where k.key_id = l.key_id and k.revoked_at is not null)
"""
LOAD_LOGIN = f"""
select l.login_id, l.account_id, a.tier, l.expires_at from account_login as l join account as a using (account_id)
where l.login_id = $1 and {_LIVE}
"""
LOAD_SESSION = f"""
select l.login_id, l.account_id, a.tier, l.expires_at from account_login as l join account as a using (account_id)
where l.session_hash = $1 and {_LIVE}
"""

USE_REFRESH = """
update refresh_token as r set used_at = now()
from account_login as l
where r.token_hash = $1 and r.used_at is null and l.login_id = r.login_id
      and l.ended_at is null and l.expires_at > now()
returning r.login_id
"""
FIND_REFRESH = "select login_id, used_at is not null as is_used from refresh_token where token_hash = $1"

END_LOGIN = "update account_login set ended_at = now(), ended_why = $2 where login_id = $1 and ended_at is null"
END_LOGINS = "update account_login set ended_at = now(), ended_why = $2 where account_id = $1 and ended_at is null"
SET_PASSWORD = "update account set password_hash = $2 where account_id = $1"  # noqa: S105  the statement, not one

ATTEMPT = "select greatest(login_attempt($1, $2), login_attempt($3, $4))"
FORGIVE = "delete from login_failure where subject = $1"
FORGIVE_ONE = """
update login_failure set n_failures = greatest(n_failures - 1, 0), locked_until = null where subject = $1
"""

INSERT_TICKET = """
insert into live_ticket (ticket_hash, account_id, expires_at) values ($1, $2, now() + make_interval(secs => $3))
"""
USE_TICKET = """
with used as (delete from live_ticket where ticket_hash = $1 returning account_id, expires_at)
select u.account_id, a.tier from used as u join account as a using (account_id)
where u.expires_at > now() and a.closed_at is null
"""


class LoginOwner(msgspec.Struct, frozen=True):
    """Whose login this is."""

    login_id: uuid.UUID
    account_id: uuid.UUID
    tier: Tier
    expires_at: datetime


async def save_login(
    connection: Connection,
    account_id: uuid.UUID,
    *,
    expires_at: datetime,
    session_hash: bytes | None = None,
    refresh_hash: bytes | None = None,
    key_id: uuid.UUID | None = None,
) -> uuid.UUID:
    """Note that an account has logged in, with a session or with its first refresh token."""
    login_id = new_id()
    async with connection.transaction():
        await connection.execute(INSERT_LOGIN, login_id, account_id, session_hash, expires_at, key_id)
        if refresh_hash is not None:
            await connection.execute(INSERT_REFRESH, refresh_hash, login_id)
    return login_id


async def load_login(pool: Pool, login_id: uuid.UUID) -> LoginOwner | None:
    """Whose login this is, if it has not ended."""
    row = await pool.fetchrow(LOAD_LOGIN, login_id)
    return None if row is None else from_row(row, LoginOwner)


async def load_session(pool: Pool, session_hash: bytes) -> LoginOwner | None:
    """Whose browser session this is, if it has not ended."""
    row = await pool.fetchrow(LOAD_SESSION, session_hash)
    return None if row is None else from_row(row, LoginOwner)


async def rotate(pool: Pool, old_hash: bytes, new_hash: bytes) -> uuid.UUID | None:
    """Take a refresh token for a new one. Returns: the login, or None if the old one opens nothing (any more)."""
    async with pool.acquire() as connection, connection.transaction():
        login_id: uuid.UUID | None = await connection.fetchval(USE_REFRESH, old_hash)
        if login_id is not None:
            await connection.execute(INSERT_REFRESH, new_hash, login_id)
            return login_id
        found = await connection.fetchrow(FIND_REFRESH, old_hash)
        if found is not None and found["is_used"]:
            await connection.execute(END_LOGIN, found["login_id"], "reused")
            await announce(connection, "login")
    return None


async def end_login(pool: Pool, login_id: uuid.UUID) -> None:
    """Log out, on every replica at once."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(END_LOGIN, login_id, "logout")
        await announce(connection, "login")


async def set_password(pool: Pool, account_id: uuid.UUID, password_hash: str) -> None:
    """Change a password; every login of the account ends with the old one."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SET_PASSWORD, account_id, password_hash)
        await connection.execute(END_LOGINS, account_id, "password")
        await announce(connection, "login")


async def note_attempt(pool: Pool, *, account: str, account_free: int, address: str, address_free: int) -> int:
    """Count one login attempt against both. Returns: seconds to wait, 0 if it may go on."""
    return int(await pool.fetchval(ATTEMPT, account, account_free, address, address_free))


async def forgive(pool: Pool, *, account: str, address: str) -> None:
    """The password was right: the account starts anew; of the address only this attempt is taken back."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(FORGIVE, account)
        await connection.execute(FORGIVE_ONE, address)


async def save_ticket(pool: Pool, ticket_hash: bytes, account_id: uuid.UUID, *, lasts_s: float) -> None:
    """A ticket for one live connection."""
    await pool.execute(INSERT_TICKET, ticket_hash, account_id, lasts_s)


async def use_ticket(pool: Pool, ticket_hash: bytes) -> tuple[uuid.UUID, Tier] | None:
    """Whose ticket this was; nobody can use it again."""
    row = await pool.fetchrow(USE_TICKET, ticket_hash)
    return None if row is None else (row["account_id"], Tier(row["tier"]))
