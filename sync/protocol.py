"""The words both halves of sync exchange: hello, its outcomes, receipts.

Law: every word crosses as JSON and is decoded here once; what the cloud adds later is ignored by an older edge.
"""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from sync.batch import Batch


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge says after every connect."""

    host_id: str
    stream_id: str
    prev_token: str
    next_token: str
    boot_id: str
    client_time: datetime
    schema_v: int
    agent_version: str
    local_hi: int


class Lineage(StrEnum):
    """What the cloud makes of our lineage token."""

    OK = "ok"
    FORK = "fork"  # a clone, a restored backup or a closed stream: start a new stream
    HOLD = "hold"  # versions do not fit: wait for a person


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud's answer to a hello."""

    status: Lineage
    server_time: datetime
    acked: tuple[tuple[int, int], ...] = ()  # inclusive ranges applied for this stream
    fence: int = 0
    reason: str | None = None
    max_rows: int = 5_000
    max_bytes: int = 4 * 1024 * 1024


class Result(StrEnum):
    """What happened to a batch."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"  # it was there already: just as good
    CONFLICT = "conflict"  # other content under these numbers: our lineage forked
    FENCED = "fenced"  # another writer owns the stream
    HOLD = "hold"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud's answer to a batch; inserted + known + quarantined = rows sent, when it landed."""

    result: Result
    inserted: int = 0
    known: int = 0
    quarantined: int = 0
    applied_at: datetime | None = None
    reason: str | None = None

    @property
    def landed(self) -> bool:
        """Whether the cloud holds the batch now."""
        return self.result in {Result.APPLIED, Result.DUPLICATE}


class Session(Protocol):
    """One connection to the cloud. Every method has a deadline of its own and raises only TransportError."""

    async def hello(self, hello: Hello) -> Welcome:
        """Say who we are; learn what the cloud holds."""

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        """Hand over one batch; returns when the cloud has decided."""

    async def close(self) -> None:
        """Let go of the connection; never raises."""


class Transport(Protocol):
    """A way to the cloud."""

    async def connect(self) -> Session:
        """Open a connection. Raises: SinkUnavailable, SinkHeld."""
