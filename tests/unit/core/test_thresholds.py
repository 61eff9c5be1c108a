"""A rung is read only where the words leave no doubt: a wrong ladder is a false arbitrage."""

import json
from datetime import UTC, date, datetime

import pytest

from agent.core.thresholds import rungs
from tests.factories import make_market

DECEMBER = datetime(2026, 12, 31, tzinfo=UTC)


def read(title, proposition=None, close=DECEMBER):
    return rungs(make_market(title=title, proposition=proposition, close_time=close))


@pytest.mark.parametrize(
    ("title", "value", "rising"),
    [
        ("Will Bitcoin reach $150,000 in December?", 150_000, False),
        ("Will Bitcoin dip to $70k in December?", 70_000, True),
        ("Will WTI hit (HIGH) $120 in April?", 120, False),
        ("Will WTI hit (LOW) $70.50 in April?", 70.5, True),
        ("MegaETH market cap (FDV) >$2B one day after launch?", 2e9, False),
        ("Will tariffs generate at least $1.5 trillion?", 1.5e12, False),
        ("Will average **gas prices** be above $4.128?", 4.128, False),
        ("Will 8+ rate cuts happen?", 8, False),
        ("High of 80° or below?", 80, True),
        ("Lakers win by over 20.5 points?", 20.5, False),
    ],
)
def test_a_number_and_its_direction_are_read(title, value, rising):
    """Both venues' ways of writing a threshold."""
    (rung,) = read(title)

    assert (rung.value, rung.rising) == (value, rising)


@pytest.mark.parametrize(
    ("title", "day"),
    [
        ("GPT-7 released by December 31?", date(2026, 12, 31)),
        ("GPT-7 released by December 31, 2027?", date(2027, 12, 31)),
        ("GPT-7 released by end of March 2027?", date(2027, 3, 31)),
        ("GPT-7 released before January 2027?", date(2027, 1, 1)),
        ("GPT-7 released before January?", date(2027, 1, 1)),  # the year that lies at the market's close
    ],
)
def test_a_deadline_is_read(title, day):
    """What has happened by a day has happened by every later one."""
    (rung,) = read(title)

    assert (rung.value, rung.rising) == (day.toordinal(), True)


@pytest.mark.parametrize(
    "title",
    [
        "Will Ethereum hit $7,000 in December?",  # from above or from below?
        "Will Bitcoin not reach $150,000?",
        "Won't Bitcoin reach $150,000?",
        "Will Bitcoin close between $100,000 and $110,000?",
        "Will it be over 5 and under 7?",
        "No more than 5 cuts?",
        "Will Powell remain chair before December 31?",  # lasting is likelier the shorter
        "GPT-7 released by March 31?",  # the close confirms no year
        "GPT-7 released by February 30, 2027?",
        "Will the Lakers win?",
    ],
)
def test_doubt_gives_no_rung(title):
    """Silence costs a finding, a wrong ladder costs a reader."""
    assert read(title) == ()


def test_a_market_can_stand_on_two_ladders():
    """By number in one event, by date in another."""
    number, deadline = read("Will Bitcoin reach $150,000 by December 31, 2026?")

    assert (number.shown, deadline.shown) == ("above 150,000", "by december 31, 2026")


def test_rungs_share_a_ladder_only_where_nothing_else_differs():
    """Another team, another inning, another direction is another ladder."""
    one, two = read("Runs?", "Over 8.5 runs"), read("Runs?", "Over 9.5 runs")
    assert one[0].ladder == two[0].ladder

    for title, proposition in [("Runs?", "Lakers over 8.5"), ("Runs in inning 3?", "Over 8.5 runs")]:
        assert read(title, proposition)[0].ladder != one[0].ladder


def test_the_short_name_may_repeat_the_threshold_in_its_own_way():
    """Polymarket's group titles leave out the year and the rest of the question."""
    first = read("Kraken IPO by June 30, 2027?", "June 30")
    second = read("Kraken IPO by December 31, 2027?", "December 31, 2027")

    assert first[0].ladder == second[0].ladder


def test_every_recorded_strike_is_read_from_the_words(recordings):
    """Kalshi says the strike in a field too; the words must give the same number, or none."""
    markets = [
        market
        for file in sorted((recordings / "kalshi").glob("*.json"))
        for market in _markets(json.loads(file.read_text()))
        if market.get("strike_type") == "greater"
    ]

    read_strikes = [read(market["title"], market["yes_sub_title"], None) for market in markets]

    assert len(markets) == 146
    assert [found[0].value for found in read_strikes] == [market["floor_strike"] for market in markets]


def _markets(node):
    if isinstance(node, dict):
        if "ticker" in node and "yes_sub_title" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _markets(child)
