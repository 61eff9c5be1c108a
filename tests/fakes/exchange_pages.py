"""One valid wire record of each venue and the page around it; a test changes the field it is about, and reads it.

Law: the records are as small as the readers allow, and every value differs from its neighbours, so that a mix-up shows.
"""

import json
from collections.abc import Callable
from typing import Any

from agent.venues import kalshi, polymarket
from agent.venues.base import Page
from sync.records import Market, Quote
from tests.factories import NOON

Json = dict[str, Any]
PageOf = Callable[..., Page]

GAMMA_MARKET: Json = {
    "id": "507869",
    "question": "Will the Clippers win?",
    "conditionId": "0x4e2d",
    "outcomes": '["Yes", "No"]',
    "outcomePrices": '["0.42", "0.58"]',
    "clobTokenIds": '["53324254455450563344400636027576535376151041372106632125382807757609541279524", "12"]',
    "bestBid": 0.41,
    "bestAsk": 0.43,
    "lastTradePrice": 0.425,
    "volume24hr": 1200.5,
    "liquidityNum": 9000,
    "orderPriceMinTickSize": 0.001,
    "startDate": "2024-09-24T17:34:01.17Z",
    "endDate": "2025-06-23T12:00:00Z",
    "active": True,
    "closed": False,
    "acceptingOrders": True,
    "enableOrderBook": True,
    "negRisk": True,
    "feesEnabled": True,
    "feeType": "sports_fees_v2",
    "feeSchedule": {"exponent": 1, "rate": 0.05, "takerOnly": True, "rebateRate": 0.15},
    "groupItemTitle": "Clippers ",
    "description": "Resolves to “Yes” if they win.\n\nElse to “No”.",
}
GAMMA_EVENT: Json = {
    "id": "12815",
    "slug": "champion-2025",
    "title": "Champion",
    "negRisk": True,
    "negRiskAugmented": False,
    "tags": [{"id": "745", "label": "NBA", "slug": "nba"}, {"id": "1", "label": "Sports", "slug": "sports"}],
}
KALSHI_MARKET: Json = {
    "ticker": "KXNBA-27-ATL",
    "event_ticker": "KXNBA-27",
    "title": "Will Atlanta win?",
    "yes_sub_title": "Atlanta",
    "status": "active",
    "yes_bid_dollars": "0.4100",
    "yes_ask_dollars": "0.4300",
    "last_price_dollars": "0.4250",
    "volume_24h_fp": "1963.89",
    "open_interest_fp": "245360.23",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
    "open_time": "2026-06-14T08:00:00Z",
    "close_time": "2029-07-30T14:00:00Z",
    "expected_expiration_time": "2027-07-31T14:00:00Z",
    "strike_type": "between",
    "floor_strike": 3.5,
    "cap_strike": 4.25,
    "result": "",
    "rules_primary": "If Atlanta wins, Yes.",
    "rules_secondary": "Not affiliated.",
}
KALSHI_EVENT: Json = {
    "event_ticker": "KXNBA-27",
    "series_ticker": "KXNBA",
    "title": "2027 Champion",
    "category": "Sports",
    "mutually_exclusive": True,
}
ABSENT = object()  # as a value: the field is not there


def gamma_page(*markets: Json, event: Json | None = None) -> Page:
    """One event with these markets, read."""
    whole = _overlaid(GAMMA_EVENT, event or {}) | {"markets": [_overlaid(GAMMA_MARKET, over) for over in markets]}
    return polymarket.parse_page(json.dumps({"events": [whole]}).encode(), NOON)


def kalshi_page(*markets: Json, event: Json | None = None) -> Page:
    """One event with these markets, read."""
    whole = _overlaid(KALSHI_EVENT, event or {}) | {"markets": [_overlaid(KALSHI_MARKET, over) for over in markets]}
    return kalshi.parse_page(json.dumps({"events": [whole], "cursor": ""}).encode(), NOON)


def only_market(page: Page) -> Market:
    """The one market of a page that has nothing else on it."""
    assert not page.rejects, page.rejects
    (market,) = page.markets
    return market


def only_quote(page: Page) -> Quote:
    """The one quote of a page that has nothing else on it."""
    assert not page.rejects, page.rejects
    (quote,) = page.quotes
    return quote


def _overlaid(record: Json, over: Json) -> Json:
    return {name: value for name, value in (record | over).items() if value is not ABSENT}
