"""What the handlers work with, built once by `app.py`, and the one way a tiered answer is given.

Law: every answer under /v1 is computed from (what, tier, parameters, version of the data) and cached under exactly
that; a handler never filters a shared body. Who may ask is decided by the tier alone: an answer that is ready passes
no guard again (`hot.py`).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from redis.asyncio import BlockingConnectionPool

from cloudapi.accounts import Accounts
from cloudapi.auth import Caller, KeyRing
from cloudapi.behalf import on_behalf_of
from cloudapi.cache import CachedBody, Shelf
from cloudapi.cursors import CursorSigner
from cloudapi.db import Pool
from cloudapi.errors import Unavailable
from cloudapi.feed import Feed
from cloudapi.live import Versions
from cloudapi.metrics import Metrics
from cloudapi.passwords import Passwords
from cloudapi.payments import Payments
from cloudapi.places import Places
from cloudapi.quota import Quota
from cloudapi.ratelimit import RateLimiter
from cloudapi.sessions import Bells
from cloudapi.settings import CloudSettings

AnyRequest = Request[Caller, Any, Any]

SHELVED = "shelved"  # in a request's state: what it was answered with, for `hot.py`
BROWSER_COPY_S = 1  # a reader's own copy; longer would hide data that has landed


class Shelved(NamedTuple):
    """An answer that came from the shelf, and how long the shelf would give it again."""

    entry: CachedBody
    kinds: tuple[str, ...]
    version: str
    until: float  # monotonic


@dataclass(kw_only=True)
class Services:
    """Everything a handler may need. `stopping` is set by the signal: streams end, readiness fails."""

    settings: CloudSettings
    pool: Pool
    redis: BlockingConnectionPool | None
    shelf: Shelf
    versions: Versions
    ring: KeyRing
    limiter: RateLimiter
    quota: Quota
    passwords: Passwords
    accounts: Accounts
    feed: Feed
    places: Places
    bells: Bells
    payments: Payments
    cursors: CursorSigner
    metrics: Metrics
    now: Callable[[], datetime]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    broken: str | None = None  # the background task that died, if one did

    @property
    def address_header(self) -> bytes | None:
        """The header in which the platform names the caller, where there is one."""
        name = self.settings.address_header
        return None if name is None else name.lower().encode()

    def make_room(self) -> None:
        """One more stream. Raises: Unavailable where this replica keeps as many open as it may."""
        if self.feed.n_listeners + self.bells.n_streams >= self.settings.streams:
            raise Unavailable("This replica keeps as many streams open as it can; try again.", retry_after_s=15)

    async def answer(
        self,
        request: AnyRequest,
        resource: str,
        *,
        kinds: tuple[str, ...],
        parameters: dict[str, Any],
        ttl_s: float,
        make: Callable[[], Awaitable[msgspec.Struct]],
    ) -> Response[bytes]:
        """The cached or fresh answer to this caller, or 304 if they have it.

        Args:
            resource: name of the answer, unique per handler.
            kinds: the record kinds it is made of; when one lands, the answer is made anew.
            parameters: everything the caller chose.
            ttl_s: how long it may be served while nothing lands.
        """
        version = self.versions.of(*kinds)
        chosen = hashlib.sha256(msgspec.json.encode(parameters, order="deterministic")).hexdigest()[:32]
        key = f"{resource}:{request.user.tier}:{chosen}:{version}"

        async def encode() -> bytes:
            with on_behalf_of(None):  # kept for every caller of the tier
                return msgspec.json.encode(await make())

        entry = await self.shelf.fetch(key, ttl_s, encode)
        request.scope["state"][SHELVED] = Shelved(entry, kinds, version, self.shelf.lasts_until(key))
        headers = {
            "etag": entry.etag,
            "cache-control": f"private, max-age={BROWSER_COPY_S}",
            "vary": "Authorization, Accept-Encoding",
        }
        if has_copy(request.headers.get("if-none-match", ""), entry.etag):
            return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(entry.body, status_code=HTTP_200_OK, headers=headers, media_type="application/json")


Wired = NamedDependency[SkipValidation[Services]]  # how a handler asks for it; already built, nothing to validate


def has_copy(if_none_match: str, etag: str) -> bool:
    """Whether a caller holds these very bytes, by what he says of his copies."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
