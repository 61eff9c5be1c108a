"""The looks beyond the open listing: events somebody waits for, and the whole catalogue once a day."""

from datetime import timedelta
from decimal import Decimal

import pytest

from agent.errors import VenueUnavailable
from agent.jobs.refresh import OVERLAP, catalogue_job, refresh_events_job
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.store.db import Store
from agent.store.history import load_fees
from agent.store.markets import load_markets, save_markets
from agent.store.patterns import save_patterns
from agent.store.predictions import append_predictions
from agent.store.resolutions import load_watched_events
from agent.venues.base import SeriesFees
from sync.records import Market, MarketStatus, Resolution, Venue
from tests.conftest import ManualClock
from tests.factories import MARKET_KEY, make_market, make_pattern, make_prediction
from tests.fakes.desk import Desk


class Refresh:
    """A store with markets, a venue and a clock."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.desk = store, clock, Desk()
        details = {Venue.POLYMARKET: self.desk}
        jobs = {
            "refresh-events": refresh_events_job(store, details),
            "catalogue": catalogue_job(store, [self.desk], details),
        }
        specs = [JobSpec(name=n, run=j, schedule="0 6 * * *", missed="latest", timeout_s=60) for n, j in jobs.items()]
        self.runner = Runner(store, clock, specs, {}, jitter=lambda: 0.0)

    async def hold(self, *markets: Market) -> None:
        """What earlier collections found."""
        async with self.store.write() as tx:
            await save_markets(tx, markets)

    async def run(self, job: str) -> RunResult:
        """One pass."""
        return await self.runner.run(job, self.clock())


@pytest.fixture
def refresh(store: Store, clock: ManualClock) -> Refresh:
    """An empty one."""
    return Refresh(store, clock)


async def test_events_with_open_forecasts_or_fresh_patterns_are_read_again(refresh: Refresh) -> None:
    """Somebody waits for them; the open listing shows none of their ended legs."""
    at = refresh.clock()
    keys = {"quiet": "polymarket:0x1", "forecast": MARKET_KEY, "pattern": "polymarket:0x3", "old": "polymarket:0x4"}
    await refresh.hold(*(make_market(market_key=key, event_id=name, fetched_at=at) for name, key in keys.items()))
    async with refresh.store.write() as tx:
        await append_predictions(tx, [make_prediction(predicted_at=at)])
        fresh = make_pattern(market_key=keys["pattern"], detected_at=at - timedelta(hours=20))
        stale = make_pattern(market_key=keys["old"], detected_at=at - timedelta(hours=30), pattern_id="old")
        await save_patterns(tx, [fresh, stale])
    refresh.clock.forward(minutes=5)
    ended = make_market(event_id="forecast", fetched_at=refresh.clock(), status=MarketStatus.CLOSED, category=None)
    refresh.desk.markets = {ended.venue_market_id: ended}

    result = await refresh.run("refresh-events")

    assert sorted(refresh.desk.asked) == ["forecast", "pattern"]
    held = (await load_markets(refresh.store.reader, [MARKET_KEY]))[MARKET_KEY]
    assert (held.status, held.category) == (MarketStatus.CLOSED, "Economics")
    assert (result.state, result.counts["changed"], result.counts["missing"]) == ("ok", 1, 1)


async def test_the_watch_list_is_read_again_first_whatever_its_words_mean(store: Store, clock: ManualClock) -> None:
    """A market key, a venue's own id or an event id: the same words open the gates of selection."""
    desk = Desk()
    keys = {
        "by-key": "polymarket:0x1",
        "by-id": "polymarket:0x2",
        "by-event": "polymarket:0x3",
        "not": "polymarket:0x4",
    }
    markets = [make_market(market_key=key, event_id=name) for name, key in keys.items()]
    over = make_market(market_key="polymarket:0x5", event_id="over", status=MarketStatus.RESOLVED)
    foreign = make_market(market_key="kalshi:by-event", event_id="elsewhere")
    async with store.write() as tx:
        await save_markets(tx, [*markets, over, foreign])
        await save_patterns(tx, [make_pattern(market_key=keys["not"], detected_at=clock())])
    watch = ("polymarket:0x1", "0x2", "by-event", "over", "0x5", "nobody")

    events = await load_watched_events(store.reader, Venue.POLYMARKET, clock(), 3, watch)
    assert sorted(events) == ["by-event", "by-id", "by-key"]

    job = refresh_events_job(store, {Venue.POLYMARKET: desk}, watch)
    spec = JobSpec(name="refresh-events", run=job, schedule="0 6 * * *", missed="latest", timeout_s=60)
    await Runner(store, clock, [spec], {}, jitter=lambda: 0.0).run("refresh-events", clock())
    assert sorted(desk.asked) == ["by-event", "by-id", "by-key", "not"]


async def test_a_refresh_that_fails_says_so(refresh: Refresh) -> None:
    """Partial, with the reason."""
    await refresh.hold(make_market(fetched_at=refresh.clock()))
    async with refresh.store.write() as tx:
        await append_predictions(tx, [make_prediction(predicted_at=refresh.clock())])
    refresh.desk.errors = [VenueUnavailable("GET events: 503", retry_after_s=0.0) for _ in range(9)]
    result = await refresh.run("refresh-events")
    assert result.state == "partial"
    assert "503" in (result.reason or "")


async def test_the_first_start_leaves_the_catalogue_to_collect(refresh: Refresh) -> None:
    """Both would read everything at the same moment."""
    refresh.desk.markets = {"0xfed0": make_market(fetched_at=refresh.clock())}
    result = await refresh.run("catalogue")
    assert (result.state, result.counts) == ("ok", {})
    assert await load_markets(refresh.store.reader, [MARKET_KEY]) == {}


async def test_the_catalogue_adds_what_ended_and_marks_what_disappeared(refresh: Refresh) -> None:
    """Listed, ended since yesterday, and gone are three different things."""
    keys = ("polymarket:0xlisted", "polymarket:0xended", "polymarket:0xgone", "polymarket:0xold")
    await refresh.hold(*(make_market(market_key=key, fetched_at=refresh.clock()) for key in keys[:3]))
    await refresh.hold(
        make_market(market_key=keys[3], status=MarketStatus.RESOLVED, resolution=Resolution.YES, fetched_at=refresh.clock())
    )  # fmt: skip
    now = refresh.clock.forward(hours=18)
    refresh.desk.markets = {"0xlisted": make_market(market_key=keys[0], fetched_at=now)}
    refresh.desk.ended = [
        make_market(market_key=keys[1], fetched_at=now, status=MarketStatus.RESOLVED, resolution=Resolution.NO,
                    resolution_value=0.0, event_title=None)
    ]  # fmt: skip

    result = await refresh.run("catalogue")

    held = await load_markets(refresh.store.reader, keys)
    assert (held[keys[1]].resolution, held[keys[1]].event_title) == (Resolution.NO, "Fed decision in December")
    assert refresh.desk.asked_since == [now - OVERLAP]
    rows = await refresh.store.reader.fetch(
        "SELECT market_key FROM markets JOIN sights ON market_id = id WHERE unlisted_at >= seen_at"
    )
    assert [row["market_key"] for row in rows] == [keys[2]]
    assert (result.counts["polymarket_ended"], result.counts["polymarket_disappeared"]) == (1, 1)


async def test_a_walk_cut_short_marks_nothing_as_gone(refresh: Refresh) -> None:
    """Half a catalogue says nothing about the other half."""
    await refresh.hold(make_market(fetched_at=refresh.clock()))
    refresh.clock.forward(hours=18)
    refresh.desk.listing_error = VenueUnavailable("page 7: 503")
    result = await refresh.run("catalogue")
    assert result.state == "partial"
    assert "page 7" in (result.reason or "")
    assert await refresh.store.reader.fetch_value("SELECT count(*) FROM markets WHERE unlisted_at IS NOT NULL") == 0


async def test_what_is_listed_again_is_no_longer_gone_and_is_marked_anew_later(refresh: Refresh) -> None:
    """The mark is older than the look: nothing has to be cleared."""
    await refresh.hold(make_market(fetched_at=refresh.clock()))
    refresh.clock.forward(days=1)
    assert (await refresh.run("catalogue")).counts["polymarket_disappeared"] == 1
    await refresh.hold(make_market(fetched_at=refresh.clock.forward(days=1)))
    assert not await refresh.store.reader.fetch(
        "SELECT 1 FROM markets JOIN sights ON market_id = id WHERE unlisted_at >= seen_at"
    )
    refresh.clock.forward(days=1)
    assert (await refresh.run("catalogue")).counts["polymarket_disappeared"] == 1
    refresh.clock.forward(days=1)
    assert (await refresh.run("catalogue")).counts.get("polymarket_disappeared", 0) == 0


async def test_fee_terms_are_kept_with_their_time(refresh: Refresh) -> None:
    """An edge of last month is judged by last month's fees; the same terms again are no news."""
    await refresh.hold(make_market(fetched_at=refresh.clock()))
    began = refresh.clock()
    for multiplier, n_changes in (("1", 1), ("1.0", 0), ("0.5", 1)):
        terms = SeriesFees(
            series_id="KXMLBGAME", fee_type="quadratic", fee_multiplier=Decimal(multiplier), fetched_at=refresh.clock()
        )
        refresh.desk.fees = [terms]
        result = await refresh.run("catalogue")
        assert result.counts["polymarket_fee_changes"] == n_changes
        refresh.clock.forward(days=1)
    now = await load_fees(refresh.store.reader, Venue.POLYMARKET, ["KXMLBGAME"])
    then = await load_fees(refresh.store.reader, Venue.POLYMARKET, ["KXMLBGAME", "KXNONE"], at=began)
    assert now["KXMLBGAME"].fee_multiplier == Decimal("0.5")
    assert {key: one.fee_multiplier for key, one in then.items()} == {"KXMLBGAME": Decimal(1)}
