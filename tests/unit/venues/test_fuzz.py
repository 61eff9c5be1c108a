"""Whatever a venue sends: a record, a counted drop, a kept reject or a named error, and never anything else."""

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import VenueDataError
from agent.venues import kalshi, polymarket
from agent.venues.base import Page
from tests.factories import NOON
from tests.fakes.exchange_pages import GAMMA_EVENT, GAMMA_MARKET, KALSHI_EVENT, KALSHI_MARKET, Json

VENUES = [(polymarket.parse_page, GAMMA_EVENT, GAMMA_MARKET), (kalshi.parse_page, KALSHI_EVENT, KALSHI_MARKET)]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["", "0", "1", "0.5", "NaN", "1e400", "yes", "resolved", "disputed", "finalized", '["1","0"]'])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@st.composite
def mutated(draw: st.DrawFn, record: Json) -> Json:
    """The record with some fields changed and some gone."""
    names = st.sampled_from(sorted(record | {"result": 0, "umaResolutionStatus": 0, "yes_bid": 0, "events": 0}))
    changed = draw(st.dictionaries(names, VALUES, max_size=4))
    gone = draw(st.sets(names, max_size=3))
    return {name: value for name, value in (record | changed).items() if name not in gone}


def check(page: Page) -> None:
    """What every page promises."""
    n_dropped = sum(page.n_dropped.values())
    n_rejected = sum(".markets[" in reject.path for reject in page.rejects)
    assert page.n_records == len(page.markets) + n_dropped + n_rejected
    assert {quote.market_key for quote in page.quotes} <= {market.market_key for market in page.markets}
    for quote in page.quotes:
        for price in (quote.bid, quote.ask, quote.last_price, quote.mid):
            assert price is None or 0 < price <= 1
        for amount in (quote.volume_24h, quote.open_interest, quote.liquidity_usd):
            assert amount is None or (math.isfinite(amount) and amount >= 0)
    for market in page.markets:
        texts = (market.title, market.rules_text, market.event_title, *market.outcome_labels, *market.token_ids)
        assert not any("\x00" in text for text in texts if text)
        assert market.resolution_value is None or 0 <= market.resolution_value <= 1
        assert all(strike is None or math.isfinite(strike) for strike in (market.floor_strike, market.cap_strike))
        assert market.fees is None or market.fees.rate is None or 0 <= market.fees.rate <= 1
        for moment in (market.open_time, market.close_time, market.expected_time, market.closed_time):
            assert moment is None or moment.utcoffset() is not None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_fields_never_break_a_page(data: st.DataObject) -> None:
    """A format that drifts costs records, one by one and counted."""
    for parse, event, market in VENUES:
        markets = data.draw(st.lists(mutated(market), max_size=3))
        page = parse(json.dumps({"events": [data.draw(mutated(event)) | {"markets": markets}]}).encode(), NOON)
        assert page.n_records == len(markets)
        check(page)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from(["events", "markets", "x"]))
def test_any_document_is_a_page_or_a_named_error(value: Any, name: str) -> None:
    """The server may answer anything that is JSON."""
    for parse, _, _ in VENUES:
        for document in (value, {name: value}, {name: [value]}, {"events": [{"markets": value}]}):
            try:
                check(parse(json.dumps(document).encode(), NOON))
            except VenueDataError:
                continue


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_a_page_or_a_named_error(data: st.DataObject) -> None:
    """Cut short, or some bytes replaced: what a bad line leaves of a good answer."""
    for parse, event, market in VENUES:
        body = bytearray(json.dumps({"events": [event | {"markets": [market, market]}]}, ensure_ascii=False).encode())
        for index, byte in data.draw(
            st.dictionaries(st.integers(0, len(body) - 1), st.integers(0, 255), max_size=4)
        ).items():
            body[index] = byte
        try:
            check(parse(bytes(body[: data.draw(st.integers(0, len(body)))]), NOON))
        except VenueDataError:
            continue
