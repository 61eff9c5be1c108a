"""What comes down: requests of the cloud, and this host's lease on its share of the work. A connection of its own, so
that waiting for a bell never holds up a batch.

Law: an answer is durable here before it is given, and given until the cloud has it; a request that comes a second time
gets the answer it had. What a request may ask for is the table of handlers and nothing else. Each request is worked on
in a task of its own, and each kind has its own places: a slow one holds up neither the lease nor another kind. The
cloud's absence stops nothing but this loop, and nothing that was begun.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from sync.duty import ATTEND_EVERY_S, TTL_S, Duty
from sync.errors import BatchRefused, SinkHeld, TransportError
from sync.protocol import Answer, DownSession, DownTransport, Request, Standing
from sync.pulse import Pulse

LEASE_S = 300  # a host that dies lets go of its requests after so long; one at work renews
AT_ONCE_OF_A_KIND = 10
LOOK_AGAIN_S = 0.5  # a bell that rings for what we cannot take would ring for ever: so long we do not listen
LONGEST_ATTEMPT_S = 180.0  # one pass: the lease, what waits, the answers, each with its own deadline
BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 60.0  # people wait for answers: look again sooner than for batches
SESSION_S = 1800.0  # proxies drop long sessions; leave before they do
UNTAKEN = "the cloud could not take the edge's answer: the edge's log says why"

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

    async def remember(self, *, has_met: bool) -> None:
        """Keep whether this host shares its work with others, for a start without the cloud."""


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
        self.pulse = Pulse("downlink", LONGEST_ATTEMPT_S)
        self.standing: Standing | None = None  # the newest word of this host about itself, for the cloud's operators
        self._transport, self._journal, self._handlers = transport, journal, handlers
        self._monotonic, self._jitter = monotonic, jitter
        self._at_work: dict[str, tuple[str, asyncio.Task[None]]] = {}  # by request: its kind, who is at it
        self._ended = asyncio.Event()  # an answer is ready and a place is free
        self._bell: asyncio.Task[bool] | None = None
        self._rang = False  # the cloud's bell called us last, no answer of ours
        self._looked_in_vain = False  # it did, and there was nothing we could take

    async def run(self) -> None:
        """Attend, wait, answer, until cancelled; gives its lease up on the way out where it can."""
        async with asyncio.TaskGroup() as group:
            await self._run(group)

    async def _run(self, group: asyncio.TaskGroup) -> None:
        failures = 0
        while True:
            try:
                await self._session(group)
                failures = 0
            except TransportError as exc:
                failures += 1
                if self.last_error is None:
                    log.warning("nothing comes down", action="downlink_away", reason=str(exc), advice=exc.advice)
                self.last_error = str(exc)
                grown = BACKOFF_BASE_S * 2 ** min(failures, 10)  # weeks away: more doublings than a float holds
                cap = BACKOFF_CAP_S if isinstance(exc, SinkHeld) else min(BACKOFF_CAP_S, grown)
                rest_s = max(cap * self._jitter(), min(exc.retry_after_s or 0.0, BACKOFF_CAP_S))
                self.pulse.beat(rest_s)
                await asyncio.sleep(rest_s)

    async def attend_once(self) -> None:
        """Renew the lease and no more, as a command does that runs jobs without the daemon. Raises: TransportError."""
        session = await self._transport.connect()
        try:
            await self._attend(session)
        finally:
            await session.close()

    async def _session(self, group: asyncio.TaskGroup) -> None:
        session = await self._transport.connect()
        opened = self._monotonic()
        try:
            attended = float("-inf")
            called = await session.rung(ATTEND_EVERY_S)  # the first begins to listen and does not wait
            while self._monotonic() - opened < SESSION_S:
                self.pulse.beat(rest_s=ATTEND_EVERY_S)
                if self._monotonic() - attended >= ATTEND_EVERY_S:
                    attended = self._monotonic()
                    await self._attend(session)
                    await self._say(session)
                    await self._go_on(session)
                    called = True  # no bell tells that another host's lease on a request has ended
                self._ended.clear()
                if called and self.duty.serves(self._monotonic()):
                    await self._take(session, group)
                for answer in await self._journal.untold():
                    await self._tell(session, answer)
                if self.last_error is not None:
                    log.info("what is asked comes down again", action="downlink_back")
                    self.last_error = None
                left = max(0.1, ATTEND_EVERY_S - (self._monotonic() - attended))
                called = await self._called(session, left)
        except asyncio.CancelledError:
            await self._drop()
            await self._leave(session)
            raise
        finally:
            await self._hang_up()
            await session.close()

    async def _attend(self, session: DownSession) -> None:
        asked_at = self._monotonic()
        view = await session.attend(self.duty.host_id, standby=self.duty.standby, ttl_s=TTL_S)
        before = self.duty.view
        if self.duty.has_met == view.alone:
            await self._journal.remember(has_met=not view.alone)
        self.duty.note(view, asked_at)
        if before is None or (before.members, before.settled) != (view.members, view.settled):
            log.info("who shares the work", action="duty_view", members=view.members, settled=view.settled)

    async def _say(self, session: DownSession) -> None:
        """How this host is; a cloud that does not know the word is an older one, and nothing hangs on it."""
        if self.standing is None:
            return
        try:
            await session.tell(self.duty.host_id, self.standing)
        except TransportError as exc:
            log.debug("the cloud was not told how we are", action="standing_untold", reason=str(exc))

    async def _go_on(self, session: DownSession) -> None:
        """Renew the leases on what takes long; a cloud without the word is an older one, and hands it to another."""
        if not self._at_work:
            return
        try:
            await session.renew(self.duty.host_id, tuple(self._at_work), lease_s=LEASE_S)
        except TransportError as exc:
            log.debug("leases not renewed", action="leases_not_renewed", reason=str(exc))

    async def _leave(self, session: DownSession) -> None:
        """A clean stop lets the others go on at once instead of after the lease."""
        try:
            async with asyncio.timeout(2):
                try:
                    await self._give_back(session)
                except TransportError:  # the stop came in the middle of a word, and that line is broken
                    session = await self._transport.connect()
                    try:
                        await self._give_back(session)
                    finally:
                        await session.close()
        except (TransportError, TimeoutError):
            log.debug("lease left to its end", action="duty_left")

    async def _give_back(self, session: DownSession) -> None:
        await session.attend(self.duty.host_id, standby=self.duty.standby, ttl_s=0)

    async def _drop(self) -> None:
        """Let go of what is under way: before the lease on it, so that nobody is at it when another host takes it."""
        tasks = [task for _, task in self._at_work.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _called(self, session: DownSession, seconds: float) -> bool:
        """Wait for the bell or for an answer of ours; whether there may be something to take."""
        self._rang = False
        if not self.duty.serves(self._monotonic()):
            return await self._answered_within(seconds)
        if self._looked_in_vain:
            self._looked_in_vain = False
            if await self._answered_within(min(seconds, LOOK_AGAIN_S)):
                return True
            seconds = max(0.0, seconds - LOOK_AGAIN_S)
        bell = self._bell or asyncio.create_task(session.rung(ATTEND_EVERY_S), name="downlink-bell")
        self._bell = bell  # listened to until it rings: over HTTPS it is a question, and given up it is worked on there
        answered = asyncio.create_task(self._ended.wait(), name="downlink-answered")
        try:
            await asyncio.wait((bell, answered), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            await asyncio.gather(answered, return_exceptions=True)
        if bell.done():
            self._bell = None
            self._rang = bell.result()
        return self._rang or self._ended.is_set()

    async def _hang_up(self) -> None:
        """Listen no longer."""
        if self._bell is not None:
            self._bell.cancel()
            await asyncio.gather(self._bell, return_exceptions=True)
            self._bell = None

    async def _answered_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def _take(self, session: DownSession, group: asyncio.TaskGroup) -> None:
        """Take what waits, each kind into its own places, and have it worked on."""
        n_taken, is_full = 0, False
        for kind in self._handlers:
            free = AT_ONCE_OF_A_KIND - sum(busy == kind for busy, _ in self._at_work.values())
            taken = await session.lease(self.duty.host_id, (kind,), limit=free, lease_s=LEASE_S) if free > 0 else ()
            n_taken, is_full = n_taken + len(taken), is_full or len(taken) >= free
            for request in taken:
                if (earlier := await self._journal.answer_to(request.request_id)) is not None:
                    await self._tell(session, earlier)
                elif request.request_id not in self._at_work:  # else its lease ended before our work on it
                    name = f"answer-{kind}-{request.request_id}"
                    task = group.create_task(self._answer(request), name=name)
                    self._at_work[request.request_id] = kind, task
        self._looked_in_vain = self._rang and (is_full or not n_taken)

    async def _answer(self, request: Request) -> None:
        """Work on one request until its answer is durable; the session that is open then tells it."""
        log.info("request taken", action="request_taken", kind=request.kind, id=request.request_id)
        try:
            try:
                result = await self._handlers[request.kind](request)
                answer = Answer(request_id=request.request_id, state="done", result=result)
            except RequestFailed as exc:
                answer = Answer(request_id=request.request_id, state="failed", reason=str(exc))
            await self._journal.save(request.kind, answer)
        finally:
            del self._at_work[request.request_id]
            self._ended.set()

    async def _tell(self, session: DownSession, answer: Answer) -> None:
        """Give an answer until the cloud has it; one it cannot take for what is in it becomes a plain no."""
        try:
            await session.complete(answer)
        except BatchRefused as exc:
            log.error("an answer was refused", action="answer_refused", id=answer.request_id, reason=str(exc))
            await session.complete(Answer(request_id=answer.request_id, state="failed", reason=UNTAKEN))
        await self._journal.told(answer.request_id)
