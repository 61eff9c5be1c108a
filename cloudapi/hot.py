"""Answers that are ready, sent before the framework is asked: a look at the key, at the limits, and into this room.

Law: nothing is made here. What went out the long way is kept with the very headers it had, under all that the long way
looks at (tier, address, query, host, origin), and goes out again only while the shelf would give the same bytes: no
landing of its kinds, not past the shelf's own time, not past the moment at which a tier sees more. Who asks is found,
counted, told and logged as there; whatever this room does not know, refuses or doubts takes the long way, counted once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from cloudapi.auth import COUNTED, Caller, bearer_of, count_request
from cloudapi.cache import MEMORY_LIMIT_BYTES
from cloudapi.problems import Answered, request_id
from cloudapi.services import SHELVED, Services, Shelved, has_copy
from cloudapi.tiers import Tier, span_of

OVERHEAD_BYTES = 2048  # of an entry beside its body

# tier, path, query, host, origin, whether a cookie came along: with it CORS answers otherwise
Target: TypeAlias = tuple[Tier, str, bytes, bytes | None, bytes | None, bool]
Headers: TypeAlias = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Asked:
    """A request as it came."""

    scope: HTTPScope
    headers: dict[bytes, bytes]
    began_at: float

    def may_be_hot(self) -> bool:
        """Whether it reads and brings nothing along."""
        has_body = b"content-length" in self.headers or b"transfer-encoding" in self.headers
        return self.scope["method"] == "GET" and not has_body

    def target(self, tier: Tier, path: str) -> Target:
        """All that the long way's answer depends on, but for the data."""
        headers = self.headers
        has_cookie = b"cookie" in headers
        return tier, path, self.scope["query_string"], headers.get(b"host"), headers.get(b"origin"), has_cookie


@dataclass(slots=True)
class Hot:
    """One answer as it went out; `heads` by status: the headers before and behind the request's id."""

    shelved: Shelved
    route: str
    span: int  # of what tiers may see
    heads: dict[int, tuple[Headers, Headers]]
    turn: int = -1  # of the versions when they were last compared


class HotAnswers:
    """What this replica has sent a moment ago."""

    def __init__(
        self,
        services: Services,
        answered: Answered,
        *,
        limit_bytes: int = MEMORY_LIMIT_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._answered = answered
        self._limit_bytes = limit_bytes
        self._monotonic = monotonic
        self._kept: dict[Target, Hot] = {}
        self.size_bytes = 0
        self.n_hits = 0

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send, long_way: ASGIApp) -> None:
        """Answer, or have it answered."""
        asked = Asked(scope, dict(scope["headers"]), time.perf_counter())
        secret = bearer_of(asked.headers)
        if secret is None or not asked.may_be_hot():
            await long_way(scope, receive, send)
            return
        caller = self._services.ring.remembered(secret)
        if caller is not None and "read" in caller.scopes:
            target = asked.target(caller.tier, scope["path"])
            if target in self._kept and await self._may_ask(caller, scope):
                # Looked at only now: to count, somebody may have had to be asked, and data lands meanwhile.
                hot = self._find(target)
                if hot is not None and await self._send(hot, caller, asked, send):
                    return
        await self._learn(asked, receive, send, long_way)

    def _find(self, target: Target) -> Hot | None:
        hot = self._kept.get(target)
        if hot is None:
            return None
        versions, shelved = self._services.versions, hot.shelved
        if hot.turn != versions.turn and versions.of(*shelved.kinds) == shelved.version:
            hot.turn = versions.turn
        in_time = self._monotonic() < shelved.until and hot.span == span_of(self._services.now())
        if in_time and hot.turn == versions.turn:
            return hot
        self._drop(target)
        return None

    async def _may_ask(self, caller: Caller, scope: HTTPScope) -> bool:
        """Count the request; what comes of it is left for the long way, which must not count it again."""
        state: dict[str, Any] = scope.setdefault("state", {})
        try:
            await count_request(self._services.limiter, self._services.quota, caller)
        except Exception as exc:  # noqa: BLE001  raised again on the long way, which knows how each is said
            state[COUNTED] = exc
            return False
        state[COUNTED] = None
        return True

    async def _send(self, hot: Hot, caller: Caller, asked: Asked, send: Send) -> bool:
        """False if this answer has not been seen with this status yet."""
        given = asked.headers.get(b"if-none-match")
        is_same = given is not None and has_copy(given.decode("latin-1"), hot.shelved.entry.etag)
        status = HTTP_304_NOT_MODIFIED if is_same else HTTP_200_OK
        head = hot.heads.get(status)
        if head is None:
            return False
        if is_same:
            self._services.quota.give_back(caller.account_id)
        self.n_hits += 1
        self._services.shelf.n_hits += 1
        asked.scope["user"] = caller
        before, behind = head
        lines = [*before, (b"x-request-id", request_id(asked.scope, asked.headers).encode()), *behind]
        self._answered.note(asked.scope, hot.route, status, time.perf_counter() - asked.began_at)
        await send({"type": "http.response.start", "status": status, "headers": lines})
        body = b"" if is_same else hot.shelved.entry.body
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    async def _learn(self, asked: Asked, receive: Receive, send: Send, long_way: ASGIApp) -> None:
        """Take the long way and keep what comes back, if it came from the shelf."""
        scope = asked.scope
        span = span_of(self._services.now())  # before the handler asks for the time: never later than it did
        path = scope["path"]  # the router writes its own into the scope
        start: dict[str, Any] = {}

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            await send(message)

        await long_way(scope, receive, noting)
        shelved = scope["state"].get(SHELVED)
        if shelved is None or start["status"] not in {HTTP_200_OK, HTTP_304_NOT_MODIFIED}:
            return
        opt = scope["route_handler"].opt
        if opt.get("scope", "read") != "read" or not opt.get("counts", True):
            return  # asks for more than is asked here
        hot = Hot(shelved, scope["path_template"], span, {start["status"]: _around_id(start["headers"])})
        self._keep(asked.target(scope["user"].tier, path), hot)

    def _keep(self, target: Target, hot: Hot) -> None:
        known = self._kept.get(target)
        if known is not None:
            if (known.shelved, known.span) == (hot.shelved, hot.span):
                hot.heads = known.heads | hot.heads
            self._drop(target)
        self._kept[target] = hot
        self.size_bytes += len(hot.shelved.entry.body) + OVERHEAD_BYTES
        while self.size_bytes > self._limit_bytes:
            self._drop(next(iter(self._kept)))  # the one kept longest; nothing lives for more than a minute

    def _drop(self, target: Target) -> None:
        self.size_bytes -= len(self._kept.pop(target).shelved.entry.body) + OVERHEAD_BYTES


class Service(Litestar):
    """The framework behind the room of ready answers."""

    hot: HotAnswers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Entry point of the server."""
        if scope["type"] == ScopeType.HTTP:
            await self.hot(scope, receive, send, super().__call__)
        else:
            await super().__call__(scope, receive, send)


def _around_id(headers: Headers) -> tuple[Headers, Headers]:
    """What an answer's headers are but for the id of its request."""
    at = next(n for n, (name, _) in enumerate(headers) if name == b"x-request-id")
    return list(headers[:at]), list(headers[at + 1 :])
