"""What `oddsd doctor` asks of a real cloud: both sides of the stream, the schemas it takes, its clock; leaving nothing."""

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from agent.doctor import lineage, network
from agent.doctor.findings import Verdict
from agent.doctor.lineage import StreamHere
from agent.settings import load_settings
from sync.records import SCHEMA_VERSION
from tests.faults.house import socket_of
from tests.faults.proxy import FaultProxy
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_quote

WRITTEN = (
    "select (select count(*) from edge_host), (select count(*) from edge_stream), (select max(fence) from edge_stream)"
)


def looking(edge: HandEdge, *, last_seq: int, acked_seq: int | None) -> lineage.Look:
    async def look() -> StreamHere:
        return StreamHere(stream_id=str(edge.stream), last_seq=last_seq, acked_seq=acked_seq)

    return look


async def verdicts(edge: HandEdge, look: lineage.Look) -> dict[str, Verdict]:
    return {one.id: one.verdict for one in await lineage.compare(edge.connection, look)}


async def test_the_cloud_is_asked_without_a_trace(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """The doctor is no hello: an edge that is examined must not look alive, nor lose its lineage."""
    await edge.hello()
    await edge.send([make_quote()])
    before = await owner.fetchrow(WRITTEN)

    found = await verdicts(edge, looking(edge, last_seq=1, acked_seq=1))

    assert found == {"D12": Verdict.GOOD, "D19": Verdict.GOOD, "D20": Verdict.GOOD}
    assert await owner.fetchrow(WRITTEN) == before


async def test_either_side_that_went_back_in_time_is_named(edge: HandEdge) -> None:
    """An older copy of the file, and a cloud that forgot what it gave a receipt for."""
    unheard = await verdicts(edge, looking(edge, last_seq=5, acked_seq=None))
    forgotten = await verdicts(edge, looking(edge, last_seq=5, acked_seq=5))
    await edge.hello()
    await edge.send([make_quote()])
    older = await verdicts(edge, looking(edge, last_seq=0, acked_seq=None))
    back = await verdicts(edge, looking(edge, last_seq=5, acked_seq=5))

    assert unheard["D12"] is Verdict.GOOD
    assert forgotten["D12"] is back["D12"] is Verdict.WARNING
    assert older["D12"] is Verdict.FAILED


async def test_a_stream_begun_meanwhile_is_not_judged(edge: HandEdge) -> None:
    """Two different streams have nothing to do with each other."""
    ids = iter(["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"])

    async def look() -> StreamHere:
        return StreamHere(stream_id=next(ids), last_seq=0, acked_seq=None)

    assert (await verdicts(edge, look))["D12"] is Verdict.UNKNOWN


async def test_a_cloud_of_another_schema_is_named(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Everything else would be green while every batch waits."""
    newer = f"select {SCHEMA_VERSION + 1}"
    for side in ("min", "max"):
        await owner.execute(
            f"create or replace function edge_schema_{side}() returns integer language sql immutable as '{newer}'"
        )

    found = {one.id: one for one in await lineage.compare(edge.connection, looking(edge, last_seq=0, acked_seq=None))}

    assert found["D19"].verdict is Verdict.FAILED
    assert found["D19"].fix == "update oddsd on this machine"


async def test_a_cloud_without_the_functions_is_unknown(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Not asked is neither good nor bad."""
    await owner.execute("drop function edge_audit")
    await owner.execute("revoke execute on function edge_hello from edge_ingest")

    found = await verdicts(edge, looking(edge, last_seq=0, acked_seq=None))

    assert set(found.values()) == {Verdict.UNKNOWN}


async def test_the_whole_way_to_the_cloud_is_told(dsns: tuple[str, str], edge: HandEdge, tmp_path: Path) -> None:
    """Each line in its turn, none left at "see the line above"."""
    file, address = tmp_path / "oddsd.toml", urlsplit(dsns[1])
    async with FaultProxy(socket_of(dsns[1])) as port:
        file.write_text(f'database_url = "postgresql://edge_ingest@{port.host}:{port.port}{address.path}"\n')
        found = await network.cloud(load_settings(file), looking(edge, last_seq=0, acked_seq=None))

    told = {one.id: one.verdict for one in found}
    assert list(told) == ["D12", "D14", "D15", "D16", "D17", "D18", "D19", "D20"]
    assert told.pop("D16") is Verdict.WARNING  # not encrypted here
    assert set(told.values()) == {Verdict.GOOD}


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (0.3, Verdict.GOOD),
        (-1.9, Verdict.GOOD),
        (-2.1, Verdict.WARNING),
        (59.0, Verdict.WARNING),
        (-61.0, Verdict.FAILED),
    ],
)
def test_skew_is_judged_as_the_status_judges_it(seconds: float, verdict: Verdict) -> None:
    """Two surfaces, one threshold; ahead and behind are alike."""
    assert lineage.skew(seconds).verdict is verdict
