"""The words both halves of sync exchange: hello, its outcomes, receipts.

Law: every word crosses as JSON and is decoded here once; what the cloud adds later is ignored by an older edge.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

import msgspec

from sync.batch import Batch
from sync.records import SCHEMA_VERSION


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
    schema_max: int = SCHEMA_VERSION  # batches that need more wait until the cloud is updated
    schema_min: int | None = None  # the oldest it takes; None from one that does not say
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


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Work the cloud asks of an edge, under a lease."""

    request_id: str
    lease: str
    kind: str
    body: dict[str, Any]
    attempt: int  # 1 for the first host that took it
    requested_at: datetime
    expires_at: datetime  # nobody waits for it any longer


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended; said again as often as needed, the first one stands."""

    request_id: str
    state: Literal["done", "failed"]
    reason: str | None = None
    result: dict[str, Any] | None = None


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Who shares the work, as the cloud sees it. Settled: every living host has seen this number."""

    view_no: int
    members: tuple[str, ...]
    settled: bool
    alone: bool  # no other host has ever attended, or none for a month


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself: for people to read; nothing is decided by it."""

    level: Literal["ok", "degraded", "critical"]
    says: str  # the status in one line, 400 signs at most
    pending_rows: int
    oldest_pending_at: datetime | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the cloud's ledger says of one stream."""

    known: bool
    acked: tuple[tuple[int, int], ...] | None
    rows: int
    batches: int
    inserted: int
    already_known: int
    quarantined: int
    set_aside: int
    ledger: tuple[tuple[int, int, str], ...]  # lo, hi, digest in hex; oldest first


LANES = 2  # batches under way at once: while one is landing, the next one travels


class Session(Protocol):
    """One conversation with the cloud; `apply` is called for up to LANES batches at once.

    Every method has a deadline of its own and raises only TransportError.
    """

    async def hello(self, hello: Hello) -> Welcome:
        """Say who we are; learn what the cloud holds."""

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        """Hand over one batch; returns when the cloud has decided."""

    async def audit(self, stream_id: str, first: int) -> Account:
        """What the cloud holds of a stream, with its ledger from a number on."""

    async def close(self) -> None:
        """Let go of the connection; never raises."""


class DownSession(Protocol):
    """The same connection seen from the other side: what the cloud asks, who is there, what its ledger says."""

    async def lease(self, host_id: str, kinds: tuple[str, ...], *, limit: int, lease_s: int) -> tuple[Request, ...]:
        """Take requests that wait."""

    async def renew(self, host_id: str, request_ids: tuple[str, ...], *, lease_s: int) -> None:
        """Go on with requests that take longer than their lease."""

    async def complete(self, answer: Answer) -> None:
        """Say how a request ended; harmless when said twice."""

    async def attend(self, host_id: str, *, standby: bool, ttl_s: int) -> View:
        """Renew this host's lease on its share of the work; 0 gives it up."""

    async def tell(self, host_id: str, standing: Standing) -> None:
        """Say how this host is."""

    async def audit(self, stream_id: str, first: int) -> Account:
        """The ledger of one stream, batch by batch from a number on."""

    async def rung(self, timeout_s: float) -> bool:
        """Wait until the cloud may have a request; False when the time passed quietly."""

    async def close(self) -> None:
        """Let go of the connection; never raises."""


class DownTransport(Protocol):
    """A way to the cloud that also answers questions."""

    name: str  # for people: postgres, https

    async def connect(self) -> DownSession:
        """Open a connection. Raises: SinkUnavailable, SinkHeld."""


class Transport(Protocol):
    """A way to the cloud."""

    async def connect(self) -> Session:
        """Open a connection. Raises: SinkUnavailable, SinkHeld."""
