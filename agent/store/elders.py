"""Streams that were given up and are still answered for: a cloud that went back in time has lost of them too.

Law: what had a receipt under an elder and is still held here goes into the stream in use when the cloud no longer has
it; what is held nowhere any more is written down as a gap. The cloud's natural keys remove what landed after all.
"""

import json
from collections.abc import Sequence
from datetime import timedelta

from agent.store.outbox import gaps, load_stream, move, save_found_gaps, within
from agent.store.tx import Reader, Tx

ANSWERED_FOR = timedelta(days=90)  # since it was given up: a cloud is not restored to an older copy
_MOST = 20  # each costs a question after every connect; a house has none or one

Ranges = Sequence[tuple[int, int]]


async def load_elders(reader: Reader, *, since_ms: int) -> list[str]:
    """Those given up since, the newest first."""
    rows = await reader.fetch(
        "SELECT stream_id FROM streams WHERE closed_at >= ? AND next_seq > 1 ORDER BY closed_at DESC LIMIT ?",
        (since_ms, _MOST),
    )
    return [row["stream_id"] for row in rows]


async def bring_back(tx: Tx, elder: str, acked: Ranges) -> int:
    """Move the batches the cloud no longer holds into the stream in use; returns how many.

    Args:
        acked: inclusive ranges the cloud holds of the elder.
    """
    rows = await tx.fetch("SELECT lo, hi FROM batches WHERE stream_id = ? ORDER BY lo", (elder,))
    vanished = [(row["lo"], row["hi"]) for row in rows if not within(row, acked)]
    if not vanished:
        return 0
    stream = await load_stream(tx)
    first = stream.next_seq
    for lo, _ in vanished:
        first += await move(tx, elder, lo, stream.stream_id, first)
    await tx.execute("UPDATE streams SET next_seq = ? WHERE stream_id = ?", (first, stream.stream_id))
    moved = sorted([*(await _moved(tx, elder) or ()), *vanished])
    await tx.execute("UPDATE streams SET moved = ? WHERE stream_id = ?", (json.dumps(moved), elder))
    return len(vanished)


async def save_lost(tx: Tx, elder: str, acked: Ranges, *, now_ms: int) -> list[tuple[int, int]]:
    """Write down which numbers of the elder are held nowhere any more; returns the ranges that are new."""
    moved = await _moved(tx, elder)
    if moved is None:
        return []  # closed by an older release: nobody knows what went where
    given = await tx.fetch_value("SELECT next_seq - 1 FROM streams WHERE stream_id = ?", (elder,))
    rows = await tx.fetch("SELECT lo, hi FROM batches WHERE stream_id = ?", (elder,))
    found = gaps(given, [*moved, *((row["lo"], row["hi"]) for row in rows)], acked)
    return await save_found_gaps(tx, elder, found, now_ms=now_ms)


async def _moved(tx: Tx, elder: str) -> list[tuple[int, int]] | None:
    text = await tx.fetch_value("SELECT moved FROM streams WHERE stream_id = ?", (elder,))
    return None if text is None else [(lo, hi) for lo, hi in json.loads(text)]
