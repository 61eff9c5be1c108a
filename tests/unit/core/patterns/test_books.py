"""A book's width is compared with its own habit, and nobody's book is compared with nothing."""

import pytest

from agent.core.patterns.base import History
from agent.core.patterns.spread_shift import SpreadShift
from tests.factories import NOON, make_quote
from tests.unit.core.patterns.made import found, history


def shifted(usual: float, now: float, rows: int = 8) -> History:
    return history(mids=[0.5] * rows, halves=[usual / 2] * (rows - 1) + [now / 2])


@pytest.mark.parametrize(
    ("usual", "now", "shift", "score"), [(0.02, 0.12, "blow-out", 50), (0.10, 0.02, "collapse", 40)]
)
def test_a_book_that_opens_or_closes_is_told(usual, now, shift, score):
    """Makers who step back, and somebody who has come to trade."""
    (finding,) = found(SpreadShift(), shifted(usual, now))

    assert (finding.evidence["shift"], finding.score) == (shift, score)
    assert finding.evidence["usual_spread"] == pytest.approx(usual)


@pytest.mark.parametrize(
    ("usual", "now", "rows"),
    [(0.02, 0.05, 8), (0.06, 0.12, 8), (0.02, 0.12, 4)],  # three points · twice as wide · no habit yet
)
def test_an_ordinary_change_of_width_is_left_alone(usual, now, rows):
    """Books breathe."""
    assert found(SpreadShift(), shifted(usual, now, rows)) == []


def test_a_book_that_always_opens_and_closes_is_left_alone():
    """Its own habit decides, not the last look."""
    restless = history(mids=[0.5] * 10, halves=[0.01, 0.05] * 5)

    assert found(SpreadShift(), restless) == []


def test_an_empty_side_is_not_a_wide_spread():
    """A missing price is no number to compare."""
    quiet = shifted(0.02, 0.02)
    gone = make_quote(market_key="polymarket:0xa", fetched_at=NOON, bid=0.49, ask=None, mid=None)

    assert found(SpreadShift(), History(quiet.market, [*quiet.quotes, gone])) == []
