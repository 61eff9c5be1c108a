"""Records as a venue sent them, kept by hash for a limited time: what a repaired reader is tried on."""

import hashlib
import zlib
from collections.abc import Iterable
from datetime import datetime

from agent.core.instants import to_ms
from agent.store.tx import Tx
from sync.records import Venue


async def save_raw(tx: Tx, venue: Venue, records: Iterable[bytes], *, reason: str, now: datetime) -> None:
    """Keep each record once, however often it comes."""
    await tx.execute_many(
        "INSERT INTO raw (digest, venue, reason, body, n_seen, first_seen_at, last_seen_at)"
        " VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
        " n_seen = n_seen + 1, last_seen_at = excluded.last_seen_at",
        [
            (hashlib.sha256(record).hexdigest(), venue, reason, zlib.compress(record), to_ms(now), to_ms(now))
            for record in records
        ],
    )
