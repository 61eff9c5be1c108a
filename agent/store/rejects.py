"""Records that could not be read: kept by hash with the reason, so that a drift can be looked at later."""

import zlib
from collections.abc import Sequence
from datetime import datetime

from agent.core.instants import to_ms
from agent.store.tx import Tx
from agent.venues.base import Reject


async def save_rejects(tx: Tx, rejects: Sequence[Reject], now: datetime) -> None:
    """Count each reject; its bytes are stored once however often it comes back."""
    if not rejects:
        return
    await tx.execute_many(
        "INSERT INTO rejects (digest, venue, path, reason, body, n_seen, first_seen_at, last_seen_at)"
        " VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
        " n_seen = n_seen + 1, last_seen_at = excluded.last_seen_at, reason = excluded.reason",
        [(r.digest, r.venue, r.path, r.reason, zlib.compress(r.body), to_ms(now), to_ms(now)) for r in rejects],
    )
