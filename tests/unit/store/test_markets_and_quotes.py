"""What a cycle leaves behind: changes and heartbeats, "unchanged" apart from "not seen", nothing made up."""

from datetime import timedelta
from decimal import Decimal

import msgspec

from agent.store.db import Store
from agent.store.markets import load_markets, load_open_closing, save_markets
from agent.store.outbox import load_backlog
from agent.store.quotes import load_boards, load_history, load_latest_quotes, load_seen_at, save_quotes
from agent.store.resolutions import mark_unlisted
from sync.records import FeeTerms, MarketStatus, Venue
from tests.factories import NOON, make_market, make_quote

KEY = "polymarket:0xfed0"


async def cycle(store: Store, *pairs):
    async with store.write() as tx:
        saved = await save_markets(tx, [market for market, _ in pairs])
        quotes = await save_quotes(tx, [quote for _, quote in pairs if quote], saved.ids)
    return saved, quotes


def at(minutes: float, **over):
    moment = NOON + timedelta(minutes=minutes)
    return make_market(fetched_at=moment), make_quote(fetched_at=moment, **over)


async def test_a_market_comes_back_as_it_was_said(store):
    """One definition of the record: what is stored is what travels."""
    market, _ = at(0)
    await cycle(store, (market, None))

    assert await load_markets(store.reader, [KEY, "kalshi:none"]) == {KEY: market}


async def test_an_unchanged_market_does_not_travel_again(store):
    """84 of 100 rows are repetitions; the road is for news."""
    first, _ = await cycle(store, at(0))
    second, quotes = await cycle(store, at(15))

    assert (first.n_new, second.n_new, second.n_changed) == (1, 0, 0)
    assert (quotes.n_stored, quotes.n_unchanged) == (0, 1)
    assert (await load_backlog(store.reader)).n_rows == 2
    assert (await load_seen_at(store.reader, [KEY]))[KEY] == NOON + timedelta(minutes=15)
    assert (await load_latest_quotes(store.reader, [KEY]))[KEY].fetched_at == NOON


async def test_a_changed_market_travels_with_its_new_words(store):
    """Rules may change under an open market."""
    await cycle(store, at(0))
    changed = make_market(fetched_at=NOON + timedelta(minutes=15), rules_text="Other rules.")
    saved, _ = await cycle(store, (changed, None))

    assert saved.n_changed == 1
    assert (await load_markets(store.reader, [KEY]))[KEY] == changed


async def test_changed_fee_terms_are_news_and_come_back_exactly(store):
    """An edge of a hundredth is decided by them: a fee is a decimal from the venue to the cloud."""
    terms = FeeTerms(enabled=True, kind="sports_fees_v2", rate=Decimal("0.05"), exponent=Decimal(1))
    moment = NOON + timedelta(minutes=15)
    changed = make_market(fetched_at=moment, fees=terms, strike_type="greater", floor_strike=-3.5)
    await cycle(store, at(0))
    saved, _ = await cycle(store, (changed, None))

    assert saved.n_changed == 1
    assert await load_markets(store.reader, [KEY]) == {KEY: changed}


async def test_an_older_look_never_overwrites_a_newer_one(store):
    """A clock that goes back, or a cached page, must not turn time round."""
    await cycle(store, at(15, bid=0.5, ask=0.52))
    await cycle(store, at(0, bid=0.1, ask=0.12))

    latest = (await load_latest_quotes(store.reader, [KEY]))[KEY]
    assert (latest.bid, latest.fetched_at) == (0.5, NOON + timedelta(minutes=15))


async def test_a_new_look_into_an_old_cache_is_an_older_look(store):
    """Asked by its id a market is shown fresh; the listing a minute later may come out of a cache."""
    await cycle(store, at(14, bid=0.5, ask=0.52))
    await cycle(store, at(15, bid=0.1, ask=0.12, age_s=300.0))
    latest = (await load_latest_quotes(store.reader, [KEY]))[KEY]
    assert latest.bid == 0.5

    await cycle(store, at(30, bid=0.6, ask=0.62, age_s=300.0))
    latest = (await load_latest_quotes(store.reader, [KEY]))[KEY]
    assert (latest.bid, latest.age_s, latest.fetched_at) == (0.6, 300.0, NOON + timedelta(minutes=30))


async def test_a_market_listed_out_of_a_cache_has_not_gone(store):
    """How old an answer was says how old the book is, not that the market was missing from the listing."""
    market, _ = at(0)
    async with store.write() as tx:
        saved = await save_markets(tx, [market], ages={KEY: 300.0})
        await save_quotes(tx, [make_quote(age_s=300.0)], saved.ids)
        assert await mark_unlisted(tx, Venue.POLYMARKET, NOON, NOON) == 0

    assert await load_seen_at(store.reader, [KEY]) == {KEY: NOON - timedelta(minutes=5)}


async def test_a_quiet_market_gets_a_heartbeat_each_hour(store):
    """Without it, "unchanged" and "not seen" would look the same in history."""
    for minutes in range(0, 135, 15):
        await cycle(store, at(minutes))

    history = await load_history(store.reader, NOON, [1])
    assert [quote.fetched_at for quote in history[KEY]] == [NOON + timedelta(hours=h) for h in range(3)]


async def test_an_empty_side_is_kept_as_none(store):
    """Missing is never 0."""
    quote = make_quote(bid=None, mid=None, last_price=None, volume_24h=None)
    await cycle(store, (make_market(), quote))

    assert (await load_latest_quotes(store.reader, [KEY]))[KEY] == quote


async def test_a_bid_that_goes_away_is_news(store):
    """A side that empties is a change, not a missing value to be skipped."""
    await cycle(store, at(0))
    _, quotes = await cycle(store, at(15, bid=None, mid=None))

    assert quotes.n_stored == 1


async def test_detectors_see_every_open_leg_of_a_touched_event(store):
    """A sum over half the legs would prove nothing."""
    still = make_market(market_key="polymarket:0xb", event_id="9001")
    elsewhere = make_market(market_key="polymarket:0xc", event_id="1")
    over = make_market(market_key="polymarket:0xd", event_id="9001", status=MarketStatus.RESOLVED)
    others = [(m, make_quote(market_key=m.market_key)) for m in (still, elsewhere, over)]
    await cycle(store, at(0), *others)
    await cycle(store, at(15, bid=0.5, ask=0.52))

    (board,) = await load_boards(store.reader, touched_since=NOON + timedelta(minutes=15), at_most=100)
    history = await load_history(store.reader, NOON, board)
    assert {key: len(quotes) for key, quotes in history.items()} == {KEY: 2, "polymarket:0xb": 1}


async def test_a_board_never_splits_an_event(store):
    """Boards bound the memory of a cycle; a detector of sums must still see every leg."""
    keys = [(f"kalshi:{event}-{leg}", event) for event in "ABC" for leg in range(3)]
    pairs = [(make_market(market_key=key, event_id=event), make_quote(market_key=key)) for key, event in keys]
    alone = [
        (make_market(market_key=f"kalshi:X{n}", event_id=None), make_quote(market_key=f"kalshi:X{n}")) for n in range(5)
    ]
    await cycle(store, *pairs, *alone)

    boards = await load_boards(store.reader, touched_since=NOON, at_most=2)
    event_of = {row["id"]: row["event_id"] for row in await store.reader.fetch("SELECT id, event_id FROM markets")}
    assert sorted(market_id for board in boards for market_id in board) == sorted(event_of)
    for event in "ABC":
        assert sum(event in {event_of[market_id] for market_id in board} for board in boards) == 1
    assert max(map(len, boards)) <= 2 + 3


async def test_a_silent_market_travels_from_its_first_sign_of_life_on(store):
    """What nobody has quoted is noise to a reader; what was sent once must not freeze in its last state there."""
    market, _ = at(0)

    async def save(minutes: int, *silent: str):
        async with store.write() as tx:
            moved = msgspec.structs.replace(market, fetched_at=NOON + timedelta(minutes=minutes))
            return await save_markets(tx, [moved], silent)

    first, again = await save(0, KEY), await save(15, KEY)
    assert (first.withheld, first.newly_withheld, again.withheld, again.newly_withheld) == ([KEY], [KEY], [KEY], [])
    assert (await load_backlog(store.reader)).n_rows == 0

    released, later = await save(30), await save(45, KEY)
    assert (released.released, released.n_changed, later.withheld) == ([KEY], 1, [])
    assert (await load_backlog(store.reader)).n_rows == 1


async def test_closing_markets_are_found_by_the_nearer_end_and_ranked_per_venue(store):
    """Kalshi's close is a safety margin; dollars and contracts are never compared."""
    start, end = NOON + timedelta(days=7), NOON + timedelta(days=8)
    poly = [
        (make_market(market_key=f"polymarket:0x{i}", close_time=start),
         make_quote(market_key=f"polymarket:0x{i}", volume_24h=1e6 * i))
        for i in range(3)
    ]  # fmt: skip
    kalshi = make_market(
        market_key="kalshi:A", expected_time=start + timedelta(hours=1), close_time=start + timedelta(days=300)
    )
    late = make_market(market_key="polymarket:0xlate", close_time=end)
    await cycle(
        store, *poly, (kalshi, make_quote(market_key="kalshi:A", volume_24h=5.0)), (late, None),
        (msgspec.structs.replace(poly[0][0], market_key="polymarket:0xover", status=MarketStatus.CLOSED), None),
    )  # fmt: skip

    found = await load_open_closing(store.reader, start, end, 10)
    assert [m.market_key for m in found] == ["kalshi:A", "polymarket:0x2", "polymarket:0x1", "polymarket:0x0"]
    assert len(await load_open_closing(store.reader, start, end, 2)) == 2
