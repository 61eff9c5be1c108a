"""What the store knows about the legs of an event, by fate: a sum over half of them proves nothing."""

import pytest

from agent.core.patterns.base import Listing
from agent.store.legs import load_listings
from agent.store.markets import save_markets
from sync.records import MarketStatus, Resolution
from tests.factories import make_market

FATES = [
    (MarketStatus.OPEN, None),
    (MarketStatus.OPEN, None),
    (MarketStatus.OPEN, Resolution.DISPUTED),
    (MarketStatus.PAUSED, None),
    (MarketStatus.CLOSED, Resolution.UNKNOWN),
    (MarketStatus.RESOLVED, Resolution.VOID),
    (MarketStatus.UNOPENED, None),
    (MarketStatus.RESOLVED, Resolution.YES),
    (MarketStatus.RESOLVED, Resolution.NO),
    (MarketStatus.RESOLVED, Resolution.NO),
]


@pytest.fixture
async def event(store):
    """Ten legs of event 7, two of them silent, and one of another event."""
    legs = [
        make_market(market_key=f"polymarket:0x{i}", event_id="7", status=status, resolution=resolution)
        for i, (status, resolution) in enumerate(FATES)
    ]
    other = make_market(market_key="polymarket:0xff", event_id="8")
    async with store.write() as tx:
        await save_markets(tx, [*legs, other], {"polymarket:0x1"})
    return store


async def test_legs_are_counted_by_fate(event):
    """A leg nobody ever quoted waits; whatever has no certain worth is undecided."""
    assert await load_listings(event.reader, [("polymarket", "7")]) == {
        "polymarket:7": Listing(n_open=1, n_unopened=2, n_undecided=4, n_won=1, n_lost=2)
    }


async def test_an_event_of_the_other_venue_is_another_event(event):
    """Ids are the venues' own and may coincide."""
    assert await load_listings(event.reader, [("kalshi", "7"), ("polymarket", "none")]) == {}
