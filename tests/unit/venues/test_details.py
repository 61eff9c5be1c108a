"""Answers about single markets: each trap of the facts sheet, once."""

import json
from decimal import Decimal
from typing import Any

import pytest

from agent.core.resolution import Evidence, Standing
from agent.errors import VenueDataError
from agent.venues import kalshi_book, kalshi_history, kalshi_series, polymarket_clob, polymarket_data
from agent.venues.base import Level
from agent.venues.lookup import keep_asked
from sync.records import MarketStatus, Resolution
from tests.factories import NOON
from tests.fakes.exchange_pages import ABSENT, kalshi_page, only_market

TOKENS = [
    {"token_id": "11", "outcome": "No", "price": 0, "winner": False},
    {"token_id": "22", "outcome": "Yes", "price": 1, "winner": True},
]


def clob(yes_token: str | None = None, **over: Any) -> Evidence:
    """A closed CLOB market as evidence."""
    market = {"condition_id": "0x1", "closed": True, "tokens": TOKENS} | over
    return polymarket_clob.parse_winner(json.dumps(market).encode(), "0x1", yes_token)


def token(number: int, **over: Any) -> dict[str, Any]:
    """One of the two tokens, changed."""
    return TOKENS[number] | over


def test_the_winner_is_told_from_the_token_we_know_as_yes() -> None:
    """The YES outcome need not stand first, and two teams have no outcome called Yes."""
    assert clob().value == 1.0
    assert clob("22").value == 1.0
    assert clob("11").value == 0.0
    assert clob(tokens=[token(0, outcome="Foxes"), token(1, outcome="Comets")]).value == 0.0


def test_a_price_of_one_is_no_winner() -> None:
    """94 of 139 closed markets of a recorded page have prices of 0 and 1 and no winner."""
    assert clob(tokens=[token(0), token(1, winner=False)]) == Evidence("clob", Standing.SILENT)


def test_a_winner_counts_once_the_market_is_closed() -> None:
    """While it trades nothing is decided."""
    assert clob(closed=False).standing is Standing.TRADING


def test_an_even_outcome_is_a_refund_only_where_the_prices_say_so_too() -> None:
    """The flag alone stood on a market that then had a winner."""
    even = [token(0, price=0.5, winner=False), token(1, price=0.5, winner=False)]
    assert clob(tokens=even, is_50_50_outcome=True).value == 0.5
    assert clob(tokens=even).standing is Standing.SILENT
    assert clob(tokens=[token(0), token(1, winner=False)], is_50_50_outcome=True).standing is Standing.SILENT


@pytest.mark.parametrize(
    ("yes_token", "over", "words"),
    [
        (None, {"condition_id": "0x2"}, "told about '0x2'"),
        (None, {"tokens": [token(0, winner=True), token(1)]}, "2 winners"),
        ("33", {}, "none of its tokens"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(yes_token: str | None, over: dict[str, Any], words: str) -> None:
    """About another market, with two winners, or without our token: no evidence at all."""
    with pytest.raises(VenueDataError, match=words):
        clob(yes_token, **over)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"status": "resolved", "payouts": [1000000, 0]}, Evidence("oracle", Standing.FINAL, 1.0)),
        ({"status": "resolved", "payouts": [0, 1000000]}, Evidence("oracle", Standing.FINAL, 0.0)),
        ({"status": "resolved", "payouts": [500000, 500000]}, Evidence("oracle", Standing.FINAL, 0.5)),
        ({"status": "resolved", "payouts": [1, 1]}, Evidence("oracle", Standing.FINAL, 0.5)),
        ({"status": "proposed", "proposed_price": "1000000000000000000"}, Evidence("oracle", Standing.PENDING)),
        ({"status": "posed", "price": "69"}, Evidence("oracle", Standing.PENDING)),
        ({"status": "challenged"}, Evidence("oracle", Standing.DISPUTED)),
        ({"status": "disputed"}, Evidence("oracle", Standing.DISPUTED)),
        ({"status": "frozen"}, Evidence("oracle", Standing.PENDING)),  # a word of next year is not final
        ({"condition_id": "0x2", "status": "resolved", "payouts": [1, 0]}, Evidence("oracle", Standing.SILENT)),
    ],
)
def test_the_oracle_speaks_in_statuses_and_payouts(row: dict[str, Any], expected: Evidence) -> None:
    """Its price fields hold 1e18, "69" for unset, or nothing."""
    body = json.dumps({"data": [{"condition_id": "0x1"} | row]}).encode()
    assert polymarket_data.parse_resolution(body, "0x1", 0) == expected


@pytest.mark.parametrize("payouts", [None, [], [0, 0], [-1, 2], [1e999, 1]])
def test_a_final_ruling_without_usable_payouts_is_an_error(payouts: list[float] | None) -> None:
    """Resolved, and nobody can say how: not a NO."""
    body = json.dumps({"data": [{"condition_id": "0x1", "status": "resolved", "payouts": payouts}]})
    with pytest.raises(VenueDataError):
        polymarket_data.parse_resolution(body.replace("Infinity", "1e999").encode(), "0x1", 0)


def test_levels_are_sorted_exact_and_without_empty_ones() -> None:
    """The order of the wire is nobody's promise; sizes are money's raw material."""
    book = polymarket_clob.parse_book(
        b'{"bids":[{"price":"0.40","size":"1"},{"price":"0.48","size":"100.10"},{"price":"0.1","size":"0"}],'
        b'"asks":[{"price":"0.9","size":"5"},{"price":"0.51","size":"0.30"}]}',
        "polymarket:0x1",
        NOON,
    )
    assert book.bids == (Level(Decimal("0.48"), Decimal("100.10")), Level(Decimal("0.40"), Decimal(1)))
    assert book.asks[0] == Level(Decimal("0.51"), Decimal("0.30"))


@pytest.mark.parametrize(
    "body",
    [
        {"orderbook_fp": {"yes_dollars": [["0.0100", "5.00"], ["0.4200", "13.00"]], "no_dollars": [["0.5600", "7.25"]]}},
        {"orderbook": {"yes": [[1, 5], [42, 13]], "no": [[56, 7.25]]}},  # before March 2026
        {"orderbook": {"yes": None, "no": None, "yes_dollars": [["0.0100", 5], ["0.4200", 13]], "no_dollars": [["0.5600", 7.25]]}},
    ],
)  # fmt: skip
def test_a_kalshi_ask_is_one_minus_the_best_no_bid(body: dict[str, Any]) -> None:
    """Both sides hold bids; the size of the ask is that of the bid against it. All generations say the same."""
    book = kalshi_book.parse_book(json.dumps(body).encode(), "kalshi:T", NOON)
    assert book.bids == (Level(Decimal("0.42"), Decimal(13)), Level(Decimal("0.01"), Decimal(5)))
    assert book.asks == (Level(Decimal("0.44"), Decimal("7.25")),)


def test_a_missing_side_is_an_empty_side() -> None:
    """null, absent, or an empty list."""
    for sides in ({"yes_dollars": None, "no_dollars": None}, {}, {"yes_dollars": [], "no": []}):
        book = kalshi_book.parse_book(json.dumps({"orderbook": sides}).encode(), "kalshi:T", NOON)
        assert (book.bids, book.asks) == ((), ())
    with pytest.raises(VenueDataError, match="without a book"):
        kalshi_book.parse_book(b'{"markets":[]}', "kalshi:T", NOON)


def candle(**over: Any) -> Any:
    """The point of one bar."""
    bar = {"end_period_ts": 1784307600, "yes_bid": {"close_dollars": "0.4000"}} | over
    body = json.dumps({"ticker": "T", "candlesticks": [bar]}).encode()
    return next(iter(kalshi_history.parse_candles(body, "T")), None)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ({}, None),  # before the first trade ever
        ({"previous_dollars": "0.4100"}, None),  # a later bar without a trade
        ({"close": None, "open": None, "previous": 41, "previous_dollars": "0.4100"}, None),  # January 2026
        ({"close": 42, "close_dollars": "0.4200"}, 0.42),
        ({"close": 42}, 0.42),  # cents
        ({"close": "0.4200"}, 0.42),  # the historical route: dollars without the suffix
        ({"close_dollars": "0.4200"}, 0.42),
        (None, None),
    ],
)
def test_a_bar_has_a_price_only_where_somebody_traded(price: dict[str, Any] | None, expected: float | None) -> None:
    """In every generation of the format."""
    assert candle(price=price).price == expected


def test_an_empty_side_of_a_bar_is_none() -> None:
    """0 for a bid and 1 for an ask mean that nobody is there; a bar that says nothing is no point."""
    point = candle(yes_ask={"close_dollars": "1.0000"}, volume_fp="12.50")
    assert (point.bid, point.ask, point.volume) == (0.4, None, 12.5)
    assert candle(yes_bid={"close_dollars": "0.0000"}, yes_ask={"close_dollars": "1.0000"}, price={}) is None


def test_bars_of_another_market_are_not_taken() -> None:
    """The batch route answers for several, the single one for one."""
    bars = [{"end_period_ts": 1784307600, "yes_bid": {"close_dollars": "0.4"}}]
    batch = {"markets": [{"market_ticker": "OTHER", "candlesticks": bars}]}
    assert kalshi_history.parse_candles(json.dumps(batch).encode(), "T") == []
    with pytest.raises(VenueDataError, match="told about 'OTHER'"):
        kalshi_history.parse_candles(json.dumps({"ticker": "OTHER", "candlesticks": bars}).encode(), "T")


def test_one_series_without_terms_costs_itself() -> None:
    """Missing terms are not free terms."""
    series = [{"ticker": "KXA", "fee_type": "quadratic", "fee_multiplier": 0.1}, {"ticker": "KXB"}, 7]
    page = kalshi_series.parse_fees(json.dumps({"series": series}).encode(), NOON)
    assert [(one.series_id, one.fee_multiplier) for one in page.fees] == [("KXA", Decimal("0.1"))]
    assert page.n_rejected == 2


@pytest.mark.parametrize(("result", "paid"), [("yes", "0.0000"), ("no", "1.0000")])
def test_a_result_that_its_payment_contradicts_is_disputed(result: str, paid: str) -> None:
    """Two fields of one record are two sources."""
    market = only_market(kalshi_page({"status": "finalized", "result": result, "settlement_value_dollars": paid}))
    assert (market.status, market.resolution, market.resolution_value) == (
        MarketStatus.CLOSED,
        Resolution.DISPUTED,
        None,
    )


def test_determined_is_not_finalized() -> None:
    """A result is set and may still be disputed or amended."""
    market = only_market(kalshi_page({"status": "determined", "result": "yes", "settlement_value_dollars": ABSENT}))
    assert (market.status, market.resolution) == (MarketStatus.CLOSED, None)


def test_only_what_was_asked_for_stays_on_a_page() -> None:
    """Unknown filters are ignored by the venue, without a word."""
    page = kalshi_page({"ticker": "A-1"}, {"ticker": "B-1"}, {"ticker": "A-1"})
    kept = keep_asked(page, ["A-1", "C-1"], lambda market: market.venue_market_id)
    assert [market.venue_market_id for market in kept.markets] == ["A-1"]
    assert [quote.market_key for quote in kept.quotes] == ["kalshi:A-1"]
    assert kept.n_dropped == {"not asked for": 2}
