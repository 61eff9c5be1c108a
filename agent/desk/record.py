"""The record of predictions, asked: its head, whether it holds, and a stretch of it to carry away.

Law: verification reads every byte again and trusts no column; a stretch of a thousand at a time, so that the loop and
the memory stay free however long the record is.
"""

import asyncio
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from agent.core.record import GENESIS, Head, head_after, verify
from agent.desk.base import Ask, Desk
from agent.store.predictions import load_chain, load_head, load_record
from agent.store.tx import Reader
from sync.records import Prediction

STRETCH = 1_000
EXPORT_AT_ONCE = 5_000  # some 6 MB of JSON: well below what the socket carries


class RecordHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the record; `seq` 0 while it is empty."""

    chain: str | None
    seq: int
    record_hash: str
    predicted_at: datetime | None = None


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """How a verification ended: `fault_at` and `reason` where it did not hold."""

    first: int
    last: int
    n: int
    record_hash: str
    fault_at: int | None = None
    reason: str | None = None


class AskHead(Ask[RecordHead], frozen=True, kw_only=True):
    """Where the record ends."""

    verb: ClassVar[str] = "record_head"
    answer_type: ClassVar[Any] = RecordHead

    async def answer(self, desk: Desk) -> RecordHead:
        """Never fails: an empty record has a head too."""
        reader = desk.store.reader
        head = await load_head(reader)
        last = await load_record(reader, after_seq=head.seq - 1, limit=1) if head.seq else []
        return RecordHead(
            chain=await load_chain(reader),
            seq=head.seq,
            record_hash=head.record_hash,
            predicted_at=last[0].predicted_at if last else None,
        )


class AskVerify(Ask[Verified], frozen=True, kw_only=True):
    """From a record on, up to the end; also whether it passes through a head published elsewhere."""

    verb: ClassVar[str] = "record_verify"
    answer_type: ClassVar[Any] = Verified
    deadline_s: ClassVar[float | None] = None
    from_seq: int = 1
    published_seq: int | None = None
    published_hash: str | None = None

    async def answer(self, desk: Desk) -> Verified:
        """Never fails: a record that does not hold is an answer."""
        published = None
        if self.published_seq is not None and self.published_hash is not None:
            published = Head(self.published_seq, self.published_hash)
        return await verified(desk.store.reader, max(1, self.from_seq), published)


class AskExport(Ask[list[Prediction]], frozen=True, kw_only=True):
    """A stretch of the record, in its order."""

    verb: ClassVar[str] = "record_export"
    answer_type: ClassVar[Any] = list[Prediction]
    deadline_s: ClassVar[float | None] = None
    from_seq: int = 1
    limit: int = EXPORT_AT_ONCE

    async def answer(self, desk: Desk) -> list[Prediction]:
        """Never fails: beyond the end there is nothing."""
        limit = max(0, min(self.limit, EXPORT_AT_ONCE))
        return await load_record(desk.store.reader, after_seq=max(1, self.from_seq) - 1, limit=limit)


async def verified(reader: Reader, first: int, published: Head | None) -> Verified:
    """Verify the record from a number on.

    Args:
        first: the first record looked at; the one before it is taken at its word.
    """
    before = await load_record(reader, after_seq=first - 2, limit=1) if first > 1 else []
    head = head_after(before[0]) if before else GENESIS
    if first > 1 and (not before or head.seq != first - 1):
        return _broken(first, 0, head, first - 1, f"record {first - 1} is not there to begin from")
    began, n, met = head, 0, published is None or published == head
    while records := await load_record(reader, after_seq=head.seq, limit=STRETCH):
        if published is not None and head.seq < published.seq <= records[-1].chain_seq:
            fault = await asyncio.to_thread(verify, records, after=head, published=published)
            met = True
        else:
            fault = await asyncio.to_thread(verify, records, after=head)
        if fault is not None:
            return _broken(first, n + fault.seq - head.seq - 1, head, fault.seq, fault.reason)
        n, head = n + len(records), head_after(records[-1])
    if (stored := await load_head(reader)) != head and n:
        return _broken(first, n, head, head.seq, f"the stored head {stored.seq} {stored.record_hash[:12]} is another")
    if not met and published is not None:
        words = f"the record ends before the published head {published.seq}"
        if published.seq <= began.seq:
            words = f"the published head {published.seq} lies before record {first}: verify from there"
        return _broken(first, n, head, head.seq + 1, words)
    return Verified(first=first, last=head.seq, n=n, record_hash=head.record_hash)


def _broken(first: int, n: int, head: Head, at: int, reason: str) -> Verified:
    return Verified(first=first, last=head.seq, n=n, record_hash=head.record_hash, fault_at=at, reason=reason)
