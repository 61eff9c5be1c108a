"""What a quote is worth, and when a market's end is known."""

import pytest

from agent.core.market import (
    MAX_SANE_SPREAD,
    complement,
    mid,
    resolution_from_payouts,
    resolution_from_value,
    side,
    spread,
)
from sync.records import Resolution


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        (0.40, 0.44, 0.42),
        (0.10, 0.20, 0.15),  # plain arithmetic says 0.15000000000000002
        (0.001, 0.002, 0.0015),
        (None, 0.44, None),
        (0.40, None, None),
        (0.44, 0.40, None),
        (0.42, 0.42, None),
        (0.40, 0.599, 0.4995),
        (0.40, 0.60, None),  # 0.6 - 0.4 is 0.19999999999999996: still as wide as the limit
        (0.10, 0.90, None),
    ],
)
def test_mid_needs_a_two_sided_uncrossed_narrow_book(
    bid: float | None, ask: float | None, expected: float | None
) -> None:
    """A middle of 0 and 1 would read like a forecast of one half."""
    assert mid(bid, ask) == expected


def test_spread_keeps_its_sign_and_loses_float_dust() -> None:
    """Detectors compare spreads with thresholds; a crossed book must show as negative."""
    assert spread(0.40, 0.60) == MAX_SANE_SPREAD
    assert spread(0.60, 0.40) == -0.2
    assert spread(None, 0.40) is None


@pytest.mark.parametrize(("price", "expected"), [(0.0, None), (1.0, None), (None, None), (0.001, 0.001), (0.5, 0.5)])
def test_a_price_nobody_can_trade_at_is_an_empty_side(price: float | None, expected: float | None) -> None:
    """Both venues write an empty side as 0 or 1."""
    assert side(price) == expected


def test_complement_of_a_price_has_no_dust() -> None:
    """1 - 0.97 is 0.030000000000000027; stored quotes are compared for change."""
    assert complement(0.97) == 0.03
    assert complement(None) is None


@pytest.mark.parametrize(
    ("payouts", "yes_index", "confirmed", "expected"),
    [
        ([1.0, 0.0], 0, True, (Resolution.YES, 1.0)),
        ([0.0, 1.0], 0, False, (Resolution.NO, 0.0)),
        ([0.0, 1.0], 1, True, (Resolution.YES, 1.0)),
        ([0.0, 0.0, 1.0], 0, False, (Resolution.NO, 0.0)),
        ([0.5, 0.5], 0, False, (Resolution.VOID, 0.5)),
        ([0.496, 0.504], 0, True, (Resolution.VOID, 0.5)),
        ([0.496, 0.504], 0, False, (Resolution.UNKNOWN, None)),
        ([0.0, 0.0], 0, False, (Resolution.UNKNOWN, None)),
        ([0.0, 0.0], 0, True, (Resolution.UNKNOWN, None)),
        ([1.0, 1.0], 0, True, (Resolution.UNKNOWN, None)),
        ([0.0000010110820525, 0.9999989889179474], 0, True, (Resolution.UNKNOWN, None)),
        ([0.58, 0.42], 0, True, (Resolution.UNKNOWN, None)),
        ([], 0, True, (Resolution.UNKNOWN, None)),
        ([1.0], 1, True, (Resolution.UNKNOWN, None)),
    ],
)
def test_only_exact_payouts_resolve_a_market(
    payouts: list[float], yes_index: int, confirmed: bool, expected: tuple[Resolution, float | None]
) -> None:
    """Leftover trading prices and rows never filled in look almost like an answer."""
    assert resolution_from_payouts(payouts, yes_index, confirmed=confirmed) == expected


def test_a_settlement_between_the_ends_is_void_with_its_value() -> None:
    """Scalar results and fair-price refunds are neither yes nor no."""
    assert [resolution_from_value(value) for value in (1.0, 0.37, 0.0)] == [
        Resolution.YES,
        Resolution.VOID,
        Resolution.NO,
    ]
