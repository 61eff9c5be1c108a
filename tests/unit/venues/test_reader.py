"""What cannot be read costs itself and nothing else, at either venue."""

import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any

import pytest

from agent.errors import VenueDataError
from agent.venues import kalshi, polymarket
from agent.venues.base import Page
from tests.factories import NOON
from tests.fakes.exchange_pages import PageOf, gamma_page, kalshi_page

Parse = Callable[[bytes, datetime], Page]
BOTH_PARSERS = pytest.mark.parametrize("parse", [polymarket.parse_page, kalshi.parse_page])
BOTH_PAGES = pytest.mark.parametrize(
    ("page_of", "ask"), [(gamma_page, "bestAsk"), (kalshi_page, "yes_ask_dollars")], ids=["polymarket", "kalshi"]
)
TITLE = {gamma_page: "question", kalshi_page: "title"}
IDENT = {gamma_page: "conditionId", kalshi_page: "ticker"}
VOLUME = {gamma_page: "volume24hr", kalshi_page: "volume_24h_fp"}
CLOSE = {gamma_page: "endDate", kalshi_page: "close_time"}


@BOTH_PAGES
@pytest.mark.parametrize(
    "price", [1.5, -0.01, "NaN", "Infinity", "1e400", "-inf", "ten", "1.0000001", True, [0.5], {"value": "0.5"}]
)
def test_a_price_that_is_none_rejects_its_record_and_no_other(page_of: PageOf, ask: str, price: object) -> None:
    """Never clamped, never zero: kept by hash with the reason, while the neighbours go through."""
    page = page_of({IDENT[page_of]: "first"}, {ask: price}, {IDENT[page_of]: "third"})
    assert [market.venue_market_id for market in page.markets] == ["first", "third"]
    assert len(page.quotes) == 2
    (reject,) = page.rejects
    assert page.n_records == 3
    assert ask.removesuffix("_dollars") in reject.reason
    assert reject.path == "$.events[0].markets[1]"
    assert json.loads(reject.body)[ask] == price
    assert reject.digest == sha256(reject.body).hexdigest()


@BOTH_PAGES
def test_a_number_too_large_for_a_float_rejects_its_record(page_of: PageOf, ask: str) -> None:
    """1e400 is valid JSON and infinity to most readers."""
    parse = polymarket.parse_page if page_of is gamma_page else kalshi.parse_page
    record = b'{"ticker":"A","conditionId":"A","title":"t","question":"t","status":"active","%s":1e400}' % ask.encode()
    page = parse(b'{"events":[{"markets":[' + record + b"]}]}", NOON)
    assert (len(page.rejects), page.markets, page.n_records) == (1, [], 1)


@BOTH_PAGES
@pytest.mark.parametrize("amount", [-1, "NaN", "Infinity", "-0.01", "many", "1e400"])
def test_an_amount_that_is_none_rejects_its_record(page_of: PageOf, ask: str, amount: object) -> None:
    """A volume of infinity would win every ranking."""
    (reject,) = page_of({VOLUME[page_of]: amount}).rejects
    assert reject.reason.startswith("volume")


@BOTH_PAGES
@pytest.mark.parametrize("time", ["soon", "2025-13-01T00:00:00Z", "99999-01-01T00:00:00Z", 1_750_000_000])
def test_a_time_that_cannot_be_read_rejects_its_record(page_of: PageOf, ask: str, time: object) -> None:
    """A missing close time is None; a broken one is a change of format."""
    page = page_of({CLOSE[page_of]: time})
    assert len(page.rejects) == 1


@BOTH_PAGES
def test_the_year_one_means_no_time(page_of: PageOf, ask: str) -> None:
    """Servers written in Go send their zero time for "none"."""
    page = page_of({CLOSE[page_of]: "0001-01-01T00:00:00Z"})
    assert [market.close_time for market in page.markets] == [None]


@BOTH_PAGES
@pytest.mark.parametrize("record", [None, 7, "text", [], {}])
def test_a_record_that_is_no_market_is_rejected(page_of: PageOf, ask: str, record: object) -> None:
    """Whatever stands in the list of markets is counted."""
    parse = polymarket.parse_page if page_of is gamma_page else kalshi.parse_page
    page = parse(
        json.dumps({"events": [{"title": "no market title to fall back on", "markets": [record]}]}).encode(), NOON
    )
    assert (page.n_records, len(page.rejects), page.markets) == (1, 1, [])


@BOTH_PAGES
def test_markets_of_an_unreadable_event_are_kept_without_it(page_of: PageOf, ask: str) -> None:
    """A changed field of the event must not cost its twenty markets."""
    page = page_of({}, event={"title": {"en": "Champion"}})
    (market,) = page.markets
    assert (market.event_title, market.category) == (None, None)
    assert [reject.path for reject in page.rejects] == ["$.events[0]"]
    assert page.n_records == 1


@BOTH_PARSERS
@pytest.mark.parametrize("events", [None, 7, "text", {"markets": 5}])
def test_an_event_that_is_no_event_is_rejected(parse: Parse, events: object) -> None:
    """The page goes on behind it."""
    page = parse(json.dumps({"events": [events]}).encode(), NOON)
    assert (len(page.rejects), page.n_records) == (1, 0)


@BOTH_PARSERS
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"7", b'{"error":"x"}', b'{"events":5}', b'{"events":[NaN]}', b"<html>", b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_page_is_a_named_error(parse: Parse, body: bytes) -> None:
    """An error object with status 200 must not pass for an empty exchange."""
    with pytest.raises(VenueDataError):
        parse(body, NOON)


@BOTH_PARSERS
@pytest.mark.parametrize("body", [b'{"events":null}', b'{"events":[]}', b'{"markets":[]}'])
def test_an_empty_page_is_a_page(parse: Parse, body: bytes) -> None:
    """Short and empty pages happen in the middle of a listing."""
    assert parse(body, NOON).n_records == 0


@BOTH_PAGES
def test_nesting_without_end_is_a_named_error(page_of: PageOf, ask: str) -> None:
    """A decoder without a depth limit would take the process with it."""
    parse = polymarket.parse_page if page_of is gamma_page else kalshi.parse_page
    deep = b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    with pytest.raises(VenueDataError):
        parse(b'{"events":[{"markets":[' + deep + b"]}]}", NOON)


@BOTH_PAGES
def test_control_characters_leave_titles_and_rules(page_of: PageOf, ask: str) -> None:
    """PostgreSQL cannot store NUL, and a terminal obeys escape sequences."""
    rules = "description" if page_of is gamma_page else "rules_primary"
    page = page_of({TITLE[page_of]: "A\x00B\x1b[2J\u202eC\n D", rules: "x\x00y\x07\tz\n\x7fw\ufeff"})
    (market,) = page.markets
    assert market.title == "A B [2J C D"
    assert market.rules_text is not None
    assert market.rules_text.startswith("xy\tz\nw")


@BOTH_PARSERS
def test_delete_leaves_the_rules_though_json_need_not_escape_it(parse: Parse) -> None:
    """The one control character that may stand in JSON as it is."""
    record = b'{"ticker":"A","conditionId":"A","status":"active","title":"t","question":"t"'
    texts = b',"description":"a\x7fb","rules_primary":"a\x7fb"}'
    (market,) = parse(b'{"events":[{"markets":[' + record + texts + b"]}]}", NOON).markets
    assert market.rules_text == "ab"


@BOTH_PAGES
def test_texts_have_a_longest_length(page_of: PageOf, ask: str) -> None:
    """Every text ends up in a prompt, a row and a page."""
    rules = "description" if page_of is gamma_page else "rules_primary"
    (market,) = page_of({TITLE[page_of]: "t" * 10_000, rules: "r" * 1_000_000}).markets
    assert (len(market.title), len(market.rules_text or "")) == (500, 20_000)


@BOTH_PAGES
@pytest.mark.parametrize("ident", ["x" * 201, "a b", "a\x00b", "a\nb"])
def test_an_id_that_cannot_be_one_rejects_its_record(page_of: PageOf, ask: str, ident: str) -> None:
    """Ids become keys, paths and log fields."""
    assert len(page_of({IDENT[page_of]: ident}).rejects) == 1


@BOTH_PARSERS
def test_half_a_surrogate_pair_costs_one_character(parse: Parse) -> None:
    """The decoder refuses the page for it: one hostile title would hide 1,500 markets."""
    record: dict[str, Any] = {"ticker": "A", "conditionId": "A", "status": "active"}
    title = rb'"title":"cut \ud83d off, whole \ud83d\ude00, escaped \\ud83d","question":"cut \ud83d off, whole \ud83d\ude00, escaped \\ud83d"'
    body = b'{"events":[{"markets":[' + json.dumps(record).encode()[:-1] + b"," + title + b"}]}]}"
    (market,) = parse(body, NOON).markets
    assert market.title == "cut \ufffd off, whole \U0001f600, escaped \\ud83d"


@BOTH_PARSERS
def test_broken_utf8_costs_one_character(parse: Parse) -> None:
    """A byte out of place is not worth a page."""
    record = b'{"ticker":"A","conditionId":"A","status":"active","title":"caf\xe9","question":"caf\xe9"}'
    (market,) = parse(b'{"events":[{"markets":[' + record + b"]}]}", NOON).markets
    assert market.title == "caf\ufffd"
