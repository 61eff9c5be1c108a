"""Who is asking: key, access token or browser session to account, for every route that does not say `public`.

Law: deny by default; a malformed key is refused by its checksum without a look-up; the tier comes from the account's
row, at most 30 s old, and whatever ends (a key, a login, a tier) is dropped as soon as the database says so, and on the
replica where its owner ended it before he is answered. Strangers
are counted by address before anything is looked up, callers by account and key afterwards. A browser's session opens
nothing for other sites' pages: what is not a plain read must come from our own.

What a route may say in `opt`: `public` (no credentials), `scope` (what a key needs, "read" unless said), `counts`
(False: outside the limits of the tier), `ticket` (a single-use `?ticket=` will do), `strangers` (public,
and counted by address), `max_body_bytes` (where a request needs more than MAX_BODY_BYTES).
"""

import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cloudapi import problems
from cloudapi.behalf import on_behalf_of
from cloudapi.db import Pool
from cloudapi.errors import ApiError, NotAllowed, TooLarge, Unauthenticated
from cloudapi.keys import MARK, hash_key, is_well_formed
from cloudapi.queries import accounts, logins
from cloudapi.quota import Quota
from cloudapi.ratelimit import STRANGERS_PER_MINUTE, RateLimiter, address_of
from cloudapi.tiers import ENTITLEMENTS, Entitlement, Tier
from cloudapi.tokens import SESSION_MARK, TICKET_MARK, AccessTokens, hash_secret

REMEMBER_S = 30.0  # how long a changed tier may take to show where no notification tells of it
MAX_REMEMBERED = 10_000  # callers; beyond it the memory starts anew
MAX_BODY_BYTES = 64 * 1024  # no request of ours needs more

COUNTED = "counted"  # in a request's state: counted already, and what came of it (None: welcome)
STILL = "still"  # in a request's state: asks again who this is, for what stays open
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PERSON_SCOPES = frozenset({"read", "manage"})  # what somebody who logged in may do; `ingest` is for edges alone


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The account behind a request, and what it came with."""

    account_id: uuid.UUID
    tier: Tier
    key_id: uuid.UUID | None = None
    login_id: uuid.UUID | None = None
    scopes: frozenset[str] = frozenset({"read"})
    requests_per_minute: int | None = None  # of the key, where its owner set one
    until: datetime | None = None

    @property
    def entitlement(self) -> Entitlement:
        return ENTITLEMENTS[self.tier]


class KeyRing:
    """Looks callers up and remembers the answer for a moment. Unknown ones are not remembered."""

    def __init__(self, pool: Pool, tokens: AccessTokens, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._tokens = tokens
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._n_forgotten = 0

    def remembered(self, secret: str) -> Caller | None:
        """The caller with this key, token or session if he was here a moment ago."""
        known = self._known.get(hash_secret(secret))
        if known is None or self._monotonic() >= known[0]:
            return None
        caller = known[1]
        return None if caller.until is not None and caller.until <= datetime.now(UTC) else caller

    async def caller_of(self, secret: str) -> Caller:
        """The caller with this key, access token or session. Raises: Unauthenticated."""
        known = self.remembered(secret)
        if known is not None:
            return known
        if secret.startswith(MARK):
            if not is_well_formed(secret):
                raise Unauthenticated("This is not a key of ours: check that it was copied whole.")
            return await self._remember(secret, self._of_key)
        if secret.startswith(SESSION_MARK):
            return await self._remember(secret, self._of_session)
        self._tokens.read(secret)  # a forged one costs no look-up
        return await self._remember(secret, self._of_token)

    async def caller_with_ticket(self, ticket: str) -> Caller:
        """The caller a ticket was given to, once. Raises: Unauthenticated."""
        found = await logins.use_ticket(self._pool, hash_secret(ticket)) if ticket.startswith(TICKET_MARK) else None
        if found is None:
            raise Unauthenticated("This ticket is unknown, used or older than half a minute.")
        return Caller(account_id=found[0], tier=found[1])

    def forget(self) -> None:
        """Somebody's rights changed: ask again for all."""
        self._known.clear()
        self._n_forgotten += 1

    def forget_account(self, account_id: uuid.UUID) -> None:
        """It may have changed what it may do, here and now: ask again for its own."""
        self._known = {secret: known for secret, known in self._known.items() if known[1].account_id != account_id}
        self._n_forgotten += 1

    async def _remember(self, secret: str, load: Callable[[str], Awaitable[Caller]]) -> Caller:
        n_forgotten = self._n_forgotten
        caller = await load(secret)
        # What was read before a change was announced must not be kept after it.
        if n_forgotten == self._n_forgotten:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[hash_secret(secret)] = (self._monotonic() + REMEMBER_S, caller)
        return caller

    async def _of_key(self, key: str) -> Caller:
        found = await accounts.load_key(self._pool, hash_key(key))
        if found is None:
            raise Unauthenticated("This key is unknown, expired or revoked.")
        return Caller(
            account_id=found.account_id,
            tier=found.tier,
            key_id=found.key_id,
            scopes=frozenset(found.scopes),
            requests_per_minute=found.requests_per_minute,
            until=found.expires_at,
        )

    async def _of_token(self, token: str) -> Caller:
        login_id, expires_at = self._tokens.read(token)
        return _person(await logins.load_login(self._pool, login_id), expires_at)

    async def _of_session(self, session: str) -> Caller:
        return _person(await logins.load_session(self._pool, hash_secret(session)), None)


Still: TypeAlias = Callable[[], Awaitable[Caller]]


def _person(found: logins.LoginOwner | None, expires_at: datetime | None) -> Caller:
    if found is None:
        raise Unauthenticated("This login has ended; log in again.")
    until = found.expires_at if expires_at is None else min(expires_at, found.expires_at)
    return Caller(
        account_id=found.account_id, tier=found.tier, login_id=found.login_id, scopes=PERSON_SCOPES, until=until
    )


class AuthMiddleware(ASGIMiddleware):
    """Puts a Caller into `scope["user"]` or raises; skipped only by handlers with `opt={"public": True}`."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(
        self,
        ring: KeyRing,
        limiter: RateLimiter,
        quota: Quota,
        *,
        cookie: str,
        address_header: bytes | None,
    ) -> None:
        self._ring = ring
        self._limiter = limiter
        self._quota = quota
        self._cookie = cookie
        self._address_header = address_header

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        problems.note_start(scope)
        try:
            headers = dict(scope["headers"])
            opt = scope["route_handler"].opt
            most = opt.get("max_body_bytes", MAX_BODY_BYTES)
            if int(headers.get(b"content-length") or 0) > most:
                raise TooLarge(f"A request may carry {most} bytes.")
            if not opt.get("public", False):
                caller = await self._find(scope, headers, opt)
                scope["user"] = caller
                await self._count(scope, caller, opt)
            elif opt.get("strangers", False):
                await self._count_stranger(scope)
        except ApiError as exc:
            if scope["type"] != ScopeType.WEBSOCKET:
                raise
            await problems.refuse_socket(scope, send, exc)
            return
        # An edge delivers what is nobody's; its account owns nothing there.
        owner = None if opt.get("public", False) or opt.get("scope") == "ingest" else scope["user"].account_id
        if owner is not None and not _is_plain_read(scope):
            send = self._forgetting(owner, send)
        with on_behalf_of(owner):
            await next_app(scope, receive, send)

    def _forgetting(self, account_id: uuid.UUID, send: Send) -> Send:
        """Whoever has signed out is out when he reads it: the database's word takes a moment longer."""

        async def forget(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._ring.forget_account(account_id)
            await send(message)

        return forget

    async def _find(self, scope: Scope, headers: dict[bytes, bytes], opt: dict[str, Any]) -> Caller:
        secret = _credentials(scope, headers, self._cookie)
        caller = None if secret is None else self._ring.remembered(secret)
        if caller is None:
            await self._count_stranger(scope)
            ticket = _ticket(scope) if opt.get("ticket", False) else None
            if ticket is not None:
                return await self._ring.caller_with_ticket(ticket)
            if secret is None:
                raise Unauthenticated("Send your key as `Authorization: Bearer odds_live_...`.")
            caller = await self._ring.caller_of(secret)
        if secret is not None:
            scope["state"][STILL] = partial(self._ring.caller_of, secret)
        needed = opt.get("scope", "read")
        if needed not in caller.scopes:
            raise NotAllowed(f"This key may not {needed}: it may {', '.join(sorted(caller.scopes)) or 'do nothing'}.")
        return caller

    async def _count_stranger(self, scope: Scope) -> None:
        await self._limiter.hit(f"address:{address_of(scope, self._address_header)}", STRANGERS_PER_MINUTE)

    async def _count(self, scope: Scope, caller: Caller, opt: dict[str, Any]) -> None:
        if COUNTED in scope["state"]:
            refusal = scope["state"].pop(COUNTED)
            if refusal is not None:
                raise refusal
        elif opt.get("counts", True):
            creates = scope["type"] == ScopeType.HTTP and scope["method"] in {"POST", "PUT"}
            await count_request(self._limiter, self._quota, caller, creates=creates)


async def count_request(limiter: RateLimiter, quota: Quota, caller: Caller, *, creates: bool = False) -> None:
    """Count one request against the limits of key, account and month. Raises: RateLimited, Unavailable."""
    right = caller.entitlement
    if caller.requests_per_minute is not None:
        await limiter.hit(f"key:{caller.key_id}", caller.requests_per_minute, creates=creates)
    await limiter.hit(f"account:{caller.account_id}", right.requests_per_minute, creates=creates)
    await quota.spend(caller.account_id, right.requests_per_month)


async def found_again(still: Still) -> Caller | None:
    """Who this is by now, for what stays open; None: nobody any more."""
    try:
        return await still()
    except ApiError:
        return None


def caller_in(scope: Scope) -> Caller:
    """The caller the middleware found."""
    return cast("Caller", scope["user"])


def _credentials(scope: Scope, headers: dict[bytes, bytes], cookie: str) -> str | None:
    """The key, token or session a request brings; the header counts where there are both."""
    if b"authorization" in headers:
        return bearer_of(headers)
    session = next(
        (
            value
            for name, _, value in (part.strip().partition("=") for part in _text(headers, b"cookie").split(";"))
            if name == cookie
        ),
        "",
    )
    if not session.startswith(SESSION_MARK):
        return None
    if not _is_plain_read(scope) and not _is_from_here(headers):
        raise NotAllowed("A browser's session works from our own pages only; elsewhere use a key.")
    return session


def _is_plain_read(scope: Scope) -> bool:
    return scope["type"] == ScopeType.HTTP and scope["method"] in SAFE_METHODS


def bearer_of(headers: dict[bytes, bytes]) -> str | None:
    """The key or token in `Authorization: Bearer`."""
    scheme, _, secret = _text(headers, b"authorization").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def _is_from_here(headers: dict[bytes, bytes]) -> bool:
    """Whether a page of ours sent this: browsers write Origin, pages cannot."""
    host = _text(headers, b"host")
    return bool(host) and _text(headers, b"origin").partition("://")[2] == host


def _ticket(scope: Scope) -> str | None:
    values = parse_qs(scope["query_string"].decode("latin-1")).get("ticket", [])
    return values[0] if len(values) == 1 else None


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
