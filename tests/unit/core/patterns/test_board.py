"""What no detector may look at: books nobody trades, books nobody saw lately, markets that are over."""

from datetime import timedelta

import pytest

from agent.core.patterns.base import Board, Guard, Listing
from agent.core.patterns.registry import BUILT_IN, findings
from sync.records import MarketStatus
from tests.factories import NOON, make_market, make_quote
from tests.unit.core.patterns.made import History, history, legs

JUMP = [0.40] * 6 + [0.60]


def names(*histories, now=NOON, **board):
    return {finding.detector for finding in findings(Board(histories, now, **board), BUILT_IN)}


def test_a_live_market_is_looked_at():
    """Else the refusals below would prove nothing."""
    assert "price_jump" in names(history(mids=JUMP))


def test_a_book_nobody_saw_lately_is_not_looked_at():
    """An hour and a half without a row: the heartbeat would have come."""
    late = NOON + timedelta(minutes=91)

    assert names(history(mids=JUMP), now=late) == set()
    assert "price_jump" in names(history(mids=JUMP), now=late, guard=Guard(max_age_min=120))


@pytest.mark.parametrize("status", [status for status in MarketStatus if status is not MarketStatus.OPEN])
def test_a_market_that_does_not_trade_is_not_looked_at(status):
    """Its last book is history."""
    assert names(history(mids=JUMP, status=status)) == set()


@pytest.mark.parametrize(
    ("numbers", "liquid"),
    [
        ({"volume_24h": 100.0}, True),
        ({"volume_24h": 99.0}, False),
        ({"liquidity_usd": 500.0}, True),
        ({"liquidity_usd": 499.0, "open_interest": 499.0}, False),
        ({"open_interest": 500.0}, True),
        ({}, False),  # a number nobody gave speaks for nobody
    ],
)
def test_a_book_nobody_trades_is_not_looked_at(numbers, liquid):
    """One of the venue's numbers must be high enough; a missing one is not zero and not enough."""
    quote = make_quote(**{"volume_24h": None, "liquidity_usd": None, "open_interest": None} | numbers)

    assert bool(Board([History(make_market(), [quote])], NOON).live) is liquid


def test_an_event_knows_its_unseen_legs_without_the_store():
    """A board alone already counts the legs it could not show."""
    seen, old = legs([0.5], [0.4]), legs([0.3, 0.3], event="1")[0]
    stale = History(old.market, [make_quote(fetched_at=NOON - timedelta(hours=5))])

    (whole,), (torn,) = Board(seen, NOON).events, Board([*seen, _renamed(stale)], NOON).events

    assert whole.complete
    assert not torn.complete
    assert torn.listing == Listing(n_open=3)


def _renamed(leg):
    return History(make_market(market_key="polymarket:0x19", event_id="1"), leg.quotes)
