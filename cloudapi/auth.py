"""Who is asking: API key to account, for every route that does not say `public`.

Law: deny by default; a malformed key is refused by its checksum without a look-up; the tier comes from the account's
row, at most 30 s old, and a revoked key is dropped as soon as the database says so. Runs before guards and handlers,
and counts the request against the key's limit.
"""

import time
import uuid
from collections.abc import Callable
from typing import cast

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from cloudapi import problems
from cloudapi.db import Pool
from cloudapi.errors import TooLarge, Unauthenticated
from cloudapi.keys import hash_key, is_well_formed
from cloudapi.queries import accounts
from cloudapi.ratelimit import RateLimiter
from cloudapi.tiers import ENTITLEMENTS, Entitlement, Tier

REMEMBER_S = 30.0  # how long a changed tier may take to show where no notification tells of it
MAX_REMEMBERED = 10_000  # keys; beyond it the memory starts anew
MAX_BODY_BYTES = 64 * 1024  # no request of ours needs more


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The account behind a request."""

    account_id: uuid.UUID
    key_id: uuid.UUID
    tier: Tier

    @property
    def entitlement(self) -> Entitlement:
        return ENTITLEMENTS[self.tier]


class KeyRing:
    """Looks keys up and remembers the answer for a moment. Unknown keys are not remembered."""

    def __init__(self, pool: Pool, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[float, Caller]] = {}

    async def caller_of(self, key: str) -> Caller:
        """The caller with this key. Raises: Unauthenticated."""
        if not is_well_formed(key):
            raise Unauthenticated("This is not a key of ours: check that it was copied whole.")
        key_hash = hash_key(key)
        known = self._known.get(key_hash)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        found = await accounts.load_key(self._pool, key_hash)
        if found is None:
            self._known.pop(key_hash, None)
            raise Unauthenticated("This key is unknown, expired or revoked.")
        caller = Caller(account_id=found.account_id, key_id=found.key_id, tier=found.tier)
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[key_hash] = (self._monotonic() + REMEMBER_S, caller)
        return caller

    def forget(self) -> None:
        """Some key changed: ask again for all."""
        self._known.clear()


class AuthMiddleware(ASGIMiddleware):
    """Puts a Caller into `scope["user"]` or raises; skipped only by handlers with `opt={"public": True}`."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, ring: KeyRing, limiter: RateLimiter) -> None:
        self._ring = ring
        self._limiter = limiter

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        problems.note_start(scope)
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length") or 0) > MAX_BODY_BYTES:
            raise TooLarge(f"A request may carry {MAX_BODY_BYTES} bytes.")
        if not scope["route_handler"].opt.get("public", False):
            scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
            if scheme.lower() != "bearer" or not key:
                raise Unauthenticated("Send your key as `Authorization: Bearer odds_live_...`.")
            caller = await self._ring.caller_of(key.strip())
            scope["user"] = caller
            await self._limiter.hit(str(caller.key_id), caller.entitlement.requests_per_minute)
        await next_app(scope, receive, send)


def caller_in(scope: Scope) -> Caller:
    """The caller the middleware found."""
    return cast("Caller", scope["user"])
