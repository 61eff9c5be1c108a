"""Our manners towards the exchanges: what is tried again, how long we wait, and what an answer is worth."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from agent.errors import (
    VenueDataError,
    VenueError,
    VenueNotFound,
    VenueRateLimited,
    VenueRejected,
    VenueUnavailable,
)
from agent.venues.breaker import BreakerState
from agent.venues.http import HttpPolicy, VenueHttp

URL = "https://venue.test/events"
OK = httpx.Response(200, json={"events": []})


@dataclass
class Road:
    """A transport with a script, and a clock that moves only when somebody waits."""

    script: list[httpx.Response | BaseException] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    now_s: float = 1000.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return httpx.Response(step.status_code, headers=step.headers, content=step.content)

    async def sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        self.now_s += wait_s

    def client(self, **policy: float) -> VenueHttp:
        """A client on this road; its share of chance is always one half."""
        return VenueHttp(
            HttpPolicy(other_requests_per_s=10_000, **policy),
            transport=httpx.MockTransport(self),
            clock_s=lambda: self.now_s,
            sleep=self.sleep,
            jitter=lambda: 0.5,
        )


async def failure(http: VenueHttp) -> VenueError:
    """The error of one call."""
    with pytest.raises(VenueError) as caught:
        await http.fetch_json_bytes(URL)
    return caught.value


async def test_a_good_answer_comes_with_its_age() -> None:
    """A cached page may be five minutes old, which belongs next to its fetch time."""
    road = Road([httpx.Response(200, content=b'{"events":[]}', headers={"age": "219"})])
    async with road.client() as http:
        assert await http.fetch_json_bytes(URL, {"limit": "100"}) == (b'{"events":[]}', 219.0)
    assert str(road.requests[0].url) == f"{URL}?limit=100"
    assert road.requests[0].headers["user-agent"].startswith("oddsd/")


@pytest.mark.parametrize(
    "fault",
    [
        httpx.Response(429, json={"error": "too many requests"}),
        httpx.Response(500),
        httpx.Response(503, text="upstream"),
        httpx.Response(408),
        httpx.Response(200, html="<!DOCTYPE html><title>Just a moment</title>"),
        httpx.Response(403, html="<html>error code: 1015</html>"),
        httpx.Response(200, content=b'{"events":[{"id":"1"'),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b'"text"'),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed in the middle"),
    ],
)
async def test_a_fault_of_the_road_is_tried_again(fault: httpx.Response | Exception) -> None:
    """None of these says anything about our request."""
    road = Road([fault, OK])
    async with road.client() as http:
        body, _ = await http.fetch_json_bytes(URL)
    assert (body, len(road.requests)) == (OK.content, 2)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(422, json={"error": "offset is not allowed"}), VenueRejected),
        (httpx.Response(404, json={"error": "id not found"}), VenueNotFound),
        (httpx.Response(403, json={"error": "no"}), VenueRejected),
        (httpx.Response(302, headers={"location": "https://elsewhere.test"}), VenueRejected),
        (httpx.Response(200, content=b"{" + b" " * 2000 + b"}"), VenueDataError),
    ],
)
async def test_a_refusal_is_not_tried_again(answer: httpx.Response, kind: type[VenueError]) -> None:
    """The same request would be refused again."""
    road = Road([answer])
    async with road.client(max_body_bytes=1000) as http:
        error = await failure(http)
        assert http.breaker_states() == {"venue.test": BreakerState.CLOSED}
    assert (type(error), len(road.requests), road.waits) == (kind, 1, [])


async def test_the_error_names_the_request_and_the_answer() -> None:
    """It is what the operator reads in the run's reason."""
    async with Road([httpx.Response(422, json={"error": "offset is not allowed"})]).client() as http:
        assert str(await failure(http)) == f"GET {URL}: 422: " + repr(b'{"error":"offset is not allowed"}')


async def test_waits_grow_with_full_jitter_and_tries_end() -> None:
    """Five tries, then the error of the last."""
    road = Road([httpx.Response(503)])
    async with road.client() as http:
        error = await failure(http)
    assert (type(error), len(road.requests)) == (VenueUnavailable, 5)
    assert road.waits == [0.25, 0.5, 1.0, 2.0]


async def test_retry_after_is_honoured() -> None:
    """A number of seconds, or a date held against the server's own clock."""
    date = {"date": "Sat, 21 Nov 2026 12:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 12:00:09 GMT"}
    road = Road([httpx.Response(429, headers={"retry-after": "7"}), httpx.Response(503, headers=date), OK])
    async with road.client() as http:
        await http.fetch_json_bytes(URL)
    assert road.waits == [7.0, 9.0]


@pytest.mark.parametrize("value", ["soon", "-5", "Sat, 21 Nov 2026 12:00:09 GMT", "1e3"])
async def test_a_retry_after_that_says_nothing_is_ignored(value: str) -> None:
    """Without a date of the server's own, its date has no meaning here."""
    road = Road([httpx.Response(429, headers={"retry-after": value}), OK])
    async with road.client() as http:
        await http.fetch_json_bytes(URL)
    assert road.waits == [0.25]


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    """The cycle goes on with the other venue, and the error says when to come back."""
    road = Road([httpx.Response(429, headers={"retry-after": "3600"})])
    async with road.client() as http:
        error = await failure(http)
    assert (type(error), error.retry_after_s, road.waits) == (VenueRateLimited, 3600.0, [])


async def test_a_host_that_failed_five_calls_is_left_alone_for_a_minute() -> None:
    """No more requests until one probe may go; other hosts are not concerned."""
    road = Road([httpx.Response(503)])
    async with road.client(max_tries=1) as http:
        for _ in range(5):
            await failure(http)
        error = await failure(http)
        assert (len(road.requests), error.retry_after_s) == (5, 60.0)
        assert http.breaker_states() == {"venue.test": BreakerState.OPEN}
        road.now_s += 60
        road.script = [OK]
        await http.fetch_json_bytes("https://other.test/")
        await http.fetch_json_bytes(URL)
        assert http.breaker_states()["venue.test"] is BreakerState.CLOSED


async def test_an_answer_that_never_ends_is_cut_off() -> None:
    """Each piece comes in time, so only a limit for the whole answer helps."""

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    class Drip(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=dripping())

    policy = HttpPolicy(answer_s=0.02, max_tries=1)
    async with VenueHttp(policy, transport=Drip()) as http:
        assert "no complete answer within 0.02 s" in str(await failure(http))


async def test_a_cancelled_probe_leaves_the_breaker_free() -> None:
    """Shutdown in the middle of a probe, then a call of the next start in the same process."""
    road = Road([httpx.Response(503)])
    async with road.client(max_tries=1) as http:
        for _ in range(5):
            await failure(http)
        road.now_s += 60
        road.script = [asyncio.CancelledError()]
        with pytest.raises(asyncio.CancelledError):
            await http.fetch_json_bytes(URL)
        road.script = [OK]
        await http.fetch_json_bytes(URL)


async def test_an_address_that_is_none_is_our_mistake() -> None:
    """A typing error in the configuration must not be tried five times."""
    async with VenueHttp() as http:
        with pytest.raises(VenueRejected) as caught:
            await http.fetch_json_bytes("htp://venue.test/")
    assert caught.value.advice == "check the venue's address in the configuration"
