"""Straight to Postgres through asyncpg: one function per word, one statement each, a deadline on every wait.

Law: on a deadline the socket is dropped and nothing more is said. No keepalive setting can see a stall behind a
TCP proxy, and asyncpg would otherwise open a second connection to ask the server to cancel.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
import msgspec

from sync.batch import Batch
from sync.errors import BatchRefused, SinkHeld, SinkUnavailable, TransportError
from sync.protocol import Account, Answer, Hello, Receipt, Request, Standing, View, Welcome

T = TypeVar("T")

CONNECT_S = 20.0
HELLO_S = 15.0
APPLY_S = 60.0
ASK_S = 15.0  # the small questions: leases, duty, audit
BYTES_PER_S = 100_000  # the slowest line we still wait for, on top of APPLY_S
BELL = "edge_requested"
# What an edge may call, and all it may: without the first two nothing is delivered.
DELIVERY = ("edge_hello", "edge_apply")
FUNCTIONS = (*DELIVERY, "edge_audit", "edge_lease", "edge_renew", "edge_complete", "edge_attend", "edge_tell")

_HELD = {
    "28": "check user and password of database_url",
    "3D": "the database named in database_url does not exist",
    "42": "let the cloud run its migrations (oddsd-cloud migrate), then grant edge_ingest",
}
_TRUST = "the server's certificate is not the pinned one: look at cloud_ca, cloud_tls_name and this machine's clock"
_FULL = ("53100", "53200")  # the cloud's disk or memory: it will not be better in a second
_FULL_S = 300.0
_REFUSED = ("22", "23")  # data the function should have quarantined: this batch waits, the others pass


_CONNECTING = (
    OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError,
)  # fmt: skip


class PostgresTransport:
    """Connects with a database URL."""

    name = "postgres"

    def __init__(self, dsn: str, *, host_id: str, tls: ssl.SSLContext | None = None) -> None:
        self._dsn = dsn
        self._host_id = host_id
        self._tls = tls

    async def connect(self) -> "PostgresSession":
        """Open one connection. Raises: SinkUnavailable, SinkHeld."""
        return PostgresSession(await self._dial(), self._dial)

    async def _dial(self) -> "asyncpg.Connection[Any]":
        # After a failover the old address may answer and refuse to write: look on, or wait.
        options: dict[str, Any] = {"target_session_attrs": "read-write"}
        if self._tls is not None:
            options["ssl"] = self._tls
        try:
            connection: asyncpg.Connection[Any] = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_S,
                # Prepared statements do not survive a pooler, and two statements need no cache.
                statement_cache_size=0,
                server_settings={"application_name": f"oddsd/{self._host_id}"},
                **options,
            )
        except _CONNECTING as exc:
            raise mapped("connect", exc) from exc
        return connection


class PostgresSession:
    """One connection for all words, and a further one for each batch under way beside the first.

    Postgres answers one statement after the other on a connection: a second batch on its way needs a second one.
    """

    def __init__(
        self,
        connection: "asyncpg.Connection[Any]",
        dial: Callable[[], Awaitable["asyncpg.Connection[Any]"]],
    ) -> None:
        self._connection = connection
        self._dial = dial
        self._all, self._free = [connection], asyncio.LifoQueue["asyncpg.Connection[Any]"]()
        self._free.put_nowait(connection)
        self._may_dial = True
        self._bell: asyncio.Event | None = None  # heard since `rung` was asked first

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
        text = await asyncio.to_thread(batch.text)
        connection = await self._lane()
        try:
            answer = await self._within(
                APPLY_S + batch.n_bytes / BYTES_PER_S,
                operation,
                connection.fetchval(
                    "SELECT edge_apply($1::uuid, $2, $3, $4, $5, $6, $7)::text",
                    batch.stream_id, fence, batch.lo, batch.hi, batch.digest, batch.schema_v, text,
                ),
                connection,
            )  # fmt: skip
        finally:
            self._free.put_nowait(connection)
        return _decoded(answer, Receipt, operation)

    async def _lane(self) -> "asyncpg.Connection[Any]":
        """A connection no other batch is on; where the server has no room for one more, the next that is free."""
        if self._free.empty() and self._may_dial:
            try:
                self._all.append(await self._dial())
                return self._all[-1]
            except TransportError:
                self._may_dial = False  # the line itself is told by the batch that is under way
        return await self._free.get()

    async def lease(self, host_id: str, kinds: tuple[str, ...], *, limit: int, lease_s: int) -> tuple[Request, ...]:
        """Call edge_lease. Raises: TransportError."""
        text = await self._asked("SELECT edge_lease($1, $2, $3, $4)::text", "lease", host_id, kinds, limit, lease_s)
        return _decoded(text, tuple[Request, ...], "lease")

    async def renew(self, host_id: str, request_ids: tuple[str, ...], *, lease_s: int) -> None:
        """Call edge_renew. Raises: TransportError."""
        await self._asked("SELECT edge_renew($1, $2::uuid[], $3)", "renew", host_id, request_ids, lease_s)

    async def complete(self, answer: Answer) -> None:
        """Call edge_complete. Raises: TransportError."""
        result = None if answer.result is None else msgspec.json.encode(answer.result).decode()
        said = (answer.request_id, answer.state, answer.reason, result)
        await self._asked("SELECT edge_complete($1::uuid, $2, $3, $4)", "complete", *said)

    async def attend(self, host_id: str, *, standby: bool, ttl_s: int) -> View:
        """Call edge_attend. Raises: TransportError."""
        text = await self._asked("SELECT edge_attend($1, $2, $3)::text", "attend", host_id, standby, ttl_s)
        return _decoded(text, View, "attend")

    async def tell(self, host_id: str, standing: Standing) -> None:
        """Call edge_tell. Raises: TransportError."""
        said = (host_id, standing.level, standing.says, standing.pending_rows, standing.oldest_pending_at)
        await self._asked("SELECT edge_tell($1, $2, $3, $4, $5)", "tell", *said)

    async def audit(self, stream_id: str, first: int) -> Account:
        """Call edge_audit. Raises: TransportError."""
        text = await self._asked("SELECT edge_audit($1::uuid, $2)::text", "audit", stream_id, first)
        return _decoded(text, Account, "audit")

    async def rung(self, timeout_s: float) -> bool:
        """LISTEN once, then wait for a notification. Raises: SinkUnavailable when the connection ends meanwhile."""
        if self._bell is None:
            bell = asyncio.Event()
            listening = self._connection.add_listener(BELL, lambda *_: bell.set())
            await self._within(ASK_S, "listen", listening)
            self._connection.add_termination_listener(lambda _: bell.set())
            self._bell = bell
            return True  # what came before LISTEN took effect was not heard
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        if self._connection.is_closed():
            raise SinkUnavailable("listen: the server ended the connection")
        return True

    async def _asked(self, sql: str, operation: str, *values: Any) -> Any:
        return await self._within(ASK_S, operation, self._connection.fetchval(sql, *values))

    async def close(self) -> None:
        """Say goodbye within a second, else drop the socket."""
        await asyncio.gather(*map(_goodbye, self._all))

    async def _within(
        self,
        deadline_s: float,
        operation: str,
        call: Coroutine[Any, Any, Any],
        connection: "asyncpg.Connection[Any] | None" = None,
    ) -> Any:
        task = asyncio.ensure_future(call)
        try:
            done, _ = await asyncio.wait({task}, timeout=deadline_s)
            if not done:
                raise SinkUnavailable(f"{operation}: no answer within {deadline_s:.0f} s")
            return task.result()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
            # InternalClientError: a server that died in mid answer leaves asyncpg's own state behind.
            raise mapped(operation, exc) from exc
        finally:
            if not task.done():
                (connection or self._connection).terminate()
                await asyncio.wait({task}, timeout=1)  # the driver ends it as the socket goes
                if task.done() and not task.cancelled():
                    task.exception()  # looked at: nobody else will


async def _goodbye(connection: "asyncpg.Connection[Any]") -> None:
    with contextlib.suppress(
        OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
    ):
        await connection.close(timeout=1)
    connection.terminate()


def pinned(ca_file: str, name: str | None) -> ssl.SSLContext:
    """Trust this authority alone, whatever name the address has; with a name, that one must be in the certificate.

    A proxy's address is never in the database's certificate. Without a name this is libpq's verify-ca, right where
    the authority signs one server, as a database that made its own does. Raises: OSError, ssl.SSLError.
    """
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.name = name
    context.check_hostname = name is not None
    context.load_verify_locations(cafile=ca_file)
    return context


class _Named(ssl.SSLContext):
    """Checks the certificate for a fixed name instead of the address that was dialled."""

    name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.name or server_hostname, session)


def _decoded(text: str, kind: type[T], operation: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as exc:
        raise SinkHeld(f"{operation}: answer not understood: {exc}", advice="update the edge or the cloud") from exc


def mapped(operation: str, exc: BaseException) -> TransportError:
    """The one place where asyncpg's errors become ours, by SQLSTATE class."""
    state = getattr(exc, "sqlstate", None) or ""
    message = f"{operation}: {state + ' ' if state else ''}{str(exc) or type(exc).__name__}"
    if state.startswith(_REFUSED):
        return BatchRefused(message, advice="a fault of this program or of the cloud's schema; report it")
    if isinstance(exc, ssl.SSLCertVerificationError) or "rejected SSL upgrade" in message:
        return SinkHeld(message, advice=_TRUST)
    if state in _FULL:
        return SinkUnavailable(message, advice="the cloud's database is out of room", retry_after_s=_FULL_S)
    advice = _HELD.get(state[:2])
    if isinstance(exc, ValueError) or (isinstance(exc, asyncpg.InterfaceError) and operation == "connect"):
        advice = "database_url cannot be read as a Postgres address"
    # A standby where a primary was looked for comes as an InternalClientError, and passes like the rest.
    return SinkUnavailable(message) if advice is None else SinkHeld(message, advice=advice)
