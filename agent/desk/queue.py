"""What waits for the cloud: the stream, what is pending and what was set aside, oldest first; one batch by its number.

Law: looks at the outbox and changes nothing; bodies are opened for one batch only, and only their kinds are told.
"""

from collections import Counter
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from agent.core.instants import from_ms, moment
from agent.desk.base import Ask, Desk
from agent.errors import StoreError, UnknownBatch
from agent.status.spans import counted, size, span
from agent.store.outbox import load_stream
from agent.store.tx import Reader, Row
from sync.batch import Batch
from sync.errors import BatchRefused

SHOWN = 20
NOTHING_YET = "nothing was collected yet"


class QueuedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed batch that was not acknowledged."""

    stream_id: str
    lo: int
    hi: int
    n_bytes: int
    sealed_at: datetime
    held_reason: str | None = None
    acked_at: datetime | None = None
    kinds: dict[str, int] = {}  # records by kind; of a single batch that was asked for


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox at one instant."""

    at: datetime
    stream_id: str | None  # None: there is no database yet
    last_seq: int  # the highest number given
    n_streams: int  # with those that were closed
    pending_rows: int
    pending_batches: int
    pending_bytes: int
    held_batches: int
    oldest_at: datetime | None
    batches: tuple[QueuedBatch, ...]  # the oldest, or the one asked for


class AskQueue(Ask[Queue], frozen=True, kw_only=True):
    """All that waits, or the batch that holds one number."""

    verb: ClassVar[str] = "queue"
    answer_type: ClassVar[Any] = Queue
    show: int | None = None

    async def answer(self, desk: Desk) -> Queue:
        """Raises: UnknownBatch."""
        reader = desk.store.reader
        stream = await load_stream(reader)
        # An empty database answers for one that is not there: its stream ends with the answer.
        is_there = desk.store.path == desk.settings.database_path or stream.last_seq > 0
        if not is_there and self.show is not None:
            raise UnknownBatch(f"no batch holds number {self.show}: {NOTHING_YET}", advice="start the daemon first")
        row = await reader.fetch_one(_TOTALS)
        assert row is not None  # noqa: S101 - an aggregate always has a row
        batches = await _oldest(reader) if self.show is None else (await _one(reader, stream.stream_id, self.show),)
        return Queue(
            at=desk.now,
            stream_id=stream.stream_id if is_there else None,
            last_seq=stream.last_seq,
            n_streams=await reader.fetch_value("SELECT count(*) FROM streams") if is_there else 0,
            pending_rows=row["n_rows"],
            pending_batches=row["n_batches"],
            pending_bytes=row["n_bytes"],
            held_batches=row["n_held"],
            oldest_at=moment(row["oldest"]),
            batches=batches,
        )


_TOTALS = """
SELECT coalesce(sum(hi - lo + 1), 0) AS n_rows, count(*) AS n_batches, coalesce(sum(length(body)), 0) AS n_bytes,
    count(held_reason) AS n_held, min(sealed_at) AS oldest FROM batches WHERE acked_at IS NULL
"""
_COLUMNS = "stream_id, lo, hi, n_bytes, sealed_at, held_reason, acked_at"


async def _oldest(reader: Reader) -> tuple[QueuedBatch, ...]:
    """What was set aside comes first: it needs a person."""
    rows = await reader.fetch(
        f"SELECT {_COLUMNS} FROM batches WHERE acked_at IS NULL"
        " ORDER BY held_reason IS NULL, sealed_at, stream_id, lo LIMIT ?",
        (SHOWN,),
    )
    return tuple(_from_row(row) for row in rows)


async def _one(reader: Reader, stream_id: str, seq: int) -> QueuedBatch:
    row = await reader.fetch_one(
        "SELECT * FROM batches WHERE stream_id = ? AND lo <= ? AND hi >= ?", (stream_id, seq, seq)
    )
    if row is None:
        raise UnknownBatch(
            f"no batch of stream {stream_id[:8]} holds number {seq}", advice="oddsd queue lists what waits"
        )
    batch = Batch(
        stream_id=row["stream_id"], lo=row["lo"], hi=row["hi"], digest=row["digest"], body=row["body"],
        n_bytes=row["n_bytes"], schema_v=row["schema_v"],
    )  # fmt: skip
    try:
        kinds = Counter(record.kind for record in msgspec.json.decode(batch.text(), type=list[_Kind]))
    except (BatchRefused, msgspec.DecodeError) as exc:
        raise StoreError(str(exc), advice="oddsd doctor --deep reads every page; look at the device") from exc
    return msgspec.structs.replace(_from_row(row), kinds=dict(kinds.most_common()))


class _Kind(msgspec.Struct):
    kind: str


def _from_row(row: Row) -> QueuedBatch:
    return QueuedBatch(
        stream_id=row["stream_id"],
        lo=row["lo"],
        hi=row["hi"],
        n_bytes=row["n_bytes"],
        sealed_at=from_ms(row["sealed_at"]),
        held_reason=row["held_reason"],
        acked_at=moment(row["acked_at"]),
    )


def render(found: Queue) -> str:
    """In words and a small table."""
    if found.stream_id is None:
        return f"{NOTHING_YET}: no database, nothing waits for the cloud"
    older = f", {counted(found.n_streams - 1, 'closed stream')}" if found.n_streams > 1 else ""
    lines = [f"stream {found.stream_id}  {found.last_seq:,} rows numbered{older}"]
    if found.oldest_at is None:
        lines.append("nothing waits for the cloud")
    else:
        lines.append(
            f"{found.pending_rows:,} rows wait in {counted(found.pending_batches, 'batch', 'batches')}"
            f" ({size(found.pending_bytes)} packed), {found.held_batches} set aside,"
            f" the oldest for {span(found.at - found.oldest_at)}"
        )
    if found.batches:
        lines += ["", *(_line(batch, found.at) for batch in found.batches)]
    left = found.pending_batches - len(found.batches)
    if left > 0 and not any(batch.kinds for batch in found.batches):
        lines.append(f"and {left:,} more")
    return "\n".join(lines)


def _line(batch: QueuedBatch, now: datetime) -> str:
    state = "held" if batch.held_reason else "pending" if batch.acked_at is None else "acked"
    rows = f"{batch.lo:,}-{batch.hi:,}"
    text = f"{state:<8}{rows:<24}{size(batch.n_bytes):>8}  sealed {batch.sealed_at:%Y-%m-%d %H:%M} UTC"
    text += f" ({span(now - batch.sealed_at)} ago)"
    if batch.kinds:
        text += "\n        " + ", ".join(f"{kind} {n:,}" for kind, n in batch.kinds.items())
    return text + (f"\n        why: {batch.held_reason}" if batch.held_reason else "")
