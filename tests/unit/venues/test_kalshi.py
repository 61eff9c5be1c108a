"""Kalshi's wire format, trap by trap (facts: exchanges.md section 2)."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from agent.venues import kalshi
from sync.records import FeeTerms, MarketStatus, Resolution, Venue
from tests.factories import NOON
from tests.fakes.exchange_pages import ABSENT, KALSHI_MARKET, kalshi_page, only_market, only_quote

NO_DOLLARS = dict.fromkeys(
    ("yes_bid_dollars", "yes_ask_dollars", "last_price_dollars", "volume_24h_fp", "open_interest_fp"), ABSENT
)


def test_a_market_comes_out_with_everything_the_venue_says() -> None:
    """The plain case, field by field: a mix-up of two fields shows here."""
    page = kalshi_page({})
    market, quote = only_market(page), only_quote(page)
    assert (market.market_key, market.venue, market.venue_market_id) == (
        "kalshi:KXNBA-27-ATL",
        Venue.KALSHI,
        "KXNBA-27-ATL",
    )
    assert (market.title, market.proposition, market.event_title) == ("Will Atlanta win?", "Atlanta", "2027 Champion")
    assert (market.event_id, market.series_id, market.category) == ("KXNBA-27", "KXNBA", "Sports")
    assert market.url == "https://kalshi.com/markets/kxnba"
    assert (market.mutually_exclusive, market.open_set, market.outcome_labels) == (True, None, ("Yes", "No"))
    assert market.rules_text == "If Atlanta wins, Yes.\n\nNot affiliated."
    assert market.open_time == datetime(2026, 6, 14, 8, tzinfo=UTC)
    assert market.close_time == datetime(2029, 7, 30, 14, tzinfo=UTC)
    assert market.expected_time == datetime(2027, 7, 31, 14, tzinfo=UTC)
    assert (market.closed_time, market.status, market.resolution) == (None, MarketStatus.OPEN, None)
    assert (market.strike_type, market.floor_strike, market.cap_strike) == ("between", 3.5, 4.25)
    assert (quote.bid, quote.ask, quote.mid, quote.last_price) == (0.41, 0.43, 0.42, 0.425)
    assert (quote.volume_24h, quote.open_interest, quote.liquidity_usd) == (1963.89, 245360.23, None)


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        ("0.0000", "0.4300", (None, 0.43)),
        ("0.4100", "1.0000", (0.41, None)),
        ("0.0000", "1.0000", (None, None)),
        ("0.0000", "0.0000", (None, None)),
        (ABSENT, ABSENT, (None, None)),
        ("", "", (None, None)),
    ],
)
def test_an_empty_side_is_none(bid: object, ask: object, expected: tuple[float | None, float | None]) -> None:
    """A middle of 0 and 1 is not a forecast of 50 %."""
    quote = only_quote(kalshi_page({"yes_bid_dollars": bid, "yes_ask_dollars": ask}))
    assert ((quote.bid, quote.ask), quote.mid) == (expected, None)


def test_a_last_price_of_zero_means_never_traded() -> None:
    """ "0.0000" is there from the first day on."""
    assert only_quote(kalshi_page({"last_price_dollars": "0.0000"})).last_price is None


def test_cents_count_where_the_dollars_are_absent() -> None:
    """Records from before the dollars are still found in backups and fixtures."""
    cents = {"yes_bid": 28, "yes_ask": 29, "last_price": 29, "volume_24h": 12, "open_interest": 345}
    quote = only_quote(kalshi_page(NO_DOLLARS | cents))
    assert (quote.bid, quote.ask, quote.last_price) == (0.28, 0.29, 0.29)
    assert (quote.volume_24h, quote.open_interest) == (12.0, 345.0)


def test_dollars_win_over_cents() -> None:
    """Both came together until March 2026, and the cents are rounded."""
    quote = only_quote(kalshi_page({"yes_bid_dollars": "0.4150", "yes_bid": 42, "yes_ask": 99, "volume_24h": 1}))
    assert (quote.bid, quote.ask, quote.volume_24h) == (0.415, 0.43, 1963.89)


def test_empty_cents_are_an_empty_side_too() -> None:
    """0 and 100 cents said the same as "0.0000" and "1.0000" do today."""
    quote = only_quote(kalshi_page(NO_DOLLARS | {"yes_bid": 0, "yes_ask": 100}))
    assert (quote.bid, quote.ask, quote.volume_24h, quote.open_interest) == (None, None, None, None)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("initialized", MarketStatus.UNOPENED),
        ("active", MarketStatus.OPEN),
        ("inactive", MarketStatus.PAUSED),
        ("closed", MarketStatus.CLOSED),
        ("determined", MarketStatus.CLOSED),
        ("disputed", MarketStatus.CLOSED),
        ("amended", MarketStatus.CLOSED),
        ("finalized", MarketStatus.RESOLVED),
    ],
)
def test_each_word_of_the_field_has_its_status(word: str, status: MarketStatus) -> None:
    """They are not the words of the filter; only trading and paused markets have a quote."""
    page = kalshi_page({"status": word})
    assert only_market(page).status is status
    assert len(page.quotes) == (status in (MarketStatus.OPEN, MarketStatus.PAUSED))


def test_an_unknown_status_is_refused_by_name() -> None:
    """Guessing "open" would put a dead market into every list."""
    page = kalshi_page({"status": "hibernating"}, {})
    assert [reject.reason for reject in page.rejects] == ["status: unknown word 'hibernating'"]
    assert len(page.markets) == 1


@pytest.mark.parametrize(
    ("over", "resolution", "value"),
    [
        ({"result": "yes", "settlement_value_dollars": "1.0000"}, Resolution.YES, 1.0),
        ({"result": "no", "settlement_value_dollars": "0.0000"}, Resolution.NO, 0.0),
        ({"result": "no"}, Resolution.NO, 0.0),
        ({"result": "scalar", "settlement_value_dollars": "0.3700"}, Resolution.VOID, 0.37),
        ({"result": "scalar"}, Resolution.VOID, None),
        ({"result": "yes", "settlement_value_dollars": "0.5000"}, Resolution.VOID, 0.5),
        ({"result": ""}, Resolution.UNKNOWN, None),
        ({"result": ABSENT}, Resolution.UNKNOWN, None),
    ],
)
def test_a_finalized_market_has_its_result(over: dict[str, Any], resolution: Resolution, value: float | None) -> None:
    """Kalshi's scalar and a refund both become a value, never a yes or no."""
    market = only_market(kalshi_page(over | {"status": "finalized"}))
    assert (market.resolution, market.resolution_value) == (resolution, value)
    assert market.closed_time == market.close_time


def test_a_determined_result_is_not_final() -> None:
    """It may still be disputed or amended."""
    assert only_market(kalshi_page({"status": "determined", "result": "yes"})).resolution is None


def test_a_dispute_is_told() -> None:
    """The result field is filled meanwhile and may change."""
    assert only_market(kalshi_page({"status": "disputed", "result": "yes"})).resolution is Resolution.DISPUTED


def test_combos_are_dropped_and_counted() -> None:
    """They are 99.8 % of a plain listing and match every text."""
    page = kalshi_page({"ticker": "KXMVECROSS-S1"}, {"mve_collection_ticker": "KXMVE-R"}, {})
    assert (page.n_records, page.n_dropped, len(page.markets)) == (3, {"combo": 2}, 1)


def test_the_finest_step_of_the_price_grid_is_the_tick() -> None:
    """Tapered markets are finer near 0 and 1."""
    grid = [{"step": "0.0010"}, {"step": "0.0100"}, {"step": "0.0010"}]
    assert only_market(kalshi_page({"price_ranges": grid})).tick_size == 0.001
    assert only_market(kalshi_page({"price_ranges": ABSENT})).tick_size is None
    assert only_market(kalshi_page({"price_ranges": None})).tick_size is None


@pytest.mark.parametrize(
    ("wire", "expected"),
    [(-4.5, -4.5), ("60999.99", 60999.99), (0, 0.0), (ABSENT, None), (None, None), ("", None)],
)
def test_a_strike_is_a_number_of_the_world(wire: object, expected: float | None) -> None:
    """Degrees below zero are strikes too, and a strike of zero is not a missing one."""
    assert only_market(kalshi_page({"floor_strike": wire})).floor_strike == expected


@pytest.mark.parametrize("wire", ["NaN", "inf", "6k", {"value": 6}])
def test_a_strike_that_is_no_number_refuses_its_market(wire: object) -> None:
    """Matching believes a strike before it believes a title."""
    page = kalshi_page({"floor_strike": wire}, {"ticker": "KXNBA-27-BOS"})
    assert [market.venue_market_id for market in page.markets] == ["KXNBA-27-BOS"]
    assert len(page.rejects) == 1


def test_fee_terms_an_event_states_in_place_of_its_series_are_kept() -> None:
    """Baseball pays half; most events say nothing and leave it to their series."""
    market = only_market(kalshi_page({}, event={"fee_type_override": "flat", "fee_multiplier_override": 0.5}))
    assert market.fees == FeeTerms(kind="flat", multiplier=Decimal("0.5"))
    assert only_market(kalshi_page({}, event={"fee_type_override": "", "fee_multiplier_override": None})).fees is None
    assert only_market(kalshi_page({})).fees is None


def test_a_price_grid_of_endless_length_is_refused() -> None:
    """Grids are read through a cache, which would keep it."""
    page = kalshi_page({"price_ranges": [{"step": "0.01", "note": "x" * 20_000}]})
    assert [reject.reason.split(":")[0] for reject in page.rejects] == ["price_ranges"]


def test_the_series_is_taken_from_its_field() -> None:
    """Old events have tickers that do not start with their series."""
    page = kalshi_page({}, event={"event_ticker": "EUCLIMATE", "series_ticker": "KXEUCLIMATE"})
    assert (only_market(page).event_id, only_market(page).series_id) == ("EUCLIMATE", "KXEUCLIMATE")


@pytest.mark.parametrize(("cursor", "expected"), [("", None), ("abc", "abc"), (None, None)])
def test_an_empty_cursor_is_the_end(cursor: str | None, expected: str | None) -> None:
    """The page may be empty or short long before."""
    body = json.dumps({"events": [], "cursor": cursor}).encode()
    assert kalshi.parse_page(body, NOON).next_cursor == expected


def test_events_without_markets_are_read_as_nothing() -> None:
    """The listing of June 2025, or one without nesting."""
    page = kalshi.parse_page(b'{"events":[{"event_ticker":"A","title":"x"}],"cursor":""}', NOON)
    assert (page.n_records, page.rejects) == (0, [])


def test_bare_markets_are_read_without_their_event() -> None:
    """/markets has no event around them, but each names its own."""
    page = kalshi.parse_page(json.dumps({"markets": [KALSHI_MARKET], "cursor": ""}).encode(), NOON)
    assert (only_market(page).event_id, only_market(page).category) == ("KXNBA-27", None)
