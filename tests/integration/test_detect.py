"""Detection over a real store: whole events, what became of their legs, and the settings' guard reach the detectors."""

from datetime import timedelta

import pytest

from agent.core.patterns.base import Guard
from agent.core.patterns.cross_venue_gap import CrossVenueGap
from agent.core.patterns.event_sum import EventSum
from agent.core.patterns.registry import BUILT_IN
from agent.jobs import collect
from agent.jobs.collect import detect
from agent.store.markets import save_markets
from agent.store.matches import save_matches
from agent.store.quotes import load_boards, save_quotes
from sync.records import MarketStatus, Relation, Resolution
from tests.factories import make_market, make_match, make_quote

RESOLVED = MarketStatus.RESOLVED
LEGS = ("polymarket:0xa", "polymarket:0xb", "polymarket:0xc")


async def put(store, *markets, bids=()):
    """Store markets and a book for each bid, as a cycle does."""
    async with store.write() as tx:
        saved = await save_markets(tx, [make_market(fetched_at=store.clock(), **market) for market in markets])
        quotes = [
            make_quote(market_key=key, fetched_at=store.clock(), bid=bid, ask=round(bid + 0.02, 6)) for key, bid in bids
        ]
        await save_quotes(tx, quotes, saved.ids)


@pytest.fixture
async def dear(store):
    """Three exclusive legs whose bids sum to 1.2."""
    await put(store, *({"market_key": key} for key in LEGS), bids=zip(LEGS, (0.5, 0.4, 0.3), strict=True))
    return store


async def sums(store, guard=None) -> int:
    """How many mispriced sums are said."""
    return (await detect(store, [EventSum()], store.clock() - timedelta(minutes=1), guard)).value


async def test_a_mispriced_event_is_said(dear):
    """The legs, their books and the store's count of them agree."""
    assert await sums(dear) == 1


@pytest.mark.parametrize(
    ("leg", "n_said"),
    [
        ({"status": RESOLVED, "resolution": Resolution.YES, "resolution_value": 1.0}, 0),
        ({"status": RESOLVED, "resolution": Resolution.NO, "resolution_value": 0.0}, 1),
        ({"status": MarketStatus.UNOPENED}, 1),
        ({"status": MarketStatus.PAUSED}, 0),
        ({"status": MarketStatus.OPEN}, 0),  # listed, and no book of it was stored
    ],
)
async def test_a_fourth_leg_that_has_no_book_decides_by_its_fate(dear, leg, n_said):
    """The store knows legs that no quote speaks of."""
    await put(dear, {"market_key": "polymarket:0xd"} | leg)

    assert await sums(dear) == n_said


async def test_the_guard_of_the_settings_is_used(dear):
    """An operator who wants busy markets only gets them."""
    assert await sums(dear, Guard(min_volume_24h=1e9, min_liquidity_usd=1e9)) == 0


async def test_all_detectors_run_over_a_store(dear, clock):
    """And a jump from one cycle to the next is among what they find."""
    clock.forward(minutes=15)
    await put(dear, *({"market_key": key} for key in LEGS), bids=zip(LEGS, (0.7, 0.4, 0.3), strict=True))

    unit = await detect(dear, BUILT_IN, clock.now - timedelta(minutes=1))

    assert unit.value >= 2


@pytest.fixture
async def twins(store, clock):
    """One question on two venues, a day of shared looks behind them, each in an event of many."""
    pair = ("kalshi:A", "polymarket:0xa")
    for _ in range(6):
        await put(
            store, *({"market_key": key, "event_id": key[-2:]} for key in pair), bids=((key, 0.40) for key in pair)
        )
        clock.forward(minutes=15)
        await put(
            store, *({"market_key": key, "event_id": key[-2:]} for key in pair), bids=((key, 0.41) for key in pair)
        )
        clock.forward(minutes=15)
    async with store.write() as tx:
        await save_matches(tx, [make_match(kalshi_key=pair[0], polymarket_key=pair[1])])
    return store


@pytest.mark.parametrize("board_markets", [2_000, 1])
async def test_a_pair_lands_on_one_board_and_its_gap_is_said(twins, clock, monkeypatch, board_markets):
    """Boards are cut by event, and only one side moved: its twin must be there all the same."""
    monkeypatch.setattr(collect, "BOARD_MARKETS", board_markets)
    await put(twins, {"market_key": "kalshi:Z", "event_id": "other"}, bids=[("kalshi:Z", 0.5)])
    await put(twins, {"market_key": "polymarket:0xa", "event_id": "xa"}, bids=[("polymarket:0xa", 0.55)])

    unit = await detect(twins, [CrossVenueGap()], clock.now - timedelta(minutes=1))

    assert unit.value == 1
    rows = await load_boards(twins.reader, touched_since=clock.now - timedelta(minutes=1), at_most=board_markets)
    assert [len(board) for board in rows] == ([3] if board_markets > 3 else [2, 1])


async def test_a_pair_of_two_questions_is_not_compared(twins, clock):
    """A verdict that changed takes the gap away with it."""
    async with twins.write() as tx:
        await save_matches(
            tx, [make_match(kalshi_key="kalshi:A", polymarket_key="polymarket:0xa", relation=Relation.DIFFERENT)]
        )
    await put(twins, {"market_key": "polymarket:0xa", "event_id": "xa"}, bids=[("polymarket:0xa", 0.55)])

    assert (await detect(twins, [CrossVenueGap()], clock.now - timedelta(minutes=1))).value == 0
