"""The checks that need the database or the daemon's secrets: it answers them, or the file does while it is down.

Law: looks only. What is expected is asked of the connection itself, for a setting that was misspelt is ignored
silently; conservation is counted, not believed.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.desk.base import Ask, Desk
from agent.doctor.findings import Finding, failed, good, skipped, warning
from agent.doctor.lineage import StreamHere
from agent.log import Redactor
from agent.settings import Settings
from agent.status.plant import PENDING_DEGRADED
from agent.status.spans import counted, span
from agent.store.db import APPLICATION_ID
from agent.store.outbox import BY_HAND, load_backlog, load_stream
from agent.store.tx import Reader

_RECENT = timedelta(days=7)
_CHECK_S = 300.0  # a quick_check of a large file on a slow card
_EXPECTED = {"journal_mode": "wal", "application_id": APPLICATION_ID, "auto_vacuum": 2}


class AskStoreHealth(Ask[list[Finding]], frozen=True, kw_only=True):
    """D07, D08, D09, D13, D28, D31, D32."""

    verb: ClassVar[str] = "store_health"
    answer_type: ClassVar[Any] = list[Finding]
    deadline_s: ClassVar[float | None] = None
    deep: bool = False  # also read every page

    async def answer(self, desk: Desk) -> list[Finding]:
        """Raises: StoreError."""
        reader = desk.store.reader
        return [
            await _pragmas(desk),
            await _pages(reader, deep=self.deep),
            await _conservation(reader),
            await _pending(desk),
            await _cut_off(desk),
            await _gaps(reader),
            await _rotations(desk),
        ]


class AskStreamHere(Ask[StreamHere | None], frozen=True, kw_only=True):
    """Our side of D12."""

    verb: ClassVar[str] = "stream_here"
    answer_type: ClassVar[Any] = StreamHere | None

    async def answer(self, desk: Desk) -> StreamHere | None:
        """None where an empty database answers for one that is not there. Raises: StoreError."""
        if desk.store.path != desk.settings.database_path:
            return None
        acked = await desk.store.reader.fetch_value(
            "SELECT max(hi) FROM batches JOIN streams USING (stream_id)"
            " WHERE streams.closed_at IS NULL AND acked_at IS NOT NULL"
        )
        stream = await load_stream(desk.store.reader)
        return StreamHere(stream_id=stream.stream_id, last_seq=stream.last_seq, acked_seq=acked)


class AskWays(Ask[list[Finding]], frozen=True, kw_only=True):
    """D12, D14 to D20, D22, D23: the ways to cloud and broker, as whoever answers goes them and with its secrets."""

    verb: ClassVar[str] = "ways"
    answer_type: ClassVar[Any] = list[Finding]
    deadline_s: ClassVar[float | None] = None  # each step has its own

    async def answer(self, desk: Desk) -> list[Finding]:
        """Without a secret in it."""
        from agent.doctor import broker, cloud  # both drivers, for a question seldom asked

        async def look() -> StreamHere | None:
            return await AskStreamHere().answer(desk)

        found = [*await cloud.checks(desk.settings, look), *await broker.checks(desk.settings)]
        return without_secrets(found, desk.settings)


def without_secrets(findings: Sequence[Finding], settings: Settings) -> list[Finding]:
    """The same, with no secret of these settings in any text."""
    redactor = Redactor(settings.secrets())
    return [msgspec.structs.replace(one, text=redactor.text(one.text)) for one in findings]


async def _pragmas(desk: Desk) -> Finding:
    found = {name: await desk.store.reader.fetch_value(f"PRAGMA {name}") for name in _EXPECTED}
    async with desk.store.write() as tx:
        found["synchronous"] = await tx.fetch_value("PRAGMA synchronous")
    wrong = [
        f"{name} is {found[name]}" for name, value in {**_EXPECTED, "synchronous": 2}.items() if found[name] != value
    ]
    if wrong:
        return failed("D07", "durability", ", ".join(wrong), "restart the daemon; if it stays, restore a backup")
    return good("D07", "durability", "WAL, synchronous=FULL")


async def _pages(reader: Reader, *, deep: bool) -> Finding:
    if not deep:
        return skipped("D08", "pages", "oddsd doctor --deep reads them all")
    async with asyncio.timeout(_CHECK_S):
        said = await reader.fetch_value("PRAGMA quick_check(1)")
    if said != "ok":
        return failed("D08", "pages", f"quick_check: {said}", "stop the daemon and restore a backup")
    return good("D08", "pages", "quick_check is ok")


async def _conservation(reader: Reader) -> Finding:
    """Numbers of the stream in use: given = held here or let go of after the receipt, none twice, none missing."""
    row = await reader.fetch_one(
        "SELECT s.next_seq - 1 AS given, coalesce(min(b.lo), s.next_seq) AS first,"
        " coalesce(sum(b.hi - b.lo + 1), 0) AS here FROM streams s"
        " LEFT JOIN batches b USING (stream_id) WHERE s.closed_at IS NULL"
    )
    gaps = await reader.fetch_value(
        "SELECT count(*) FROM (SELECT b.acked_at, b.lo, lag(b.hi) OVER (ORDER BY b.lo) AS before FROM batches b"
        " JOIN streams s USING (stream_id) WHERE s.closed_at IS NULL) WHERE lo <= before"
    )
    assert row is not None  # noqa: S101 - there is always one stream in use
    last = await reader.fetch_value(
        "SELECT max(hi) FROM batches JOIN streams USING (stream_id) WHERE streams.closed_at IS NULL"
    )
    if gaps or (last is not None and last != row["given"]):
        text = f"the numbers of the outbox do not add up: {row['given']} given, last held {last}, {gaps} overlaps"
        return failed("D09", "conservation", text, "keep the file, restore a backup; the stream starts anew by itself")
    return good("D09", "conservation", f"{row['given']:,} rows numbered, {row['here']:,} of them still here")


async def _pending(desk: Desk) -> Finding:
    backlog = await load_backlog(desk.store.reader)
    if backlog.oldest_sealed_at is None:
        return good("D13", "pending", "nothing waits for the cloud")
    age = desk.now - from_ms(backlog.oldest_sealed_at)
    text = f"{backlog.n_rows:,} rows, the oldest for {span(age)}"
    if backlog.n_held:
        held = counted(backlog.n_held, "batch", "batches")
        return warning("D13", "pending", f"{text}; {held} set aside", "oddsd queue tells why")
    if desk.settings.database_url is None and desk.settings.cloud_url is None:
        return good("D13", "pending", f"{text}; no cloud is configured")
    # Measured: some 5,000 rows a second leave over a home line; a tick's worth is gone in a second.
    rate = f"about {span(timedelta(seconds=max(1, backlog.n_rows // 5000)))} to send once the cloud answers"
    if age > PENDING_DEGRADED:
        return warning("D13", "pending", f"{text}; {rate}", "see D14 to D18 for the way to the cloud")
    return good("D13", "pending", text)


async def _cut_off(desk: Desk) -> Finding:
    """Runs a dead process left behind in the last day are what an unclean stop leaves."""
    since = to_ms(desk.now - timedelta(days=1))
    n = await desk.store.reader.fetch_value(
        "SELECT count(*) FROM job_runs WHERE started_at >= ? AND (trigger = 'recovery' OR reason LIKE 'cut off when%')",
        (since,),
    )
    if n:
        fix = "journalctl -u oddsd tells what ended it"
        return warning("D28", "unclean stops", f"{counted(n, 'run')} of the last day had been cut off", fix)
    return good("D28", "unclean stops", "no run of the last day was cut off")


async def _gaps(reader: Reader) -> Finding:
    """What the cloud lost when it was no longer held here, over all streams."""
    row = await reader.fetch_one("SELECT count(*) AS n, sum(hi - lo + 1) AS n_rows, max(found_at) AS last FROM gaps")
    if row is None or not row["n"]:
        return good("D31", "gaps", "none was found")
    text = f"{counted(row['n'], 'gap')}, {row['n_rows']:,} rows, the last found on {from_ms(row['last']):%Y-%m-%d}"
    return warning("D31", "gaps", text, "oddsd audit lists them; only a backup of the cloud has them back")


async def _rotations(desk: Desk) -> Finding:
    """A stream begun anew by itself is safe, and tells of a copied, restored or broken file."""
    reader = desk.store.reader
    n_all = await reader.fetch_value("SELECT count(*) FROM streams WHERE closed_at IS NOT NULL")
    last = await reader.fetch_one(
        "SELECT closed_at, reason, count(*) OVER () AS n FROM streams WHERE closed_at >= ? AND reason IS NOT ?"
        " ORDER BY closed_at DESC LIMIT 1",
        (to_ms(desk.now - _RECENT), BY_HAND),
    )
    if last is None:
        return good("D32", "rotations", f"none by itself in the last week, {n_all} closed streams in all")
    text = f"{last['n']} in the last week, the last on {from_ms(last['closed_at']):%Y-%m-%d}: {last['reason']}"
    return warning(
        "D32", "rotations", text, "let only one machine use this file; after a restore it is as it should be"
    )
