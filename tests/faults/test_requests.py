"""Requests of the cloud and this host's lease, taken by a machine whose clock is wrong: the cloud's clock decides."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from agent.store.answers import StoreJournal
from sync.downlink import Downlink
from sync.duty import Duty
from sync.protocol import Request
from sync.transports.postgres import PostgresTransport
from tests.conftest import ManualClock
from tests.faults.house import House

pytestmark = pytest.mark.timeout(0)

ASK = "SELECT edge_ask('refresh', '{}', $1, interval '1 minute')"
WRONG = {
    "a day behind": datetime.now(UTC) - timedelta(days=1),
    "a week ahead": datetime.now(UTC) + timedelta(days=7),
    "without a battery": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=20),
}


@pytest.mark.fault(40)
@pytest.mark.parametrize("which", WRONG)
async def test_fault_40_a_host_with_a_wrong_clock_keeps_its_lease_and_answers_each_request_once(
    trial, tmp_path, postgres, which
):
    """No lease and no limit is reckoned by the edge's clock: its own ends by a timer, the cloud's by the cloud's."""
    owner_dsn, edge_dsn = postgres.create_database()
    clock, calls, owner = ManualClock(), list[str](), await asyncpg.connect(owner_dsn)
    clock.now = WRONG[which]

    async def refresh(request: Request) -> dict[str, object]:
        calls.append(request.request_id)
        clock.now += timedelta(hours=3)  # and it steps in mid work
        return {}

    async with House(tmp_path / "home", clock) as house:
        duty = Duty("home", has_met=True)
        loop = Downlink(
            PostgresTransport(edge_dsn, host_id="home"), StoreJournal(house.store), {"refresh": refresh}, duty
        )
        running = asyncio.create_task(loop.run())
        try:
            asked = [str(await owner.fetchval(ASK, f"{n}")) for n in range(3)]
            trial.recovering()
            async with asyncio.timeout(30):
                while await owner.fetchval("SELECT count(*) FROM edge_request WHERE state = 'done'") < len(asked):
                    await asyncio.sleep(0.02)
            trial.recovered()
            lease = await owner.fetchval("SELECT expires_at - now() FROM edge_duty WHERE host_id = 'home'")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await owner.close()
    assert sorted(calls) == sorted(asked)
    assert timedelta(seconds=30) < lease <= timedelta(seconds=90)
    trial.counted(len(asked))
