"""`oddsd sync-now`: asked of the daemon, or done in its place; exit code and figures tell how far it came."""

import asyncio
import json

import pytest

from agent.app import utc_now
from agent.store.db import Store
from tests.e2e.edge import Edge
from tests.e2e.test_daemon import QUIET, oddsd
from tests.factories import make_market


async def seal(edge: Edge, *keys: str) -> None:
    """Rows that wait, in the file of a daemon that is down."""
    async with await Store.open(edge.database, clock=utc_now) as store:
        for key in keys:
            async with store.write() as tx:
                tx.emit(make_market(market_key=key))


async def sync_now(edge: Edge, *more: str) -> tuple[int, dict]:
    code, out, err = await oddsd("sync-now", "--json", *more, "--config", edge.config)
    assert out, err
    return code, json.loads(out)


async def arrived(owner) -> list[str]:
    return [row["market_key"] for row in await owner.fetch("select market_key from market order by market_key")]


async def test_without_a_daemon_the_command_sends_itself(tmp_path, dsns, owner):
    """Before a box is carried away, everything is to be in the cloud; asked twice there is nothing left to do."""
    async with Edge(tmp_path, database_url=dsns[1], tables=QUIET) as edge:
        await seal(edge, "kalshi:A", "kalshi:B", "kalshi:C")
        code, first = await sync_now(edge)
        again, second = await sync_now(edge)

    assert (code, first["sent"], first["pending"], first["reason"]) == (0, 3, 0, None)
    assert (again, second["sent"], second["pending"]) == (0, 0, 0)
    assert await arrived(owner) == ["kalshi:A", "kalshi:B", "kalshi:C"]


async def test_a_running_daemon_is_woken_from_its_wait(tmp_path, dsns, owner):
    """It waits minutes after a refusal; who has just mended the cloud wants it now."""
    await owner.execute("alter role edge_ingest nologin")
    try:
        async with Edge(tmp_path, database_url=dsns[1], tables=QUIET) as edge:
            await seal(edge, "kalshi:A", "kalshi:B")
            child = await edge.start()
            await until_refused(edge)
            refused, told = await sync_now(edge)
            await owner.execute("alter role edge_ingest login")
            code, sent = await sync_now(edge)
            await child.stop()
    finally:
        await owner.execute("alter role edge_ingest login")

    assert (refused, told["pending"]) == (2, 2)
    assert "edge_ingest" in told["reason"]
    assert (code, sent["sent"], sent["pending"], sent["reason"]) == (0, 2, 0, None)
    assert await arrived(owner) == ["kalshi:A", "kalshi:B"]


async def until_refused(edge: Edge) -> None:
    async with asyncio.timeout(20):
        while (await edge.ask("status"))["figures"]["cloud_connected"] is not False:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("address", "status", "word"), [("postgresql://x:y@127.0.0.1:9/z", 2, "127.0.0.1"), (None, 69, "database_url")]
)
async def test_a_cloud_that_is_away_or_not_configured_is_told_and_nothing_is_lost(tmp_path, address, status, word):
    """A script must not take silence for delivery."""
    given = {} if address is None else {"database_url": address}
    async with Edge(tmp_path, tables=QUIET, **given) as edge:
        await seal(edge, "kalshi:A")
        code, out, err = await oddsd("sync-now", "--config", edge.config)

        assert code == status, (out, err)
        assert word in out + err
        assert edge.pending_rows() == 1


@pytest.mark.parametrize("command", ["sync-now", "audit"])
async def test_a_broken_or_missing_file_is_told_and_left_as_it_is(tmp_path, command):
    """A question that opened the whole house moved the file aside and spoke of an empty one: nothing lost, it said."""
    async with Edge(tmp_path, tables=QUIET, database_url="postgresql://x:y@127.0.0.1:9/z") as edge:
        missing = await oddsd(command, "--config", edge.config)
        made = edge.database.exists()
        await seal(edge, "kalshi:A")
        content = b"not a database" + edge.database.read_bytes()[14:]
        edge.database.write_bytes(content)
        broken = await oddsd(command, "--config", edge.config)
        left = edge.database.read_bytes()
        edge.database.unlink()
        edge.database.mkdir()
        closed = await oddsd(command, "--config", edge.config)

    assert (missing[0], made) == (74, False)
    assert "nothing was collected yet" in missing[2]
    assert (broken[0], left) == (74, content)
    assert "oddsd recover" in broken[2]
    assert closed[0] == 74
    assert "Is a directory" in closed[2]
    assert "Traceback" not in missing[2] + broken[2] + closed[2]
