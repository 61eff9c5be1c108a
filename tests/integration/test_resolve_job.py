"""The resolve job over a real store: whom it asks about, what it makes of the answers, and what travels."""

from datetime import timedelta

import pytest

from agent.core.resolution import Evidence, Standing
from agent.errors import VenueDataError, VenueUnavailable
from agent.jobs.benchmark import benchmark_job
from agent.jobs.collect import walk
from agent.jobs.resolve import CHUNK, resolve_job
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.store.db import Store
from agent.store.markets import load_markets, save_markets
from agent.store.outbox import load_backlog
from agent.store.predictions import append_predictions
from agent.store.resolutions import load_overruled, load_unsettled, load_verdicts
from sync.records import Market, MarketStatus, Resolution, Venue
from tests.conftest import ManualClock
from tests.factories import MARKET_KEY, make_market, make_prediction, make_quote
from tests.fakes.desk import Desk

YES, NO = Evidence("clob", Standing.FINAL, 1.0), Evidence("clob", Standing.FINAL, 0.0)
PENDING = Evidence("oracle", Standing.PENDING)
RESOLVED = {"status": MarketStatus.RESOLVED, "resolution": Resolution.YES, "resolution_value": 1.0}


class Court:
    """A store with markets, a venue to ask, and a clock."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.desk = store, clock, Desk()
        jobs = {"resolve": resolve_job(store, {Venue.POLYMARKET: self.desk}), "benchmark": benchmark_job(store)}
        specs = [
            JobSpec(name=n, run=j, schedule="40 */4 * * *", missed="latest", timeout_s=60) for n, j in jobs.items()
        ]
        self.runner = Runner(store, clock, specs, {}, jitter=lambda: 0.0)

    async def listed(self, *markets: Market) -> None:
        """What a collection found just now."""
        async with self.store.write() as tx:
            await save_markets(tx, markets)

    async def unlisted(self, **over: object) -> None:
        """An open market that the listing stopped showing two hours ago; another one it still shows."""
        await self.listed(make_market(fetched_at=self.clock(), **over))
        self.clock.forward(hours=2)
        await self.listed(make_market(market_key="polymarket:0xother", fetched_at=self.clock()))

    def venue_says(self, *evidence: Evidence, market_key: str = MARKET_KEY, **over: object) -> None:
        """What the look-up finds, and the other sources' words."""
        market = make_market(market_key=market_key, fetched_at=self.clock(), **over)
        self.desk.markets[market.venue_market_id] = market
        self.desk.evidence[market_key] = list(evidence)

    async def run(self) -> RunResult:
        """One pass."""
        return await self.runner.run("resolve", self.clock())

    async def market(self, key: str = MARKET_KEY) -> Market:
        """The market as it is held now."""
        return (await load_markets(self.store.reader, [key]))[key]

    async def reason(self, key: str = MARKET_KEY) -> str:
        """Why the last verdict is what it is."""
        return (await load_verdicts(self.store.reader, [key]))[key].verdict.reason


@pytest.fixture
def court(store: Store, clock: ManualClock) -> Court:
    """An empty one."""
    return Court(store, clock)


async def test_a_market_the_listing_dropped_is_resolved(court: Court) -> None:
    """The open listing simply stops showing what has ended; the new version travels."""
    await court.unlisted()
    court.venue_says(YES, **RESOLVED)
    before = (await load_backlog(court.store.reader)).n_rows
    result = await court.run()
    assert (await court.market()).resolution is Resolution.YES
    assert (await court.market()).resolution_value == 1.0
    assert (await load_backlog(court.store.reader)).n_rows == before + 1
    assert (result.state, result.counts["yes"], result.counts["looked_up"]) == ("ok", 1, 1)
    assert court.desk.asked == ["0xfed0"]  # the other one is still listed


async def test_a_resolution_completes_its_predictions(court: Court) -> None:
    """The benchmark meets the resolved market and scores what was said about it."""
    await court.listed(make_market(fetched_at=court.clock()))
    async with court.store.write() as tx:
        await append_predictions(tx, [make_prediction(predicted_at=court.clock())])
    await court.unlisted()
    court.venue_says(NO, status=MarketStatus.RESOLVED, resolution=Resolution.NO, resolution_value=0.0)
    await court.run()
    await court.runner.run("benchmark", court.clock())
    assert await court.store.reader.fetch_value("SELECT state FROM predictions") == "completed"


async def test_a_void_keeps_what_it_paid(court: Court) -> None:
    """A refund is not a no."""
    await court.unlisted()
    court.venue_says(status=MarketStatus.RESOLVED, resolution=Resolution.VOID, resolution_value=0.37)
    await court.run()
    market = await court.market()
    assert (market.status, market.resolution, market.resolution_value) == (
        MarketStatus.RESOLVED,
        Resolution.VOID,
        0.37,
    )


async def test_contradicting_sources_are_a_dispute_until_they_agree(court: Court) -> None:
    """The listing keeps telling its answer each quarter hour; it must not come back through the front door."""
    await court.unlisted()
    court.venue_says(NO, **RESOLVED)
    await court.run()
    market = await court.market()
    assert (market.status, market.resolution, market.resolution_value) == (
        MarketStatus.CLOSED,
        Resolution.DISPUTED,
        None,
    )
    assert "contradict" in await court.reason()
    await walk(court.store, court.desk)  # the listing shows it again, resolved
    assert (await court.market()).resolution is Resolution.DISPUTED
    court.clock.forward(hours=4)
    court.venue_says(YES, **RESOLVED)
    await court.run()
    assert (await court.market()).resolution is Resolution.YES
    assert await load_overruled(court.store.reader, Venue.POLYMARKET) == {}


async def test_a_pinned_price_is_no_answer(court: Court) -> None:
    """Closed, proposed, quoted at 0.9995: everybody knows, and nobody has decided."""
    await court.unlisted()
    court.venue_says(PENDING, status=MarketStatus.CLOSED)
    court.desk.quotes = [make_quote(bid=0.999, ask=0.9995, fetched_at=court.clock())]
    result = await court.run()
    assert ((await court.market()).status, (await court.market()).resolution) == (MarketStatus.CLOSED, None)
    assert result.counts["waiting"] == 1
    assert "not decided" in await court.reason()


async def test_a_second_source_holds_back_the_listings_answer(court: Court) -> None:
    """Payouts are shown while the oracle still waits: closed, and no answer yet."""
    await court.unlisted()
    court.venue_says(PENDING, **RESOLVED)
    await court.run()
    assert ((await court.market()).status, (await court.market()).resolution) == (MarketStatus.CLOSED, None)
    assert list(await load_overruled(court.store.reader, Venue.POLYMARKET)) == [MARKET_KEY]


async def test_an_answer_of_the_listing_is_confirmed_once(court: Court) -> None:
    """Legs of open events resolve in the listing itself; a second opinion is asked once and agreeing ends it."""
    await court.listed(make_market(fetched_at=court.clock(), **RESOLVED))
    court.venue_says(YES, **RESOLVED)
    await court.run()
    court.clock.forward(hours=4)
    await court.run()
    assert court.desk.asked == ["0xfed0"]
    assert (await court.market()).resolution is Resolution.YES


async def test_a_market_that_still_trades_is_left_open(court: Court) -> None:
    """Its nominal end has passed and it goes on: what the look-up brings is a look like any other."""
    await court.listed(make_market(fetched_at=court.clock(), close_time=court.clock() - timedelta(days=1)))
    court.venue_says(status=MarketStatus.OPEN, close_time=court.clock() + timedelta(days=9))
    await court.run()
    assert (await court.market()).status is MarketStatus.OPEN
    assert (await court.market()).close_time == court.clock() + timedelta(days=9)


async def test_a_look_up_does_not_lose_what_only_the_event_tells(court: Court) -> None:
    """A bare market has no category and no event title."""
    await court.unlisted(category="Economics", series_id="KXFED")
    court.venue_says(YES, category=None, event_title=None, series_id=None, **RESOLVED)
    await court.run()
    market = await court.market()
    assert (market.category, market.series_id, market.event_title) == (
        "Economics",
        "KXFED",
        "Fed decision in December",
    )


async def test_a_market_that_is_gone_is_closed_as_unknown_after_a_day(court: Court) -> None:
    """Right after creation an id may answer 404 for a while; after a day it is not coming back."""
    await court.unlisted()
    await court.run()
    assert (await court.market()).status is MarketStatus.OPEN
    court.clock.forward(hours=30)
    await court.listed(make_market(market_key="polymarket:0xother", fetched_at=court.clock()))
    await court.run()
    assert ((await court.market()).status, (await court.market()).resolution) == (
        MarketStatus.CLOSED,
        Resolution.UNKNOWN,
    )
    assert "gone: last listed 1 d ago" in await court.reason()
    seen = "SELECT seen_at FROM markets JOIN sights ON market_id = id WHERE market_key = ?"
    seen_at = await court.store.reader.fetch_value(seen, (MARKET_KEY,))
    court.clock.forward(days=8)
    await court.run()  # again unknown: nobody has shown it to us
    assert await court.store.reader.fetch_value(seen, (MARKET_KEY,)) == seen_at
    assert "last listed 9 d ago" in await court.reason()


async def test_a_market_unknown_by_id_may_be_answered_by_another_source(court: Court) -> None:
    """The order book host remembers markets the catalogue has dropped."""
    await court.unlisted()
    court.desk.evidence[MARKET_KEY] = [YES, Evidence("oracle", Standing.FINAL, 1.0)]
    await court.run()
    assert ((await court.market()).status, (await court.market()).resolution) == (MarketStatus.RESOLVED, Resolution.YES)


async def test_an_unreadable_source_costs_its_word_and_not_the_chunk(court: Court) -> None:
    """One bad document among forty markets: the listing's word stands, and the reason says what is missing."""
    await court.unlisted()
    court.venue_says(**RESOLVED)
    court.desk.evidence_errors[MARKET_KEY] = VenueDataError("oracle: unreadable")
    result = await court.run()
    assert (await court.market()).resolution is Resolution.YES
    assert "oracle: unreadable" in await court.reason()
    assert result.state == "ok"


async def test_a_venue_that_is_away_leaves_everything_as_it_was(court: Court) -> None:
    """Partial, with the reason; the next run asks again."""
    await court.unlisted()
    court.venue_says(YES, **RESOLVED)
    court.desk.evidence_errors[MARKET_KEY] = VenueUnavailable("GET clob: 503", retry_after_s=0.0)
    result = await court.run()
    assert result.state == "partial"
    assert "503" in (result.reason or "")
    assert (await court.market()).status is MarketStatus.OPEN
    court.clock.forward(hours=4)
    court.desk.evidence_errors.clear()
    await court.run()
    assert (await court.market()).resolution is Resolution.YES


async def test_look_ups_come_in_bounded_chunks(court: Court) -> None:
    """Three units; one that fails costs its own."""
    n = 3 * CHUNK - 1
    await court.listed(*(make_market(market_key=f"polymarket:0x{i}", fetched_at=court.clock()) for i in range(n)))
    await court.unlisted(market_key="polymarket:0xlast")
    court.desk.errors = [VenueDataError("unreadable")]
    result = await court.run()
    assert len(court.desk.asked) == n + 1 - CHUNK
    assert (result.state, result.counts["looked_up"]) == ("partial", n + 1 - CHUNK)


async def test_forecasts_come_first_and_vain_questions_ever_more_seldom(court: Court) -> None:
    """Some questions stay proposed for 300 days: never timed out, and never in the way."""
    await court.listed(
        make_market(market_key="polymarket:0xa", fetched_at=court.clock(), status=MarketStatus.CLOSED),
        make_market(fetched_at=court.clock(), status=MarketStatus.CLOSED),
    )
    async with court.store.write() as tx:
        await append_predictions(tx, [make_prediction(predicted_at=court.clock())])
    for key in ("polymarket:0xa", MARKET_KEY):
        court.venue_says(PENDING, market_key=key, status=MarketStatus.CLOSED)
    court.clock.forward(days=40)
    for key in ("polymarket:0xa", MARKET_KEY):
        court.venue_says(PENDING, market_key=key, status=MarketStatus.CLOSED)
    await court.run()
    assert court.desk.asked == ["0xfed0", "0xa"]
    court.clock.forward(hours=4)
    owed = await load_unsettled(court.store.reader, Venue.POLYMARKET, court.clock(), 10)
    assert owed == []
    court.clock.forward(days=7)
    assert len(await load_unsettled(court.store.reader, Venue.POLYMARKET, court.clock(), 10)) == 2
