"""Arbitrage, end to end: verdicts and quotes in a real store, books of a venue, packages stored, ended and sent off."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from agent.errors import VenueUnavailable
from agent.jobs.arbitrage import arbitrage_job
from agent.jobs.runner import JobSpec, Runner
from agent.store.arbitrage import load_active, load_ended
from agent.store.markets import save_markets
from agent.store.matches import save_matches
from agent.store.outbox import load_backlog
from agent.store.patterns import save_patterns
from agent.store.quotes import save_quotes
from agent.venues.base import Book, Level, SeriesFees
from sync.records import ArbitrageKind, FeeTerms, JudgedBy, MarketStatus, Position, Relation, Venue, YesMapsTo
from tests.factories import NOON, make_market, make_match, make_pattern, make_quote

D = Decimal
KALSHI, POLYMARKET = "kalshi:KXRAIN-1", "polymarket:0xrain"
FOUR_PERCENT = FeeTerms(enabled=True, rate=D("0.04"), exponent=D(1))
FREE = FeeTerms(enabled=False)
YES, NO = Position.YES, Position.NO


@dataclass
class Details:
    """What a venue says of single markets: books by key, and Kalshi's terms by series."""

    venue: Venue
    clock: object
    books: dict = field(default_factory=dict)  # key -> (bids, asks) as (price, size) texts
    terms: list = field(default_factory=list)
    n_books: int = 0
    n_fees: int = 0

    async def fetch_book(self, market):
        """The whole book, or none."""
        self.n_books += 1
        if market.market_key not in self.books:
            raise VenueUnavailable(f"{market.market_key}: no book")
        bids, asks = self.books[market.market_key]
        return Book(
            market_key=market.market_key,
            fetched_at=self.clock(),
            bids=tuple(Level(D(price), D(size)) for price, size in bids),
            asks=tuple(Level(D(price), D(size)) for price, size in asks),
        )

    async def fetch_fees(self):
        """Every series at the general rate."""
        self.n_fees += 1
        return self.terms


@pytest.fixture
def details(clock):
    """Both venues; Kalshi's series of these tests has the general terms."""
    terms = [SeriesFees(series_id="KXRAIN", fee_type="quadratic", fee_multiplier=D(1), fetched_at=clock())]
    return {Venue.KALSHI: Details(Venue.KALSHI, clock, terms=terms), Venue.POLYMARKET: Details(Venue.POLYMARKET, clock)}


@pytest.fixture
def put(store, clock):
    """Store a market and its top of book, as seen now."""

    async def save(key: str, bid: float | None, ask: float | None, **over):
        venue_terms = {"series_id": "KXRAIN"} if key.startswith("kalshi") else {"fees": FOUR_PERCENT}
        market = make_market(
            **{"market_key": key, "fetched_at": clock(), "event_id": None, "event_title": None, "proposition": None,
               "mutually_exclusive": False, "close_time": NOON + timedelta(days=73)} | venue_terms | over
        )  # fmt: skip
        async with store.write() as tx:
            saved = await save_markets(tx, [market])
            quote = make_quote(market_key=key, bid=bid, ask=ask, mid=None, fetched_at=clock())
            await save_quotes(tx, [quote], saved.ids)
        return market

    return save


@pytest.fixture
def find(store, clock, details):
    """Run the job and return its result; one job, as in one process."""
    spec = JobSpec(
        name="arbitrage", run=arbitrage_job(store, details), schedule="6 * * * *", missed="latest", timeout_s=60
    )
    runner = Runner(store, clock, [spec], {}, jitter=lambda: 0.0)

    async def run():
        return await runner.run("arbitrage", clock(), "timer")

    return run


@pytest.fixture
async def pair(store, put):
    """YES at 0.40 on Kalshi, NO at 0.50 on Polymarket, one question by the rules."""
    await put(KALSHI, 0.38, 0.40)
    await put(POLYMARKET, 0.50, 0.52)
    async with store.write() as tx:
        await save_matches(tx, [make_match(kalshi_key=KALSHI, polymarket_key=POLYMARKET, judged_by=JudgedBy.RULES)])


async def test_an_edge_is_priced_from_books_fetched_together(store, details, find, pair):
    """YES 100 x 0.40 and NO 100 x 0.50: 90 + fees 1.68 + 1.00; net 7.32, 7.898 %, a fifth of a year: 39.49 % a year."""
    details[Venue.KALSHI].books[KALSHI] = ([("0.38", "100")], [("0.40", "100"), ("0.70", "900")])
    details[Venue.POLYMARKET].books[POLYMARKET] = ([("0.50", "100")], [("0.52", "50")])
    before = (await load_backlog(store.reader)).n_rows

    result = await find()

    (one,) = await load_active(store.reader)
    assert (result.state, result.counts["active"], result.counts["without_depth"]) == ("ok", 1, 0)
    assert one.arbitrage_kind is ArbitrageKind.CROSS_PLATFORM
    assert [(leg.market_key, leg.side, leg.price, leg.fee_usd) for leg in one.legs] == [
        (KALSHI, YES, D("0.4"), D("1.68")), (POLYMARKET, NO, D("0.5"), D("1.00")),
    ]  # fmt: skip
    assert (one.size, one.cost_usd, one.gross_usd, one.fees_usd, one.net_usd) == (100, 90, 10, D("2.68"), D("7.32"))
    assert one.net_edge == pytest.approx(0.078981, abs=1e-6)
    assert one.annualised == pytest.approx(0.3949, abs=1e-4)
    assert all(leg.depth_known and leg.book_age_s == 0 for leg in one.legs)
    assert (one.confidence, one.match_id) == (80, make_match().match_id)
    assert any("0.4 at most" in step for step in one.steps)
    assert any("cancelled" in risk for risk in one.risks)
    assert (await load_backlog(store.reader)).n_rows == before + 1


async def test_where_no_book_can_be_fetched_the_top_is_priced_and_said_so(store, find, pair):
    """A hundred contracts that may not be there."""
    result = await find()

    (one,) = await load_active(store.reader)
    assert (result.counts["without_depth"], one.size) == (2, 100)
    assert any("only the top of a book is known" in words for words in one.assumptions)
    assert any("assumed" in step for step in one.steps)
    assert one.confidence == 60


async def test_a_package_keeps_its_name_until_it_ends(store, find, pair, put, clock):
    """Readers follow it; what ended says why, and what comes back is another one."""
    await find()
    (first,) = await load_active(store.reader)
    clock.forward(minutes=15)
    await put(KALSHI, 0.39, 0.41)
    await put(POLYMARKET, 0.50, 0.52)
    await find()
    (second,) = await load_active(store.reader)
    clock.forward(minutes=15)
    await put(KALSHI, 0.48, 0.50)
    await put(POLYMARKET, 0.50, 0.52)
    await find()
    ended = await load_ended(store.reader, NOON, 5)
    clock.forward(minutes=15)
    await put(KALSHI, 0.38, 0.40)
    await find()
    (third,) = await load_active(store.reader)

    assert (second.arbitrage_id, second.detected_at) == (first.arbitrage_id, first.detected_at)
    assert second.net_usd < first.net_usd
    assert [(one.arbitrage_id, one.ended_reason) for one in ended] == [
        (first.arbitrage_id, "gone: the books leave less than the line we draw")
    ]
    assert third.arbitrage_id != first.arbitrage_id


async def test_a_book_that_was_not_seen_lately_is_no_offer(store, find, pair, clock):
    """An hour-old top ends the package and says so."""
    await find()
    clock.forward(minutes=51)

    result = await find()

    assert (result.counts["active"], result.counts["ended"]) == (0, 1)
    (ended,) = await load_ended(store.reader, NOON, 5)
    assert "not seen: kalshi:KXRAIN-1: its book was not looked at lately" in ended.ended_reason


async def test_a_leg_that_does_not_trade_any_more_ends_the_package(store, find, pair, put, clock):
    """Its last quote stands in the store for ever."""
    await find()
    clock.forward(minutes=1)
    await put(KALSHI, 0.38, 0.40, status=MarketStatus.CLOSED)

    await find()

    (ended,) = await load_ended(store.reader, NOON, 5)
    assert "kalshi:KXRAIN-1 does not trade any more" in ended.ended_reason


async def test_unknown_fee_terms_are_no_edge(store, details, find, put, clock):
    """Nobody told what it costs, so nobody knows what it earns; it is counted."""
    await put(KALSHI, 0.38, 0.40, series_id="KXOTHER")
    await put(POLYMARKET, 0.50, 0.52)
    async with store.write() as tx:
        await save_matches(tx, [make_match(kalshi_key=KALSHI, polymarket_key=POLYMARKET)])

    first = await find()
    clock.forward(minutes=15)
    second = await find()

    assert (first.counts["fees_unknown"], first.counts["active"]) == (1, 0)
    assert details[Venue.KALSHI].n_fees == 1  # looked up once, and not every quarter hour
    assert (second.counts["fees_unknown"], second.counts["active"]) == (1, 0)


async def test_a_polymarket_listing_that_says_nothing_of_fees_is_no_edge(store, find, pair, put):
    """Absent is not free."""
    await put(POLYMARKET, 0.50, 0.52, fees=None)

    assert (await find()).counts["fees_unknown"] == 1


async def test_a_wide_gap_between_texts_alone_is_presumed_to_be_another_question(store, details, find, put, clock):
    """Twenty-five points on two live books: the rules differ until shown otherwise."""
    await put(KALSHI, 0.28, 0.30)
    await put(POLYMARKET, 0.55, 0.57)
    match = make_match(kalshi_key=KALSHI, polymarket_key=POLYMARKET)
    async with store.write() as tx:
        await save_matches(tx, [match])

    presumed = await find()
    n_presumed = details[Venue.KALSHI].n_books  # nobody's request is spent on it
    clock.forward(minutes=15)
    async with store.write() as tx:
        await save_matches(tx, [make_match(kalshi_key=KALSHI, polymarket_key=POLYMARKET, judged_by=JudgedBy.RULES)])
    compared = await find()

    assert (presumed.counts["presumed_other"], presumed.counts["active"], n_presumed) == (1, 0, 0)
    assert compared.counts["active"] == 1
    (one,) = await load_active(store.reader)
    assert any("lie far apart" in risk for risk in one.risks)


async def test_an_inverted_pair_is_bought_on_the_same_side_twice(store, find, put):
    """YES 0.40 and YES 0.50: one of them pays."""
    await put(KALSHI, 0.38, 0.40)
    await put(POLYMARKET, 0.48, 0.50)
    match = make_match(kalshi_key=KALSHI, polymarket_key=POLYMARKET, yes_maps_to=YesMapsTo.NO)
    async with store.write() as tx:
        await save_matches(tx, [match])

    await find()

    (one,) = await load_active(store.reader)
    assert [leg.side for leg in one.legs] == [YES, YES]


async def test_an_earlier_deadline_on_the_other_venue_is_temporal(store, find, put):
    """By June on Kalshi implies by July on Polymarket: NO early and YES late."""
    await put(KALSHI, 0.50, 0.52)
    await put(POLYMARKET, 0.38, 0.40)
    match = make_match(kalshi_key=KALSHI, polymarket_key=POLYMARKET, relation=Relation.A_IMPLIES_B, by_time=True)
    async with store.write() as tx:
        await save_matches(tx, [match])

    await find()

    (one,) = await load_active(store.reader)
    assert (one.arbitrage_kind, [leg.side for leg in one.legs]) == (ArbitrageKind.TEMPORAL, [NO, YES])


async def test_the_legs_of_one_event_are_summed_where_a_detector_saw_them(store, find, put):
    """Three exclusive legs whose NO cost 1.80 and pay 2; a set that may grow allows no other package."""
    event = {"event_id": "E", "mutually_exclusive": True, "open_set": True, "fees": FREE}
    for name, bid in (("a", 0.40), ("b", 0.40), ("c", 0.40)):
        await put(f"polymarket:0x{name}", bid, bid + 0.02, **event)
    async with store.write() as tx:
        await save_patterns(tx, [make_pattern(market_key="polymarket:0xa", detector="event_sum")])

    result = await find()

    (one,) = await load_active(store.reader)
    assert (result.state, one.arbitrage_kind, len(one.legs)) == ("ok", ArbitrageKind.HEDGE, 3)
    assert (one.payout_usd, one.cost_usd, one.gross_usd) == (2, 180, 20)
    assert {leg.side for leg in one.legs} == {NO}
    assert one.match_id is None


async def test_rungs_priced_the_wrong_way_round_bound_each_other(store, find, put):
    """Over 9.5 dearer than over 8.5."""
    event = {"event_id": "E", "fees": FREE}
    await put("polymarket:0xhard", 0.50, 0.52, title="Will there be more than 9.5 runs?", **event)
    await put("polymarket:0xeasy", 0.38, 0.40, title="Will there be more than 8.5 runs?", **event)
    async with store.write() as tx:
        await save_patterns(tx, [make_pattern(market_key="polymarket:0xhard", detector="ladder")])

    await find()

    (one,) = await load_active(store.reader)
    assert one.arbitrage_kind is ArbitrageKind.RELATED_MARKET
    assert [(leg.market_key, leg.side) for leg in one.legs] == [("polymarket:0xhard", NO), ("polymarket:0xeasy", YES)]


async def test_less_than_two_percent_net_is_not_shown(store, details, find, pair):
    """0.40 + 0.56: four cents gross, 1.68 + 0.99 of them fees, 1.36 % net."""
    details[Venue.KALSHI].books[KALSHI] = ([], [("0.40", "100")])
    details[Venue.POLYMARKET].books[POLYMARKET] = ([("0.44", "100")], [])

    result = await find()

    assert (result.counts["priced"], result.counts["active"]) == (1, 0)
