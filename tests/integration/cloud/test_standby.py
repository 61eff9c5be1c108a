"""`oddsd once --standby`, as a cloud's cron starts it: it works only where home is silent."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.app import utc_now
from agent.errors import CloudAway, ConfigError
from agent.once import run_once
from agent.settings import Settings, load_settings
from agent.store.answers import StoreJournal
from agent.store.db import Store
from sync.duty import TTL_S


@pytest.fixture
def relief(tmp_path: Path, dsns: tuple[str, str]) -> Callable[..., Settings]:
    """The settings of the host that stands by."""

    def make(**over: str | None) -> Settings:
        told = {
            "host_id": "relief", "data_dir": str(tmp_path / "d"), "runtime_dir": str(tmp_path), "database_url": dsns[1],
        } | over  # fmt: skip
        file = tmp_path / "oddsd.toml"
        file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items() if value is not None))
        return load_settings(file)

    return make


async def attend(edge: Any, host_id: str, *, ttl_s: int = TTL_S) -> None:
    """A host gives its sign of life; 0 seconds: it was there, and is gone."""
    await edge.connection.fetchval("SELECT edge_attend($1, false, $2)", host_id, ttl_s)


async def test_a_standby_does_nothing_while_home_lives(relief, edge):
    """Two hosts that both ask a model pay twice for one answer."""
    await attend(edge, "home")

    answer = await run_once(relief(), ["retention"], standby=True)

    assert answer == "standing by: home works"


async def test_a_standby_works_once_homes_lease_has_run_out(relief, edge, owner):
    """The reason it exists; and home coming back finds its place free again."""
    await attend(edge, "home", ttl_s=0)

    results = await run_once(relief(), ["retention"], standby=True)

    assert [(result.job, result.state) for result in results] == [("retention", "ok")]
    view = json.loads(await edge.connection.fetchval("SELECT edge_attend('home', false, 90)"))
    assert view["members"] == ["home"]


async def test_a_standby_without_a_cloud_says_what_is_missing(relief):
    """It could not know of the others, and must not guess that they are gone."""
    with pytest.raises(ConfigError, match="--standby: needs database_url or cloud_url"):
        await run_once(relief(database_url=None), ["retention"], standby=True)


async def test_a_standby_that_cannot_ask_does_not_work(relief, unused_tcp_port):
    """Silence of the road is not silence of home."""
    with pytest.raises(CloudAway, match="--standby"):
        async with asyncio.timeout(30):
            await run_once(
                relief(database_url=f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/x"), ["retention"], standby=True
            )


async def test_a_host_that_has_met_others_takes_its_lease_for_a_job_by_hand_too(relief, edge):
    """`once` beside other hosts is one of them: without a lease it would leave out its own share, or do theirs."""
    await attend(edge, "home", ttl_s=0)
    settings = relief()
    async with await Store.open(settings.database_path, clock=utc_now) as store:
        await StoreJournal(store).remember(has_met=True)

    (result,) = await run_once(settings, ["retention"])

    assert result.state == "ok"
    attended = await edge.connection.fetchval("SELECT edge_attend('home', false, 90)")
    assert json.loads(attended)["members"] == ["home"]  # given back at the end
    assert json.loads(attended)["alone"] is False  # it was there


async def test_a_host_that_has_met_others_still_collects_where_nobody_can_be_asked(relief, unused_tcp_port):
    """Looking is nobody's share: only what is paid for is left alone."""
    settings = relief(database_url=f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/x")
    async with await Store.open(settings.database_path, clock=utc_now) as store:
        await StoreJournal(store).remember(has_met=True)

    async with asyncio.timeout(30):
        (result,) = await run_once(settings, ["retention"])

    assert result.state == "ok"


async def test_the_command_leaves_with_0_and_says_who_works(relief, edge, tmp_path):
    """A cron that finds home at work has not failed."""
    await attend(edge, "home")
    relief()
    child = await asyncio.create_subprocess_exec(
        *once_command(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        printed, _ = await child.communicate()

    assert child.returncode == 0, printed.decode()
    assert "standing by: home works" in printed.decode()


def once_command(folder: Path) -> list[str]:
    """As a cron would write it."""
    return [
        sys.executable, "-m", "agent", "once", "--standby", "retention", "--config", str(folder / "oddsd.toml"),
    ]  # fmt: skip
