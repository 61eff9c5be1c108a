"""What comes down: requests of the cloud, and this host's lease on its share of the work. A connection of its own, so
that waiting for a bell never holds up a batch.

Law: an answer is durable here before it is given, and given until the cloud has it; a request that comes a second time
gets the answer it had. What a request may ask for is the table of handlers and nothing else. The cloud's absence stops
nothing but this loop.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from sync.duty import ATTEND_EVERY_S, TTL_S, Duty
from sync.errors import SinkHeld, TransportError
from sync.protocol import Answer, DownSession, DownTransport, Request

LEASE_S = 300  # a host that dies lets go of its requests after so long
TAKEN_AT_ONCE = 10
BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 60.0  # people wait for answers: look again sooner than for batches
SESSION_S = 1800.0  # proxies drop long sessions; leave before they do

Handler = Callable[[Request], Awaitable[dict[str, Any]]]

log = structlog.get_logger("sync")


class RequestFailed(Exception):
    """A handler could not do it; str(e) is told to whoever asked."""


class Journal(Protocol):
    """Answers, durable when a call returns."""

    async def answer_to(self, request_id: str) -> Answer | None:
        """The answer a request had."""

    async def save(self, kind: str, answer: Answer) -> None:
        """Keep an answer before it is given."""

    async def untold(self) -> list[Answer]:
        """Answers the cloud may not have, oldest first."""

    async def told(self, request_id: str) -> None:
        """The cloud has it."""


class Downlink:
    """Owns the connection; `run` for ever, as a task of the daemon."""

    def __init__(
        self,
        transport: DownTransport,
        journal: Journal,
        handlers: Mapping[str, Handler],
        duty: Duty,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.duty = duty
        self.last_error: str | None = None
        self._transport, self._journal, self._handlers = transport, journal, handlers
        self._monotonic, self._jitter = monotonic, jitter

    async def run(self) -> None:
        """Attend, wait, answer, until cancelled; gives its lease up on the way out where it can."""
        failures = 0
        while True:
            try:
                await self._session()
                failures = 0
            except TransportError as exc:
                failures += 1
                if self.last_error is None:
                    log.warning("nothing comes down", action="downlink_away", reason=str(exc), advice=exc.advice)
                self.last_error = str(exc)
                cap = BACKOFF_CAP_S if isinstance(exc, SinkHeld) else min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**failures)
                await asyncio.sleep(max(cap * self._jitter(), min(exc.retry_after_s or 0.0, BACKOFF_CAP_S)))

    async def attend_once(self) -> None:
        """Renew the lease and no more, as a command does that runs jobs without the daemon. Raises: TransportError."""
        session = await self._transport.connect()
        try:
            await self._attend(session)
        finally:
            await session.close()

    async def _session(self) -> None:
        session = await self._transport.connect()
        opened = self._monotonic()
        try:
            attended = float("-inf")
            while self._monotonic() - opened < SESSION_S:
                if self._monotonic() - attended >= ATTEND_EVERY_S:
                    attended = self._monotonic()
                    await self._attend(session)
                for answer in await self._journal.untold():
                    await self._tell(session, answer)
                if self.last_error is not None:
                    log.info("what is asked comes down again", action="downlink_back")
                    self.last_error = None
                left = max(0.1, ATTEND_EVERY_S - (self._monotonic() - attended))
                if await session.rung(left) and self.duty.serves(self._monotonic()):
                    await self._answer_all(session, attended)
        except asyncio.CancelledError:
            await self._leave(session)
            raise
        finally:
            await session.close()

    async def _attend(self, session: DownSession) -> None:
        asked_at = self._monotonic()
        view = await session.attend(self.duty.host_id, standby=self.duty.standby, ttl_s=TTL_S)
        before = self.duty.view
        self.duty.note(view, asked_at)
        if before is None or (before.members, before.settled) != (view.members, view.settled):
            log.info("who shares the work", action="duty_view", members=view.members, settled=view.settled)

    async def _leave(self, session: DownSession) -> None:
        """A clean stop lets the others go on at once instead of after the lease."""
        try:
            async with asyncio.timeout(2):
                await session.attend(self.duty.host_id, standby=self.duty.standby, ttl_s=0)
        except (TransportError, TimeoutError):
            log.debug("lease left to its end", action="duty_left")

    async def _answer_all(self, session: DownSession, attended: float) -> None:
        """Take what waits and answer it, as long as the lease on our share stands."""
        while self._monotonic() - attended < ATTEND_EVERY_S:
            kinds = tuple(self._handlers)
            taken = await session.lease(self.duty.host_id, kinds, limit=TAKEN_AT_ONCE, lease_s=LEASE_S)
            if not taken:
                return
            for answer in await asyncio.gather(*(self._answered(request) for request in taken)):
                await self._tell(session, answer)

    async def _answered(self, request: Request) -> Answer:
        """The answer to one request: the one it had, or a new one, durable before it is told."""
        if (earlier := await self._journal.answer_to(request.request_id)) is not None:
            return earlier
        log.info("request taken", action="request_taken", kind=request.kind, id=request.request_id)
        try:
            result = await self._handlers[request.kind](request)
            answer = Answer(request_id=request.request_id, state="done", result=result)
        except RequestFailed as exc:
            answer = Answer(request_id=request.request_id, state="failed", reason=str(exc))
        await self._journal.save(request.kind, answer)
        return answer

    async def _tell(self, session: DownSession, answer: Answer) -> None:
        await session.complete(answer)
        await self._journal.told(answer.request_id)
