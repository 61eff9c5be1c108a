"""The loop that carries sealed batches to the cloud: exactly once in effect, over an unreliable line.

Law: never guess after a lost reply: reconnect, say hello, and send again byte for byte whatever has no receipt; the
cloud knows a duplicate by its digest. Fresh data goes before a backlog. The loop never gives up on the line; what it
knows about itself is in `state`, for people. It reads no clock but the one it is given.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec
import structlog

from sync.batch import Batch
from sync.errors import BatchRefused, SinkHeld, TransportError
from sync.protocol import Hello, Lineage, Receipt, Result, Session, Transport, Welcome
from sync.records import SCHEMA_VERSION
from sync.waiting import first_of

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 300.0
HELD_S = 300.0  # a person must act; asking more often only fills the log
SESSION_AGE = timedelta(minutes=30)  # proxies drop long sessions; leave before they do
FRESH_EVERY = 5  # while a backlog drains: one newest batch, then four of the oldest

log = structlog.get_logger("sync")


class Link(StrEnum):
    """Where the sender stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # the line or the server is away
    HELD = "held"  # a person must act


class SenderState(msgspec.Struct):
    """What the sender knows about itself. Written by the loop only."""

    link: Link = Link.CONNECTING
    since: datetime | None = None
    last_batch_at: datetime | None = None
    round_trip_ms: float | None = None
    skew_s: float | None = None  # server time minus ours, half a round trip uncertain
    last_error: str | None = None
    advice: str | None = None
    beat_at: datetime | None = None  # last pass of the loop
    wakes_at: datetime | None = None  # asleep until then on purpose


class Outbox(Protocol):
    """The sender's view of the store; every change is durable when the call returns."""

    sealed: asyncio.Event

    async def greeting(self) -> tuple[str, str, str, int]:
        """(stream, token, offered next token, highest number given)."""

    async def welcome(self, stream_id: str, welcome: Welcome) -> int:
        """Adopt the offered token; reopen what the cloud no longer holds; how many batches that were."""

    async def next_batch(self, *, newest_first: bool) -> Batch | None:
        """The next batch to send."""

    async def ack(self, batch: Batch, receipt: Receipt) -> None:
        """The cloud holds this batch."""

    async def hold(self, batch: Batch, reason: str) -> None:
        """Set this batch aside; others pass."""

    async def rotate(self, stream_id: str, reason: str, acked: tuple[tuple[int, int], ...] | None = None) -> str:
        """Start a new stream and move into it what the cloud does not hold (`acked`: it does); returns its id."""


class Sender:
    """Owns the connection to the cloud; `run` for ever, or `drain` until nothing is pending."""

    def __init__(
        self,
        outbox: Outbox,
        transport: Transport,
        *,
        host_id: str,
        boot_id: str,
        agent_version: str,
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.state = SenderState()
        self._outbox = outbox
        self._transport = transport
        self._identity = (host_id, boot_id, agent_version)
        self._clock = clock
        self._jitter = jitter
        self.road: str = getattr(transport, "name", "memory")  # how people call the way it goes
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Try now, however long the loop meant to rest."""
        self._hurry.set()

    def stop(self) -> None:
        """Ask the loop to end once nothing is pending, or at the first failure."""
        self._stop.set()

    async def run(self) -> None:
        """Send what is sealed, as it is sealed, until stopped."""
        failures = 0
        while not self._stop.is_set():
            try:
                await self._session(until_empty=False)
                failures = 0
            except TransportError as exc:
                failures = 0 if self.state.link is Link.CONNECTED else failures + 1
                await self._rest(exc, failures)
        self._mark(Link.WAITING)

    async def drain(self) -> None:
        """Send everything pending once. Raises: TransportError at the first failure."""
        while not await self._session(until_empty=True):
            pass

    async def _session(self, *, until_empty: bool) -> bool:
        """Connect, greet, send; False when it should be done again at once (rotated, or old for a session)."""
        session = await self._transport.connect()
        try:
            opened, fence = self._clock(), await self._greet(session)
            if fence is None:  # rotated: greet again with the new stream
                fence = await self._greet(session)
            if fence is None:
                raise SinkHeld("hello: a new stream was refused as a fork", advice="restart the cloud's migrations")
            self._mark(Link.CONNECTED)
            turn = 0
            while self._clock() - opened < SESSION_AGE:
                self._mark(Link.CONNECTED)
                batch = await self._outbox.next_batch(newest_first=turn % FRESH_EVERY == 0)
                turn += 1
                if batch is not None:
                    if not await self._send(session, batch, fence):
                        return False
                elif until_empty or self._stop.is_set():
                    return True
                else:
                    turn = 0
                    await self._idle(SESSION_AGE.total_seconds())
            return False
        finally:
            await session.close()

    async def _greet(self, session: Session) -> int | None:
        """Say hello; returns the fence, or None when the stream had to be rotated."""
        host_id, boot_id, agent_version = self._identity
        stream_id, token, next_token, local_hi = await self._outbox.greeting()
        asked = self._clock()
        welcome = await session.hello(
            Hello(
                host_id=host_id, stream_id=stream_id, prev_token=token, next_token=next_token, boot_id=boot_id,
                client_time=asked, schema_v=SCHEMA_VERSION, agent_version=agent_version, local_hi=local_hi,
            )
        )  # fmt: skip
        answered = self._clock()
        self.state.skew_s = (welcome.server_time - (asked + (answered - asked) / 2)).total_seconds()
        if welcome.status is Lineage.HOLD:
            raise SinkHeld(f"hello: {welcome.reason}", advice="update the older side: the cloud first, then the edge")
        ahead = max((hi for _, hi in welcome.acked), default=0) > local_hi
        if welcome.status is Lineage.FORK or ahead:
            reason = welcome.reason or "the cloud holds numbers this file never gave: it went back in time"
            # A cloud that never knew this stream says so by an empty answer, and gets everything again.
            new_stream = await self._outbox.rotate(stream_id, reason, welcome.acked)
            log.warning("stream rotated", action="stream_rotated", old=stream_id, new=new_stream, reason=reason)
            return None
        n_reopened = await self._outbox.welcome(stream_id, welcome)
        if n_reopened:
            log.warning("cloud went back in time", action="cloud_rollback", n_batches=n_reopened)
        return welcome.fence

    async def _send(self, session: Session, batch: Batch, fence: int) -> bool:
        """Send one batch; False when the session must be opened again."""
        asked = self._clock()
        try:
            receipt = await session.apply(batch, fence)
        except BatchRefused as exc:
            await self._outbox.hold(batch, str(exc))
            log.error("batch held", action="batch_held", lo=batch.lo, hi=batch.hi, reason=str(exc))
            return True
        self.state.round_trip_ms = (self._clock() - asked).total_seconds() * 1000
        if receipt.landed:
            await self._outbox.ack(batch, receipt)
            self.state.last_batch_at = self._clock()
            log.debug("batch acked", action="batch_acked", lo=batch.lo, hi=batch.hi, result=receipt.result)
            return True
        if receipt.result is Result.HOLD:
            raise SinkHeld(f"apply {batch.lo}-{batch.hi}: {receipt.reason}", advice="update the cloud first")
        reason = f"apply {batch.lo}-{batch.hi}: {receipt.result}"
        await self._outbox.rotate(batch.stream_id, reason)
        log.warning("stream rotated", action="stream_rotated", old=batch.stream_id, reason=reason)
        return False

    async def _rest(self, exc: TransportError, failures: int) -> None:
        """Wait before the next attempt; log the change of state, not each failure."""
        held = isinstance(exc, SinkHeld)
        link = Link.HELD if held else Link.WAITING
        if self.state.link is not link:
            log.warning("cloud away", action=f"cloud_{link}", reason=str(exc), advice=exc.advice)
        self._mark(link, error=str(exc), advice=exc.advice)
        cap = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** min(failures, 10))
        delay = max(HELD_S if held else cap * self._jitter(), min(exc.retry_after_s or 0.0, BACKOFF_CAP_S))
        self._outbox.sealed.clear()
        await self._idle(delay, floor_s=min(delay, 60.0))

    async def _idle(self, timeout_s: float, *, floor_s: float = 0.0) -> None:
        """Sleep until new data is sealed (not before floor_s), a stop, or the timeout."""
        self.state.wakes_at = self._clock() + timedelta(seconds=timeout_s)
        if floor_s:
            await first_of(floor_s, self._stop, self._hurry)
        if not (self._stop.is_set() or self._hurry.is_set()) and timeout_s > floor_s:
            await first_of(timeout_s - floor_s, self._stop, self._hurry, self._outbox.sealed)
        self._outbox.sealed.clear()
        self._hurry.clear()
        self.state.wakes_at = None

    def _mark(self, link: Link, *, error: str | None = None, advice: str | None = None) -> None:
        now = self._clock()
        if link is not self.state.link:
            if link is Link.CONNECTED:
                log.info("cloud connected", action="cloud_connected")
            self.state.link, self.state.since = link, now
        self.state.beat_at, self.state.last_error, self.state.advice = now, error, advice
