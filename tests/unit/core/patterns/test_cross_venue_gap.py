"""A gap between venues is news only where the two are one question: most "gaps" are wrong pairs."""

import csv
from collections import defaultdict
from datetime import datetime

import pytest

from agent.core.patterns.base import Board, History, Pair
from agent.core.patterns.cross_venue_gap import CrossVenueGap
from tests.factories import make_market, make_quote
from tests.unit.core.patterns.made import found, history

LEFT, RIGHT = "polymarket:0xa", "kalshi:B"


def gaps(left, right, *, inverted=False):
    return found(
        CrossVenueGap(), history(LEFT, left), history(RIGHT, right), pairs=[Pair(LEFT, RIGHT, inverted)],
    )  # fmt: skip


def test_the_cheap_side_of_a_gap_is_named():
    """The bid at one venue above the ask at the other."""
    (finding,) = gaps([0.40] * 6, [0.40] * 5 + [0.50])

    assert finding.market_key == LEFT
    assert (finding.evidence["ask"], finding.evidence["bid_at_other"], finding.evidence["gap"]) == (0.41, 0.49, 0.08)
    assert finding.score == 53


def test_an_inverted_pair_is_turned_before_it_is_compared():
    """YES of one is NO of the other."""
    (finding,) = gaps([0.50] * 6, [0.50] * 5 + [0.40], inverted=True)

    assert (finding.market_key, finding.evidence["gap"]) == (LEFT, 0.08)
    assert gaps([0.40] * 6, [0.60] * 6, inverted=True) == []


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([0.40] * 6, [0.40] * 5 + [0.43]),  # within spreads and fees
        ([0.40] * 6, [0.50] * 6),  # always apart: not the same question
        ([0.40] * 6, [0.40] * 5 + [0.80]),  # apart by more than any real gap
        ([0.40], [0.50]),  # no shared habit yet
    ],
)
def test_what_is_no_gap_is_left_alone(left, right):
    """Wrong pairs are the rule, gaps the exception."""
    assert gaps(left, right) == []


def test_without_pairs_nothing_is_compared():
    """Who belongs together is decided elsewhere."""
    assert found(CrossVenueGap(), history(LEFT, [0.40] * 6), history(RIGHT, [0.40] * 5 + [0.50])) == []


def test_recorded_false_matches_raise_hardly_any_alarm(recordings):
    """A day of fuzzy pairs with other strikes: bare comparison sees gaps in every second look, the detector hardly."""
    pairs = defaultdict(list)
    with (recordings / "matching/cross_prices_btc_eth_2026-07-02.csv").open() as file:
        for row in csv.DictReader(file):
            pairs[row["url_a"], row["url_b"]].append(row)
    naive = alarms = 0

    for rows in pairs.values():
        left, right = _side(LEFT, rows, "price_yes_a"), _side(RIGHT, rows, "price_yes_b")
        for end in range(1, len(rows) + 1):
            naive += abs(left[end - 1].mid - right[end - 1].mid) >= 0.05
            board = Board(
                [
                    History(make_market(market_key=LEFT), left[:end]),
                    History(make_market(market_key=RIGHT), right[:end]),
                ],
                left[end - 1].fetched_at,
                [Pair(LEFT, RIGHT)],
            )
            alarms += len(list(CrossVenueGap().find(board)))

    assert naive > 300
    assert alarms < naive / 20


def _side(key, rows, column):
    """The recording has prices only: a book of one cent around each."""
    return [
        make_quote(
            market_key=key,
            fetched_at=datetime.fromisoformat(row["timestamp_utc"]),
            bid=round(float(row[column]) - 0.005, 6),
            ask=round(float(row[column]) + 0.005, 6),
        )
        for row in rows
    ]
