"""Polymarket's wire format, trap by trap (facts: exchanges.md section 1)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.venues import polymarket
from sync.records import MarketStatus, Resolution, Venue
from tests.factories import NOON
from tests.fakes.exchange_pages import ABSENT, GAMMA_EVENT, GAMMA_MARKET, gamma_page, only_market, only_quote


def test_a_market_comes_out_with_everything_the_venue_says() -> None:
    """The plain case, field by field: a mix-up of two fields shows here."""
    page = gamma_page({})
    market, quote = only_market(page), only_quote(page)
    assert (market.market_key, market.venue, market.venue_market_id) == (
        "polymarket:0x4e2d",
        Venue.POLYMARKET,
        "0x4e2d",
    )
    assert (market.title, market.proposition, market.event_title) == ("Will the Clippers win?", "Clippers", "Champion")
    assert (market.event_id, market.category, market.tick_size) == ("12815", "Sports", 0.001)
    assert market.url == "https://polymarket.com/event/champion-2025"
    assert (market.mutually_exclusive, market.open_set) == (True, False)
    assert market.outcome_labels == ("Yes", "No")
    assert market.rules_text == "Resolves to “Yes” if they win.\n\nElse to “No”."
    assert market.open_time == datetime(2024, 9, 24, 17, 34, 1, 170_000, UTC)
    assert market.close_time == datetime(2025, 6, 23, 12, tzinfo=UTC)
    assert (market.status, market.resolution, market.fetched_at) == (MarketStatus.OPEN, None, NOON)
    assert (quote.bid, quote.ask, quote.mid, quote.last_price) == (0.41, 0.43, 0.42, 0.425)
    assert (quote.volume_24h, quote.liquidity_usd, quote.open_interest) == (1200.5, 9000.0, None)
    assert quote.market_key == market.market_key


def test_token_ids_keep_all_their_digits() -> None:
    """Seventy-odd digits overflow 64 bits and doubles: they are text from end to end."""
    token = "53324254455450563344400636027576535376151041372106632125382807757609541279524"
    assert only_market(gamma_page({})).token_ids == (token, "12")


@pytest.mark.parametrize("tokens", ['["1\\u0000", "2"]', "[1, 2]", "7", "{", '["a b"]'])
def test_token_ids_that_cannot_be_some_are_refused(tokens: str) -> None:
    """They end up in addresses of the order book."""
    (reject,) = gamma_page({"clobTokenIds": tokens}).rejects
    assert reject.reason.startswith("clobTokenIds: ")


@pytest.mark.parametrize("labels", [["No", "Yes"], ["NO", "YES"], ["no", "yes"]])
def test_quotes_are_turned_where_yes_stands_second(labels: list[str]) -> None:
    """bestBid and bestAsk speak of the first outcome, ours of YES."""
    quote = only_quote(gamma_page({"outcomes": json.dumps(labels), "bestBid": 0.7, "bestAsk": 0.73}))
    assert (quote.bid, quote.ask, quote.mid, quote.last_price) == (0.27, 0.3, 0.285, 0.575)


def test_an_empty_side_stays_empty_when_the_quote_is_turned() -> None:
    """The complement of "nobody bids" is "nobody asks", not 1."""
    quote = only_quote(gamma_page({"outcomes": '["No", "Yes"]', "bestBid": ABSENT, "bestAsk": 0.73}))
    assert (quote.bid, quote.ask, quote.mid) == (0.27, None, None)


def test_a_two_team_market_speaks_of_its_first_team() -> None:
    """Without a Yes there is still one book: that of the first outcome."""
    page = gamma_page({"outcomes": '["Harbor", "Foxes"]', "bestBid": 0.2, "bestAsk": 0.22})
    assert only_market(page).outcome_labels == ("Harbor", "Foxes")
    assert only_quote(page).bid == 0.2


@pytest.mark.parametrize(
    ("over", "bid", "ask"),
    [
        ({"bestBid": ABSENT}, None, 0.43),
        ({"bestBid": 0}, None, 0.43),
        ({"bestBid": None}, None, 0.43),
        ({"bestAsk": 1}, 0.41, None),
        ({"bestAsk": ABSENT}, 0.41, None),
        ({"bestBid": ABSENT, "bestAsk": 1}, None, None),
    ],
)
def test_an_empty_side_is_none(over: dict[str, Any], bid: float | None, ask: float | None) -> None:
    """Nobody bidding is not a bid of 0, and an ask of 1 is nobody offering."""
    quote = only_quote(gamma_page(over))
    assert (quote.bid, quote.ask, quote.mid) == (bid, ask, None)


@pytest.mark.parametrize("name", ["volume24hr", "liquidityNum", "lastTradePrice"])
def test_a_missing_number_is_none_and_not_zero(name: str) -> None:
    """Missing means "not computed"."""
    quote = only_quote(gamma_page({name: ABSENT}))
    assert {"volume24hr": quote.volume_24h, "liquidityNum": quote.liquidity_usd}.get(name, quote.last_price) is None


def test_a_last_price_of_zero_means_never_traded() -> None:
    """Gamma sends 0 from the first day on."""
    assert only_quote(gamma_page({"lastTradePrice": 0})).last_price is None


def test_numbers_may_come_as_text() -> None:
    """`volume` and `liquidity` already do; the others may follow any month."""
    quote = only_quote(gamma_page({"bestBid": "0.41", "bestAsk": "0.43", "volume24hr": "1200.5", "liquidityNum": 7}))
    assert (quote.mid, quote.volume_24h, quote.liquidity_usd) == (0.42, 1200.5, 7.0)


def test_lists_may_come_as_lists() -> None:
    """A list in a string is odd enough that somebody may mend it."""
    over = {"outcomes": ["No", "Yes"], "outcomePrices": ["0.1", 0.9], "clobTokenIds": ["1", "2"]}
    market = only_market(gamma_page(over))
    assert (market.outcome_labels, market.token_ids) == (("No", "Yes"), ("1", "2"))


@pytest.mark.parametrize("over", [{"active": False}, {"outcomePrices": ABSENT}, {"outcomePrices": "[]"}])
def test_a_leg_without_prices_is_unopened_and_has_no_quote(over: dict[str, Any]) -> None:
    """Placeholder legs stand among the others with an ask of 1."""
    page = gamma_page(over | {"bestBid": ABSENT, "bestAsk": 1})
    assert only_market(page).status is MarketStatus.UNOPENED
    assert page.quotes == []


@pytest.mark.parametrize("flag", ["acceptingOrders", "enableOrderBook"])
def test_a_market_that_takes_no_orders_is_paused_and_keeps_its_quote(flag: str) -> None:
    """`active` alone stays true through pauses."""
    page = gamma_page({flag: False})
    assert only_market(page).status is MarketStatus.PAUSED
    assert only_quote(page).mid == 0.42


@pytest.mark.parametrize(
    ("prices", "uma", "status", "resolution", "value"),
    [
        ('["1", "0"]', "resolved", MarketStatus.RESOLVED, Resolution.YES, 1.0),
        ('["0", "1"]', "settled", MarketStatus.RESOLVED, Resolution.NO, 0.0),
        ('["0", "1"]', ABSENT, MarketStatus.RESOLVED, Resolution.NO, 0.0),
        ('["0.5", "0.5"]', "resolved", MarketStatus.RESOLVED, Resolution.VOID, 0.5),
        ('["0.497", "0.503"]', "resolved", MarketStatus.RESOLVED, Resolution.VOID, 0.5),
        ('["0", "0"]', ABSENT, MarketStatus.CLOSED, Resolution.UNKNOWN, None),
        ('["0.0000010110820525", "0.9999989889"]', ABSENT, MarketStatus.CLOSED, Resolution.UNKNOWN, None),
        (ABSENT, ABSENT, MarketStatus.CLOSED, Resolution.UNKNOWN, None),
        ('["1", "0"]', "proposed", MarketStatus.CLOSED, None, None),
        ('["1", "0"]', "requested", MarketStatus.CLOSED, None, None),
        ('["1", "0"]', "disputed", MarketStatus.CLOSED, Resolution.DISPUTED, None),
    ],
)
def test_a_closed_market_is_decided_only_by_payouts_or_uma(
    prices: object, uma: object, status: MarketStatus, resolution: Resolution | None, value: float | None
) -> None:
    """`closed` is not an answer, and a price pinned to a proposal can still turn round."""
    page = gamma_page({"closed": True, "outcomePrices": prices, "umaResolutionStatus": uma})
    market = only_market(page)
    assert (market.status, market.resolution, market.resolution_value) == (status, resolution, value)
    assert page.quotes == []


def test_payouts_are_read_for_yes_wherever_it_stands() -> None:
    """With ["No", "Yes"] the payout of YES is the second one."""
    over = {
        "closed": True,
        "outcomes": '["No", "Yes"]',
        "outcomePrices": '["0", "1"]',
        "umaResolutionStatus": "resolved",
    }
    assert only_market(gamma_page(over)).resolution is Resolution.YES


def test_a_pinned_price_is_no_resolution_while_trading_goes_on() -> None:
    """0.9995 is somebody's opinion."""
    over = {"outcomePrices": '["1", "0"]', "bestBid": 0.999, "bestAsk": 1, "umaResolutionStatus": "proposed"}
    market = only_market(gamma_page(over))
    assert (market.status, market.resolution) == (MarketStatus.OPEN, None)


def test_a_dispute_is_told_while_trading_goes_on() -> None:
    """It is the venue's word, and the status still says that the book is open."""
    market = only_market(gamma_page({"umaResolutionStatus": "disputed"}))
    assert (market.status, market.resolution) == (MarketStatus.OPEN, Resolution.DISPUTED)


def test_payouts_that_do_not_fit_the_outcomes_are_refused() -> None:
    """Three payouts for two names cannot be attributed."""
    page = gamma_page({"closed": True, "outcomePrices": '["0", "0", "1"]'})
    assert [reject.reason for reject in page.rejects] == ["outcomePrices: 3 for 2 outcomes"]


def test_a_market_of_the_archive_with_three_outcomes_resolves() -> None:
    """They exist from 2021; YES speaks of the first."""
    over = {"closed": True, "outcomes": '["A", "B", "C"]', "outcomePrices": '["0", "0", "1"]'}
    assert only_market(gamma_page(over)).resolution is Resolution.NO


def test_the_old_time_format_is_read_as_utc() -> None:
    """closedTime has a blank for the T and a zone of two digits."""
    market = only_market(gamma_page({"closed": True, "closedTime": "2020-11-02 16:31:01+00"}))
    assert market.closed_time == datetime(2020, 11, 2, 16, 31, 1, tzinfo=UTC)


@pytest.mark.parametrize("condition_id", ["", ABSENT, None])
def test_a_market_without_condition_id_is_known_by_its_gamma_id(condition_id: object) -> None:
    """Old rows have an empty one."""
    assert only_market(gamma_page({"conditionId": condition_id})).market_key == "polymarket:507869"


def test_an_augmented_event_says_that_legs_may_still_come() -> None:
    """Its visible legs may sum below one without any arbitrage."""
    assert only_market(gamma_page({}, event={"negRiskAugmented": True})).open_set is True


@pytest.mark.parametrize(
    ("tags", "category"),
    [
        ([{"label": "All", "slug": "all"}, {"label": "Politics", "slug": "politics"}], "Politics"),
        ([{"label": "Curling", "slug": "curling"}], "Curling"),
        ([], None),
        (None, None),
    ],
)
def test_the_category_is_the_first_topic_among_the_tags(tags: object, category: str | None) -> None:
    """Tags are many and loosely curated."""
    assert only_market(gamma_page({}, event={"tags": tags})).category == category


def test_a_bare_market_takes_its_event_from_the_shallow_parent() -> None:
    """/markets/keyset nests the other way round."""
    body = json.dumps({"markets": [GAMMA_MARKET | {"events": [GAMMA_EVENT]}], "next_cursor": "abc"}).encode()
    page = polymarket.parse_page(body, NOON)
    assert (only_market(page).event_title, page.next_cursor, page.n_records) == ("Champion", "abc", 1)


def test_a_slug_cannot_leave_the_path_of_the_url() -> None:
    """Slugs are the venue's text and end up in a link."""
    url = only_market(gamma_page({}, event={"slug": '../x"><script>?a=b'})).url
    assert url == "https://polymarket.com/event/..%2Fx%22%3E%3Cscript%3E%3Fa%3Db"
