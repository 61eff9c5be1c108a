"""Heartbeats against a real server: what is told, in which order, and that no job ever waits for it."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
import structlog

from agent import log as logs
from agent.errors import OddsdError
from agent.jobs.context import RunContext, Unit
from agent.jobs.heartbeats import WAITING, Heartbeats
from agent.jobs.runner import JobSpec, Runner

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Checks:
    """A healthchecks-style server: notes each ping; may be told to stay silent or to refuse."""

    def __init__(self) -> None:
        self.pings: list[tuple[str, str]] = []  # (path with query, body)
        self.status, self.silent = 200, False
        self.arrived, self.released = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().splitlines()
                length = next(
                    (int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0
                )
                body = (await reader.readexactly(length)).decode()
                self.pings.append((lines[0].split()[1], body))
                self.arrived.set()
                if self.silent:
                    await self.released.wait()
                writer.write(f"HTTP/1.1 {self.status} OK\r\ncontent-length: 2\r\n\r\nOK".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def checks() -> AsyncIterator[Checks]:
    server = Checks()
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ping/5ec2e7/"
    yield server
    server.released.set()
    listening.close()


@pytest.fixture(autouse=True)
def configured_log() -> Iterator[None]:
    """As the daemon has it; what a failure tells comes from there."""
    logs.configure(json=True, secrets=["sk-very-secret"], stream=io.StringIO())
    yield
    structlog.reset_defaults()


@pytest.fixture
def make(store, clock, instant_retries):
    """A runner whose job is watched."""

    def make(job, watcher) -> Runner:
        spec = JobSpec(name="job", run=job, schedule="* * * * *", missed="latest", timeout_s=60)
        return Runner(store, clock, [spec], {}, watchers=[watcher])

    return make


async def good(ctx: RunContext, slot: datetime) -> None:
    ctx.count(markets=3)


async def test_start_and_success_are_told_with_the_runs_id(checks, make):
    """The service pairs both by the id and knows how long the run took."""
    async with Heartbeats({"job": checks.url}) as heartbeats:
        result = await make(good, heartbeats).run("job", NOON)

    rid = f"?rid={result.run_id}"
    assert checks.pings == [("/ping/5ec2e7/start" + rid, ""), ("/ping/5ec2e7" + rid, "job ok\nmarkets=3")]


async def test_a_failure_is_told_with_the_end_of_its_log_and_without_secrets(checks, make):
    """Whoever is woken at night reads why, and no key travels to a third party."""

    async def bad(ctx: RunContext, slot: datetime) -> None:
        async def refused() -> Unit:
            raise OddsdError("key sk-very-secret is refused")

        await ctx.step("ask", refused)

    async with Heartbeats({"job": checks.url}) as heartbeats:
        await make(bad, heartbeats).run("job", NOON)

    path, body = checks.pings[-1]
    assert path.startswith("/ping/5ec2e7/fail?rid=")
    assert body.startswith("job failed\n")
    assert "run_began" in body
    assert "unit_died" in body
    assert "key *** is refused" in body
    assert "sk-very-secret" not in body


async def test_a_partial_run_is_a_sign_of_life_with_its_reason(checks, make):
    """One venue away is no reason to wake anybody; the body says it."""

    async def partly(ctx: RunContext, slot: datetime) -> None:
        ctx.partial("kalshi: 503")

    async with Heartbeats({"job": checks.url}) as heartbeats:
        await make(partly, heartbeats).run("job", NOON)

    path, body = checks.pings[-1]
    assert "/fail" not in path
    assert body.startswith("job partial\n")
    assert "reason=kalshi: 503" in body


async def test_a_server_that_does_not_answer_delays_no_job_and_no_end(checks, make):
    """A ping is a courtesy: the run ends while it hangs, and leaving waits only so long."""
    checks.silent = True
    async with asyncio.timeout(10):
        async with Heartbeats({"job": checks.url}, flush_s=0.05) as heartbeats:
            result = await make(good, heartbeats).run("job", NOON)
            await checks.arrived.wait()

    assert result.state == "ok"
    assert len(checks.pings) == 1


@pytest.mark.parametrize("status", [404, 500])
async def test_a_server_that_refuses_changes_no_run(checks, make, status):
    """A mistyped address is a line in the log."""
    checks.status = status
    async with Heartbeats({"job": checks.url}) as heartbeats:
        result = await make(good, heartbeats).run("job", NOON)

    assert result.state == "ok"


async def test_nobody_at_the_address_changes_no_run(make, instant_retries):
    """The same for a server that is gone."""
    async with Heartbeats({"job": "http://127.0.0.1:9/x"}) as heartbeats:
        assert (await make(good, heartbeats).run("job", NOON)).state == "ok"


async def test_an_address_that_is_away_for_hours_fills_no_memory(checks, make, clock):
    """Old pings tell nothing any more: beyond a few they are given up."""
    checks.silent = True
    async with Heartbeats({"job": checks.url}, flush_s=0.01) as heartbeats:
        runner = make(good, heartbeats)
        for _ in range(WAITING):
            await runner.run("job", clock.forward(minutes=1))

        assert heartbeats._waiting["job"].qsize() == WAITING


async def test_a_query_in_the_address_stays(checks, make):
    """Some services want a key there."""
    async with Heartbeats({"job": checks.url + "?create=1"}) as heartbeats:
        await make(good, heartbeats).run("job", NOON)

    assert checks.pings[0][0].startswith("/ping/5ec2e7/start?create=1&rid=")


async def test_jobs_without_an_address_are_not_told_about(make, checks):
    """Each job has its own, or none."""
    async with Heartbeats({"other": checks.url}) as heartbeats:
        await make(good, heartbeats).run("job", NOON)

    assert checks.pings == []
