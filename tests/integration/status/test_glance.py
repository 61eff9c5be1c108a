"""What the status reads beside the counts: the best insight, edges, dead units, watched markets."""

from datetime import timedelta

from agent.core.instants import to_ms
from agent.status.state import load_state
from agent.store.glance import INSIGHT_CHARS, WATCHED_SHOWN, load_dead_letters, load_top_insight, load_watched
from agent.store.insights import save_insight
from agent.store.markets import save_markets
from agent.store.quotes import save_quotes
from tests.factories import make_insight, make_market, make_quote


async def put(store, *markets, quotes=()):
    async with store.write() as tx:
        saved = await save_markets(tx, list(markets))
        await save_quotes(tx, list(quotes), saved.ids)


async def test_the_best_standing_insight_of_the_day_is_told(store, clock):
    """Actionable before confident before new; what has expired says nothing any more."""
    now = clock.now
    await put(store, make_market(market_key="kalshi:A", title="Will it rain?"))
    common = {"market_key": "kalshi:A", "created_at": now, "expires_at": now + timedelta(hours=1)}
    async with store.write() as tx:
        await save_insight(tx, make_insight(insight_id="1", confidence=90, actionable=False, **common))
        await save_insight(
            tx, make_insight(insight_id="2", confidence=70, actionable=True, one_liner="Rain is late.", **common)
        )
        await save_insight(
            tx, make_insight(insight_id="3", confidence=99, actionable=True, **common | {"expires_at": now})
        )

    said = await load_top_insight(store.reader, now=now)
    assert said is not None
    assert "70 %: Rain is late. (Will it rain?)" in said
    assert await load_top_insight(store.reader, now=now + timedelta(hours=2)) is None


async def test_a_long_insight_is_cut_to_what_home_assistant_takes(store, clock):
    """A longer state would be refused whole."""
    await put(store, make_market(market_key="kalshi:A", title="x" * 300))
    async with store.write() as tx:
        await save_insight(
            tx, make_insight(market_key="kalshi:A", created_at=clock.now, expires_at=clock.now + timedelta(hours=1))
        )

    assert len(await load_top_insight(store.reader, now=clock.now) or "") == INSIGHT_CHARS


async def test_a_watch_list_means_keys_tickers_and_events(store, clock):
    """Whatever the operator wrote, he sees its open markets once, with the price last seen."""
    open_one = make_market(market_key="kalshi:KXFED-T4", venue_market_id="KXFED-T4", event_id="KXFED", title="Fed?")
    other = make_market(market_key="kalshi:KXFED-T5", venue_market_id="KXFED-T5", event_id="KXFED")
    away = make_market(market_key="kalshi:ELSE", venue_market_id="ELSE", event_id="ELSE")
    await put(store, open_one, other, away, quotes=[make_quote(market_key="kalshi:KXFED-T4", bid=0.4, ask=0.44)])

    by_key = await load_watched(store.reader, ["kalshi:KXFED-T4", "KXFED-T4", "nobody knows this"])
    by_event = await load_watched(store.reader, ["KXFED"])
    assert [(one.market_key, one.title, one.mid) for one in by_key] == [("kalshi:KXFED-T4", "Fed?", 0.42)]
    assert [one.market_key for one in by_event] == ["kalshi:KXFED-T4", "kalshi:KXFED-T5"]
    assert by_event[1].mid is None


async def test_a_large_event_does_not_flood_the_house(store, clock):
    """Two hundred retained sensors are not what he meant."""
    await put(
        store, *(make_market(market_key=f"kalshi:M{n}", venue_market_id=f"M{n}", event_id="BIG") for n in range(30))
    )

    assert len(await load_watched(store.reader, ["BIG"])) == WATCHED_SHOWN


async def test_dead_units_count_until_somebody_drops_them(store, clock):
    """A dropped one is settled; a done one never counted."""
    async with store.write() as tx:
        await tx.execute(
            "INSERT INTO job_runs (run_id, job, slot, trigger, state, started_at) VALUES ('r', 'analyse', 1, 'timer', 'ok', 1)"
        )
        for key, state, dropped in (("a", "dead", None), ("b", "dead", to_ms(clock.now)), ("c", "done", None)):
            await tx.execute(
                "INSERT INTO kept (job, key, run_id, state, attempts, started_at, ended_at, dropped_at)"
                " VALUES ('analyse', ?, 'r', ?, 1, 1, 1, ?)",
                (key, state, dropped),
            )

    assert await load_dead_letters(store.reader) == 1
    assert (await load_state(store.reader, now=clock.now)).n_dead_letters == 1


async def test_what_the_cloud_has_is_counted_from_the_numbers(store, clock):
    """Acknowledged batches are pruned; the numbers given are not."""
    await put(store, make_market())
    assert (await load_state(store.reader, now=clock.now)).n_sent_rows == 0
    async with store.write() as tx:
        await tx.execute("UPDATE batches SET acked_at = 1")
    sent = (await load_state(store.reader, now=clock.now)).n_sent_rows
    async with store.write() as tx:
        await tx.execute("DELETE FROM batches")

    assert sent > 0
    assert (await load_state(store.reader, now=clock.now)).n_sent_rows == sent
