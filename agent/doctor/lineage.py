"""What the cloud's own words say: whether it knows our stream, which schemas it takes, and what time it is there.

Law: asking leaves nothing behind. The hello without a stream is refused before anything is written and is answered all
the same; the lineage token is not offered here, only the daemon's own hello may move it.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from agent.doctor.findings import Finding, failed, good, skipped, unknown, warning
from agent.status.plant import SKEW_CRITICAL_S, SKEW_DEGRADED_S
from sync.records import SCHEMA_VERSION

NAMES = (("D12", "lineage"), ("D19", "schema"), ("D20", "clock skew"))
_HELLO = "SELECT edge_hello(NULL, NULL, NULL, NULL, NULL, NULL, $1, NULL, NULL)"
_LIMIT_S = 5.0
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_MIGRATE = "oddsd-cloud migrate at the cloud"


class StreamHere(msgspec.Struct, frozen=True, kw_only=True):
    """Our side: the stream in use, the highest number it has given, the highest with a receipt that is still here."""

    stream_id: str
    last_seq: int
    acked_seq: int | None


Look = Callable[[], Awaitable[StreamHere | None]]


async def compare(connection: Any, look: Look) -> list[Finding]:
    """D12, D19, D20."""
    try:
        asked = datetime.now(UTC)
        greeting = json.loads(await connection.fetchval(_HELLO, SCHEMA_VERSION, timeout=_LIMIT_S))
        answered = datetime.now(UTC)
    except _FAULTS as exc:
        said = [unknown(id_, name, f"edge_hello: {_why(exc)}", _MIGRATE) for id_, name in NAMES[1:]]
    else:
        there = datetime.fromisoformat(greeting["server_time"])
        said = [_schema(greeting), skew((there - (asked + (answered - asked) / 2)).total_seconds())]
    return [await _lineage(connection, look), *said]


async def _lineage(connection: Any, look: Look) -> Finding:
    id_, name, before = "D12", "lineage", await look()
    if before is None:
        return skipped(id_, name, "there is no database yet, or it cannot be asked (D07)")
    try:
        text = await connection.fetchval(
            "SELECT edge_audit($1, $2)", before.stream_id, before.last_seq + 1, timeout=_LIMIT_S
        )
    except _FAULTS as exc:
        return unknown(id_, name, f"edge_audit: {_why(exc)}", _MIGRATE)
    after = await look()  # the daemon sends meanwhile: the cloud may hold what was given since
    if after is None or after.stream_id != before.stream_id:
        return unknown(id_, name, "a new stream was begun meanwhile", "ask again")
    account = json.loads(text)
    return lineage(before.acked_seq, after.last_seq, account["acked"] if account["known"] else None)


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


def _schema(greeting: dict[str, Any]) -> Finding:
    id_, name, least, most = "D19", "schema", greeting["schema_min"], greeting["schema_max"]
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


def _why(exc: BaseException) -> str:
    return str(exc).partition("\n")[0] or type(exc).__name__
