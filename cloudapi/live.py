"""Hears the database: data landed, keys revoked. Makes fresh rows visible at once on every replica.

Law: a version is the stamp of the last notification about a kind. Every replica hears the same notifications in the
same order (the order of commit), so they agree without talking; after a gap in hearing the versions are random until
the next notification, so nobody can serve what they missed. Owns one connection of its own.
"""

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import structlog

log = structlog.get_logger(__name__)

LANDED_CHANNEL = "edge_landed"
KEYS_CHANNEL = "api_keys_changed"
SESSIONS_CHANNEL = "session_moved"
PROBE_EVERY_S = 15.0  # a connection behind a proxy can die without a word; only asking finds out
DEADLINE_S = 5.0
RETRY_FIRST_S = 0.5
RETRY_MOST_S = 5.0


class Landing(msgspec.Struct, frozen=True):
    """What `edge_apply` announces at commit."""

    stamp: str
    kinds: dict[str, int]
    applied_at: datetime


class Versions:
    """The version of each kind of data, as part of cache keys."""

    def __init__(self) -> None:
        self._floor = uuid.uuid4().hex
        self._stamps: dict[str, str] = {}
        self.turn = 0  # moves on whenever any version may have
        self.is_hearing = False
        self.n_landed: dict[str, int] = {}
        self.last_landing_at: datetime | None = None

    def of(self, *kinds: str) -> str:
        """One text that changes whenever any of these kinds changes."""
        return "|".join(self._stamps.get(kind, self._floor) for kind in kinds)

    def note(self, landing: Landing) -> None:
        """Move on what has landed."""
        for kind, count in landing.kinds.items():
            self._stamps[kind] = landing.stamp
            self.n_landed[kind] = self.n_landed.get(kind, 0) + count
        self.last_landing_at = landing.applied_at
        self.turn += 1

    def forget(self) -> None:
        """Something may have gone unheard: whatever is cached may be old."""
        self._floor = uuid.uuid4().hex
        self._stamps.clear()
        self.turn += 1


async def listen_forever(
    dsn: str,
    versions: Versions,
    *,
    on_landed: Callable[[], None],
    on_keys_changed: Callable[[], None],
    on_session_moved: Callable[[str | None], None] = lambda _: None,
) -> None:
    """Listen until cancelled, reconnecting with growing pauses. Logs the loss and the return, not each attempt."""
    delay_s = RETRY_FIRST_S
    is_lost = False
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=DEADLINE_S, command_timeout=DEADLINE_S)
            try:
                await _subscribe(connection, versions, on_landed, on_keys_changed, on_session_moved)
                # Anything may have happened before LISTEN took effect.
                versions.forget()
                on_landed()
                on_keys_changed()
                on_session_moved(None)
                versions.is_hearing = True
                if is_lost:
                    log.info("hearing the database again", action="listener_back")
                delay_s, is_lost = RETRY_FIRST_S, False
                await _stay(connection)
            finally:
                connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            versions.is_hearing = False
            versions.forget()
            if not is_lost:
                log.warning("not hearing the database", action="listener_lost", cause=str(exc) or type(exc).__name__)
            is_lost = True
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_MOST_S)


async def _subscribe(
    connection: "asyncpg.Connection[asyncpg.Record]",
    versions: Versions,
    on_landed: Callable[[], None],
    on_keys_changed: Callable[[], None],
    on_session_moved: Callable[[str | None], None],
) -> None:
    def landed(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        versions.note(msgspec.json.decode(str(payload), type=Landing))
        on_landed()

    def keys_changed(_connection: Any, _pid: int, _channel: str, _payload: object) -> None:
        on_keys_changed()

    await connection.add_listener(LANDED_CHANNEL, landed)
    await connection.add_listener(KEYS_CHANNEL, keys_changed)

    def session_moved(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        on_session_moved(str(payload))

    await connection.add_listener(SESSIONS_CHANNEL, session_moved)


async def _stay(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return never; raise when the connection is gone, found out by its end or by silence."""
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _connection: ended.set())
    while True:
        try:
            async with asyncio.timeout(PROBE_EVERY_S):
                await ended.wait()
        except TimeoutError:
            await connection.execute("select 1")
        else:
            raise ConnectionError("the server ended the connection")
