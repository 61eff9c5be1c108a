"""An edge driven by hand: it seals records into batches and calls the two functions, one step at a time."""

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from sync.records import SCHEMA_VERSION, Travelling


def encode(records: list[Travelling]) -> str:
    return msgspec.json.encode(records).decode()


@dataclass
class HandEdge:
    connection: asyncpg.Connection
    host_id: str = "home-1"
    stream: uuid.UUID = field(default_factory=uuid.uuid4)
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    fence: int = 0
    next_lo: int = 1

    async def hello(self, **changes: Any) -> dict[str, Any]:
        """Greet with a new token and move to it if the cloud agrees."""
        asked = {
            "host_id": self.host_id,
            "stream": self.stream,
            "prev_token": self.token,
            "next_token": uuid.uuid4(),
            "boot_id": "boot",
            "client_time": datetime.now(UTC),
            "schema_v": SCHEMA_VERSION,
            "agent_version": "0.1.0",
            "local_hi": self.next_lo - 1,
        } | changes
        text = await self.connection.fetchval("select edge_hello($1, $2, $3, $4, $5, $6, $7, $8, $9)", *asked.values())
        reply = msgspec.json.decode(text)
        if reply["status"] == "ok":
            self.token, self.fence = asked["next_token"], reply["fence"]
        return reply

    async def send(self, records: list[Travelling]) -> dict[str, Any]:
        """Seal the next range and apply it."""
        return await self.send_text(encode(records), len(records))

    async def send_text(self, rows: str, n_rows: int) -> dict[str, Any]:
        lo, self.next_lo = self.next_lo, self.next_lo + n_rows
        return await self.apply(lo, lo + n_rows - 1, rows)

    async def apply(self, lo: int, hi: int, rows: str, **changes: Any) -> dict[str, Any]:
        """One statement, exactly as sealed; `changes` tell the lies a test is about."""
        sent = {
            "stream": self.stream,
            "fence": self.fence,
            "lo": lo,
            "hi": hi,
            "digest": hashlib.sha256(rows.encode()).digest(),
            "schema_v": SCHEMA_VERSION,
            "rows": rows,
        } | changes
        text = await self.connection.fetchval("select edge_apply($1, $2, $3, $4, $5, $6, $7)", *sent.values())
        return msgspec.json.decode(text)
