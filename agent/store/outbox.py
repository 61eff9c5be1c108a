"""The outbox: sealed batches and the stream whose numbers they carry.

Law: a number is given once and never again; a sealed batch never changes; acked is not deleted. Only the sender
reads here, only `Store.write` seals.
"""

import asyncio
import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from agent.errors import StoreError
from agent.store.tx import Reader, Row, Tx
from sync.batch import Batch
from sync.batch import seal as seal_batches
from sync.records import SCHEMA_VERSION, Record

BY_HAND = "asked for by the operator"  # of a rotation nobody needs to be told of


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One lineage of numbers. `next_token` is None until this process has offered a new one."""

    stream_id: str
    next_seq: int
    token: str
    next_token: str | None

    @property
    def last_seq(self) -> int:
        """The highest number given so far; 0 where none was."""
        return self.next_seq - 1


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What still has to travel, for people."""

    n_rows: int
    n_batches: int
    n_held: int
    oldest_sealed_at: int | None  # ms


async def ensure_stream(tx: Tx, *, now_ms: int) -> None:
    """Make the first stream of a new file."""
    if await tx.fetch_value("SELECT 1 FROM streams WHERE closed_at IS NULL") is None:
        await _insert_stream(tx, now_ms)


async def _insert_stream(tx: Tx, now_ms: int) -> str:
    stream_id = str(uuid.uuid4())
    await tx.execute(
        "INSERT INTO streams (stream_id, next_seq, token, created_at) VALUES (?, 1, ?, ?)",
        (stream_id, str(uuid.uuid4()), now_ms),
    )
    return stream_id


async def load_stream(reader: Reader) -> Stream:
    """The stream in use."""
    row = await reader.fetch_one("SELECT * FROM streams WHERE closed_at IS NULL")
    if row is None:
        raise StoreError("outbox: no current stream")
    return Stream(
        stream_id=row["stream_id"], next_seq=row["next_seq"], token=row["token"], next_token=row["next_token"]
    )


async def seal(tx: Tx, records: Sequence[Record | Raw], *, now_ms: int) -> None:
    """Seal records into batches of the current stream, inside the transaction that stored their data."""
    stream = await load_stream(tx)
    batches = await asyncio.to_thread(
        lambda: list(seal_batches(records, stream_id=stream.stream_id, first_seq=stream.next_seq))
    )
    await _insert_batches(tx, batches, now_ms)


async def _insert_batches(tx: Tx, batches: Sequence[Batch], now_ms: int) -> None:
    await tx.execute_many(
        "INSERT INTO batches (stream_id, lo, hi, digest, schema_v, n_bytes, body, sealed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(b.stream_id, b.lo, b.hi, b.digest, b.schema_v, b.n_bytes, b.body, now_ms) for b in batches],
    )
    await tx.execute("UPDATE streams SET next_seq = ? WHERE stream_id = ?", (batches[-1].hi + 1, batches[-1].stream_id))


async def carry_over(tx: Tx, batch: Batch, *, now_ms: int) -> int:
    """Give a batch of another file the next numbers of the stream in use, keeping its origin; returns its rows."""
    stream = await load_stream(tx)
    lo = stream.next_seq
    moved = msgspec.structs.replace(batch, stream_id=stream.stream_id, lo=lo, hi=lo + batch.n_rows - 1)
    await _insert_batches(tx, [moved], now_ms)
    await tx.execute(
        "UPDATE batches SET origin_stream = ?, origin_lo = ? WHERE stream_id = ? AND lo = ?",
        (batch.stream_id, batch.lo, stream.stream_id, lo),
    )
    return moved.n_rows


async def load_backlog(reader: Reader) -> Backlog:
    """How much has not been acknowledged, over all streams."""
    row = await reader.fetch_one(
        "SELECT coalesce(sum(hi - lo + 1), 0), count(*), count(held_reason), min(sealed_at)"
        " FROM batches WHERE acked_at IS NULL"
    )
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Backlog(n_rows=row[0], n_batches=row[1], n_held=row[2], oldest_sealed_at=row[3])


async def load_pending(
    reader: Reader, *, newest_first: bool, schema_max: int = SCHEMA_VERSION, besides: Collection[int] = ()
) -> Batch | None:
    """The next batch to send, or None. Held batches are passed over: they wait for a person.

    Args:
        schema_max: what the cloud can take; newer batches wait for a newer cloud.
        besides: batches under way, by their lo.
    """
    order = "DESC" if newest_first else "ASC"
    row = await reader.fetch_one(
        "SELECT b.* FROM batches b JOIN streams s USING (stream_id) WHERE s.closed_at IS NULL"
        f" AND b.acked_at IS NULL AND b.held_reason IS NULL AND b.schema_v <= ?"
        f" AND b.lo NOT IN ({', '.join('?' * len(besides))}) ORDER BY b.lo {order} LIMIT 1",
        (schema_max, *besides),
    )
    return None if row is None else _batch_from_row(row)


async def load_n_sendable(reader: Reader, schema_max: int) -> int:
    """How many batches could leave now: neither set aside nor too new for the cloud."""
    n_batches: int = await reader.fetch_value(
        "SELECT count(*) FROM batches WHERE acked_at IS NULL AND held_reason IS NULL AND schema_v <= ?", (schema_max,)
    )
    return n_batches


async def load_too_new(reader: Reader, schema_max: int) -> int:
    """How many rows wait for a cloud of a newer schema."""
    n_rows: int = await reader.fetch_value(
        "SELECT coalesce(sum(hi - lo + 1), 0) FROM batches WHERE acked_at IS NULL AND schema_v > ?", (schema_max,)
    )
    return n_rows


def _batch_from_row(row: Row) -> Batch:
    return Batch(
        stream_id=row["stream_id"],
        lo=row["lo"],
        hi=row["hi"],
        digest=row["digest"],
        body=row["body"],
        n_bytes=row["n_bytes"],
        schema_v=row["schema_v"],
    )


async def save_receipt(tx: Tx, batch: Batch, receipt: dict[str, Any], *, now_ms: int) -> None:
    """Mark a batch acknowledged. It stays in the file until retention lets it go."""
    await tx.execute(
        "UPDATE batches SET acked_at = ?, receipt = ?, held_reason = NULL WHERE stream_id = ? AND lo = ?",
        (now_ms, json.dumps(receipt), batch.stream_id, batch.lo),
    )


async def save_hold(tx: Tx, batch: Batch, reason: str) -> None:
    """Set a batch aside: it cannot land as it is, the others pass."""
    await tx.execute(
        "UPDATE batches SET held_reason = ? WHERE stream_id = ? AND lo = ?", (reason, batch.stream_id, batch.lo)
    )


async def save_next_token(tx: Tx, stream: Stream) -> Stream:
    """Make a lineage token durable before it is offered, so that a lost reply is harmless."""
    next_token = stream.next_token or str(uuid.uuid4())
    await tx.execute("UPDATE streams SET next_token = ? WHERE stream_id = ?", (next_token, stream.stream_id))
    return msgspec.structs.replace(stream, next_token=next_token)


async def save_lineage(tx: Tx, stream: Stream) -> None:
    """The cloud has swapped to next_token: it is the token now."""
    await tx.execute(
        "UPDATE streams SET token = coalesce(next_token, token), next_token = NULL WHERE stream_id = ?",
        (stream.stream_id,),
    )


async def reopen_vanished(tx: Tx, stream: Stream, acked: Iterable[tuple[int, int]]) -> int:
    """Make batches pending again that the cloud acknowledged and no longer holds: it went back in time.

    The other way round, what the cloud holds and we have no receipt for, is not marked here. It is sent again and
    comes back as a duplicate: only the cloud's digest can tell a lost receipt from a file of ours that went back and
    gave the same numbers to other content.

    Args:
        acked: inclusive ranges the cloud has applied for this stream.
    Returns: how many batches are pending again.
    """
    rows = await tx.fetch(
        "SELECT lo, hi FROM batches WHERE stream_id = ? AND acked_at IS NOT NULL", (stream.stream_id,)
    )
    ranges = list(acked)
    vanished = [row["lo"] for row in rows if not within(row, ranges)]
    await tx.execute_many(
        "UPDATE batches SET acked_at = NULL, receipt = NULL WHERE stream_id = ? AND lo = ?",
        [(stream.stream_id, lo) for lo in vanished],
    )
    return len(vanished)


def within(row: Row, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a batch lies in one of the ranges."""
    return any(lo <= row["lo"] and row["hi"] <= hi for lo, hi in ranges)


def gaps(given: int, retained: Iterable[tuple[int, int]], acked: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The numbers of 1..given that are neither in our file nor in the cloud, as inclusive ranges. Pure."""
    found, expected = list[tuple[int, int]](), 1
    for lo, hi in sorted([*retained, *acked, (given + 1, given + 1)]):
        if lo > expected and expected <= given:
            found.append((expected, min(lo - 1, given)))
        expected = max(expected, hi + 1)
    return found


async def save_gaps(tx: Tx, stream: Stream, acked: Iterable[tuple[int, int]], *, now_ms: int) -> list[tuple[int, int]]:
    """Write down what the cloud has lost and we no longer retain; returns the ranges that are new."""
    rows = await tx.fetch("SELECT lo, hi FROM batches WHERE stream_id = ?", (stream.stream_id,))
    found = gaps(stream.last_seq, ((row["lo"], row["hi"]) for row in rows), acked)
    return await save_found_gaps(tx, stream.stream_id, found, now_ms=now_ms)


async def save_found_gaps(
    tx: Tx, stream_id: str, found: Sequence[tuple[int, int]], *, now_ms: int
) -> list[tuple[int, int]]:
    """The gaps of a stream are these from now on; one that was known keeps its moment. Returns the new ones."""
    known = {
        (row["lo"], row["hi"]): row["found_at"]
        for row in await tx.fetch("SELECT lo, hi, found_at FROM gaps WHERE stream_id = ?", (stream_id,))
    }
    await tx.execute("DELETE FROM gaps WHERE stream_id = ?", (stream_id,))
    await tx.execute_many(
        "INSERT INTO gaps (stream_id, lo, hi, found_at) VALUES (?, ?, ?, ?)",
        [(stream_id, lo, hi, known.get((lo, hi), now_ms)) for lo, hi in found],
    )
    return [gap for gap in found if gap not in known]


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that was given up by the program itself."""

    reason: str
    closed_at: int  # ms


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What stands neither here nor in the cloud any more."""

    n_rows: int
    found_at: int  # ms, of the newest


async def load_rotation(reader: Reader, *, since_ms: int) -> Rotation | None:
    """The newest since a moment that nobody asked for."""
    row = await reader.fetch_one(
        "SELECT coalesce(reason, '') AS reason, closed_at FROM streams WHERE closed_at >= ? AND reason IS NOT ?"
        " ORDER BY closed_at DESC LIMIT 1",
        (since_ms, BY_HAND),
    )
    return None if row is None else Rotation(reason=row["reason"], closed_at=row["closed_at"])


async def load_losses(reader: Reader, *, since_ms: int) -> Losses | None:
    """The gaps found since a moment; None where there are none."""
    row = await reader.fetch_one(
        "SELECT sum(hi - lo + 1) AS n_rows, max(found_at) AS found_at FROM gaps WHERE found_at >= ?", (since_ms,)
    )
    return None if row is None or row["n_rows"] is None else Losses(n_rows=row["n_rows"], found_at=row["found_at"])


async def release_held(tx: Tx) -> int:
    """Let batches that were set aside try again; returns how many."""
    return await tx.execute("UPDATE batches SET held_reason = NULL WHERE held_reason IS NOT NULL AND acked_at IS NULL")


async def rotate(
    tx: Tx, stream: Stream, *, reason: str, now_ms: int, acked: Sequence[tuple[int, int]] | None = None
) -> str:
    """Close the stream and re-seal what the cloud does not hold into a new one, keeping each batch's origin.

    Natural keys in the cloud remove whatever the old stream had already delivered.

    Args:
        acked: what the cloud holds of the stream, where it said so: a receipt it no longer knows counts for nothing,
            for a cloud that was restored has forgotten our token and our data alike.
    """
    await tx.execute(
        "UPDATE streams SET closed_at = ?, reason = ? WHERE stream_id = ?", (now_ms, reason, stream.stream_id)
    )
    new_id = await _insert_stream(tx, now_ms)
    rows = await tx.fetch("SELECT lo, hi, acked_at FROM batches WHERE stream_id = ? ORDER BY lo", (stream.stream_id,))
    first, moved = 1, list[tuple[int, int]]()
    for row in rows:
        if row["acked_at"] is None or (acked is not None and not within(row, acked)):
            first += await move(tx, stream.stream_id, row["lo"], new_id, first)
            moved.append((row["lo"], row["hi"]))
    await tx.execute("UPDATE streams SET next_seq = ? WHERE stream_id = ?", (first, new_id))
    await tx.execute("UPDATE streams SET moved = ? WHERE stream_id = ?", (json.dumps(moved), stream.stream_id))
    return new_id


async def move(tx: Tx, old_id: str, lo: int, new_id: str, first: int) -> int:
    """Give one batch its numbers in the new stream, one at a time: a week's backlog does not fit into memory.

    A batch that was moved before keeps its first origin. Returns: how many rows it has.
    """
    n_rows: int = await tx.fetch_value("SELECT hi - lo + 1 FROM batches WHERE stream_id = ? AND lo = ?", (old_id, lo))
    await tx.execute(
        "UPDATE batches SET stream_id = ?, lo = ?, hi = ?, acked_at = NULL, receipt = NULL, held_reason = NULL,"
        " origin_stream = coalesce(origin_stream, stream_id), origin_lo = coalesce(origin_lo, lo)"
        " WHERE stream_id = ? AND lo = ?",
        (new_id, first, first + n_rows - 1, old_id, lo),
    )
    return n_rows
