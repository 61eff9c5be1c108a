"""A new stream by hand: for a file whose past is in doubt. What is pending moves along, and nothing is lost by it."""

from typing import Any, ClassVar

import msgspec

from agent.core.instants import to_ms
from agent.desk.base import Ask, Desk
from agent.store import outbox


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    old_stream: str
    new_stream: str
    moved: int  # rows


class AskRotate(Ask[Rotated], frozen=True, kw_only=True):
    """Close the stream in use, begin another."""

    verb: ClassVar[str] = "rotate_stream"
    answer_type: ClassVar[Any] = Rotated
    writes: ClassVar[bool] = True
    reason: str = outbox.BY_HAND

    async def answer(self, desk: Desk) -> Rotated:
        """Raises: StoreError."""
        async with desk.store.write() as tx:
            old = await outbox.load_stream(tx)
            new_id = await outbox.rotate(tx, old, reason=self.reason, now_ms=to_ms(desk.now))
            moved = (await outbox.load_stream(tx)).last_seq
        desk.store.sealed.set()
        return Rotated(old_stream=old.stream_id, new_stream=new_id, moved=moved)
