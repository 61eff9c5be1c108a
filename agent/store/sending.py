"""The sender's view of the store: implements `sync.sender.Outbox`, each call one durable transaction."""

import asyncio
from collections.abc import Collection

import msgspec
import structlog

from agent.core.instants import to_ms
from agent.store import elders, outbox
from agent.store.db import Store
from sync.batch import Batch
from sync.protocol import Account, Receipt, Welcome
from sync.records import SCHEMA_VERSION

log = structlog.get_logger("sync")


class StoreOutbox:
    """Batches and lineage of one store, for one process.

    Each process offers a new lineage token once; a token offered by a process that died before the answer came is
    offered again, since the cloud may have taken it.
    """

    def __init__(self, store: Store) -> None:
        self.sealed: asyncio.Event = store.sealed
        self._store = store
        self._introduced = False

    async def greeting(self) -> tuple[str, str, str, int]:
        """(stream, token, token to swap to, highest number given)."""
        stream = await outbox.load_stream(self._store.reader)
        if not self._introduced:
            async with self._store.write() as tx:
                stream = await outbox.save_next_token(tx, stream)
        return stream.stream_id, stream.token, stream.next_token or stream.token, stream.last_seq

    async def welcome(self, stream_id: str, welcome: Welcome) -> int:
        """Adopt the offered token; reopen what the cloud no longer holds. Returns how many batches that were."""
        async with self._store.write() as tx:
            stream = await outbox.load_stream(tx)
            if stream.stream_id != stream_id:
                return 0
            await outbox.save_lineage(tx, stream)
            n_reopened = await outbox.reopen_vanished(tx, stream, welcome.acked)
            lost = await outbox.save_gaps(tx, stream, welcome.acked, now_ms=self._now_ms())
        self._tell_lost(stream_id, lost)
        self._introduced = True
        return n_reopened

    def _tell_lost(self, stream_id: str, lost: list[tuple[int, int]]) -> None:
        for lo, hi in lost:
            log.error(
                "the cloud lost rows that are not held here any more",
                action="gap_found", stream=stream_id, lo=lo, hi=hi,
            )  # fmt: skip

    async def next_batch(
        self, *, newest_first: bool, schema_max: int = SCHEMA_VERSION, besides: Collection[int] = ()
    ) -> Batch | None:
        """The next batch to send, of those a cloud of this schema can take; `besides` are under way."""
        return await outbox.load_pending(
            self._store.reader, newest_first=newest_first, schema_max=schema_max, besides=besides
        )

    async def too_new(self, schema_max: int) -> int:
        """How many rows wait for a cloud of a newer schema."""
        return await outbox.load_too_new(self._store.reader, schema_max)

    async def elders(self) -> list[str]:
        """Streams the present one has replaced, of which something may have to be sent again."""
        return await elders.load_elders(self._store.reader, since_ms=to_ms(self._store.clock() - elders.ANSWERED_FOR))

    async def answer_for(self, stream_id: str, account: Account) -> int:
        """Bring back what the cloud no longer holds of an elder; how many batches that were."""
        async with self._store.write() as tx:
            n_back = await elders.bring_back(tx, stream_id, account.acked or ())
            lost = await elders.save_lost(tx, stream_id, account.acked or (), now_ms=self._now_ms())
        self._tell_lost(stream_id, lost)
        return n_back

    async def ack(self, batch: Batch, receipt: Receipt) -> None:
        """The cloud holds this batch."""
        async with self._store.write() as tx:
            await outbox.save_receipt(tx, batch, msgspec.to_builtins(receipt), now_ms=self._now_ms())

    async def hold(self, batch: Batch, reason: str) -> None:
        """Set this batch aside; others pass."""
        async with self._store.write() as tx:
            await outbox.save_hold(tx, batch, reason)

    async def rotate(self, stream_id: str, reason: str, acked: tuple[tuple[int, int], ...] | None = None) -> str:
        """Start a new stream and move into it what the cloud does not hold; `acked`: what it says it holds."""
        async with self._store.write() as tx:
            stream = await outbox.load_stream(tx)
            if stream.stream_id != stream_id:
                return stream.stream_id  # rotated meanwhile
            new_id = await outbox.rotate(tx, stream, reason=reason, now_ms=self._now_ms(), acked=acked)
        self._introduced = False
        return new_id

    def _now_ms(self) -> int:
        return to_ms(self._store.clock())
