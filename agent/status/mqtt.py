"""Publishes the house's state to an MQTT broker, for dashboards and home automation.

Law: status only, no data path depends on it; a lost broker is a recorded fact and a retry, never an error of the
daemon; nothing queues while it is away, the newest words replace the older. MQTT 3.1.1, which every broker speaks.

    <prefix>/<host>/availability   retained  online | offline; "offline" is also the last will
    <prefix>/<host>/info           retained  who this is: version, schema, stream, boot time; no secrets, no addresses
    <prefix>/<host>/state          not       the figures, every minute and when the level changes
    <prefix>/<host>/health         retained  the figures with `ts` and `valid_for_s`, every five minutes

`state` is not retained: a replayed old value would look fresh to whoever trusts a message's arrival.
"""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import aiomqtt
import msgspec
import structlog

from agent.core.backoff import next_delay_s
from agent.status.report import Figures, Report
from agent.status.state import MqttLive
from agent.status.statements import Level
from sync.records import SCHEMA_VERSION

BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 300.0
KEEPALIVE_S = 30  # the broker speaks our last will 1.5 times this after a power cut
_QOS = 1

ReportSource = Callable[[], Awaitable[Report]]

log = structlog.get_logger("mqtt")


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and how to sign in."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = None
    tls_ca: str | None = None  # file of the authority that signed the broker's certificate; None = no TLS
    prefix: str = "oddsd"
    state_every_s: float = 60.0  # a third of the 180 s after which Home Assistant calls it unavailable
    health_every_s: float = 300.0
    timeout_s: float = 5.0  # per exchange with the broker; a stopping daemon waits no longer for its last words


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """Who is speaking."""

    version: str
    schema_v: int
    host_id: str
    stream: str
    started_at: datetime
    transport: str | None


class Health(Figures, frozen=True, kw_only=True):
    """The figures for consumers that come late: from when they are, and how long they may be believed."""

    ts: datetime
    valid_for_s: float


def _delay_s(n_failures: int) -> float:
    return next_delay_s(n_failures, BACKOFF_BASE_S, BACKOFF_CAP_S, random.random())  # noqa: S311 - jitter, no secret


class MqttPublisher:
    """The task that keeps the broker informed. `run()` lasts until cancelled, and says offline before it ends."""

    def __init__(
        self, options: MqttOptions, report_source: ReportSource, *, delay_s: Callable[[int], float] = _delay_s
    ) -> None:
        """`delay_s` gives the wait after the n-th failure in a row."""
        self._options = options
        self._report_source = report_source
        self._delay_s = delay_s
        self._connected = False
        self._last_error: str | None = None
        self._n_failures = 0
        self._level: Level | None = None  # as last published
        self._level_changed = asyncio.Event()

    @property
    def live(self) -> MqttLive:
        """The link as it stands, for the report."""
        return MqttLive(configured=True, connected=self._connected, last_error=self._last_error)

    def note_level(self, level: Level) -> None:
        """Tell it the house's level; a change is published at once."""
        if level is not self._level:
            self._level_changed.set()

    async def run(self) -> None:
        """Connect, publish, connect again; for ever. Raises only what `report_source` raises, in a group."""
        while True:
            # In a task of its own: here nothing is awaited that could swallow the stop (see _publish).
            session = asyncio.create_task(self._session(), name="mqtt-session")
            try:
                await asyncio.wait({session})
            except asyncio.CancelledError:
                session.cancel()
                await asyncio.wait({session})
                raise
            try:
                session.result()
            except* aiomqtt.MqttError as lost:
                self._note_loss(lost)
            self._n_failures += 1
            await asyncio.sleep(self._delay_s(self._n_failures))

    def _note_loss(self, lost: BaseExceptionGroup[aiomqtt.MqttError]) -> None:
        """Record why; the log hears the first of equal losses only."""
        error: BaseException = lost
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        reason = f"{self._options.host}:{self._options.port}: {error}"
        if reason != self._last_error:
            refused = isinstance(error, aiomqtt.MqttCodeError) and not self._connected
            advice = "check mqtt_username and mqtt_password" if refused else "check that the broker runs"
            log.warning(
                "broker lost", action="mqtt_lost", reason=reason, advice=f"{advice}; it is tried again by itself"
            )
        self._connected, self._last_error = False, reason

    async def _session(self) -> None:
        """One connection from its greeting to its loss."""
        report = await self._report_source()
        topic = f"{self._options.prefix}/{report.host_id}"
        async with (
            _connection(self._client(report, f"{topic}/availability")) as client,
            _farewell(client, f"{topic}/availability"),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(_read(client), name="mqtt-reader")
            await self._greet(client, topic, report)
            tasks.create_task(self._repeat_state(client, topic), name="mqtt-state")
            tasks.create_task(self._repeat_health(client, topic), name="mqtt-health")

    def _client(self, report: Report, availability: str) -> aiomqtt.Client:
        options = self._options
        return aiomqtt.Client(
            options.host,
            options.port,
            # Two hosts with one id would kick each other out for ever; the stream tells a cloned host apart.
            identifier=f"oddsd-{report.host_id}-{report.stream_id[:4]}",
            username=options.username,
            password=options.password,
            tls_context=_tls_context(options.tls_ca),
            will=aiomqtt.Will(availability, b"offline", qos=_QOS, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=options.timeout_s,
        )

    async def _greet(self, client: aiomqtt.Client, topic: str, report: Report) -> None:
        """Say who and how first, online last: whoever hears "online" finds the rest already there."""
        info = Info(
            version=report.version,
            schema_v=SCHEMA_VERSION,
            host_id=report.host_id,
            stream=report.stream_id[:8],
            started_at=report.started_at,
            transport=report.transport,
        )
        await _publish(client, f"{topic}/info", info, retain=True)
        await self._publish_state(client, topic, report)
        await _publish(client, f"{topic}/availability", b"online", retain=True)
        if self._last_error is not None:
            log.info("broker back", action="mqtt_back", n_failures=self._n_failures)
        self._connected, self._last_error = True, None

    async def _publish_state(self, client: aiomqtt.Client, topic: str, report: Report) -> None:
        self._level = report.level
        self._level_changed.clear()
        await _publish(client, f"{topic}/state", report.figures, retain=False)

    async def _repeat_state(self, client: aiomqtt.Client, topic: str) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.state_every_s):
                    await self._level_changed.wait()
            await self._publish_state(client, topic, await self._report_source())
            self._n_failures = 0  # only now: a broker that accepts and kicks must not be asked every second

    async def _repeat_health(self, client: aiomqtt.Client, topic: str) -> None:
        every_s = self._options.health_every_s
        while True:
            report = await self._report_source()
            # Two intervals: one late message is not yet an end.
            health = Health(ts=report.at, valid_for_s=2 * every_s, **msgspec.structs.asdict(report.figures))
            await _publish(client, f"{topic}/health", health, retain=True)
            await asyncio.sleep(every_s)


async def _read(client: aiomqtt.Client) -> None:
    """Without a reader a dropped session goes unnoticed; its end is the sign. Raises: MqttError."""
    async for _ in client.messages:
        pass


async def _publish(client: aiomqtt.Client, topic: str, payload: msgspec.Struct | bytes, *, retain: bool) -> None:
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    await client.publish(topic, body, qos=_QOS, retain=retain)
    # aiomqtt waits with asyncio.wait_for, which before Python 3.12 loses a cancellation that comes together with the
    # awaited answer (bpo-37658); without this look a stop at that moment is never heard. May go with Python 3.11.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _tls_context(ca_file: str | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise aiomqtt.MqttError(f"certificate authority {ca_file}: {exc}") from exc


@asynccontextmanager
async def _connection(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """A connection that is closed whenever it was made: aiomqtt connects in a thread nobody can stop half-way."""
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await asyncio.wait({connecting}, timeout=client.timeout)
        if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
            await _close(client)
        raise
    except UnicodeError as exc:  # a host name that no resolver could be asked for
        raise aiomqtt.MqttError(str(exc)) from exc
    try:
        yield client
    finally:
        await _close(client)


async def _close(client: aiomqtt.Client) -> None:
    # A broker that is gone cannot confirm; what ended the session matters more than how it was closed.
    with contextlib.suppress(aiomqtt.MqttError):
        await client.__aexit__(None, None, None)


@asynccontextmanager
async def _farewell(client: aiomqtt.Client, availability: str) -> AsyncIterator[None]:
    """Say offline before a clean disconnect: the broker keeps the last will to itself then."""
    try:
        yield
    finally:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.publish(availability, b"offline", qos=_QOS, retain=True)
