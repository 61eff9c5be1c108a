"""Cursors: what one list made, only that list reads."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudapi.cursors import CursorSigner
from cloudapi.errors import BadCursor

SIGNER = CursorSigner(b"a secret")
INSTANT = datetime(2026, 11, 21, 12, 30, 0, 123456, tzinfo=UTC)


def test_position_comes_back_as_it_went_in() -> None:
    """Microseconds included: a rounded instant would repeat or skip rows."""
    cursor = SIGNER.make([INSTANT, "id"], listing="insights", filters={"q": None})

    assert SIGNER.read(cursor, tuple[datetime, str], listing="insights", filters={"q": None}) == (INSTANT, "id")


@pytest.mark.parametrize(
    ("signer", "listing", "filters"),
    [
        (SIGNER, "predictions", {"q": "x"}),
        (SIGNER, "insights", {"q": "y"}),
        (CursorSigner(b"another secret"), "insights", {"q": "x"}),
    ],
    ids=["list", "filters", "secret"],
)
def test_cursor_from_elsewhere_is_refused(signer: CursorSigner, listing: str, filters: dict[str, str]) -> None:
    """It would point at a place that means something else here."""
    cursor = SIGNER.make([INSTANT, "id"], listing="insights", filters={"q": "x"})

    with pytest.raises(BadCursor):
        signer.read(cursor, tuple[datetime, str], listing=listing, filters=filters)


@given(st.text(max_size=200))
def test_any_text_is_refused_in_words(text: str) -> None:
    """Nothing a caller writes may become a 500 or a position."""
    with pytest.raises(BadCursor):
        SIGNER.read(text, tuple[int], listing="markets", filters={})
