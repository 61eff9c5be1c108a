"""People: registering, logging in by tokens or by a browser's session, staying logged in, and leaving.

Law: nothing here tells whether an e-mail has an account: same answers, same time. An attempt is counted before the
password is looked at, per account and per network, in the database: exact over replicas, with or without Redis. A
session and a family of tokens are both logins; ending one is announced. Used by the routes and by the dashboard.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from cloudapi.db import Pool
from cloudapi.errors import Invalid, NotAllowed, RateLimited, Unauthenticated
from cloudapi.mail import is_address
from cloudapi.passwords import Passwords, check_strength
from cloudapi.queries import accounts, logins
from cloudapi.tokens import ACCESS_S, REFRESH_MARK, SESSION_MARK, AccessTokens, hash_secret, make_secret

log = structlog.get_logger(__name__)

REFRESH_LASTS = timedelta(days=30)
SESSION_LASTS = timedelta(days=14)
ACCOUNT_FREE = 5  # wrong passwords before an account's next attempts wait: 30 s, doubling to an hour
ADDRESS_FREE = 20  # the same for a network: a household mistypes more often than a person


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a login by tokens is given."""

    access_token: str
    expires_in: int  # seconds
    refresh_token: str  # works once; its answer brings the next one
    token_type: str = "Bearer"  # noqa: S105  the name of a scheme


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser is given, to be kept in a cookie."""

    secret: str
    expires_at: datetime


class Accounts:
    """Who may come in."""

    def __init__(
        self,
        pool: Pool,
        tokens: AccessTokens,
        passwords: Passwords,
        *,
        now: Callable[[], datetime],
        registration: bool,
    ) -> None:
        self._pool = pool
        self._tokens = tokens
        self._passwords = passwords
        self._now = now
        self._registration = registration

    async def register(self, email: str, password: str) -> None:
        """Make an account; where there is one already nothing happens, and nobody is told. Raises: ApiError."""
        if not self._registration:
            raise NotAllowed("This service takes no registrations; ask its operator for an account.")
        address = normal_email(email)
        check_strength(password, address)
        made = await accounts.save_person(self._pool, email=address, password_hash=await self._passwords.hash(password))
        if made is not None:
            log.info("somebody registered", action="account_made", account_id=str(made))

    async def log_in(self, email: str, password: str, *, network: str) -> Tokens:
        """Tokens for whoever knows the password. Raises: Unauthenticated; RateLimited while locked out."""
        account_id = await self._check(email, password, network=network)
        refresh = make_secret(REFRESH_MARK)
        async with self._pool.acquire() as connection:
            login_id = await logins.save_login(
                connection,
                account_id,
                expires_at=self._now() + REFRESH_LASTS,
                refresh_hash=hash_secret(refresh),
            )
        return self._grant(login_id, refresh)

    async def open_session(self, email: str, password: str, *, network: str) -> Session:
        """A session for a browser. Raises: as log_in."""
        account_id = await self._check(email, password, network=network)
        session = Session(secret=make_secret(SESSION_MARK), expires_at=self._now() + SESSION_LASTS)
        async with self._pool.acquire() as connection:
            await logins.save_login(
                connection, account_id, expires_at=session.expires_at, session_hash=hash_secret(session.secret)
            )
        return session

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for old. Raises: Unauthenticated, and ends the login if the old one was used before."""
        following = make_secret(REFRESH_MARK)
        login_id = await logins.rotate(self._pool, hash_secret(refresh_token), hash_secret(following))
        if login_id is None:
            raise Unauthenticated("This refresh token is unknown, expired or was used before; log in again.")
        return self._grant(login_id, following)

    async def log_out(self, login_id: uuid.UUID) -> None:
        """End one login."""
        await logins.end_login(self._pool, login_id)

    async def change_password(self, account_id: uuid.UUID, *, old: str, new: str, network: str) -> None:
        """Replace the password and end every login. Raises: Unauthenticated if the old one is wrong; Invalid."""
        account = await accounts.load_account(self._pool, account_id)
        if account is None or account.email is None:
            raise NotAllowed("This account has no password: it was made for keys.")
        check_strength(new, account.email, field="new_password")
        await self._check(account.email, old, network=network)
        await logins.set_password(self._pool, account_id, await self._passwords.hash(new))

    def _grant(self, login_id: uuid.UUID, refresh: str) -> Tokens:
        access = self._tokens.make(login_id, now=self._now())
        return Tokens(access_token=access, expires_in=ACCESS_S, refresh_token=refresh)

    async def _check(self, email: str, password: str, *, network: str) -> uuid.UUID:
        address = normal_email(email)
        subjects = {"account": f"account:{address}", "address": f"address:{network}"}
        wait_s = await logins.note_attempt(self._pool, **subjects, account_free=ACCOUNT_FREE, address_free=ADDRESS_FREE)
        if wait_s:
            raise RateLimited(f"Too many failed logins; wait {wait_s} s.", retry_after_s=wait_s)
        account_id, stored = await accounts.load_password(self._pool, address) or (None, None)
        is_right = await self._passwords.verify(stored, password)
        if account_id is None or not is_right:
            raise Unauthenticated("E-mail or password is wrong.")
        await logins.forgive(self._pool, **subjects)
        return account_id


def normal_email(email: str) -> str:
    """One spelling per address. Raises: Invalid if it cannot be one."""
    text = email.strip().lower()
    if not is_address(text):
        raise Invalid(
            "This is no e-mail address a mail can be sent to: write it in plain letters, like name@example.org.",
            errors=[{"pointer": "/body/email", "detail": "not an address"}],
        )
    return text
