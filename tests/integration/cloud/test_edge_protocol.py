"""The two functions the edge may call: what they promise, on a real PostgreSQL, as the edge's own role."""

import asyncio
import hashlib
import uuid
from datetime import UTC, timedelta

import asyncpg
import pytest

from cloudapi.queries.edge import count_landed
from sync.records import MarketStatus, Record
from tests.integration.cloud.edge import HandEdge, encode
from tests.integration.cloud.made import (
    NOW,
    make_arbitrage,
    make_benchmark_pass,
    make_benchmark_report,
    make_check,
    make_digest,
    make_insight,
    make_mark,
    make_market,
    make_match,
    make_one_of_each,
    make_prediction,
    make_quote,
    make_score,
    make_signal,
)


async def test_every_kind_lands_once_and_adds_up(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """The conservation law: what was acknowledged is there, no more and no less."""
    await edge.hello()

    n_sent = len(make_one_of_each())
    receipt = await edge.send(make_one_of_each())

    assert (receipt["result"], receipt["inserted"], receipt["known"], receipt["quarantined"]) == (
        "applied",
        n_sent,
        0,
        0,
    )
    landed = await count_landed(owner)
    assert (landed.markets, landed.quotes, landed.patterns) == (1, 1, 1)
    assert (landed.insights, landed.predictions, landed.checks, landed.digests) == (1, 1, 1, 1)
    assert (landed.matches, landed.arbitrage_looks) == (1, 1)
    assert (landed.marks, landed.scores, landed.benchmark_passes, landed.benchmark_reports) == (1, 1, 1, 1)
    assert landed.signals == 1
    assert landed.rows == landed.acked == n_sent
    assert landed.adds_up
    assert landed.unpartitioned == 0


async def test_prices_come_out_as_they_went_in(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """A price is compared and plotted for years: no digit may change on the way."""
    await edge.hello()
    prices = [0.1, 0.29, 0.0001, 0.999999, 0.123456, 0.50005]

    await edge.send([make_quote(f"KX{i}", bid=price) for i, price in enumerate(prices)])

    rows = await owner.fetch("select bid from price_snapshot join market using (market_id) order by market_key")
    assert [row["bid"] for row in rows] == prices


async def test_same_batch_again_is_a_duplicate_with_the_first_receipt(
    edge: HandEdge, owner: asyncpg.Connection
) -> None:
    """A lost receipt is asked for again; the answer must be the one that was lost."""
    await edge.hello()
    n, rows = len(make_one_of_each()), encode(make_one_of_each())
    first = await edge.apply(1, n, rows)

    again = await edge.apply(1, n, rows)

    assert again["result"] == "duplicate"
    assert {**again, "result": "applied"} == first
    assert (await count_landed(owner)).rows == n


async def test_same_batch_twice_at_once_is_applied_once(dsns: tuple[str, str], edge: HandEdge) -> None:
    """An ambiguous commit is retried while the first attempt may still be running in a forgotten backend."""
    await edge.hello()
    rows = encode([make_quote(f"KX{i}") for i in range(300)])
    others = [await asyncpg.connect(dsns[1]) for _ in range(4)]
    zombies = [HandEdge(other, stream=edge.stream, token=edge.token, fence=edge.fence) for other in others]

    receipts = await asyncio.gather(*(zombie.apply(1, 300, rows) for zombie in zombies))

    assert sorted(receipt["result"] for receipt in receipts) == ["applied", "duplicate", "duplicate", "duplicate"]
    assert {receipt["inserted"] for receipt in receipts} == {300}
    for other in others:
        await other.close()


async def test_other_content_under_the_same_numbers_is_a_conflict(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Two contents under one number would mean that one of them is silently lost."""
    await edge.hello()
    await edge.apply(1, 2, encode([make_quote("A"), make_quote("B")]))

    changed = await edge.apply(1, 2, encode([make_quote("A"), make_quote("C")]))
    overlapping = await edge.apply(2, 3, encode([make_quote("D"), make_quote("E")]))

    assert changed["result"] == "conflict"
    assert overlapping["result"] == "conflict"
    assert (await count_landed(owner)).quotes == 2


async def test_older_fence_is_shut_out(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """At most one live writer: whoever said hello last."""
    await edge.hello()
    old_fence = edge.fence
    await edge.hello()

    refused = await edge.apply(1, 1, encode([make_quote()]), fence=old_fence)
    accepted = await edge.apply(1, 1, encode([make_quote()]))

    assert refused["result"] == "fenced"
    assert accepted["result"] == "applied"
    assert (await count_landed(owner)).adds_up


async def test_lost_hello_reply_is_harmless(edge: HandEdge) -> None:
    """The edge stores the next token before it asks, so asking again with the same pair must work."""
    await edge.hello()
    before, wanted = edge.token, uuid.uuid4()
    lost = await edge.hello(next_token=wanted)
    edge.token = before

    again = await edge.hello(prev_token=before, next_token=wanted)

    assert again["status"] == "ok"
    assert again["fence"] == lost["fence"]


async def test_each_new_token_raises_the_fence(edge: HandEdge) -> None:
    """The fence is what shuts the writer before out."""
    fences = [(await edge.hello())["fence"] for _ in range(3)]

    assert fences == [1, 2, 3]


async def test_clone_of_the_buffer_is_found_out(edge: HandEdge) -> None:
    """A restored backup or a cloned disk presents an old token; the present writer must not notice."""
    await edge.hello()
    old = edge.token
    await edge.hello()
    await edge.send([make_quote()])

    clone = HandEdge(edge.connection, stream=edge.stream, token=old)
    reply = await clone.hello()

    assert reply["status"] == "fork"
    assert reply["acked"] == [[1, 1]]
    assert (await edge.send([make_quote("NEXT")]))["result"] == "applied"
    assert (await edge.hello())["status"] == "ok"


async def test_closed_stream_is_a_fork_and_fenced(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """A stream that was given up must not grow again."""
    await edge.hello()
    await owner.execute("update edge_stream set closed_at = now()")

    assert (await edge.hello())["status"] == "fork"
    assert (await edge.send([make_quote()]))["result"] == "fenced"


async def test_an_edge_too_old_is_held_with_the_reason(edge: HandEdge) -> None:
    """Version skew is for a person: the reason says who must be updated, and nothing is registered or swapped."""
    held = await edge.hello(schema_v=0)

    assert held["status"] == "hold"
    assert "the edge" in held["reason"]
    assert (held["schema_min"], held["schema_max"]) == (1, 1)


async def test_a_newer_edge_is_welcome_and_its_newer_batches_are_not(edge: HandEdge) -> None:
    """It is told the range and keeps back what needs more; one that sends it all the same is held, nothing is lost."""
    assert (await edge.hello(schema_v=2))["schema_max"] == 1

    newer = await edge.apply(1, 1, encode([make_quote()]), schema_v=2)
    older = await edge.apply(1, 1, encode([make_quote()]), schema_v=1)

    assert (newer["result"], older["result"]) == ("hold", "applied")
    assert "schema 2 is not accepted" in newer["reason"]


async def test_unknown_stream_is_told_to_say_hello(edge: HandEdge) -> None:
    """After the cloud went back in time a stream may be gone: not an error of the rows."""
    reply = await edge.apply(1, 1, encode([make_quote()]), stream=uuid.uuid4())

    assert reply["result"] == "hold"
    assert "hello" in reply["reason"]


async def test_hello_tells_what_was_applied_out_of_order(edge: HandEdge) -> None:
    """Fresh data goes first while a backlog drains: acked is several ranges until the gap closes."""
    await edge.hello()
    await edge.apply(11, 20, encode([make_quote(f"B{i}") for i in range(10)]))
    await edge.apply(1, 5, encode([make_quote(f"A{i}") for i in range(5)]))
    assert (await edge.hello())["acked"] == [[1, 5], [11, 20]]

    await edge.apply(6, 10, encode([make_quote(f"C{i}") for i in range(5)]))

    assert (await edge.hello())["acked"] == [[1, 20]]


def spoiled(record: Record, old: str, new: str) -> str:
    """A batch text with one thing wrong in it."""
    text = encode([record])
    assert old in text, f"nothing to spoil: {old}"
    return text.replace(old, new)


POISON = {
    "price above 1": spoiled(make_quote("P"), '"bid":0.4123', '"bid":1.5'),
    "number too large": spoiled(make_quote("P"), "123456789.25", "1e400"),
    "not a number": spoiled(make_quote("P"), '"bid":0.4123', '"bid":"NaN"'),
    "time without zone": spoiled(make_quote("P"), "Z", ""),
    "time a year ahead": encode([make_quote("P", fetched_at=NOW + timedelta(days=365))]),
    "a word for a time": spoiled(make_quote("P"), encode([NOW])[2:-2], "infinity"),
    "missing key": spoiled(make_quote("P"), '"market_key"', '"other"'),
    "foreign venue": spoiled(make_quote("P"), "kalshi:", "elsewhere:"),
    "bad enum": spoiled(make_market("P"), '"status":"open"', '"status":"ajar"'),
    "missing field": spoiled(make_market("P"), '"title"', '"headline"'),
    "NUL in a text": encode([make_market("P", title="a\0b")]),
    "text beyond the index": encode([make_market("P", title=" ".join(f"word{i}" for i in range(200_000)))]),
    "unknown kind": '[{"kind":"rumour","text":"x"}]',
    "no kind": '[{"text":"x"}]',
    "not an object": "[17]",
    "nothing": "[null]",
    "confidence beyond its type": spoiled(make_insight(), '"confidence":64', '"confidence":64000'),
    "evidence of another shape": '[{"kind":"pattern","pattern_id":"p","market_key":"kalshi:P","detector":"d","score":1,'
    '"evidence":[1],"detected_at":"2026-01-01T00:00:00Z"}]',
    "list where a text list belongs": spoiled(make_insight(), '["thin book","weather"]', "7"),
    "object where a digest's list belongs": spoiled(make_digest(), '"avoid":[]', '"avoid":{}'),
    "mood outside the vocabulary": spoiled(make_digest(), '"CALM"', '"EUPHORIC"'),
    "digest without its text": spoiled(make_digest(), '"markdown"', '"html"'),
    "a horizon nobody declared": spoiled(make_mark(), '"24h"', '"25h"'),
    "an outcome that is none": spoiled(make_score(), '"yes"', '"perhaps"'),
    "a report that is no object": spoiled(make_benchmark_report(body={}), '"body":{}', '"body":[]'),
    "a pass with fewer than none": spoiled(make_benchmark_pass(), '"n_paused":0', '"n_paused":-1'),
    "relation outside the vocabulary": spoiled(make_match(), '"EQUIVALENT"', '"ALIKE"'),
    "a pair within one venue": spoiled(make_match(), '"polymarket:0xfed0"', '"kalshi:OTHER"'),
    "arbitrage without legs": encode([make_arbitrage(legs=())]),
    "a sum without end": spoiled(make_arbitrage(), '"net_usd":"7.32"', '"net_usd":"Infinity"'),
    "a signal without its record": spoiled(make_signal(), '"record":{', '"rumour":{'),
    "a record that does not say how much it rests on": spoiled(make_signal(), '"events":12', '"shows":12'),
    "a signal without assumptions": encode([make_signal(assumptions=())]),
    "a package of another kind": spoiled(make_arbitrage(), '"CROSS_PLATFORM"', '"FREE_LUNCH"'),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
async def test_poison_row_is_set_aside_and_its_neighbours_land(
    edge: HandEdge, owner: asyncpg.Connection, poison: str
) -> None:
    """A bad row can neither block the stream nor vanish: it waits with its reason for a person."""
    await edge.hello()
    good = [encode([make_quote(f"KX{i}")])[1:-1] for i in range(4)] + [encode([make_market("GOOD")])[1:-1]]
    rows = f"[{','.join([*good[:2], poison[1:-1], *good[2:]])}]"

    receipt = await edge.send_text(rows, 6)

    assert (receipt["result"], receipt["inserted"], receipt["quarantined"]) == ("applied", 5, 1)
    kept = await owner.fetchrow("select seq, reason, payload from edge_quarantine")
    assert kept["seq"] == 3
    assert len(kept["reason"]) > 5
    assert len(kept["payload"]) >= len("17")
    landed = await count_landed(owner)
    assert (landed.quotes, landed.markets) == (4, 1)
    assert landed.adds_up
    assert (await edge.send([make_quote("NEXT")]))["result"] == "applied"


async def test_batch_of_poison_only_is_set_aside_whole(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """The worst batch: every row bad, of two sorts that need different ways to be found."""
    await edge.hello()
    out_of_range = encode([make_quote("P")])[1:-1].replace('"bid":0.4123', '"bid":7')
    with_nul = encode([make_market("P", title="a\0b")])[1:-1]

    receipt = await edge.send_text(f"[{','.join([out_of_range, with_nul] * 30)}]", 60)

    assert (receipt["inserted"], receipt["known"], receipt["quarantined"]) == (0, 0, 60)
    landed = await count_landed(owner)
    assert landed.rows == landed.acked == 60
    assert landed.adds_up
    assert await owner.fetchval("select count(*) from market") == 0


async def test_known_rows_are_counted_not_doubled(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """After a stream is rotated the same rows come under new numbers: the natural key removes the overlap."""
    await edge.hello()
    await edge.send(make_one_of_each())
    rotated = HandEdge(edge.connection)
    await rotated.hello()

    receipt = await rotated.send([*make_one_of_each(), make_quote("NEW")])

    assert (receipt["inserted"], receipt["known"], receipt["quarantined"]) == (1, len(make_one_of_each()), 0)
    landed = await count_landed(owner)
    assert landed.quotes == 2
    assert landed.adds_up


async def test_same_row_twice_in_one_batch_lands_once(edge: HandEdge) -> None:
    """One statement may not trip over its own rows."""
    await edge.hello()

    receipt = await edge.send([make_quote(), make_quote(), make_market(), make_market()])

    assert (receipt["inserted"], receipt["known"]) == (2, 2)


async def test_any_order_of_delivery_gives_the_same_state(dsns: tuple[str, str], owner: asyncpg.Connection) -> None:
    """Fresh first, backlog later: what is known last must not depend on what came last."""
    earlier = NOW - timedelta(hours=1)
    history = [
        make_market(fetched_at=earlier, title="Old title", rules_text="Old rules."),
        make_quote(fetched_at=earlier, bid=0.1),
        make_market(title="New title", status=MarketStatus.CLOSED),
        make_quote(bid=0.2),
        make_prediction(),
        make_check(),
        make_insight(),
    ]
    states = []
    for order in (history, history[::-1], history[3:] + history[:3]):
        await owner.execute("truncate market, price_snapshot, price_latest, prediction_check cascade")
        edge = HandEdge(await asyncpg.connect(dsns[1]))
        await edge.hello()
        for record in order:
            assert (await edge.send([record]))["inserted"] == 1
        states.append(
            [
                await owner.fetch("select market_key, title, status, rules_text, fetched_at from market"),
                await owner.fetch("select fetched_at, bid from price_latest"),
                await owner.fetch("select fetched_at, bid from price_snapshot order by 1"),
                await owner.fetch("select fetched_at, title, rules_hash from market_revision order by 1"),
                await owner.fetch("select prediction_id, chain_seq from prediction"),
                await owner.fetch("select prediction_id, checked_at from prediction_check"),
            ]
        )
        await edge.connection.close()

    assert states[0] == states[1] == states[2]
    assert states[0][0][0]["title"] == "New title"
    assert states[0][1][0]["bid"] == 0.2


async def test_change_of_the_rules_leaves_a_trace(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Rules rewritten after the bets were made are the oldest trick: each version's hash stays."""
    await edge.hello()

    await edge.send([make_market(), make_market(fetched_at=NOW + timedelta(minutes=15), rules_text="Other rules.")])

    hashes = await owner.fetch("select rules_hash from market_revision order by fetched_at")
    assert [row["rules_hash"] for row in hashes] == [
        hashlib.sha256(b"Resolves YES if it rains.").digest(),
        hashlib.sha256(b"Other rules.").digest(),
    ]


async def test_old_backlog_makes_its_own_partitions(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Weeks offline: the days that land late have no partition waiting, and the default one must stay empty."""
    await edge.hello()
    days = [NOW - timedelta(days=n) for n in (40, 21, 20, 3)]

    receipt = await edge.send([make_quote(fetched_at=day) for day in days])

    assert receipt["inserted"] == 4
    assert (await count_landed(owner)).unpartitioned == 0
    names = await owner.fetch("select distinct tableoid::regclass::text as name from price_snapshot")
    assert {row["name"] for row in names} == {f"price_snapshot_{day.astimezone(UTC):%Y%m%d}" for day in days}


async def test_fields_the_cloud_does_not_know_are_kept(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """The edge may be a field ahead within a schema version; what it said must not be lost."""
    await edge.hello()
    rows = encode([make_market()]).replace('"title"', '"mood":{"sunny":true},"title"')

    receipt = await edge.send_text(rows, 1)

    assert receipt["inserted"] == 1
    assert await owner.fetchval("select extra ->> 'mood' from market") == '{"sunny": true}'
    assert await owner.fetchval("select count(*) from market where title is null") == 0


@pytest.mark.parametrize(
    ("lie", "rows"),
    [
        ({"digest": b"\0" * 32}, encode([make_quote()])),
        ({"lo": 5, "hi": 4}, encode([make_quote()])),
        ({"hi": 3}, encode([make_quote()])),
        ({}, '{"kind":"quote"}'),
        ({}, "[1,"),
    ],
    ids=["digest", "range", "count", "not an array", "not JSON"],
)
async def test_batch_that_is_none_raises_and_changes_nothing(
    edge: HandEdge, owner: asyncpg.Connection, lie: dict[str, object], rows: str
) -> None:
    """A batch that is not what it says is a bug of the sender: loud, and without any effect."""
    await edge.hello()

    with pytest.raises(asyncpg.DataError):
        await edge.apply(**({"lo": 1, "hi": 1, "rows": rows} | lie))

    landed = await count_landed(owner)
    assert landed.rows == landed.acked == landed.in_ranges == 0


async def test_batch_above_the_limits_is_held(edge: HandEdge) -> None:
    """The limits in hello are the limits in apply."""
    greeting = await edge.hello()
    too_many = greeting["max_rows"] + 1

    held = await edge.send_text("[" + ",".join(["1"] * too_many) + "]", too_many)

    assert held["result"] == "hold"
    assert str(greeting["max_rows"]) in held["reason"]


async def test_landing_is_announced_with_its_kinds(edge: HandEdge, owner: asyncpg.Connection) -> None:
    """Replicas of the API wake up by this; it must say what is new and only at commit."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    await owner.add_listener("edge_landed", lambda *call: heard.put_nowait(call[3]))
    await edge.hello()

    await edge.send([make_quote("A"), make_quote("B"), make_market("A")])

    announced = await asyncio.wait_for(heard.get(), 5)
    assert '"kinds": {"quote": 2, "market": 1}' in announced or '"kinds": {"market": 1, "quote": 2}' in announced


async def test_killed_server_loses_and_doubles_nothing(postgres: object, dsns: tuple[str, str]) -> None:
    """Power goes while a batch is on its way: hello tells the truth and a retry completes it, once."""
    edge = HandEdge(await asyncpg.connect(dsns[1]))
    await edge.hello()
    await edge.send([make_quote(f"A{i}") for i in range(50)])
    rows = encode([make_quote(f"B{i}") for i in range(3000)])
    on_its_way = asyncio.create_task(edge.apply(51, 3050, rows))

    await asyncio.to_thread(postgres.restart_immediate)
    await asyncio.gather(on_its_way, return_exceptions=True)
    edge.connection = await asyncpg.connect(dsns[1])
    acked = (await edge.hello())["acked"]
    retried = await edge.apply(51, 3050, rows)

    assert acked in ([[1, 50]], [[1, 3050]])
    assert retried["result"] == ("applied" if acked == [[1, 50]] else "duplicate")
    connection = await asyncpg.connect(dsns[0])
    landed = await count_landed(connection)
    assert landed.rows == landed.acked == 3050
    assert landed.adds_up
    await connection.close()
    await edge.connection.close()
