"""The append-only record of predictions: a hash chain that anyone can check. Pure.

Law: record_hash = SHA-256(previous_hash + body), where previous_hash is 64 hex characters in ASCII and body is the
prediction as JSON without `previous_hash` and `record_hash`: keys sorted, no spaces, absent what is None, numbers as
the shortest text that reads back as the same double. The first record follows GENESIS_HASH. A field that is added
later and left empty does not change old hashes. Called by the store when it appends and by whoever verifies.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from sync.records import Prediction

GENESIS_HASH = "0" * 64

_OUTSIDE_THE_BODY = ("previous_hash", "record_hash")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: whoever holds it can prove that nothing before it was edited or dropped."""

    seq: int
    record_hash: str


GENESIS = Head(seq=0, record_hash=GENESIS_HASH)


@dataclass(frozen=True, slots=True)
class ChainFault:
    """The first place where a record does not hold."""

    seq: int
    reason: str


def canonical_body(prediction: Prediction) -> bytes:
    """The bytes that are hashed."""
    fields = msgspec.to_builtins(prediction)
    for name in _OUTSIDE_THE_BODY:
        fields.pop(name, None)
    return msgspec.json.encode(fields, order="sorted")


def record_hash(prediction: Prediction) -> str:
    """What `record_hash` must be for this content after this `previous_hash`."""
    return hashlib.sha256(prediction.previous_hash.encode("ascii") + canonical_body(prediction)).hexdigest()


def link(prediction: Prediction, head: Head) -> Prediction:
    """The same prediction as the next record after `head`; what it carried as its place before is replaced."""
    placed = msgspec.structs.replace(prediction, chain_seq=head.seq + 1, previous_hash=head.record_hash)
    return msgspec.structs.replace(placed, record_hash=record_hash(placed))


def head_after(prediction: Prediction) -> Head:
    """The end of a chain whose last record this is."""
    return Head(seq=prediction.chain_seq, record_hash=prediction.record_hash)


def verify(records: Iterable[Prediction], *, after: Head = GENESIS, published: Head | None = None) -> ChainFault | None:
    """The first fault of a stretch of the record, or None if it holds.

    Args:
        records: in order of chain_seq, without gaps.
        after: the head before the first of them.
        published: a head seen elsewhere that this stretch must reach: only that shows a tail that was cut off.
    """
    head, published_met = after, published is None or published == after
    for prediction in records:
        fault = _fault(prediction, head)
        if fault is not None:
            return ChainFault(head.seq + 1, fault)
        head = head_after(prediction)
        if published is not None and head.seq == published.seq:
            if head != published:
                return ChainFault(head.seq, "differs from the published head: the record was written anew")
            published_met = True
    if not published_met and published is not None:
        return ChainFault(head.seq + 1, f"the record ends before the published head {published.seq}")
    return None


def _fault(prediction: Prediction, head: Head) -> str | None:
    if prediction.chain_seq != head.seq + 1:
        return f"found record {prediction.chain_seq} in its place: dropped, repeated or reordered"
    if prediction.previous_hash != head.record_hash:
        return "does not follow the record before it: that one was edited or replaced"
    if prediction.record_hash != record_hash(prediction):
        return "content and hash differ: this record was edited"
    return None
