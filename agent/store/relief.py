"""What is done when the disk is full: the ballast goes, then what the cloud holds is deleted, a little at a time.

Law: a row without an acknowledgement is never deleted, at any fill of the disk. If nothing can be deleted the store
stays full and every write says so; it recovers by itself when room comes back, without a restart.
"""

import asyncio

import structlog

from agent.errors import StoreError, StoreFull
from agent.store.ballast import drop_ballast, ensure_ballast, low_on_room
from agent.store.db import Store

ROUND_BATCHES = 4  # a batch is up to 1.4 MB packed: small transactions, or the WAL needs the room we lack
MOST_ROUNDS = 500

log = structlog.get_logger("store")


async def relieve(store: Store) -> int:
    """Make room after SQLITE_FULL. Returns: how many acknowledged batches were deleted."""
    folder = store.path.parent
    await asyncio.to_thread(drop_ballast, folder)
    n_deleted = 0
    for _ in range(MOST_ROUNDS):
        try:
            n = await _prune_some(store)
        except StoreFull:
            log.exception("no room even to delete", action="relief_failed", n_deleted=n_deleted)
            break
        n_deleted += n
        await store.checkpoint()
        if n == 0 or not await asyncio.to_thread(low_on_room, folder):
            break
    if n_deleted:
        log.warning("batches the cloud holds were deleted early", action="relieved", n_batches=n_deleted)
    await asyncio.to_thread(ensure_ballast, folder)
    return n_deleted


async def _prune_some(store: Store) -> int:
    async with store.write() as tx:
        n = await tx.execute(
            "DELETE FROM batches WHERE rowid IN"
            " (SELECT rowid FROM batches WHERE acked_at IS NOT NULL ORDER BY acked_at LIMIT ?)",
            (ROUND_BATCHES,),
        )
        await tx.fetch("PRAGMA incremental_vacuum(2000)")
    return n


class Relief:
    """Called by whoever keeps an eye on the store; at work once at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._busy = asyncio.Lock()

    async def tend(self) -> None:
        """Relieve the disk if a write has failed for want of room since the last look; keep the ballast in place."""
        if self._busy.locked():
            return
        async with self._busy:
            if self._store.full.is_set():
                self._store.full.clear()
                try:
                    await relieve(self._store)
                except StoreError as exc:
                    log.warning("no relief", action="relief_failed", reason=str(exc))
            else:
                await asyncio.to_thread(ensure_ballast, self._store.path.parent)
