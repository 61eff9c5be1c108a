"""How quotes land: from the text of a batch, all at once where all is well, and never at the price of a promise."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from cloudapi.queries.edge import count_landed
from sync.records import Quote
from tests.integration.cloud.edge import HandEdge, encode
from tests.integration.cloud.made import NOW, make_market, make_quote


def look(minutes: int, *, n: int = 20, **changes: object) -> list[Quote]:
    """One look at some markets."""
    return [make_quote(f"KX{i}", fetched_at=NOW + timedelta(minutes=minutes), **changes) for i in range(n)]


async def test_a_late_look_writes_nothing_to_the_newest_prices(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """A week that drains late would otherwise lock every newest price 672 times, and tell listeners of nothing new."""
    await edge.hello()
    await edge.send(look(0, bid=0.4))
    before = await owner.fetch("select market_id, ctid::text, xmax::text, bid from price_latest order by 1")

    receipt = await edge.send(look(-60, bid=0.3))

    assert receipt["inserted"] == 20
    assert await owner.fetch("select market_id, ctid::text, xmax::text, bid from price_latest order by 1") == before


async def test_a_look_in_part_newer_moves_only_that_part(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Newest is decided market by market, and of several looks in one batch the last one counts."""
    await edge.hello()
    await edge.send([*look(0, n=2, bid=0.4), *look(20, n=1, bid=0.41)])

    await edge.send([*look(15, n=2, bid=0.38), *look(10, n=3, bid=0.37)])

    newest = dict(await owner.fetch("select market_key, bid from price_latest join market using (market_id)"))
    assert newest == {"kalshi:KX0": 0.41, "kalshi:KX1": 0.38, "kalshi:KX2": 0.37}


async def test_rows_known_in_part_land_for_the_rest(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """The quick way expects only new rows; one that is known must cost a second try and nothing else."""
    await edge.hello()
    await edge.send(look(0, n=10))

    receipt = await edge.send([*look(0, n=20), *look(5, n=10)])

    assert (receipt["inserted"], receipt["known"], receipt["quarantined"]) == (20, 10, 0)
    assert (await count_landed(owner)).adds_up


async def test_two_streams_with_the_same_rows_at_once_land_them_once(
    dsns: tuple[str, str], edge: HandEdge, owner: asyncpg.Connection
) -> None:
    """After a clone two hosts may deliver one history at the same moment: one waits for the other and finds it known."""
    other = HandEdge(await asyncpg.connect(dsns[1]), host_id="home-2")
    await edge.hello()
    await other.hello()

    receipts = await asyncio.gather(edge.send(look(0, n=500)), other.send(look(0, n=500)))
    await other.connection.close(timeout=5)

    assert sorted((one["inserted"], one["known"]) for one in receipts) == [(0, 500), (500, 0)]
    assert (await count_landed(owner)).adds_up


@pytest.mark.parametrize("bad", ["out of range", "NUL beside"])
async def test_a_bad_quote_among_other_kinds_is_found_and_the_rest_lands(
    edge: HandEdge, owner: asyncpg.Connection, bad: str
) -> None:
    """Quotes are read apart from the rest: a bad one sends them the slow way, and its number must stay the right one."""
    await edge.hello()
    spoiled = {
        "out of range": encode([make_quote("P")])[1:-1].replace('"bid":0.4123', '"bid":7'),
        "NUL beside": encode([make_quote("P")])[1:-1].replace('{"kind"', '{"note":"a\\u0000b","kind"'),
    }[bad]
    good = [encode([row])[1:-1] for row in (make_market("A"), *look(0, n=4), make_market("B"))]

    receipt = await edge.send_text(f"[{','.join([*good[:3], spoiled, *good[3:]])}]", 7)

    assert (receipt["inserted"], receipt["quarantined"]) == (6, 1)
    assert await owner.fetchval("select seq from edge_quarantine") == 4
    landed = await count_landed(owner)
    assert (landed.quotes, landed.markets) == (4, 2)
    assert landed.adds_up


async def test_a_bad_row_of_another_kind_does_not_hold_up_the_quotes(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """The quotes of its batch have landed by then, and must be counted once."""
    await edge.hello()
    spoiled = encode([make_market("P", title="a\0b")])[1:-1]
    good = [encode([row])[1:-1] for row in (*look(0, n=4), make_market("B"))]

    receipt = await edge.send_text(f"[{','.join([good[0], spoiled, *good[1:]])}]", 6)

    assert (receipt["inserted"], receipt["known"], receipt["quarantined"]) == (5, 0, 1)
    assert await owner.fetchval("select seq from edge_quarantine") == 2
    assert await owner.fetchval("select kinds from edge_batch") == '{"quote": 4, "market": 1}'
    assert (await count_landed(owner)).adds_up
