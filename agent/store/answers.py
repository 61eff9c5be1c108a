"""What the downlink must not forget: answers, kept before they are given, and whether there are other hosts.

Implements `sync.downlink.Journal`.
"""

import msgspec

from agent.core.instants import to_ms
from agent.store.db import Store
from sync.protocol import Answer

_decode = msgspec.json.Decoder(Answer).decode
MOST_AT_ONCE = 100
_HAS_MET = "duty.has_met"


class StoreJournal:
    """The table `answers` of one store and a row of `meta`; each call one durable transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def answer_to(self, request_id: str) -> Answer | None:
        """The answer a request had."""
        body = await self._store.reader.fetch_value("SELECT body FROM answers WHERE request_id = ?", (request_id,))
        return None if body is None else _decode(body)

    async def save(self, kind: str, answer: Answer) -> None:
        """Keep an answer; the first of a request stands."""
        async with self._store.write() as tx:
            await tx.execute(
                "INSERT OR IGNORE INTO answers (request_id, kind, body, answered_at) VALUES (?, ?, ?, ?)",
                (answer.request_id, kind, msgspec.json.encode(answer), to_ms(self._store.clock())),
            )

    async def untold(self) -> list[Answer]:
        """Answers the cloud may not have, oldest first."""
        rows = await self._store.reader.fetch(
            "SELECT body FROM answers WHERE told_at IS NULL ORDER BY answered_at LIMIT ?", (MOST_AT_ONCE,)
        )
        return [_decode(row["body"]) for row in rows]

    async def told(self, request_id: str) -> None:
        """The cloud has it."""
        async with self._store.write() as tx:
            await tx.execute(
                "UPDATE answers SET told_at = ? WHERE request_id = ?", (to_ms(self._store.clock()), request_id)
            )

    async def remember(self, *, has_met: bool) -> None:
        """Keep whether this host shares its work with others."""
        async with self._store.write() as tx:
            await tx.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (_HAS_MET, str(int(has_met))),
            )

    async def has_met(self) -> bool:
        """What was remembered; False for a host that never heard of another."""
        value: str | None = await self._store.reader.fetch_value("SELECT value FROM meta WHERE key = ?", (_HAS_MET,))
        return value == "1"
