"""What an operator does about deliveries: send now, hold both sides of the ledger against each other.

Law: the audit believes neither side: every batch still held here is looked for in the cloud's ledger by range and
digest, and the sums of both must close (issued = pending + acked here + pruned; acked there = inserted + known +
quarantined). It changes nothing.
"""

import asyncio
from datetime import datetime

import msgspec

from agent.core.instants import from_ms
from agent.errors import CloudAway
from agent.store import outbox
from agent.store.db import Store
from agent.store.tx import Reader
from sync.errors import TransportError
from sync.protocol import Account, DownTransport
from sync.sender import Sender

UPDATE_CLOUD = "update the cloud: oddsd-cloud migrate; they wait here, everything else goes on"
SEND_WITHIN_S = 60.0  # then the command says how far it came; the daemon goes on


class SentNow(msgspec.Struct, frozen=True, kw_only=True):
    """How far a delivery came."""

    sent: int  # rows
    pending: int
    held: int
    released: int  # batches that had been set aside and may try again
    reason: str | None = None
    advice: str | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that neither side holds any more."""

    stream_id: str
    lo: int
    hi: int
    found_at: datetime


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of the ledger of the stream in use, in rows; `faults` has a sentence for each that does not close."""

    stream_id: str
    issued: int
    pending: int
    acked: int  # with a receipt, still held here
    pruned: int  # no longer held here
    cloud_acked: int
    cloud_inserted: int
    cloud_known: int
    cloud_quarantined: int
    compared: int  # batches whose digest was found on both sides
    gaps: tuple[Gap, ...]
    faults: tuple[str, ...]


async def sync_now(store: Store, sender: Sender | None, *, held: bool) -> SentNow:
    """Wake the sender and wait until nothing is pending, it fails, or a minute has passed.

    Args:
        held: also let batches that were set aside try again.
    Raises: CloudAway where none is configured.
    """
    if sender is None:
        raise CloudAway("no cloud is configured", advice="set database_url or cloud_url")
    released = 0
    if held:
        async with store.write() as tx:
            released = await outbox.release_held(tx)
    before, seen = await outbox.load_backlog(store.reader), sender.state.n_passes
    sender.hurry()
    store.sealed.set()
    async with asyncio.timeout(SEND_WITHIN_S + 1):
        for _ in range(int(SEND_WITHIN_S / 0.1)):
            now = await outbox.load_backlog(store.reader)
            failed = sender.state.last_error is not None and sender.state.n_passes != seen
            if failed or await outbox.load_n_sendable(store.reader, sender.state.schema_max) == 0:
                break
            await asyncio.sleep(0.1)
    return SentNow(
        sent=before.n_rows - now.n_rows,
        pending=now.n_rows,
        held=now.n_held,
        released=released,
        reason=sender.state.last_error or sender.state.too_new,
        advice=sender.state.advice or (None if sender.state.too_new is None else UPDATE_CLOUD),
    )


async def audit(store: Store, road: DownTransport | None) -> Audited:
    """Compare both sides. Raises: CloudAway."""
    if road is None:
        raise CloudAway("no cloud is configured", advice="set database_url or cloud_url")
    stream = await outbox.load_stream(store.reader)
    # The cloud first: what lands meanwhile is then ahead of our receipts, and never the other way round.
    first = await store.reader.fetch_value("SELECT min(lo) FROM batches WHERE stream_id = ?", (stream.stream_id,))
    try:
        session = await road.connect()
        try:
            account = await session.audit(stream.stream_id, first or 0)
        finally:
            await session.close()
    except TransportError as exc:
        raise CloudAway(f"audit: {exc}", advice=exc.advice or "oddsd doctor looks at the way to the cloud") from exc
    return compare(stream, await _held_here(store.reader, stream.stream_id), account, await _gaps(store.reader))


class HeldBatch(msgspec.Struct, frozen=True):
    """What the audit needs of a batch in our file."""

    lo: int
    hi: int
    digest: str
    is_acked: bool


def compare(stream: outbox.Stream, here: list[HeldBatch], account: Account, gaps: tuple[Gap, ...]) -> Audited:
    """Hold both sides against each other. Pure."""
    ledger = {(lo, hi): digest for lo, hi, digest in account.ledger}
    ranges = account.acked or ()
    faults, compared = list[str](), 0
    for batch in here:
        there = ledger.get((batch.lo, batch.hi))
        if there is not None and there != batch.digest:
            faults.append(f"{batch.lo}-{batch.hi}: the cloud holds other content under these numbers")
        elif there is not None:
            compared += 1
        elif batch.is_acked and len(account.ledger) < LEDGER_LIMIT:
            faults.append(f"{batch.lo}-{batch.hi}: acknowledged, not in the cloud's ledger; the next hello reopens it")
    cloud_acked = sum(hi - lo + 1 for lo, hi in ranges)
    faults += _sums(account, cloud_acked)
    missing = outbox.gaps(stream.last_seq, [(batch.lo, batch.hi) for batch in here], ranges)
    faults += [f"{lo}-{hi}: neither here nor in the cloud: lost" for lo, hi in missing]
    retained = sum(batch.hi - batch.lo + 1 for batch in here)
    pending = sum(batch.hi - batch.lo + 1 for batch in here if not batch.is_acked)
    return Audited(
        stream_id=stream.stream_id,
        issued=stream.last_seq,
        pending=pending,
        acked=retained - pending,
        pruned=stream.last_seq - retained,
        cloud_acked=cloud_acked,
        cloud_inserted=account.inserted,
        cloud_known=account.already_known,
        cloud_quarantined=account.quarantined,
        compared=compared,
        gaps=gaps,
        faults=tuple(faults),
    )


LEDGER_LIMIT = 20_000  # batches the cloud lists: half a year of ticks


def _sums(account: Account, cloud_acked: int) -> list[str]:
    """What does not close on the cloud's side."""
    faults = list[str]()
    if account.rows != cloud_acked:
        faults.append(f"the cloud's ledger has {account.rows} rows, its ranges {cloud_acked}")
    told = account.inserted + account.already_known + account.quarantined
    if told != account.rows:
        faults.append(f"of {account.rows} rows the cloud inserted, knew or set aside {told}")
    if account.set_aside != account.quarantined:
        faults.append(f"the cloud counted {account.quarantined} rows set aside and holds {account.set_aside}")
    return faults


async def _held_here(reader: Reader, stream_id: str) -> list[HeldBatch]:
    rows = await reader.fetch(
        "SELECT lo, hi, digest, acked_at FROM batches WHERE stream_id = ? ORDER BY lo", (stream_id,)
    )
    return [HeldBatch(row["lo"], row["hi"], row["digest"].hex(), row["acked_at"] is not None) for row in rows]


async def _gaps(reader: Reader) -> tuple[Gap, ...]:
    rows = await reader.fetch("SELECT * FROM gaps ORDER BY found_at, lo")
    return tuple(
        Gap(stream_id=row["stream_id"], lo=row["lo"], hi=row["hi"], found_at=from_ms(row["found_at"])) for row in rows
    )


def render(found: Audited) -> str:
    """In words."""
    lines = [
        f"stream {found.stream_id}",
        (
            f"here    {found.issued:,} rows issued = {found.pending:,} pending + {found.acked:,} acknowledged"
            f" + {found.pruned:,} no longer held"
        ),
        (
            f"cloud   {found.cloud_acked:,} rows acknowledged = {found.cloud_inserted:,} inserted"
            f" + {found.cloud_known:,} known before + {found.cloud_quarantined:,} set aside"
        ),
        f"both    {found.compared:,} batches compared by digest",
    ]
    lines += [
        f"gap     {gap.lo:,}-{gap.hi:,} of stream {gap.stream_id[:8]}, found {gap.found_at:%Y-%m-%d %H:%M} UTC:"
        " the cloud lost these rows when they were no longer held here"
        for gap in found.gaps
    ]
    lines += [f"fault   {fault}" for fault in found.faults] or ["nothing lost, nothing doubled"]
    return "\n".join(lines)
