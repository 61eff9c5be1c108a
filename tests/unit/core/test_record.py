"""The record's promise: nothing in it can be edited, dropped, moved or cut off unseen."""

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.record import GENESIS, Head, canonical_body, head_after, link, verify
from sync.records import Prediction
from tests.factories import NOON, make_prediction


def chain(n: int) -> list[Prediction]:
    """A sound record of n predictions."""
    head, records = GENESIS, list[Prediction]()
    for i in range(n):
        draft = make_prediction(
            prediction_id=f"p{i}", probability_yes=0.1 + i / 100, predicted_at=NOON + timedelta(hours=i)
        )
        records.append(link(draft, head))
        head = head_after(records[-1])
    return records


def test_a_sound_record_verifies() -> None:
    """What the store appends is what the verifier accepts, also from the middle and up to a published head."""
    records = chain(5)

    assert verify(records) is None
    assert verify(records[2:], after=head_after(records[1])) is None
    assert verify(records, published=head_after(records[3])) is None
    assert verify([]) is None


@pytest.mark.parametrize("field", Prediction.__struct_fields__)
def test_an_edit_of_any_field_is_found(field: str) -> None:
    """Every field is under the hash: a changed one is found at its own record."""
    records = chain(4)
    old = getattr(records[2], field)
    match old:
        case bool():
            new = not old
        case int() | float():
            new = old + 0.01 if isinstance(old, float) else old + 1
        case date():
            new = old + timedelta(days=1)
        case _:
            new = f"{'0' if not old or old[0] != '0' else '1'}{(old or '')[1:]}"
    records[2] = msgspec.structs.replace(records[2], **{field: new})

    fault = verify(records)

    assert fault is not None
    assert fault.seq == 3


def test_an_edit_with_a_new_hash_is_found_at_the_next_record() -> None:
    """Whoever edits a record and computes its hash anew breaks the link of the one after it."""
    records = chain(4)
    edited = msgspec.structs.replace(records[1], probability_yes=0.99)
    records[1] = link(edited, head_after(records[0]))

    fault = verify(records)

    assert fault is not None
    assert fault.seq == 3
    assert "record before it" in fault.reason


def test_an_edit_relinked_without_new_hashes_is_found() -> None:
    """The link itself is under the hash: repairing only the next record's previous_hash does not hide an edit."""
    records = chain(4)
    records[1] = link(msgspec.structs.replace(records[1], probability_yes=0.99), head_after(records[0]))
    records[2] = msgspec.structs.replace(records[2], previous_hash=records[1].record_hash)

    fault = verify(records)

    assert fault is not None
    assert fault.seq == 3


@pytest.mark.parametrize(("take", "seq"), [([1, 2, 3], 1), ([0, 2, 3], 2), ([0, 1, 3], 3)])
def test_a_dropped_record_is_found(take: list[int], seq: int) -> None:
    """A gap shows at the place of the missing record."""
    records = chain(4)

    fault = verify([records[i] for i in take])

    assert fault is not None
    assert fault.seq == seq
    assert f"found record {seq + 1} in its place" in fault.reason


def test_reordered_and_repeated_records_are_found() -> None:
    """The order is part of what is recorded."""
    a, b, c = chain(3)

    assert verify([b, a, c]) is not None
    assert verify([a, c, b]) is not None
    assert verify([a, a, b, c]) is not None


def test_a_cut_tail_is_found_by_the_published_head_only() -> None:
    """A chain cannot know its own end: that is why the head is published."""
    records = chain(4)
    head = head_after(records[-1])

    assert verify(records[:3]) is None
    fault = verify(records[:3], published=head)
    assert fault is not None
    assert fault.seq == 4


def test_a_record_written_anew_differs_from_the_published_head() -> None:
    """A whole new chain is sound in itself and still not the one that was published."""
    published = head_after(chain(3)[-1])
    rewritten = list[Prediction]()
    head = GENESIS
    for record in chain(3):
        rewritten.append(link(msgspec.structs.replace(record, probability_yes=0.5), head))
        head = head_after(rewritten[-1])

    assert verify(rewritten) is None
    fault = verify(rewritten, published=published)
    assert fault is not None
    assert "published" in fault.reason


def test_body_is_stated_byte_for_byte() -> None:
    """Others verify with their own programs, so the bytes are a promise: sorted keys, no spaces, nothing for None."""
    record = link(make_prediction(model=None, prompt_version=None, confidence=None, rationale=None), GENESIS)

    body = canonical_body(record)

    keys = list(msgspec.json.decode(body))
    assert keys == sorted(keys)
    assert not {"previous_hash", "record_hash", "model", "rationale"} & set(keys)
    assert b": " not in body
    assert b", " not in body


@settings(max_examples=200)
@given(
    probability=st.floats(0, 1),
    price=st.none() | st.floats(0, 1),
    rationale=st.none() | st.text(max_size=50),
)
def test_hash_survives_the_wire(probability: float, price: float | None, rationale: str | None) -> None:
    """A record that was stored or sent as JSON and read back hashes to the same value: no float drifts."""
    rationale = rationale.encode("utf-8", "ignore").decode() if rationale else None
    record = link(
        make_prediction(probability_yes=probability, initial_price=price, rationale=rationale), Head(7, "a" * 64)
    )

    again = msgspec.json.decode(msgspec.json.encode(record), type=Prediction)

    assert verify([again], after=Head(7, "a" * 64)) is None
