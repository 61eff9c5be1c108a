"""Recorded answers about single markets through their readers, with the counts written down; and every file's place.

A file that is in none of the tables fails a test: a new recording must be read, or be named with the reason why not.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.core.placeholders import without_leading_placeholder
from agent.core.resolution import Evidence, Standing
from agent.venues import kalshi_book, kalshi_history, kalshi_series, polymarket_clob, polymarket_data
from agent.venues.base import Book, HistoryPoint
from tests.factories import NOON
from tests.unit.venues.test_recordings import EXPECTED

Counts = dict[str, int]

DERIVED = "the recorder's own reduced record, no answer of an exchange"
SOCKET = "a frame of the WebSocket feeds, which nothing here subscribes to"
OTHER_ROUTE = "an answer of a route nothing here asks for"
NOT_READ = {
    "kalshi/cockpit_price_grids.json": DERIVED,
    "kalshi/series_cryptopulse_20260726_15min.json": DERIVED,
    "kalshi/series_predictionwatch.json": DERIVED,
    "kalshi/series_weekly_economics_2026.json": DERIVED,
    "kalshi/settled_weather_open_close_2026.csv": DERIVED,
    "polymarket/prices_daily_geopolitics.json": DERIVED,
    "polymarket/prices_minute_fed-decision-in-march-885.csv": DERIVED,
    "polymarket/prices_minute_us-iran-nuclear-deal-before-2027.csv": DERIVED,
    "polymarket/prices_minute_us-x-iran-ceasefire-by.csv": DERIVED,
    "polymarket/prices_minute_will-crude-oil-cl-hit-by-end-of-march.csv": DERIVED,
    "polymarket/series_engine_20260410-12.json": DERIVED,
    "polymarket/series_engine_full_snapshot_20260411.json": DERIVED,
    "polymarket/series_worldcup2026.csv": DERIVED,
    "kalshi/cockpit_ws_orderbook_stream.json": SOCKET,
    "polymarket/nautilus_ws_book.json": SOCKET,
    "polymarket/nautilus_ws_last_trade_price.json": SOCKET,
    "polymarket/nautilus_ws_market_best_bid_ask_msg.json": SOCKET,
    "polymarket/nautilus_ws_market_new_market_msg.json": SOCKET,
    "polymarket/nautilus_ws_market_resolved_msg.json": SOCKET,
    "polymarket/nautilus_ws_price_change_v2.json": SOCKET,
    "polymarket/nautilus_ws_tick_size_change.json": SOCKET,
    "kalshi/golden_exchange_schedule_response.json": OTHER_ROUTE,
    "kalshi/golden_exchange_status_response.json": OTHER_ROUTE,
    "kalshi/golden_series_fee_changes_response.json": OTHER_ROUTE,
    "kalshi/golden_tags_by_categories_response.json": OTHER_ROUTE,
    "kalshi/golden_trades_list_response.json": OTHER_ROUTE,
    "polymarket/nautilus_data_api_trades_response.json": OTHER_ROUTE,
    "polymarket/nautilus_gamma_tags.json": OTHER_ROUTE,
}


def dumped(value: Any) -> bytes:
    """The bytes an exchange would send."""
    return json.dumps(value).encode()


def winners(document: Any) -> Counts:
    """CLOB markets, one by one or a page of them, as evidence."""
    records = document.get("data", [document])
    said = [polymarket_clob.parse_winner(dumped(one), one["condition_id"], None) for one in records]
    return _tally(said)


def rulings(document: Any) -> Counts:
    """Rows of the oracle, each as if its condition had been asked for."""
    body = dumped(document)
    return _tally([polymarket_data.parse_resolution(body, row["condition_id"], 0) for row in document["data"]])


def _tally(said: list[Evidence]) -> Counts:
    values = Counter(f"pays {one.value:g}" for one in said if one.value is not None)
    return dict(Counter(one.standing.value for one in said)) | values


def data_points(document: Any) -> Counts:
    """A page of the newer price history."""
    page = polymarket_data.parse_history(dumped(document))
    return {"points": len(page.points), "more": int(page.next_cursor is not None)}


def candles(document: Any) -> Counts:
    """Bars of every market in the file, through the shape of the route they came from."""
    points: list[HistoryPoint] = []
    for ticker, body in _candle_bodies(document):
        points += kalshi_history.parse_candles(body, ticker)
    assert {point.source for point in points} == {"kalshi-candlesticks"}
    return {
        "bars": len(points),
        "without_trade": sum(point.price is None for point in points),
        "one_sided": sum((point.bid is None) != (point.ask is None) for point in points),
        "empty": sum(point.bid is None and point.ask is None for point in points),
    }


def _candle_bodies(document: Any) -> Iterator[tuple[str, bytes]]:
    if "response" in document:
        for market in document["response"]["markets"]:
            yield market["market_ticker"], dumped(document["response"])
        return
    for ticker, market in document.get("markets", document).items():
        bars = market.get("candlesticks", market.get("candles"))
        yield ticker, dumped({"ticker": ticker, "candlesticks": bars})


def kalshi_levels(document: Any) -> Counts:
    """Levels of every book in the file."""
    books = document if isinstance(document, list) else [document.get("response", document)]
    return _levels([kalshi_book.parse_book(dumped(one), "kalshi:K", NOON) for one in books])


def clob_levels(document: Any) -> Counts:
    """Levels of a CLOB book."""
    return _levels([polymarket_clob.parse_book(dumped(document), "polymarket:0x1", NOON)])


def _levels(books: list[Book]) -> Counts:
    for book in books:
        assert all(isinstance(level.size, Decimal) for level in (*book.bids, *book.asks))
        if book.bids and book.asks:
            assert book.bids[0].price < book.asks[0].price  # best first on both sides, and not crossed
    return {
        "books": len(books),
        "bids": sum(len(book.bids) for book in books),
        "asks": sum(len(book.asks) for book in books),
    }


def fees(document: Any) -> Counts:
    """Fee terms of every series in the file."""
    if "payloads" in document:
        pages = [kalshi_series.parse_fees(dumped(one), NOON) for one in document["payloads"].values()]
    else:
        pages = [kalshi_series.parse_fees(dumped({"series": document.get("response", document)["series"]}), NOON)]
    read = [one for page in pages for one in page.fees]
    halves = sum(one.fee_multiplier == Decimal("0.5") for one in read)
    return {"series": len(read), "half": halves, "rejects": sum(page.n_rejected for page in pages)}


READ: dict[str, tuple[Callable[[Any], Counts], Counts]] = {
    "polymarket/clob_markets_page_2025-05.json": (
        winners,
        {"trading": 11, "silent": 94, "final": 45, "pays 0": 27, "pays 0.5": 3, "pays 1": 15},
    ),
    "polymarket/nautilus_clob_market_closed_binary_accepting_true.json": (winners, {"final": 1, "pays 1": 1}),
    "polymarket/nautilus_clob_book_response.json": (clob_levels, {"books": 1, "bids": 3, "asks": 3}),
    "polymarket/datav2_resolutions_pending.json": (rulings, {"disputed": 1, "pending": 1}),
    "polymarket/datav2_resolutions_resolved.json": (rulings, {"final": 1, "pays 1": 1}),
    "polymarket/datav2_prices_history.json": (data_points, {"points": 2, "more": 1}),
    "kalshi/candles_hourly_three_markets_2026.json": (
        candles,
        {"bars": 1024, "without_trade": 765, "one_sided": 1, "empty": 1},  # of 1,025: one bar says nothing at all
    ),
    "kalshi/cockpit_candlesticks_mlb.json": (
        candles,
        {"bars": 48, "without_trade": 2, "one_sided": 0, "empty": 0},
    ),
    "kalshi/golden_candlesticks_batch_response.json": (
        candles,
        {"bars": 90, "without_trade": 22, "one_sided": 0, "empty": 0},
    ),
    "kalshi/cockpit_combo_orderbooks.json": (kalshi_levels, {"books": 20, "bids": 0, "asks": 17}),
    "kalshi/golden_orderbook_response.json": (kalshi_levels, {"books": 1, "bids": 0, "asks": 0}),
    "kalshi/orderbook_btc_20260426.json": (kalshi_levels, {"books": 1, "bids": 0, "asks": 33}),
    "kalshi/orderbook_soccer_2026-03.json": (kalshi_levels, {"books": 1, "bids": 18, "asks": 33}),
    "kalshi/cockpit_series_fee_fields.json": (fees, {"series": 4, "half": 2, "rejects": 0}),
    "kalshi/golden_series_list_response.json": (fees, {"series": 241, "half": 0, "rejects": 0}),
    "kalshi/series_events_markets_crypto_2026.json": (fees, {"series": 4, "half": 0, "rejects": 0}),
}


@pytest.mark.parametrize("name", READ)
def test_a_recorded_answer_is_read_with_its_meaning(recordings: Path, name: str) -> None:
    """Nothing lost, nothing invented, in any generation of either format."""
    read, expected = READ[name]
    assert read(json.loads((recordings / name).read_bytes())) == expected


def test_every_recorded_file_has_its_place(recordings: Path) -> None:
    """Read as a page, read as an answer about a market, or named with the reason why not."""
    files = {f"{path.parent.name}/{path.name}" for path in recordings.glob("*/*") if path.parent.name != "matching"}
    assert files == {f"{name}.json" for name in EXPECTED} | READ.keys() | NOT_READ.keys()


def test_no_bar_of_the_recordings_takes_a_price_from_before(recordings: Path) -> None:
    """A quiet bar holds only "previous": taken for a trade it would make a market look alive for weeks."""
    document = json.loads((recordings / "kalshi/candles_hourly_three_markets_2026.json").read_bytes())
    for ticker, market in document.items():
        points = kalshi_history.parse_candles(dumped({"ticker": ticker, "candlesticks": market["candles"]}), ticker)
        traded = {point.at.timestamp() for point in points if point.price is not None}
        assert traded == {bar["end_period_ts"] for bar in market["candles"] if "close_dollars" in bar["price"]}


def test_the_placeholder_of_a_real_series_is_dropped(recordings: Path) -> None:
    """Daily series of 2023 begin at one half for weeks before anybody traded."""
    series = json.loads((recordings / "polymarket/prices_daily_geopolitics.json").read_bytes())
    n_cut = 0
    for one in series:
        points = [HistoryPoint(at=NOON, source="x", price=price) for _, price in one["prices"]]
        kept = without_leading_placeholder(points)
        n_cut += len(kept) < len(points)
        assert not kept or kept[0].price != 0.5
    assert n_cut > 0


def test_the_pending_rows_say_nothing_about_the_payout(recordings: Path) -> None:
    """Their prices are 1e18 for the proposal and "69" for unset: neither is a value."""
    body = (recordings / "polymarket/datav2_resolutions_pending.json").read_bytes()
    for row in json.loads(body)["data"]:
        assert polymarket_data.parse_resolution(body, row["condition_id"], 0).value is None
    assert polymarket_data.parse_resolution(body, "0xother", 0).standing is Standing.SILENT
