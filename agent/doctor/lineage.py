"""What the cloud's own words say: whether it knows our stream, which schemas it takes, and what time it is there.

Law: asking leaves nothing behind. A hello of nobody is refused before anything is written and is answered all the same;
the lineage token is not offered here, only the daemon's own hello may move it.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from agent.doctor.findings import Finding, failed, good, skipped, unknown, warning
from agent.status.plant import SKEW_CRITICAL_S, SKEW_DEGRADED_S
from sync.errors import TransportError
from sync.protocol import Account, Hello, Welcome
from sync.records import SCHEMA_VERSION

NAMES = (("D12", "lineage"), ("D19", "schema"), ("D20", "clock skew"))
_NOBODY = "00000000-0000-4000-8000-000000000000"
_MIGRATE = "oddsd-cloud migrate at the cloud"


class StreamHere(msgspec.Struct, frozen=True, kw_only=True):
    """Our side: the stream in use, the highest number it has given, the highest with a receipt that is still here."""

    stream_id: str
    last_seq: int
    acked_seq: int | None


class Session(Protocol):
    """What is asked of the cloud, over either way."""

    async def hello(self, hello: Hello) -> Welcome:
        """The first word."""

    async def audit(self, stream_id: str, first: int) -> Account:
        """What its ledger says of a stream."""


Look = Callable[[], Awaitable[StreamHere | None]]


async def compare(session: Session, look: Look) -> list[Finding]:
    """D12, D19, D20."""
    try:
        asked = datetime.now(UTC)
        greeting = await session.hello(_anonymous(asked))
        answered = datetime.now(UTC)
    except TransportError as exc:
        said = [unknown(id_, name, str(exc), exc.advice or _MIGRATE) for id_, name in NAMES[1:]]
    else:
        said = [_schema(greeting), skew((greeting.server_time - (asked + (answered - asked) / 2)).total_seconds())]
    return [await _lineage(session, look), *said]


def _anonymous(now: datetime) -> Hello:
    """A hello of nobody: the cloud turns it away before it writes, and says what it takes and what time it is."""
    return Hello(
        host_id="", stream_id=_NOBODY, prev_token=_NOBODY, next_token=_NOBODY, boot_id="", client_time=now,
        schema_v=SCHEMA_VERSION, agent_version="", local_hi=0,
    )  # fmt: skip


async def _lineage(session: Session, look: Look) -> Finding:
    id_, name, before = "D12", "lineage", await look()
    if before is None:
        return skipped(id_, name, "there is no database yet, or it cannot be asked (D07)")
    try:
        account = await session.audit(before.stream_id, before.last_seq + 1)
    except TransportError as exc:
        return unknown(id_, name, str(exc), exc.advice or _MIGRATE)
    after = await look()  # the daemon sends meanwhile: the cloud may hold what was given since
    if after is None or after.stream_id != before.stream_id:
        return unknown(id_, name, "a new stream was begun meanwhile", "ask again")
    return lineage(before.acked_seq, after.last_seq, account.acked if account.known else None)


def lineage(acked_seq: int | None, last_seq: int, there: Sequence[Sequence[int]] | None) -> Finding:
    """Neither side may be behind what the other has of it. Pure.

    Args:
        there: inclusive ranges the cloud holds of the stream; None where it has never heard of it.
    """
    id_, name = "D12", "lineage"
    most = max((hi for _, hi in there or ()), default=0)
    if most > last_seq:
        text = f"the cloud holds numbers up to {most:,}, this file has given {last_seq:,}: it is an older copy"
        return failed(id_, name, text, "start the daemon: it begins a new stream, nothing is lost; see D32")
    if acked_seq is not None and not any(lo <= acked_seq <= hi for lo, hi in there or ()):
        text = f"the cloud does not hold {acked_seq:,}, for which it gave a receipt: it went back in time"
        return warning(id_, name, text, "start the daemon: it sends again what is still here; see D31")
    if there is None:
        return good(id_, name, "the cloud has not heard of this stream yet")
    return good(id_, name, f"the cloud knows this stream up to {most:,} of {last_seq:,}")


def _schema(greeting: Welcome) -> Finding:
    id_, name, least, most = "D19", "schema", greeting.schema_min, greeting.schema_max
    if least is None:
        return unknown(id_, name, "the cloud does not say which it takes", _MIGRATE)
    text = f"ours is {SCHEMA_VERSION}, the cloud takes {least} to {most}"
    if not least <= SCHEMA_VERSION <= most:
        older = "the cloud: oddsd-cloud migrate" if most < SCHEMA_VERSION else "oddsd on this machine"
        return failed(id_, name, text, f"update {older}")
    return good(id_, name, text)


def skew(seconds: float) -> Finding:
    """D20: the cloud's clock minus ours, half a round trip uncertain. Pure."""
    id_, name, text = "D20", "clock skew", f"{seconds:+.2f} s against the cloud's"
    fix = "check time synchronisation on this machine (timedatectl)"
    if abs(seconds) > SKEW_CRITICAL_S:
        return failed(id_, name, text, fix)
    if abs(seconds) > SKEW_DEGRADED_S:
        return warning(id_, name, text, fix)
    return good(id_, name, text)
