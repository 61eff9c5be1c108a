"""Fees to the last digit: both venues' formulas and their rounding, by hand in each docstring."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.fees import Fill, KalshiFeeKind, KalshiFees, PolymarketFees, polymarket_fees

D = Decimal
PRICES = st.decimals("0.001", "0.999", places=3)
SIZES = st.decimals("0.01", "5000", places=2)


@pytest.mark.parametrize(
    ("price", "size", "fee"),
    [("0.50", 100, "1.75"), ("0.50", 1, "0.02"), ("0.44", 13, "0.23"), ("0.05", 100, "0.34"), ("0.99", 1, "0.01")],
)
def test_kalshi_taker_fee_is_rounded_up_to_the_cent(price, size, fee):
    """0.07 x 100 x 0.5 x 0.5 = 1.75; one contract: 0.0175 -> 0.02; 0.07 x 13 x 0.44 x 0.56 = 0.224224 -> 0.23;
    0.07 x 100 x 0.05 x 0.95 = 0.3325 -> 0.34; 0.07 x 0.99 x 0.01 = 0.000693 -> 0.01.
    """
    assert KalshiFees().order_fee([Fill(D(price), D(size))]) == D(fee)


def test_kalshi_rounds_an_order_and_not_its_contracts():
    """Ten fills of one contract at 0.50 are 10 x 0.0175 = 0.175 -> 0.18 together, and 10 x 0.02 = 0.20 one by one."""
    one = Fill(D("0.50"), D(1))

    assert KalshiFees().order_fee([one] * 10) == D("0.18")
    assert 10 * KalshiFees().order_fee([one]) == D("0.20")


def test_kalshi_multiplier_of_the_series_counts():
    """Baseball pays half: 0.07 x 0.5 x 100 x 0.25 = 0.875 -> 0.88."""
    assert KalshiFees(multiplier=D("0.5")).order_fee([Fill(D("0.5"), D(100))]) == D("0.88")


def test_kalshi_direct_members_are_rounded_to_a_hundredth_of_a_cent():
    """0.07 x 13 x 0.44 x 0.56 = 0.224224 -> 0.2243."""
    assert KalshiFees(direct_member=True).order_fee([Fill(D("0.44"), D(13))]) == D("0.2243")


@pytest.mark.parametrize(
    ("kind", "fee"),
    [(KalshiFeeKind.QUADRATIC, "0"), (KalshiFeeKind.QUADRATIC_WITH_MAKER_FEES, "0.44"), (KalshiFeeKind.FLAT, None)],
)
def test_kalshi_makers_pay_a_quarter_or_nothing_and_flat_is_unknown(kind, fee):
    """0.0175 x 100 x 0.25 = 0.4375 -> 0.44; the flat amount is published nowhere, so it is None and not 0."""
    expected = None if fee is None else D(fee)

    assert KalshiFees(kind=kind, maker=True).order_fee([Fill(D("0.5"), D(100))]) == expected


@given(fills=st.lists(st.tuples(PRICES, SIZES), min_size=1, max_size=6))
def test_a_kalshi_balance_changes_by_whole_cents_and_never_in_our_favour(fills):
    """The rounding fee brings cost and fee to whole cents: at most a cent and the fills' own rounding above the formula."""
    order = [Fill(price, size) for price, size in fills]
    exact = sum(D("0.07") * fill.size * fill.price * (1 - fill.price) for fill in order)
    cost = sum(fill.price * fill.size for fill in order)

    fee = KalshiFees().order_fee(order)

    assert (cost + fee) % D("0.01") == 0
    assert exact <= fee < exact + D("0.01") + len(order) * D("0.0001")


@pytest.mark.parametrize(
    ("rate", "exponent", "price", "size", "fee"),
    [
        ("0.04", 1, "0.30", 50, "0.42"),
        ("0.07", 1, "0.503", 7, "0.12250"),
        ("0.25", 2, "0.50", 100, "1.5625"),
        ("0.04", 1, "0.001", "0.2", "0"),
        ("0.04", 1, "0.01", "0.03", "0.00001"),
    ],
)
def test_polymarket_fee_follows_its_schedule_to_five_decimals(rate, exponent, price, size, fee):
    """0.04 x 50 x 0.21 = 0.42; 0.07 x 7 x 0.249991 = 0.12249559 -> 0.12250; 0.25 x 100 x 0.25^2 = 1.5625;
    0.04 x 0.2 x 0.000999 = 0.000007992 -> below 0.00001, nothing; 0.04 x 0.03 x 0.0099 = 0.00001188 -> 0.00001.
    """
    fees = PolymarketFees(rate=D(rate), exponent=D(exponent))

    assert fees.order_fee([Fill(D(price), D(size))]) == D(fee)


def test_polymarket_makers_pay_nothing_where_only_takers_do():
    """`takerOnly` is how every recorded schedule reads; without it a maker pays like a taker."""
    order = [Fill(D("0.5"), D(10))]

    assert PolymarketFees(rate=D("0.04"), maker=True).order_fee(order) == 0
    assert PolymarketFees(rate=D("0.04"), maker=True, taker_only=False).order_fee(order) == D("0.1")


def test_a_missing_schedule_is_free_only_where_the_venue_says_so():
    """`feesEnabled` false is free; charging or silent without a schedule is an assumption, said in words."""
    free = polymarket_fees(fees_enabled=False, category="Crypto")
    told = polymarket_fees(fees_enabled=True, rate=D("0.03"), category="Crypto")
    assumed = [polymarket_fees(fees_enabled=enabled, category="Crypto") for enabled in (True, None)]

    assert (free.rate, free.assumption) == (0, None)
    assert (told.rate, told.exponent, told.assumption) == (D("0.03"), 1, None)
    assert {fees.rate for fees in assumed} == {D("0.07")}
    assert all("assumed" in fees.assumption for fees in assumed)
    assert polymarket_fees(fees_enabled=True, category="Hats").rate == D("0.05")


@given(price=PRICES, size=SIZES)
def test_a_fee_is_the_same_for_both_sides_of_a_price(price, size):
    """p x (1-p) does not care which outcome is bought."""
    schedule = PolymarketFees(rate=D("0.05"))

    assert schedule.order_fee([Fill(price, size)]) == schedule.order_fee([Fill(1 - price, size)])
    assert KalshiFees().unit_fee(price) == KalshiFees().unit_fee(1 - price)
