"""The one way to the exchanges: one client, one rate limit and one breaker per host, one retry policy.

Law: every wait has an end; whatever goes wrong leaves as one of our errors; what is not JSON is a fault of the road,
not data. Clock, sleep and chance come from outside, so that tests need none of them. Called by the venue clients.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
from aiolimiter import AsyncLimiter

from agent.core.backoff import next_delay_s
from agent.errors import (
    VenueDataError,
    VenueError,
    VenueNotFound,
    VenueRateLimited,
    VenueRejected,
    VenueUnavailable,
)
from agent.venues.base import Params
from agent.venues.breaker import Breaker, BreakerState

_EXCERPT_BYTES: Final = 120
_RETRYABLE_4XX: Final = frozenset({408, 425})


def _requests_per_s() -> dict[str, float]:
    return {
        "gamma-api.polymarket.com": 20.0,  # published: 500 in 10 s on /events, 300 on /markets
        "clob.polymarket.com": 20.0,  # published: 1,000 in 10 s on /prices-history, 1,500 on /book
        "data-api.polymarket.com": 10.0,  # measured: 400 in 10 s on v2; nothing is published
        "external-api.kalshi.com": 5.0,  # published: 20 a second with a key; nothing is said about callers without
        "api.elections.kalshi.com": 5.0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPolicy:
    """How patient and how careful we are with an exchange."""

    connect_s: float = 10.0
    read_s: float = 30.0  # between two pieces; Polymarket's edge delays before it refuses
    answer_s: float = 90.0  # a whole answer: a server that drips would pass read_s for ever
    max_body_bytes: int = 32 * 1024 * 1024  # unpacked; a Kalshi page of 1,500 markets has about 3 MB
    max_tries: int = 5
    call_s: float = 180.0  # no new try after this
    first_wait_s: float = 0.5  # doubles, full jitter
    max_wait_s: float = 20.0
    n_failures_to_open: int = 5  # calls, each with all its tries
    open_s: float = 60.0
    requests_per_s: Mapping[str, float] = field(default_factory=_requests_per_s)
    other_requests_per_s: float = 20.0


class VenueHttp:
    """A shared httpx client with manners; use as an async context manager."""

    def __init__(
        self,
        policy: HttpPolicy | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy or HttpPolicy()
        self._clock_s, self._sleep, self._jitter = clock_s, sleep, jitter
        self._breakers: dict[str, Breaker] = {}
        self._limiters: dict[str, AsyncLimiter] = {}
        self._client = httpx.AsyncClient(
            headers={"User-Agent": f"oddsd/{version('oddsd')}", "Accept": "application/json"},
            timeout=httpx.Timeout(self.policy.read_s, connect=self.policy.connect_s),
            transport=transport,
            mounts={"all://127.0.0.1": None, "all://localhost": None},  # a proxy of the environment is not for loopback
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def breaker_states(self) -> dict[str, BreakerState]:
        """Each host called so far, for the status report."""
        return {host: breaker.state(self._clock_s()) for host, breaker in self._breakers.items()}

    async def fetch_json_bytes(self, url: str, params: Params | None = None) -> tuple[bytes, float | None]:
        """GET a JSON document, trying again where that may help.

        Returns: the body, not decoded, and the seconds a cache had held it (None if nobody says).
        Raises: VenueUnavailable, VenueRateLimited, VenueRejected, VenueNotFound, VenueDataError (larger than
            max_body_bytes).
        """
        host = urlsplit(url).netloc
        breaker = self._breakers.setdefault(host, Breaker(self.policy.n_failures_to_open, self.policy.open_s))
        wait_s = breaker.admit(self._clock_s())
        if wait_s is not None:
            raise VenueUnavailable(
                f"GET {url}: not tried: {breaker.n_failures} calls in a row failed", retry_after_s=wait_s
            )
        try:
            answer = await self._try_repeatedly(host, url, params or {})
        except (VenueUnavailable, VenueRateLimited):
            breaker.failed(self._clock_s())
            raise
        except VenueError:  # an answer we cannot use is still an answer
            breaker.succeeded()
            raise
        except BaseException:
            breaker.released()
            raise
        breaker.succeeded()
        return answer

    async def _try_repeatedly(self, host: str, url: str, params: Params) -> tuple[bytes, float | None]:
        ends_at_s = self._clock_s() + self.policy.call_s
        attempt = 0
        while True:
            attempt += 1
            await self._limiter(host).acquire()
            try:
                return await self._fetch_once(url, params)
            except (VenueUnavailable, VenueRateLimited) as exc:
                wait_s = exc.retry_after_s
                if wait_s is None:
                    wait_s = next_delay_s(attempt, self.policy.first_wait_s, self.policy.max_wait_s, self._jitter())
                if attempt >= self.policy.max_tries or self._clock_s() + wait_s > ends_at_s:
                    raise
                await self._sleep(wait_s)

    async def _fetch_once(self, url: str, params: Params) -> tuple[bytes, float | None]:
        try:
            async with asyncio.timeout(self.policy.answer_s), self._client.stream("GET", url, params=params) as answer:
                body = await self._read(answer)
        except TimeoutError as exc:
            raise VenueUnavailable(f"GET {url}: no complete answer within {self.policy.answer_s:g} s") from exc
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as exc:
            raise VenueRejected(f"GET {url}: {exc}", advice="check the venue's address in the configuration") from exc
        except httpx.HTTPError as exc:
            raise VenueUnavailable(f"GET {url}: {type(exc).__name__}: {exc}") from exc
        _judge(answer, body)
        return body, _seconds(answer.headers.get("age"))

    async def _read(self, answer: httpx.Response) -> bytes:
        pieces: list[bytes] = []
        n_bytes = 0
        async for piece in answer.aiter_bytes():
            n_bytes += len(piece)
            if n_bytes > self.policy.max_body_bytes:
                raise VenueDataError(f"GET {answer.url}: more than {self.policy.max_body_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _limiter(self, host: str) -> AsyncLimiter:
        limiter = self._limiters.get(host)
        if limiter is None:
            rate = self.policy.requests_per_s.get(host, self.policy.other_requests_per_s)
            limiter = self._limiters[host] = AsyncLimiter(rate, 1.0)
        return limiter


def _judge(answer: httpx.Response, body: bytes) -> None:
    """Raise what the answer deserves; return if it is a JSON document as far as its ends show."""
    status = answer.status_code
    said = f"GET {answer.url}: {status}: {body[:_EXCERPT_BYTES]!r}"
    retry_after_s = _retry_after_s(answer.headers)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise VenueRateLimited(said, retry_after_s=retry_after_s)
    first, last = body[:_EXCERPT_BYTES].lstrip()[:1], body[-_EXCERPT_BYTES:].rstrip()[-1:]
    if status >= 500 or status in _RETRYABLE_4XX or (first == b"<" and status in (200, 403)):
        raise VenueUnavailable(said, retry_after_s=retry_after_s)  # 403 in HTML: the edge speaks, not the API
    if status == httpx.codes.NOT_FOUND:
        raise VenueNotFound(said)
    if status != 200:
        raise VenueRejected(said)
    if (first, last) not in ((b"{", b"}"), (b"[", b"]")):
        raise VenueUnavailable(f"{said}: not a complete JSON document ({len(body)} bytes)")


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Seconds, or a date in the form of RFC 9110, which is held against the server's own clock."""
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or not value:
        return seconds
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):  # no date, or one with a zone and one without
        return None
    return max(0.0, wait.total_seconds())


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None
