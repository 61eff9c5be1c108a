"""The loop that carries sealed batches to the cloud: exactly once in effect, over an unreliable line.

Law: never guess after a lost reply: reconnect, say hello, and send again byte for byte whatever has no receipt; the
cloud knows a duplicate by its digest. Fresh data goes before a backlog. The loop never gives up on the line; what it
knows about itself is in `state`, for people. It reads no clock but the one it is given.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec
import structlog

from sync.batch import Batch
from sync.errors import BatchRefused, SinkHeld, TransportError
from sync.protocol import LANES, Account, Hello, Lineage, Receipt, Result, Session, Transport, Welcome
from sync.pulse import Pulse
from sync.records import SCHEMA_VERSION
from sync.waiting import first_of

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 300.0
HELD_S = 300.0  # a person must act; asking more often only fills the log
LONGEST_ATTEMPT_S = 180.0  # connect, hello and the largest batch on the slowest line we wait for
SESSION_AGE = timedelta(minutes=30)  # proxies drop long sessions; leave before they do
_NO_LEDGER = 2**62  # of an audit that asks for the ranges alone
FRESH_EVERY = 5  # while a backlog drains: one newest batch, then four of the oldest; what was just sealed, next

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
    n_passes: int = 0  # how often the loop came to know how it stands
    schema_max: int = SCHEMA_VERSION  # what the cloud takes, as far as it has said
    too_new: str | None = None  # what the cloud is too old for, in words; everything else goes on


class Outbox(Protocol):
    """The sender's view of the store; every change is durable when the call returns."""

    sealed: asyncio.Event

    async def greeting(self) -> tuple[str, str, str, int]:
        """(stream, token, offered next token, highest number given)."""

    async def welcome(self, stream_id: str, welcome: Welcome) -> int:
        """Adopt the offered token; reopen what the cloud no longer holds; how many batches that were."""

    async def next_batch(self, *, newest_first: bool, schema_max: int, besides: Collection[int]) -> Batch | None:
        """The next batch to send, of those a cloud of this schema can take; `besides` are under way (their lo)."""

    async def too_new(self, schema_max: int) -> int:
        """How many rows wait for a cloud of a newer schema."""

    async def elders(self) -> list[str]:
        """Streams the present one has replaced, of which something may have to be sent again."""

    async def answer_for(self, stream_id: str, account: Account) -> int:
        """Bring back what the cloud no longer holds of an elder; how many batches that were."""

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
        self.state, self.pulse = SenderState(), Pulse("sender", LONGEST_ATTEMPT_S)
        self._outbox = outbox
        self._transport = transport
        self._identity = (host_id, boot_id, agent_version)
        self._clock = clock
        self._jitter = jitter
        self.road: str = getattr(transport, "name", "memory")  # how people call the way it goes
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stream_id: str | None = None  # the one this session was greeted with
        self._is_proved = False  # this session has carried something, or had nothing to carry

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
                # A cloud that greets and then takes nothing is away too: asked ever more rarely.
                failures = 0 if self._is_proved else failures + 1
                await self._rest(exc, failures)
        self._mark(Link.WAITING)

    async def drain(self) -> None:
        """Send everything pending once. Raises: TransportError at the first failure."""
        while not await self._session(until_empty=True):
            pass

    async def _session(self, *, until_empty: bool) -> bool:
        """Connect, greet, send; False when it should be done again at once (rotated, or old for a session)."""
        self._is_proved = False
        session = await self._transport.connect()
        try:
            opened, welcome = self._clock(), await self._greet(session)
            if welcome is None:  # rotated: greet again with the new stream
                welcome = await self._greet(session)
            if welcome is None:
                raise SinkHeld("hello: a new stream was refused as a fork", advice="restart the cloud's migrations")
            self._mark(Link.CONNECTED)
            await self._look_back(session)
            await self._look_ahead(welcome.schema_max)
            return await self._deliver(session, welcome, opened, until_empty=until_empty)
        finally:
            await session.close()

    async def _deliver(self, session: Session, welcome: Welcome, opened: datetime, *, until_empty: bool) -> bool:
        """Keep the lanes full, one until the line has carried a batch; True when nothing is left.

        The first failure ends them all: whatever was under way has no receipt, and is sent again.
        """
        flights = dict[asyncio.Task[bool], int]()  # and the lo of what each carries
        turn, lanes = 0, 1
        try:
            while True:
                self._mark(Link.CONNECTED)
                is_young = self._clock() - opened < SESSION_AGE
                while is_young and len(flights) < lanes:
                    is_fresh = turn % FRESH_EVERY == 0 or self._outbox.sealed.is_set()
                    self._outbox.sealed.clear()  # before looking: what is sealed from here on sets it again
                    batch = await self._outbox.next_batch(
                        newest_first=is_fresh, schema_max=welcome.schema_max, besides=flights.values()
                    )
                    if batch is None:
                        break
                    turn += 1
                    flights[asyncio.create_task(self._send(session, batch, welcome), name="lane")] = batch.lo
                if flights:
                    if not await _first_landed(flights):
                        return False
                    lanes = LANES
                elif not is_young:
                    return False
                elif until_empty or self._stop.is_set():
                    return True
                else:
                    turn, self._is_proved = 0, True
                    await self._idle(SESSION_AGE.total_seconds())
                    if self.state.too_new is not None:
                        return False  # the cloud may have been updated meanwhile: hear it in a new hello
                    await self._look_ahead(welcome.schema_max)
        finally:
            for flight in flights:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)

    async def _look_back(self, session: Session) -> None:
        """A cloud that went back in time has lost of the streams before this one too."""
        for stream_id in await self._outbox.elders():
            n_back = await self._outbox.answer_for(stream_id, await session.audit(stream_id, _NO_LEDGER))
            if n_back:
                log.warning("cloud went back in time", action="cloud_rollback", n_batches=n_back, stream=stream_id)

    async def _look_ahead(self, schema_max: int) -> None:
        """Say what waits for a newer cloud; the rest goes on."""
        n_rows = await self._outbox.too_new(schema_max) if schema_max < SCHEMA_VERSION else 0
        rows = "1 row needs" if n_rows == 1 else f"{n_rows:,} rows need"
        told = f"{rows} schema {SCHEMA_VERSION}, the cloud takes {schema_max}" if n_rows else None
        if told is not None and self.state.too_new is None:
            log.warning("the cloud is older than this program", action="cloud_too_old", reason=told)
        self.state.schema_max, self.state.too_new = schema_max, told

    async def _greet(self, session: Session) -> Welcome | None:
        """Say hello; returns the cloud's welcome, or None when the stream had to be rotated."""
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
        self._stream_id = stream_id
        n_reopened = await self._outbox.welcome(stream_id, welcome)
        if n_reopened:
            log.warning("cloud went back in time", action="cloud_rollback", n_batches=n_reopened)
        return welcome

    async def _send(self, session: Session, batch: Batch, welcome: Welcome) -> bool:
        """Send one batch; False when the session must be opened again."""
        if batch.stream_id != self._stream_id:
            return False  # an operator has begun a new stream: the cloud must hear of it first
        asked = self._clock()
        try:
            _assert_within(batch, welcome)
            receipt = await session.apply(batch, welcome.fence)
        except BatchRefused as exc:
            await self._outbox.hold(batch, str(exc))
            self._is_proved = True
            log.error("batch held", action="batch_held", lo=batch.lo, hi=batch.hi, reason=str(exc))
            return True
        self.state.round_trip_ms = (self._clock() - asked).total_seconds() * 1000
        if receipt.landed:
            await self._outbox.ack(batch, receipt)
            self.state.last_batch_at, self._is_proved = self._clock(), True
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
        self.pulse.beat(rest_s=timeout_s)
        if floor_s:
            await first_of(floor_s, self._stop, self._hurry)
        if not (self._stop.is_set() or self._hurry.is_set()) and timeout_s > floor_s:
            await first_of(timeout_s - floor_s, self._stop, self._hurry, self._outbox.sealed)
        self._outbox.sealed.clear()
        self._hurry.clear()
        self.pulse.beat()

    def _mark(self, link: Link, *, error: str | None = None, advice: str | None = None) -> None:
        self.pulse.beat()
        self.state.n_passes += 1
        if link is not self.state.link:
            if link is Link.CONNECTED:
                log.info("cloud connected", action="cloud_connected")
            self.state.link, self.state.since = link, self._clock()
        self.state.last_error, self.state.advice = error, advice


def _assert_within(batch: Batch, welcome: Welcome) -> None:
    """A record too large for any batch has one of its own, and must not stop the others. Raises: BatchRefused."""
    if batch.n_rows > welcome.max_rows or batch.n_bytes > welcome.max_bytes:
        raise BatchRefused(
            f"batch {batch.lo}-{batch.hi}: {batch.n_rows:,} rows, {batch.n_bytes:,} bytes are over the cloud's limits"
            f" ({welcome.max_rows:,} and {welcome.max_bytes:,}); once they are lifted: oddsd sync-now --held"
        )


async def _first_landed(flights: dict[asyncio.Task[bool], int]) -> bool:
    """Wait for one or more and take them out; False when the session must be opened again. Raises: as `_send`."""
    done, _ = await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)
    for flight in done:
        del flights[flight]
    for error in filter(None, [flight.exception() for flight in done]):
        raise error
    return all(flight.result() for flight in done)
