"""Straight to Postgres through asyncpg: two functions, one statement each, an application deadline on every wait.

Law: on a deadline the socket is dropped and nothing more is said. No keepalive setting can see a stall behind a
TCP proxy, and asyncpg would otherwise open a second connection to ask the server to cancel.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg
import msgspec

from sync.batch import Batch
from sync.errors import BatchRefused, SinkHeld, SinkUnavailable, TransportError
from sync.protocol import Hello, Receipt, Welcome

T = TypeVar("T")

CONNECT_S = 20.0
HELLO_S = 15.0
APPLY_S = 60.0
BYTES_PER_S = 100_000  # the slowest line we still wait for, on top of APPLY_S

_HELD = {
    "28": "check user and password of database_url",
    "3D": "the database named in database_url does not exist",
    "42": "let the cloud run its migrations (oddsd-cloud migrate), then grant edge_ingest",
}
_REFUSED = ("22", "23")  # data the function should have quarantined: this batch waits, the others pass


class PostgresTransport:
    """Connects with a database URL."""

    def __init__(self, dsn: str, *, host_id: str, tls: ssl.SSLContext | None = None) -> None:
        self._dsn = dsn
        self._host_id = host_id
        self._tls = tls

    async def connect(self) -> "PostgresSession":
        """Open one connection. Raises: SinkUnavailable, SinkHeld."""
        options: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_S,
                # Prepared statements do not survive a pooler, and two statements need no cache.
                statement_cache_size=0,
                server_settings={"application_name": f"oddsd/{self._host_id}"},
                **options,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as exc:
            raise mapped("connect", exc) from exc
        return PostgresSession(connection)


class PostgresSession:
    """One open connection; one request in flight."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection

    async def hello(self, hello: Hello) -> Welcome:
        """Call edge_hello. Raises: TransportError."""
        h = hello
        text = await self._within(
            HELLO_S,
            "hello",
            self._connection.fetchval(
                "SELECT edge_hello($1, $2::uuid, $3::uuid, $4::uuid, $5, $6, $7, $8, $9)::text",
                h.host_id, h.stream_id, h.prev_token, h.next_token, h.boot_id,
                h.client_time, h.schema_v, h.agent_version, h.local_hi,
            ),
        )  # fmt: skip
        return _decoded(text, Welcome, "hello")

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        """Call edge_apply with one batch. Raises: TransportError."""
        operation = f"apply {batch.lo}-{batch.hi}"
        text = await self._within(
            APPLY_S + batch.n_bytes / BYTES_PER_S,
            operation,
            self._connection.fetchval(
                "SELECT edge_apply($1::uuid, $2, $3, $4, $5, $6, $7)::text",
                batch.stream_id, fence, batch.lo, batch.hi, batch.digest, batch.schema_v, batch.text(),
            ),
        )  # fmt: skip
        return _decoded(text, Receipt, operation)

    async def close(self) -> None:
        """Say goodbye within a second, else drop the socket."""
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._connection.close(timeout=1)
        self._connection.terminate()

    async def _within(self, deadline_s: float, operation: str, call: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.ensure_future(call)
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline_s)
            if not done:
                raise SinkUnavailable(f"{operation}: no answer within {deadline_s:.0f} s")
            return task.result()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise mapped(operation, exc) from exc
        finally:
            if not task.done():
                self._connection.terminate()
                with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await task


def _decoded(text: str, kind: type[T], operation: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as exc:
        raise SinkHeld(f"{operation}: answer not understood: {exc}", advice="update the edge or the cloud") from exc


def mapped(operation: str, exc: BaseException) -> TransportError:
    """The one place where asyncpg's errors become ours, by SQLSTATE class."""
    state = getattr(exc, "sqlstate", None) or ""
    message = f"{operation}: {state + ' ' if state else ''}{exc or type(exc).__name__}"
    if state.startswith(_REFUSED):
        return BatchRefused(message, advice="a fault of this program or of the cloud's schema; report it")
    if isinstance(exc, ValueError) or (isinstance(exc, asyncpg.InterfaceError) and operation == "connect"):
        return SinkHeld(message, advice="database_url cannot be read as a Postgres address")
    advice = _HELD.get(state[:2])
    if advice is not None:
        return SinkHeld(message, advice=advice)
    return SinkUnavailable(message)
