"""The downlink's own loop, against a cloud in memory: who waits for whom, and what a stop leaves behind."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from agent.store.answers import StoreJournal
from sync.downlink import AT_ONCE_OF_A_KIND, Downlink
from sync.duty import Duty
from sync.errors import SinkHeld, SinkUnavailable
from sync.protocol import Answer, Request, Standing, View

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


class MemoryCloud:
    """Transport and session in one: what waits, who took it, what was answered; can go away in mid session."""

    name = "memory"

    def __init__(self, *members: str) -> None:
        self.members = members or ("home",)
        self.waiting: list[Request] = []
        self.answers: dict[str, Answer] = {}
        self.left_with: list[int] | None = None  # what was under way when the lease was given up
        self.under_way: Counter[str] = Counter()
        self.is_away, self.is_older = False, False
        self.renewed: Counter[str] = Counter()
        self.n_looks = 0
        self.told: dict[str, Standing] = {}
        self._bell = asyncio.Event()

    def ask(self, kind: str, request_id: str | None = None, *, rings: bool = True) -> str:
        """Put a request and ring."""
        one = Request(
            request_id=request_id or str(uuid.uuid4()), lease="l", kind=kind, body={}, attempt=1, requested_at=AT,
            expires_at=AT + timedelta(hours=1),
        )  # fmt: skip
        self.waiting.append(one)
        if rings:
            self._bell.set()
        return one.request_id

    def cut(self) -> None:
        """The line breaks: whoever listens is told."""
        self.is_away = True
        self._bell.set()

    async def connect(self) -> "MemoryCloud":
        if self.is_away:
            raise SinkUnavailable("away")
        self._bell.set()
        return self

    async def lease(self, host_id: str, kinds: tuple[str, ...], *, limit: int, lease_s: int) -> tuple[Request, ...]:
        del host_id, lease_s
        self.n_looks += 1
        taken = [one for one in self.waiting if one.kind in kinds][:limit]
        self.waiting = [one for one in self.waiting if one not in taken]
        return tuple(taken)

    async def renew(self, host_id: str, request_ids: tuple[str, ...], *, lease_s: int) -> None:
        del host_id, lease_s
        self.renewed.update(request_ids)
        if self.is_older:
            raise SinkHeld("renew: 42883 function edge_renew does not exist")

    async def complete(self, answer: Answer) -> None:
        if self.is_away:
            raise SinkUnavailable("away")
        self.answers.setdefault(answer.request_id, answer)

    async def attend(self, host_id: str, *, standby: bool, ttl_s: int) -> View:
        del host_id, standby
        if ttl_s == 0:
            self.left_with = list(self.under_way.values())
        return View(view_no=1, members=self.members, settled=True, alone=len(self.members) == 1)

    async def tell(self, host_id: str, standing: Standing) -> None:
        if self.is_older:
            raise SinkHeld("no such function", advice="update the cloud")
        self.told[host_id] = standing

    async def rung(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        if self.is_away:
            raise SinkUnavailable("cut")
        self._bell.clear()
        return True

    async def close(self) -> None:
        return


@asynccontextmanager
async def running(cloud, store, handlers, duty=None) -> AsyncIterator[Downlink]:
    """The loop at work; cancelled as the daemon does it."""
    loop = Downlink(cloud, StoreJournal(store), handlers, duty or Duty("home"), jitter=lambda: 0.0)
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


class Slow:
    """A handler that lasts until it is let go, and counts what is in its hands."""

    def __init__(self, cloud: MemoryCloud) -> None:
        self.cloud, self.go, self.calls = cloud, asyncio.Event(), list[str]()

    async def __call__(self, request: Request) -> dict[str, object]:
        self.calls.append(request.request_id)
        self.cloud.under_way[request.request_id] = 1
        try:
            await self.go.wait()
        finally:
            del self.cloud.under_way[request.request_id]
        return {"slow": True}


async def quick(_: Request) -> dict[str, object]:
    return {"quick": True}


async def test_a_slow_kind_does_not_hold_up_a_quick_one(store):
    """A collect of a minute, or ten of them and more waiting, must not cost a person the session asked for meanwhile."""
    cloud = MemoryCloud()
    slow = Slow(cloud)
    async with running(cloud, store, {"refresh": slow, "session": quick}):
        for _ in range(AT_ONCE_OF_A_KIND + 5):
            cloud.ask("refresh")
        await until(lambda: len(slow.calls) == AT_ONCE_OF_A_KIND)
        session = cloud.ask("session")
        await until(lambda: session in cloud.answers)

        assert len(slow.calls) == AT_ONCE_OF_A_KIND
        assert len(cloud.waiting) == 5
        assert set(cloud.answers) == {session}
        slow.go.set()
        await until(lambda: len(cloud.answers) == AT_ONCE_OF_A_KIND + 6)


async def test_a_line_on_which_nothing_comes_is_listened_to_and_not_asked(store, monkeypatch):
    """Looking again and again would be two questions a second for ever, of every edge."""
    monkeypatch.setattr("sync.downlink.LOOK_AGAIN_S", 0.01)
    cloud = MemoryCloud()
    async with running(cloud, store, {"session": quick}):
        first = cloud.ask("session")
        await until(lambda: first in cloud.answers)
        n_before = cloud.n_looks
        await asyncio.sleep(0.3)
        assert cloud.n_looks <= n_before + 2  # our own answer is one more look, the bell's first ring another
        second = cloud.ask("session")
        await until(lambda: second in cloud.answers)


async def test_a_bell_that_rings_on_is_answered_now_and_then(store, monkeypatch):
    """Over HTTPS it rings while anything waits, be it for another host or for a place here."""
    monkeypatch.setattr("sync.downlink.LOOK_AGAIN_S", 0.05)
    cloud = MemoryCloud()

    async def rung(_: float) -> bool:
        return True

    cloud.rung = rung
    async with running(cloud, store, {"session": quick}):
        await until(lambda: cloud.n_looks)
        began, n_before = time.monotonic(), cloud.n_looks
        await until(lambda: cloud.n_looks >= n_before + 6)
        assert time.monotonic() - began > 4 * 0.05 * 0.9  # one or two of them were due, the others waited
        asked = cloud.ask("session")
        await until(lambda: asked in cloud.answers)


async def test_what_another_host_let_go_of_is_found_without_a_bell(store, monkeypatch):
    """A lease that ends rings nowhere."""
    monkeypatch.setattr("sync.downlink.ATTEND_EVERY_S", 0.05)
    cloud = MemoryCloud()
    async with running(cloud, store, {"session": quick}):
        await until(lambda: cloud.n_looks)
        asked = cloud.ask("session", rings=False)
        await until(lambda: asked in cloud.answers)


async def test_a_request_that_comes_again_while_it_is_worked_on_is_not_begun_twice(store):
    """Its lease may end before a long job does; paying twice would be the answer to nothing."""
    cloud = MemoryCloud()
    slow = Slow(cloud)
    async with running(cloud, store, {"refresh": slow}):
        first = cloud.ask("refresh")
        await until(lambda: slow.calls)
        cloud.ask("refresh", first)
        await until(lambda: not cloud.waiting)
        slow.go.set()
        await until(lambda: cloud.answers)

    assert slow.calls == [first]


async def test_what_was_begun_outlives_the_session_and_is_told_in_the_next(store):
    """A line that breaks costs nobody the minute of work already done."""
    cloud = MemoryCloud()
    slow = Slow(cloud)
    async with running(cloud, store, {"refresh": slow}) as loop:
        request = cloud.ask("refresh")
        await until(lambda: slow.calls)
        cloud.cut()
        await until(lambda: loop.last_error is not None)
        slow.go.set()
        await until(lambda: not cloud.under_way)
        assert cloud.answers == {}
        cloud.is_away = False
        await until(lambda: request in cloud.answers)

    assert slow.calls == [request]


async def test_weeks_without_the_cloud_do_not_end_the_loop(store):
    """Two to the number of failures is no float after a thousand of them: nine hours."""
    cloud = MemoryCloud()
    cloud.is_away, tries = True, Counter[str]()

    async def connect() -> MemoryCloud:
        tries["n"] += 1
        raise SinkUnavailable("away")

    cloud.connect = connect
    async with running(cloud, store, {"session": quick}):
        await until(lambda: tries["n"] > 1_100)


async def test_a_stop_in_the_middle_of_a_word_gives_the_lease_up_over_a_new_line(store, monkeypatch):
    """The cut word breaks its connection; the others would wait for the lease's end."""
    cloud, tried = MemoryCloud(), list[int]()
    attend = cloud.attend

    async def torn(host_id: str, *, standby: bool, ttl_s: int) -> View:
        tried.append(ttl_s)
        if tried.count(0) == 1 and ttl_s == 0:
            raise SinkUnavailable("the connection was closed in the middle of an operation")
        return await attend(host_id, standby=standby, ttl_s=ttl_s)

    monkeypatch.setattr(cloud, "attend", torn)
    async with running(cloud, store, {}):
        async with asyncio.timeout(5):
            while not tried:
                await asyncio.sleep(0.005)

    assert tried.count(0) == 2
    assert cloud.left_with == []


async def test_a_stop_drops_what_is_under_way_before_it_gives_up_the_lease(store):
    """Another host may take it that instant; and no task is left behind."""
    cloud = MemoryCloud()
    slow = Slow(cloud)
    async with running(cloud, store, {"refresh": slow}):
        request = cloud.ask("refresh")
        await until(lambda: slow.calls)
        named = {task.get_name() for task in asyncio.all_tasks()}

    assert f"answer-refresh-{request}" in named
    assert cloud.left_with == []
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("answer-", "downlink-"))]


async def test_a_host_that_met_others_knows_it_after_a_restart(store):
    """Without the cloud it could not ask, and two hosts would pay for one forecast."""
    async with running(MemoryCloud("home", "other"), store, {}) as loop:
        await until(lambda: loop.duty.view)
        await until(lambda: loop.duty.serves(0.0))
    assert await StoreJournal(store).has_met()

    async with running(MemoryCloud("home"), store, {}, Duty("home", has_met=True)) as loop:
        await until(lambda: loop.duty.view)
    assert not await StoreJournal(store).has_met()


@pytest.mark.parametrize("is_older", [False, True])
async def test_what_takes_long_is_renewed_while_somebody_is_at_it_and_no_longer(store, monkeypatch, is_older):
    """Else the cloud would hand it to a second host; a cloud that knows no such word is no reason to end the line."""
    monkeypatch.setattr("sync.downlink.ATTEND_EVERY_S", 0.02)
    cloud = MemoryCloud()
    cloud.is_older = is_older
    slow = Slow(cloud)
    async with running(cloud, store, {"slow": slow}):
        first = cloud.ask("slow")
        await until(lambda: cloud.renewed[first] >= 3)
        slow.go.set()
        await until(lambda: first in cloud.answers)
        before = cloud.renewed[first]
        slow.go.clear()
        second = cloud.ask("slow")
        await until(lambda: cloud.renewed[second] >= 3)
        assert cloud.renewed[first] == before
        slow.go.set()
        await until(lambda: second in cloud.answers)


@pytest.mark.parametrize("is_older", [False, True])
async def test_how_the_host_is_goes_with_its_lease_and_an_older_cloud_is_served_all_the_same(store, is_older):
    """For people to read: nothing waits for it, and nothing ends because a cloud does not know the word."""
    cloud = MemoryCloud()
    cloud.is_older = is_older
    standing = Standing(level="degraded", says="degraded · 3 pending", pending_rows=3)
    loop = Downlink(cloud, StoreJournal(store), {"quick": quick}, Duty("home"), jitter=lambda: 0.0)
    loop.standing = standing
    task = asyncio.create_task(loop.run())

    asked = cloud.ask("quick")
    await until(lambda: asked in cloud.answers)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert cloud.told == ({} if is_older else {"home": standing})
