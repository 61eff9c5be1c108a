"""The live feed inside one replica: events in their order, handed to whoever listens.

Law: one reader of the database per replica, one encoding per event, a queue of a hundred per listener; who is too slow
loses the oldest and is told how many. Events are numbered by the database in the order of commit, so any replica can
replay for a listener of another; where that is impossible he is told to start anew (`reset`).
"""

import asyncio
import uuid
from collections import Counter, deque
from contextlib import suppress

import msgspec
import structlog

from cloudapi.db import AWAY, Pool
from cloudapi.patience import Patience
from cloudapi.queries import events

log = structlog.get_logger(__name__)

BACKLOG = 100  # events a listener may be behind
RETRY_S = 1.0
LOOK_EVERY_S = 30.0  # a look without having been called: a notification may have been lost with a connection


class Event(msgspec.Struct, frozen=True):
    """One event, ready to send both ways."""

    event_id: int  # 0: not numbered (reset, dropped, bye)
    topic: str
    sse: bytes
    text: str

    @classmethod
    def of(cls, event_id: int, topic: str, body: str) -> "Event":
        """Encode once for all listeners. `body` is JSON without line breaks."""
        number = f"id: {event_id}\n" if event_id else ""
        sse = f"{number}event: {topic}\ndata: {body}\n\n".encode()
        named = f'"id":{event_id},' if event_id else ""
        return cls(event_id, topic, sse, f'{{{named}"event":"{topic}","data":{body}}}')


RESET = Event.of(0, "reset", '{"reason":"what you have missed is no longer kept: load anew"}')


class Listener:
    """One open stream's queue."""

    def __init__(self, account_id: uuid.UUID, topics: frozenset[str]) -> None:
        self.account_id = account_id
        self.n_dropped = 0
        self._topics = topics
        self._queue: deque[Event] = deque(maxlen=BACKLOG)
        self._wake = asyncio.Event()
        self._patience = Patience(self._wake.set)
        self.is_over = False

    def put(self, event: Event) -> None:
        """Hand over an event; the oldest one goes when there are too many."""
        if self._topics and event.event_id and event.topic not in self._topics:
            return
        if len(self._queue) == BACKLOG:
            self.n_dropped += 1
        self._queue.append(event)
        self._wake.set()

    def close(self) -> None:
        """Nobody takes any more."""
        self._patience.close()

    def end(self) -> None:
        """Nothing more will come."""
        self.is_over = True
        self._wake.set()

    async def take(self, timeout_s: float) -> list[Event]:
        """Everything that waits, in order; empty after `timeout_s` or at the end."""
        if not self._queue and not self.is_over:
            self._patience.begin(timeout_s)
            await self._wake.wait()
            self._patience.end()
        self._wake.clear()
        if self.is_over:
            self._wake.set()
        taken = list(self._queue)
        self._queue.clear()
        if self.n_dropped:
            taken.insert(0, Event.of(0, "dropped", f'{{"count":{self.n_dropped}}}'))
            self.n_dropped = 0
        return taken


class Feed:
    """All listeners of this replica and the place the replica has read up to."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._listeners: set[Listener] = set()
        self._n_of: Counter[uuid.UUID] = Counter()
        self._position: int | None = None
        self._called = asyncio.Event()
        self.is_closed = False
        self.n_told = 0

    @property
    def n_listeners(self) -> int:
        return len(self._listeners)

    def n_of(self, account_id: uuid.UUID) -> int:
        """How many streams an account has open here."""
        return self._n_of[account_id]

    def call(self) -> None:
        """Something landed: look."""
        self._called.set()

    async def join(self, account_id: uuid.UUID, topics: frozenset[str], last_event_id: int | None) -> Listener:
        """Listen from now on, or from behind `last_event_id` where that is still possible."""
        listener = Listener(account_id, topics)
        self._listeners.add(listener)
        self._n_of[account_id] += 1
        if self.is_closed:
            listener.end()
        if last_event_id is None:
            return listener
        try:
            await self._replay(listener, last_event_id)
        except BaseException:
            self.leave(listener)
            raise
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening."""
        listener.close()
        self._listeners.remove(listener)
        self._n_of[listener.account_id] -= 1
        if not self._n_of[listener.account_id]:
            del self._n_of[listener.account_id]

    async def _replay(self, listener: Listener, last_event_id: int) -> None:
        missed, is_whole = await events.load_after(self._pool, last_event_id, limit=BACKLOG + 1)
        # Events told meanwhile are in the queue already: behind what was missed, and not twice.
        told = await listener.take(0)
        if not is_whole or len(missed) > BACKLOG:
            listener.put(RESET)
            missed = []
        replayed = [Event.of(row.event_id, row.topic, row.body) for row in missed]
        newest = replayed[-1].event_id if replayed else last_event_id
        for event in [*replayed, *(event for event in told if event.event_id > newest)]:
            listener.put(event)

    def close(self) -> None:
        """Send everybody away: the process stops."""
        self.is_closed = True
        for listener in self._listeners:
            listener.end()

    async def run(self) -> None:
        """Read what is told, for ever."""
        is_failing = False
        while True:
            try:
                await self._look()
            except AWAY as exc:
                if not is_failing:
                    log.warning("the live feed does not hear", action="feed_lost", cause=type(exc).__name__)
                is_failing = True
                await asyncio.sleep(RETRY_S)
                continue
            is_failing = False
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._called.wait()
            self._called.clear()

    async def _look(self) -> None:
        if self._position is None:
            self._position = await events.load_newest(self._pool)
        while True:
            rows, is_whole = await events.load_after(self._pool, self._position, limit=500)
            if not is_whole:
                self._tell(RESET)
                self._position = await events.load_newest(self._pool)
                return
            for row in rows:
                self._tell(Event.of(row.event_id, row.topic, row.body))
            if not rows:
                return
            self._position = rows[-1].event_id

    def _tell(self, event: Event) -> None:
        self.n_told += 1
        for listener in self._listeners:
            listener.put(event)
