"""Each gate opens and closes where it should, says why in words, and in the stated order."""

from datetime import timedelta

import pytest

from agent.core.selection import PASSED, Question, Thresholds, decide, has_life
from sync.records import MarketStatus
from tests.factories import NOON, make_market, make_quote

DEFAULTS = Thresholds()
KALSHI = "kalshi:KXFED-26DEC"


def asked(question: Question, quote=..., thresholds=DEFAULTS, **market):
    """The decision about a market that passes everything unless something is changed."""
    made = make_market(**market)
    book = make_quote(market_key=made.market_key) if quote is ... else quote
    return decide(question, made, book, thresholds, NOON)


@pytest.mark.parametrize("question", Question)
def test_a_busy_narrow_open_market_is_worth_everything(question):
    """The gates must not close on what the project exists for."""
    decision = asked(question)

    assert (decision.chosen, decision.gate) == (True, PASSED)
    assert decision.reason


@pytest.mark.parametrize(
    ("change", "gate", "reason"),
    [
        ({"status": MarketStatus.PAUSED}, "status", "it is paused, not open"),
        ({"quote": None}, "sides", "no quote of it is stored"),
        ({"quote": make_quote(bid=None)}, "sides", "its book has no bid"),
        ({"quote": make_quote(bid=None, ask=None)}, "sides", "its book has no bid and no ask"),
        ({"category": "Sports", "thresholds": Thresholds(leave_out=frozenset({"sports"}))}, "category",
         "its category Sports is left out by the settings"),
        ({"close_time": NOON + timedelta(minutes=30)}, "time", "it ends in 0.5 h, sooner than 1 h"),
        ({"close_time": NOON - timedelta(days=1)}, "time", "its stated end, 2026-11-20 12:00 UTC, has passed"),
        ({"quote": make_quote(bid=0.30, ask=0.41)}, "spread", "its spread of 0.110 is wider than 0.1"),
        ({"quote": make_quote(volume_24h=99.0)}, "volume", "its volume of 24 h of 99 dollars is below 100"),
        ({"quote": make_quote(volume_24h=None)}, "volume", "its volume of 24 h is not told"),
        ({"quote": make_quote(liquidity_usd=100.0)}, "depth", "its liquidity of 100 dollars is below 500"),
        ({"market_key": KALSHI, "quote": make_quote(market_key=KALSHI, open_interest=12.0)}, "depth",
         "its open interest of 12 contracts is below 500"),
    ],
)  # fmt: skip
def test_the_gate_that_stopped_an_analysis_is_told(change, gate, reason):
    """ "Why not" is answered by the first gate, with the numbers of that moment."""
    decision = asked(Question.ANALYSE, **change)

    assert (decision.chosen, decision.gate, decision.reason) == (False, gate, reason)


def test_a_number_on_the_line_passes():
    """The settings say "at least" and "at most"."""
    quote = make_quote(bid=0.30, ask=0.40, volume_24h=100.0, liquidity_usd=500.0)

    assert asked(Question.ANALYSE, quote, close_time=NOON + timedelta(hours=1)).chosen


def test_depth_a_venue_does_not_tell_stops_nobody():
    """Kalshi tells no liquidity, and its open interest is missing on new markets."""
    assert asked(Question.ANALYSE, make_quote(liquidity_usd=None)).chosen


def test_the_first_closed_gate_is_the_answer():
    """A paused market with an empty book is paused."""
    decision = asked(Question.ANALYSE, make_quote(bid=None, volume_24h=0.0), status=MarketStatus.PAUSED)

    assert decision.gate == "status"


@pytest.mark.parametrize("name", ["polymarket:0xfed0", "0xfed0", "9001"])
def test_a_watched_market_passes_what_is_a_matter_of_taste(name):
    """By key, by the venue's own id or by its event."""
    watch = Thresholds(watch=frozenset({name}))
    dull = make_quote(bid=0.2, ask=0.6, volume_24h=0.0, liquidity_usd=0.0)

    assert asked(Question.ANALYSE, dull, watch).reason == "on the watch list"
    assert not asked(Question.ANALYSE, make_quote(ask=None), watch).chosen  # a one-sided book is nobody's taste


def test_dull_markets_are_predicted_too():
    """A record of busy markets alone would flatter the forecaster."""
    dull = make_quote(bid=0.2, ask=0.9, volume_24h=0.0, liquidity_usd=0.0)

    assert asked(Question.PREDICT, dull).chosen
    assert asked(Question.PREDICT, dull, Thresholds(predict_max_spread=0.5)).gate == "spread"
    assert asked(Question.PREDICT, dull, Thresholds(predict_min_volume_24h=1.0)).gate == "volume"


def test_a_market_nobody_touched_is_not_predicted():
    """There is no market price to hold a forecast against, and the cloud does not know it."""
    empty = make_quote(bid=None, ask=None, last_price=None, volume_24h=0.0)

    assert asked(Question.PREDICT, empty).gate == "life"
    assert asked(Question.PREDICT, None).reason == "nobody has quoted or traded it yet"


@pytest.mark.parametrize(
    ("over", "alive"),
    [
        ({"bid": None, "ask": None, "last_price": None, "volume_24h": None}, False),
        ({"bid": None, "ask": None, "last_price": None, "volume_24h": 0.0}, False),
        ({"bid": None, "ask": None, "last_price": None, "volume_24h": 3.0}, True),
        ({"bid": None, "ask": None, "last_price": 0.4, "volume_24h": None}, True),
        ({"bid": 0.4, "ask": None, "last_price": None, "volume_24h": None}, True),
        ({"bid": None, "ask": 0.4, "last_price": None, "volume_24h": None}, True),
    ],
)
def test_a_book_or_a_trade_is_life(over, alive):
    """What is worth sending is anything at all."""
    assert has_life(make_market(), make_quote(**over)) is alive


def test_an_answer_is_worth_sending_without_a_book():
    """A settled market has no quote, and its answer is what readers wait for."""
    assert has_life(make_market(status=MarketStatus.RESOLVED), None)
    assert has_life(make_market(status=MarketStatus.CLOSED), None)
    assert asked(Question.SEND, None, status=MarketStatus.UNOPENED).reason == "it has not opened yet"
