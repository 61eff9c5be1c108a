"""A sealed batch is immutable, contiguous and within the limits the cloud accepts."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sync import batch as batches
from sync.records import Quote, Travelling

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 1000))
def test_every_record_gets_one_number_and_comes_back_equal(sizes, first):
    """Sealing neither loses, repeats nor reorders, wherever it cuts."""
    records = [
        Quote(market_key="k" * (1 + size), fetched_at=AT + timedelta(milliseconds=i), bid=0.25)
        for i, size in enumerate(sizes)
    ]
    original = batches.MAX_ROWS, batches.MAX_BYTES
    batches.MAX_ROWS, batches.MAX_BYTES = 7, 900
    try:
        sealed = list(batches.seal(records, stream_id="s", first_seq=first))
    finally:
        batches.MAX_ROWS, batches.MAX_BYTES = original

    back = [record for b in sealed for record in msgspec.json.decode(b.text(), type=list[Travelling])]
    assert back == records
    numbers = [number for b in sealed for number in range(b.lo, b.hi + 1)]
    assert numbers == list(range(first, first + len(records)))
    for b in sealed:
        assert b.n_rows <= 7
        assert b.n_bytes <= 900 or b.n_rows == 1
        assert b.digest == hashlib.sha256(b.text().encode()).digest()
        assert b.n_bytes == len(b.text().encode())


def test_the_same_records_seal_to_the_same_bytes():
    """A retry is byte-identical, so a digest can prove it."""
    records = [Quote(market_key="k", fetched_at=AT, bid=0.1, ask=0.2)]

    one, two = (list(batches.seal(records, stream_id="s", first_seq=1)) for _ in range(2))

    assert one == two
