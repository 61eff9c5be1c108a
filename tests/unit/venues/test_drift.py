"""The drift watch over real formats: Kalshi's generations in order, and what is taken back when one breaks."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.core.drift import Change, Profile, habit
from agent.venues import kalshi, polymarket
from agent.venues.base import Page
from agent.venues.drift import MARKET_FEEDS, QUOTE_FEEDS, SAMPLE, Watch, sample, trusted_markets, trusted_quotes
from sync.records import Market, MarketStatus, Quote, Resolution, Venue
from tests.factories import NOON, make_market, make_quote
from tests.fakes.exchange_pages import GAMMA_EVENT, GAMMA_MARKET, KALSHI_EVENT, KALSHI_MARKET
from tests.fakes.exchange_recordings import events_in

CENTS = {"yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "volume", "volume_24h", "open_interest", "liquidity"}
Json = dict[str, Any]


def page_of(events: Iterable[Json], venue: Venue = Venue.KALSHI) -> Page:
    """The events as the venue's listing, read."""
    body = json.dumps({"events": list(events)}).encode()
    page = (kalshi if venue is Venue.KALSHI else polymarket).parse_page(body, NOON)
    page.body = body
    return page


def made(n: int = 20, *, without: Iterable[str] = (), **over: Any) -> Page:
    """Kalshi markets of today's format, n of them."""
    market = {name: value for name, value in (KALSHI_MARKET | over).items() if name not in set(without)}
    return page_of([KALSHI_EVENT | {"markets": [market | {"ticker": f"KXNBA-27-{i}"} for i in range(n)]}])


def watch_after(*pages: Page, distrusted: Iterable[str] = (), venue: Venue = Venue.KALSHI) -> Watch:
    """A watch that knows these pages as good listings."""
    profiles = []
    for page in pages:
        before = Watch(venue, None, set())
        before.look(page)
        profiles.append(before.profile)
    return Watch(venue, habit(profiles, [profile.n_records for profile in profiles]), set(distrusted))


def looked(watch: Watch, page: Page) -> list[Quote]:
    """What of the page's quotes is stored."""
    watch.look(page)
    return trusted_quotes(page.quotes, watch.lost_of_quotes())


def named(watch: Watch) -> set[str]:
    """Market fields found changed; some recordings hold bare markets, so their events are made up."""
    return {finding.field for finding in watch.found() if not finding.field.startswith("event.")}


def recorded(recordings: Path, name: str) -> Page:
    """A recorded file as a listing."""
    return page_of(events_in(json.loads((recordings / "kalshi" / f"{name}.json").read_bytes())))


def test_kalshis_generations_in_order_name_what_was_removed(recordings):
    """In March 2026 a reader of the old names got nothing, without any error, for months."""
    old, january, march, today = (
        recorded(recordings, name)
        for name in (
            "events_old_schema_20250607",
            "golden_markets_list_response",
            "markets_mve_20260307",
            "cockpit_events_sports_nested",
        )
    )

    first = watch_after(old)
    looked(first, january)
    assert not named(first)  # events without markets prove nothing about markets

    mixed = watch_after(old, january)
    looked(mixed, march)
    assert not named(mixed)  # cents, dollars and counts stand side by side

    removed = watch_after(january, march)
    quotes = looked(removed, today)
    gone = {finding.field for finding in removed.found() if finding.change is Change.GONE}
    assert gone >= CENTS | {"tick_size", "response_price_units"}
    removed.judge(removed.found())
    assert removed.distrusted >= CENTS
    assert not removed.lost_of_quotes()  # the dollars beside them are well
    values = [(q.bid, q.ask, q.last_price, q.volume_24h, q.open_interest) for q in quotes]
    assert len(quotes) == 245
    assert all(price != 0.0 for prices in values for price in prices[:3])
    assert sum(prices[0] is not None for prices in values) > 150


def test_a_removed_field_that_something_better_stands_beside_costs_nothing():
    """The cents went in March 2026, and the dollars had been preferred for long."""
    cents = {"yes_bid": 41, "yes_ask": 43, "last_price": 42, "volume_24h": 1963, "open_interest": 245360}
    watch = watch_after(made(**cents))

    (quote, *_) = looked(watch, made())
    assert watch.distrusted == set(cents)
    assert (watch.lost_of_quotes(), quote.bid) == (set(), 0.41)


def test_a_reader_left_without_any_source_stores_none_not_zero():
    """The month the integers go and nobody has told us about the dollars."""
    cents = {"yes_bid": 41, "yes_ask": 43, "last_price": 42, "volume_24h": 1963, "open_interest": 245360}
    dollars = [name for name in KALSHI_MARKET if name.endswith(("_dollars", "_fp"))]
    watch = watch_after(made(without=dollars, **cents))

    (quote, *_) = looked(watch, made(without=dollars))
    assert watch.lost_of_quotes() == {"bid", "ask", "mid", "last_price", "volume_24h", "open_interest"}
    assert (quote.bid, quote.ask, quote.mid, quote.last_price, quote.volume_24h) == (None,) * 5


def test_a_price_that_turns_zero_everywhere_is_none_from_the_first_page_on():
    """A volume of zero would be believed."""
    watch = watch_after(made())

    (quote, *_) = looked(watch, made(volume_24h_fp="0.00", yes_bid_dollars="0.0000"))
    assert watch.lost_of_quotes() == {"volume_24h", "bid", "mid"}
    assert (quote.volume_24h, quote.bid, quote.mid) == (None, None, None)
    assert (quote.ask, quote.open_interest) == (0.43, 245360.23)  # the others are as good as ever
    assert len(watch.samples) == 3


def test_a_distrusted_field_is_trusted_again_when_it_is_healthy():
    """Distrust is for as long as the reason lasts."""
    sick = watch_after(made(), distrusted={"yes_bid_dollars"})

    (quote, *_) = looked(sick, made())
    assert quote.bid is None  # until the listing's end has been seen
    assert sick.found() == []


def test_more_empty_books_are_told_and_the_others_stay_trusted():
    """In March 2026 seven of ten college teams had no bid: that is no reason to forget the other three's."""

    def listing(n_empty: int) -> Page:
        legs = [
            KALSHI_MARKET | {"ticker": f"K-{i}", "yes_bid_dollars": "0.0000" if i < n_empty else "0.4100",
                             "volume_24h_fp": "0.00" if i < n_empty else "5.00"}
            for i in range(100)
        ]  # fmt: skip
        return page_of([KALSHI_EVENT | {"markets": legs}])

    watch = watch_after(listing(10))
    watch.look(listing(80))
    watch.judge(watch.found())

    assert {finding.field for finding in watch.found()} == {"yes_bid_dollars", "volume_24h_fp"}
    assert watch.distrusted == {"volume_24h_fp"}  # there a zero would be believed


def test_what_a_turned_book_is_read_from_is_lost_on_both_sides():
    """A market whose "Yes" stands second reads its bid from bestAsk."""

    def gamma(**over: Any) -> Page:
        legs = [GAMMA_MARKET | {"conditionId": f"0x{i}", "outcomes": '["No", "Yes"]'} | over for i in range(20)]
        return page_of([GAMMA_EVENT | {"markets": legs}], Venue.POLYMARKET)

    watch = watch_after(gamma(), venue=Venue.POLYMARKET)
    (quote, *_) = looked(watch, gamma(bestAsk=0))

    assert (quote.bid, quote.ask, quote.mid) == (None, None, None)
    assert quote.last_price is not None


def test_a_distrusted_word_of_a_market_stays_what_it_was():
    """A description that drops out for a day must not be rewritten 50,000 times, twice."""
    lost = frozenset({"close_time", "token_ids"})
    before = make_market(token_ids=("1", "2"))
    now = make_market(close_time=None, token_ids=("9",), title="Other words")
    new = make_market(market_key="kalshi:NEW", token_ids=("9",))

    kept, fresh = trusted_markets([now, new], lost, {before.market_key: before})
    assert (kept.close_time, kept.token_ids, kept.title) == (before.close_time, ("1", "2"), "Other words")
    assert (fresh.close_time, fresh.token_ids) == (None, ())


def test_an_answer_that_cannot_be_trusted_is_none():
    """A result field that broke must not settle a prediction."""
    settled = make_market(status=MarketStatus.RESOLVED, resolution=Resolution.NO, resolution_value=0.0)

    (market,) = trusted_markets([settled], frozenset({"resolution", "resolution_value"}), {})
    assert (market.status, market.resolution, market.resolution_value) == (MarketStatus.CLOSED, None, None)


def test_a_page_nobody_can_read_teaches_nothing():
    """Its records are refused one by one elsewhere; the habit must not learn from them."""
    profile = Profile()

    assert sample(b'{"events": [{"markets": 5}]}', profile) == []
    assert sample(b"<html>", profile) == []
    assert profile.markets.n == 0


def test_a_sample_is_bounded_and_spread_over_the_page():
    """1,500 records a page would cost more to look at than to read."""
    events = [{"event_ticker": str(e), "markets": [{"ticker": f"{e}-{i}"} for i in range(50)]} for e in range(100)]
    profile = Profile()
    taken = sample(json.dumps({"events": events}).encode(), profile)

    assert SAMPLE <= len(taken) <= 2 * SAMPLE
    assert {json.loads(bytes(record))["ticker"].split("-")[0] for record in taken} > {"0", "50"}


def test_every_feed_names_values_that_exist():
    """A misspelt one would be trusted for ever."""
    for feeds, record in ((QUOTE_FEEDS, Quote), (MARKET_FEEDS, Market)):
        named = {value for venue in Venue for feed in feeds[venue] for value in feed.values}
        assert named <= set(record.__struct_fields__)
    wire = {Venue.KALSHI: (kalshi._Market, kalshi._Event), Venue.POLYMARKET: (polymarket._Market, polymarket._Event)}
    for venue, (market, event) in wire.items():
        for feed in (*QUOTE_FEEDS[venue], *MARKET_FEEDS[venue]):
            for name in feed.fields:
                known = event if name.startswith("event.") else market
                assert name.removeprefix("event.") in known.__struct_fields__, name


def test_a_quote_without_loss_is_left_as_it_is():
    """The usual case costs nothing."""
    quotes = [make_quote()]

    assert trusted_quotes(quotes, frozenset()) == quotes
