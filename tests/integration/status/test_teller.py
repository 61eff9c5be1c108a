"""Telling the operator, over apprise and real HTTP: once, to every target, and never at a job's cost."""

import asyncio
import contextlib
import errno
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Self

import pytest
from structlog.testing import capture_logs

from agent.errors import AlertFailed
from agent.status.alerts import Manners
from agent.status.book import IncidentBook
from agent.status.incidents import SETTLE
from agent.status.report import report
from agent.status.state import MqttLive
from agent.status.teller import Teller
from agent.store.incidents import load_recent
from tests.unit.status.house import NOW, make_live, make_state

MINUTE = timedelta(minutes=1)
BAD = MqttLive(configured=True, last_error="refused")


class Inbox:
    """An operator's phone: a local HTTP server that keeps what apprise posts."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self.broken = False
        self.url = ""

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        if not self.broken:
            self.messages.append(body)
        answer = "500 Broken" if self.broken else "200 OK"
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"json://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/s3cret-path-of-the-operator"
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox() as opened:
        yield opened


class House:
    """A store whose book takes reports at moments the test names."""

    def __init__(self, store, clock) -> None:
        self.store, self.clock = store, clock
        self.book = IncidentBook(store)
        clock.now = NOW

    async def is_bad(self, after: timedelta) -> None:
        self.clock.now += after
        await self.book.note(report(make_state(), make_live(mqtt=BAD), NOW), now=self.clock.now)

    async def is_well(self, after: timedelta) -> None:
        self.clock.now += after
        await self.book.note(report(make_state(), make_live(), NOW), now=self.clock.now)

    def teller(self, *urls: str, **over) -> Teller:
        return Teller(self.store, urls, Manners(), host_id="home-1", clock=self.clock, **over)


@pytest.fixture
def house(store, clock) -> House:
    return House(store, clock)


async def test_a_trouble_and_its_end_are_one_message_each(house, inbox):
    """What OPS4 promises: told, not repeated, and told that it is over; a restart in between changes nothing."""
    await house.is_bad(MINUTE)
    assert await house.teller(inbox.url).tell() == 0
    await house.is_bad(10 * MINUTE)
    assert await house.teller(inbox.url).tell() == 1
    assert await house.teller(inbox.url).tell() == 0  # another process, the same store
    await house.is_well(MINUTE)
    assert await house.teller(inbox.url).tell() == 0
    await house.is_well(SETTLE)
    assert await house.teller(inbox.url).tell() == 1
    assert await house.teller(inbox.url).tell() == 0

    assert [one["title"] for one in inbox.messages] == ["oddsd home-1: DEGRADED mqtt", "oddsd home-1: mqtt is over"]
    assert "why: refused" in inbox.messages[0]["message"]


async def test_a_target_that_fails_is_tried_again_alone(house, inbox):
    """The phone that heard it must not ring again because another one is broken."""
    async with Inbox() as other:
        other.broken = True
        await house.is_bad(MINUTE)
        await house.is_bad(10 * MINUTE)
        teller = house.teller(inbox.url, other.url)
        with pytest.raises(AlertFailed, match="target 2 of 2 did not take"):
            await teller.tell()
        other.broken = False
        assert await teller.tell() == 1

    assert len(inbox.messages) == len(other.messages) == 1


async def test_failures_are_recorded_once_and_end_nothing(house, inbox):
    """A broken service is a line in the report; its address appears nowhere."""
    inbox.broken = True
    await house.is_bad(MINUTE)
    await house.is_bad(10 * MINUTE)
    failures: list[int] = []

    def delay_s(n_failures: int) -> float:
        failures.append(n_failures)
        if n_failures == 3:
            inbox.broken = False
        return 0.0

    teller = house.teller(inbox.url, delay_s=delay_s, look_s=0.01)
    with capture_logs() as said:
        task = asyncio.create_task(teller.run())
        try:
            async with asyncio.timeout(20):
                while not inbox.messages:
                    await asyncio.sleep(0.02)
                while teller.live.last_told_at is None:
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    assert failures[:3] == [1, 2, 3]
    assert [line["action"] for line in said if line.get("action", "").startswith("alert")] == [
        "alert_failed",
        "alert_sent",
    ]
    assert "s3cret" not in str([line for line in said if "action" in line])
    assert teller.live.failing_since is None


async def test_a_target_that_failed_is_no_trouble_once_nothing_is_owed_to_it(house, inbox):
    """The trouble ended untold; the report must not complain of its telling for ever after."""
    inbox.broken = True
    await house.is_bad(MINUTE)
    await house.is_bad(10 * MINUTE)
    teller = house.teller(inbox.url, delay_s=lambda _: 0.0, look_s=0.01)
    task = asyncio.create_task(teller.run())
    try:
        async with asyncio.timeout(20):
            while teller.live.failing_since is None:
                await asyncio.sleep(0.02)
            await house.is_well(MINUTE)
            while teller.live.failing_since is not None:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.wait({task})

    assert (teller.live.last_error, inbox.messages) == (None, [])


async def test_a_messenger_that_cannot_be_started_is_a_failure_like_any_other(house, inbox, monkeypatch):
    """A machine without a process or a byte to spare must not lose its daemon to an alert."""

    async def no_process(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    await house.is_bad(MINUTE)
    await house.is_bad(10 * MINUTE)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_process)

    with pytest.raises(AlertFailed, match="target 1 of 1 could not be asked: Cannot allocate memory"):
        await house.teller(inbox.url).tell()


async def test_an_address_nobody_understands_is_a_sentence(house):
    """The settings cannot know a hundred services; the first message finds out."""
    await house.is_bad(MINUTE)
    await house.is_bad(10 * MINUTE)

    with pytest.raises(AlertFailed, match="target 1 of 1 is no address apprise understands") as caught:
        await house.teller("nonsense-with-a-s3cret").tell()
    assert "s3cret" not in str(caught.value)


async def test_the_book_writes_only_what_changes(house, store):
    """The card a home server lives on must not be written every ten seconds."""
    await house.is_bad(MINUTE)
    before = await store.reader.fetch_value("PRAGMA data_version")
    for _ in range(5):
        await house.is_bad(MINUTE)
    assert await store.reader.fetch_value("PRAGMA data_version") == before

    await house.is_well(MINUTE)
    (kept,) = await load_recent(store.reader, since=NOW, limit=10)
    assert (kept.key, kept.level, kept.ended_at) == ("mqtt", "degraded", house.clock.now)
