"""The collect job over a real store: what it keeps, what it says, what it does not do twice."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from agent.core.patterns.base import Board, Detector, Finding
from agent.core.patterns.registry import BUILT_IN
from agent.core.selection import Question
from agent.desk.why import load_why, render
from agent.errors import OddsdError, StoreFull, VenueUnavailable
from agent.jobs.collect import collect_job
from agent.jobs.ledger import Trigger
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.status.state import load_state
from agent.store.db import Store
from agent.store.decisions import load_decisions
from agent.store.drift import load_drifts
from agent.store.markets import load_markets
from agent.store.outbox import load_backlog
from agent.store.quotes import load_latest_quotes, load_seen_at
from agent.venues.base import Page
from sync.records import Venue
from tests.conftest import ManualClock
from tests.fakes.exchange_pages import GAMMA_EVENT, GAMMA_MARKET, KALSHI_EVENT, KALSHI_MARKET
from tests.unit.venues.test_drift import page_of

Json = dict[str, Any]
Listing = Sequence[Page | Exception]


def gamma(*markets: Json) -> Page:
    """A page of Polymarket: one event with these markets, each with an id of its own."""
    legs = [GAMMA_MARKET | {"conditionId": f"0x{index}"} | over for index, over in enumerate(markets)]
    return page_of([GAMMA_EVENT | {"markets": legs}], Venue.POLYMARKET)


def kalshi(*markets: Json) -> Page:
    """A page of Kalshi in the same way."""
    legs = [KALSHI_MARKET | {"ticker": f"KXNBA-27-{index}"} | over for index, over in enumerate(markets)]
    return page_of([KALSHI_EVENT | {"markets": legs}])


class Listed:
    """A venue that lists what a test hands it, an exception raised where it stands."""

    def __init__(self, venue: Venue, clock: ManualClock) -> None:
        self.venue, self._clock = venue, clock
        self.listing: Listing = ()
        self.n_walks = 0

    async def pages(self) -> AsyncIterator[Page]:
        """The listing, stamped now."""
        self.n_walks += 1
        for page in self.listing:
            if isinstance(page, Exception):
                raise page
            at = self._clock()
            yield Page(
                markets=[msgspec.structs.replace(market, fetched_at=at) for market in page.markets],
                quotes=[msgspec.structs.replace(quote, fetched_at=at) for quote in page.quotes],
                rejects=page.rejects,
                n_records=page.n_records,
                n_dropped=page.n_dropped,
                age_s=page.age_s,
                body=page.body,
            )


class Desk:
    """Both venues, the job, and a clock on the quarter hour."""

    def __init__(self, store: Store, clock: ManualClock, detectors: Sequence[Detector] = BUILT_IN) -> None:
        self.store, self.clock = store, clock
        self.polymarket, self.kalshi = Listed(Venue.POLYMARKET, clock), Listed(Venue.KALSHI, clock)
        job = collect_job(store, [self.polymarket, self.kalshi], detectors)
        spec = JobSpec(name="collect", run=job, schedule="*/15 * * * *", missed="latest", timeout_s=60)
        self.runner = Runner(store, clock, [spec], {})

    async def collect(
        self, polymarket: Listing | None = None, kalshi: Listing | None = None, *, trigger: Trigger = "timer"
    ) -> RunResult:
        """A quarter hour later both venues list this; None: as before."""
        self.clock.forward(minutes=15)
        self.polymarket.listing = self.polymarket.listing if polymarket is None else polymarket
        self.kalshi.listing = self.kalshi.listing if kalshi is None else kalshi
        return await self.runner.run("collect", self.clock(), trigger)

    async def rows(self, table: str) -> int:
        """How many rows a table holds."""
        n: int = await self.store.reader.fetch_value(f"SELECT count(*) FROM {table}")
        return n


@pytest.fixture
async def desk(store: Store, clock: ManualClock) -> Desk:
    """Two venues with nothing listed yet."""
    return Desk(store, clock)


async def test_both_venues_are_stored_counted_and_sealed(desk):
    """The counts are the run's memory; whatever was stored travels."""
    result = await desk.collect([gamma({}, {})], [kalshi({})])

    assert (result.state, result.reason) == ("ok", None)
    found = {name: n for name, n in result.counts.items() if n}
    assert found == {
        "polymarket_markets": 2, "polymarket_new": 2, "polymarket_quotes": 2,
        "kalshi_markets": 1, "kalshi_new": 1, "kalshi_quotes": 1,
    }  # fmt: skip
    assert (await load_backlog(desk.store.reader)).n_rows == 6


async def test_a_venue_that_fails_leaves_the_other_and_its_own_pages(desk):
    """Half a listing is better than none, and the reason is said."""
    away = VenueUnavailable("GET /events: 503")
    result = await desk.collect([gamma({}), away, gamma({"conditionId": "0x9"})], [kalshi({})])

    assert result.state == "partial"
    assert result.reason == "polymarket: GET /events: 503"
    keys = ["polymarket:0x0", "polymarket:0x9", "kalshi:KXNBA-27-0"]
    assert set(await load_markets(desk.store.reader, keys)) == {"polymarket:0x0", "kalshi:KXNBA-27-0"}
    venues = {venue.venue: venue for venue in (await load_state(desk.store.reader, now=desk.clock())).venues}
    assert (venues[Venue.POLYMARKET].n_failed_runs, venues[Venue.KALSHI].n_failed_runs) == (1, 0)


async def test_a_venue_that_fails_in_another_way_is_told_once(desk):
    """The engine tells of a unit that died; said twice it would read as two troubles."""
    result = await desk.collect([gamma({})], [OddsdError("the reader is odd")])

    assert result.state == "partial"
    assert result.reason == f"kalshi:{desk.clock().isoformat()}: the reader is odd"


async def test_rejects_are_kept_by_hash_and_counted(desk):
    """The same broken record every quarter hour is one row that says how often."""
    broken = kalshi({}, {"yes_bid_dollars": "7.0000"})
    first = await desk.collect(kalshi=[broken])
    await desk.collect()

    assert first.counts["kalshi_rejects"] == 1
    (row,) = await desk.store.reader.fetch("SELECT n_seen, path, reason FROM rejects")
    assert tuple(row) == (2, "$.events[0].markets[1]", "yes_bid: price outside 0..1: '7.0000'")


async def test_a_book_out_of_a_cache_is_as_old_as_the_cache(desk):
    """Polymarket's edge hands out pages of up to five minutes: what was cached was not seen now."""
    cached = gamma({})
    cached.held(219.0)
    result = await desk.collect([cached], [kalshi({})])

    seen = await load_seen_at(desk.store.reader, ["polymarket:0x0", "kalshi:KXNBA-27-0"])
    now = desk.clock()
    assert seen == {"polymarket:0x0": now - timedelta(seconds=219), "kalshi:KXNBA-27-0": now}
    assert {name: n for name, n in result.counts.items() if "cache" in name} == {"polymarket_cache_age_s": 219}
    said = {one.market_key: render([one]).splitlines()[1] for one in await load_why(desk.store.reader, "win")}
    assert said == {
        "polymarket:0x0": "  seen     book as of 2026-11-21 12:11:21 UTC, out of a cache that had held it for 219 s",
        "kalshi:KXNBA-27-0": "  seen     book as of 2026-11-21 12:15:00 UTC",
    }


async def test_unchanged_is_not_unseen(desk):
    """A market that stands still was looked at; one that is no longer listed was not."""
    await desk.collect(kalshi=[kalshi({}, {})])
    began = desk.clock()
    result = await desk.collect(kalshi=[kalshi({})])

    assert (result.counts["kalshi_unchanged"], result.counts["kalshi_quotes"]) == (1, 0)
    seen = await load_seen_at(desk.store.reader, ["kalshi:KXNBA-27-0", "kalshi:KXNBA-27-1"])
    assert seen == {"kalshi:KXNBA-27-0": desk.clock(), "kalshi:KXNBA-27-1": began}


class Always:
    """A detector that finds the same in every market it is shown, as strongly as a test says."""

    name = "always"

    def __init__(self) -> None:
        self.score = 60

    def find(self, board: Board) -> Iterator[Finding]:
        """One finding a market."""
        for history in board.histories:
            key = history.market.market_key
            yield Finding(market_key=key, detector=self.name, score=self.score, evidence={})


async def test_patterns_are_said_once_unless_they_grow(store, clock):
    """The same finding every quarter hour would bury the others; for six hours only a stronger one is news."""
    always = Always()
    desk = Desk(store, clock, [always])

    async def found(tick: int) -> int:
        moved = {"last_price_dollars": f"0.42{tick:02}"}
        return (await desk.collect(kalshi=[kalshi(moved)])).counts["patterns"]

    first, again = await found(0), await found(1)
    always.score = 75
    stronger = await found(2)
    desk.clock.forward(hours=7)

    assert (first, again, stronger, await found(3)) == (1, 0, 1, 1)
    assert await desk.rows("patterns") == 3


async def test_a_cycle_cut_off_before_its_detectors_looked_is_looked_at_when_it_is_begun_again(store, clock):
    """The pages are kept, and a jump among them is as new as it was."""

    class CutOff(Always):
        def find(self, board: Board) -> Iterator[Finding]:
            raise StoreFull("no room")

    with pytest.raises(StoreFull):
        await Desk(store, clock, [CutOff()]).collect([gamma({})], [kalshi({})])
    slot = clock()
    clock.forward(minutes=1)
    desk = Desk(store, clock, [Always()])
    (left,) = await desk.runner.recover()
    result = await desk.runner.run("collect", left.slot, "recovery")

    assert (left.slot, result.state) == (slot, "ok")
    assert (desk.kalshi.n_walks, result.counts["patterns"]) == (0, 2)


async def test_a_slot_that_is_over_is_not_walked_again(desk):
    """Two walks of one slot would store a market twice in one quarter hour."""
    await desk.collect([gamma({})], [kalshi({})])
    result = await desk.runner.run("collect", desk.clock())

    assert result.state == "ok"
    assert (desk.polymarket.n_walks, desk.kalshi.n_walks) == (1, 1)


async def test_a_partial_slot_asked_for_again_does_nothing_twice(desk):
    """What is kept is not done again, and what is stored is not stored again."""
    await desk.collect([gamma({}), VenueUnavailable("away")], [kalshi({})])
    stored = [await desk.rows(table) for table in ("quotes", "patterns", "batches")]
    await desk.runner.run("collect", desk.clock(), "once")

    assert [await desk.rows(table) for table in ("quotes", "patterns", "batches")] == stored


async def test_a_market_without_life_is_listed_and_not_sent(desk):
    """Nobody has quoted or traded it: a reader of the cloud has nothing to read."""
    silent = {
        "yes_bid_dollars": "0.0000",
        "yes_ask_dollars": "1.0000",
        "last_price_dollars": "0.0000",
        "volume_24h_fp": "0.00",
    }
    result = await desk.collect(kalshi=[kalshi(silent)])
    key = "kalshi:KXNBA-27-0"
    decided = (await load_decisions(desk.store.reader, key))[Question.SEND].decision

    assert (result.counts["kalshi_withheld"], result.counts["kalshi_quotes"]) == (1, 0)
    assert (decided.chosen, decided.gate, decided.reason) == (False, "life", "nobody has quoted or traded it yet")
    assert key in await load_markets(desk.store.reader, [key])
    assert (await load_backlog(desk.store.reader)).n_rows == 0

    await desk.collect(kalshi=[kalshi({})])
    assert (await load_backlog(desk.store.reader)).n_rows == 2  # the market and its first quote
    assert await load_decisions(desk.store.reader, key) == {}


def many(n: int, *, without: str = "", **over: Any) -> Page:
    """So many markets of Kalshi, each lacking a field or saying something else."""
    page = [{name: value for name, value in (KALSHI_MARKET | over).items() if name != without} for _ in range(n)]
    legs = [leg | {"ticker": f"KXNBA-27-{index}"} for index, leg in enumerate(page)]
    return page_of([KALSHI_EVENT | {"markets": legs}])


async def test_a_field_that_breaks_is_named_and_not_stored_until_it_is_well(desk):
    """In the cycle in which it breaks, already; and no zero stands for it anywhere."""
    await desk.collect(kalshi=[many(20)])
    broken = await desk.collect(kalshi=[many(20, volume_24h_fp="0.00", last_price_dollars="0.4300")])

    assert broken.state == "partial"
    assert broken.reason == (
        "drift: kalshi: not stored until healthy again: volume_24h, volume_24h_fp is zero (in 0% of records before, 100% now)"
    )
    key = "kalshi:KXNBA-27-7"
    quote = (await load_latest_quotes(desk.store.reader, [key]))[key]
    assert (quote.volume_24h, quote.last_price, quote.bid) == (None, 0.43, 0.41)
    assert await desk.store.reader.fetch_value("SELECT count(*) FROM quotes WHERE volume_24h = 0") == 0
    assert await desk.rows("raw") == 3

    last = await desk.collect(kalshi=[many(20, last_price_dollars="0.4400")])
    assert (last.state, await load_drifts(desk.store.reader)) == ("ok", {})
    assert (await load_latest_quotes(desk.store.reader, [key]))[key].volume_24h is None  # known well only at its end
    healed = await desk.collect(kalshi=[many(20, last_price_dollars="0.4500")])
    assert healed.state == "ok"
    assert (await load_latest_quotes(desk.store.reader, [key]))[key].volume_24h == 1963.89


async def test_a_drift_is_no_failure_of_the_venue(desk):
    """The venue answered: "failing since" would send people to the wrong place."""
    await desk.collect(kalshi=[many(20)])
    await desk.collect([VenueUnavailable("away")], [many(20, without="last_price_dollars")])
    state = await load_state(desk.store.reader, now=desk.clock())

    venues = {venue.venue: venue for venue in state.venues}
    assert venues[Venue.KALSHI].reason is None
    assert venues[Venue.POLYMARKET].reason == "away"
    (drift,) = state.drifts
    assert (drift.venue, drift.lost) == (Venue.KALSHI, ("last_price",))


async def test_half_the_markets_missing_is_said_the_same_day(desk):
    """A listing that stops in the middle looks complete from inside."""
    for _ in range(4):
        await desk.collect(kalshi=[many(40)])
    result = await desk.collect(kalshi=[many(20)])

    assert result.state == "partial"
    assert result.reason == "drift: kalshi: 20 market records listed, usually 40: 50% are missing"
    assert (await load_drifts(desk.store.reader))[Venue.KALSHI].harmful


async def test_a_listing_cut_off_is_no_collapse(desk):
    """It failed, and says so; that it is short follows from that."""
    await desk.collect(kalshi=[many(40)])
    result = await desk.collect(kalshi=[many(5), VenueUnavailable("away")])

    assert result.reason == "kalshi: away"
    assert await load_drifts(desk.store.reader) == {}
    assert await desk.rows("drift_profiles") == 3  # two of kalshi's sister, one of its own


async def test_a_field_nobody_needs_may_go(desk):
    """It is told, it costs nothing, and after a while it is usual."""
    await desk.collect(kalshi=[many(20, notional_value_dollars="1.0000")])
    result = await desk.collect(kalshi=[many(20)])

    assert result.state == "ok"
    drift = (await load_drifts(desk.store.reader))[Venue.KALSHI]
    assert (drift.lost, drift.harmful) == ((), False)
    assert drift.reasons == ("notional_value_dollars is gone (missing in 0% of records before, 100% now)",)


async def test_a_drift_lasts_in_the_status_from_its_first_cycle(desk):
    """`since` tells how long nobody has looked after it."""
    await desk.collect(kalshi=[many(20)])
    first = None
    for _ in range(3):
        await desk.collect(kalshi=[many(20, without="last_price_dollars")])
        first = first or desk.clock()

    assert (await load_drifts(desk.store.reader))[Venue.KALSHI].since == first
    assert desk.clock() - first == timedelta(minutes=30)
