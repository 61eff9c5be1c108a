"""How pages print numbers for people."""

from decimal import Decimal

import pytest

from cloudapi.web.render import ABSENT, MINUS, number, percent, points, signed, usd


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (points(-0.012), f"{MINUS}1.2\u202fpp"),
        (points(0.012), "+1.2\u202fpp"),
        (percent(-0.5), f"{MINUS}50.0\u202f%"),
        (number(-0.03), f"{MINUS}0.030"),
        (signed(-3), f"{MINUS}3"),
        (signed(30), "+30"),
        (usd(Decimal("-0.310")), f"{MINUS}$0.310"),
        (usd(Decimal("2.10")), "$2.10"),
    ],
)
def test_a_minus_is_no_hyphen(printed: str, text: str) -> None:
    """A hyphen is narrower than a plus, and a line may end behind it."""
    assert printed == text


def test_what_rounds_to_nothing_has_no_minus() -> None:
    """A reader would look for the loss that is not there."""
    assert (points(-0.0001), number(-0.0004), percent(-0.0001)) == ("+0.0\u202fpp", "0.000", "0.0\u202f%")


def test_what_is_missing_is_a_dash() -> None:
    """Nought would be a claim."""
    assert points(None) == percent(None) == number(None) == ABSENT
