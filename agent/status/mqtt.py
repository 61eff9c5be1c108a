"""Publishes the house's state to an MQTT broker, for dashboards and home automation.

Law: status only, no data path depends on it; a lost broker is a recorded fact and a retry, never an error of the
daemon; nothing queues while it is away, the newest words replace the older. MQTT 3.1.1, which every broker speaks.

    <prefix>/<host>/availability   retained  online | offline; "offline" is also the last will
    <prefix>/<host>/info           retained  who this is: version, schema, stream, boot time; no secrets, no addresses
    <prefix>/<host>/state          not       the figures, every minute and when the level changes
    <prefix>/<host>/health         retained  the figures with `ts` and `valid_for_s`, every five minutes
    <prefix>/<host>/event          not       what went wrong and what is over, as it happens
    <discovery>/device/…/config    retained  how Home Assistant shows all of this; see homeassistant.py
    <prefix>/<host>/request/…      see requests.py

`state` is not retained: a replayed old value would look fresh to whoever trusts a message's arrival.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import aiomqtt
import msgspec
import structlog

from agent.core.backoff import next_delay_s
from agent.core.instants import Clock
from agent.status import homeassistant
from agent.status.broker import QOS, connection, farewell, notice_stop, publish, tls_context
from agent.status.contract import Figures, Report
from agent.status.requests import Command, Requests, Response
from agent.status.state import MqttLive
from agent.status.statements import Level
from agent.store.incidents import Incident
from sync.pulse import Pulse
from sync.records import SCHEMA_VERSION

BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 300.0
LONGEST_ATTEMPT_S = 180.0  # a name that nobody resolves, the greeting, and a full round of words
KEEPALIVE_S = 30  # the broker speaks our last will 1.5 times this after a power cut
_EVENTS_KEPT = 32  # said as fast as the broker takes them; older ones give way
_MOST_INCOMING = 32

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
    discovery: str | None = "homeassistant"  # first part of Home Assistant's topics; None: it is told nothing


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """Who is speaking."""

    version: str
    schema_v: int
    host_id: str
    stream: str
    started_at: datetime
    transport: str | None
    requests: tuple[str, ...]  # the verbs that are answered


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something went wrong, became worse, or is over."""

    ts: datetime
    type: str  # the statement's key
    level: str  # "ok" where it is over
    text: str


class Health(Figures, frozen=True, kw_only=True):
    """The figures for consumers that come late: from when they are, and how long they may be believed."""

    ts: datetime
    valid_for_s: float


def _delay_s(n_failures: int) -> float:
    return next_delay_s(n_failures, BACKOFF_BASE_S, BACKOFF_CAP_S, random.random())  # noqa: S311 - jitter, no secret


def _birth_wait_s() -> float:
    return random.uniform(1.0, 10.0)  # noqa: S311 - spreads the answers, no secret


class MqttPublisher:
    """The task that keeps the broker informed. `run()` lasts until cancelled, and says offline before it ends."""

    def __init__(
        self,
        options: MqttOptions,
        report_source: ReportSource,
        *,
        commands: Mapping[str, Command] | None = None,
        clock: Clock | None = None,
        delay_s: Callable[[int], float] = _delay_s,
        birth_wait_s: Callable[[], float] = _birth_wait_s,
    ) -> None:
        """Nothing is sent yet.

        Args:
            commands: what requests may ask for, by verb; nothing unless somebody allowed it.
            delay_s: the wait after the n-th failure in a row.
            birth_wait_s: the wait after Home Assistant's birth, so that not all devices speak at once.
        """
        self._options = options
        self._report_source = report_source
        self._requests = Requests(dict(commands or {}), self._answer)
        self._clock = clock
        self._delay_s, self._birth_wait_s = delay_s, birth_wait_s
        self._outgoing = deque[tuple[str, bytes]](maxlen=_EVENTS_KEPT)
        self._something_to_say = asyncio.Event()
        self._announced: dict[str, str] = {}  # entities Home Assistant was told of, with their platform
        self._born = asyncio.Event()
        self._home_seen_at: datetime | None = None
        self._heard = True
        self._connected = False
        self._last_error: str | None = None
        self._n_failures = 0
        self._level: Level | None = None  # as last published
        self._level_changed = asyncio.Event()
        self.pulse = Pulse("mqtt", LONGEST_ATTEMPT_S)

    @property
    def live(self) -> MqttLive:
        """The link as it stands, for the report."""
        return MqttLive(
            configured=True,
            connected=self._connected,
            last_error=self._last_error,
            home_seen_at=self._home_seen_at,
            unheard=self._connected and not self._heard,
        )

    def note_level(self, level: Level) -> None:
        """Tell it the house's level; a change is published at once."""
        if level is not self._level:
            self._level_changed.set()

    def note_incidents(self, changed: Sequence[Incident], *, now: datetime) -> None:
        """Tell it what began, became worse or ended; dropped while no broker hears it."""
        for one in changed:
            level = "ok" if one.ended_at is not None else one.level
            self._say("event", Happening(ts=now, type=one.key, level=level, text=one.why or one.text))

    def _say(self, leaf: str, what: msgspec.Struct) -> None:
        if self._connected:
            self._outgoing.append((leaf, msgspec.json.encode(what)))
            self._something_to_say.set()

    def _answer(self, verb: str, response: Response) -> None:
        self._say(f"response/{verb}", response)

    async def run(self) -> None:
        """Connect, publish, connect again; for ever. Raises only what `report_source` raises, in a group."""
        try:
            await self._connect_for_ever()
        finally:
            await self._requests.close()

    async def _connect_for_ever(self) -> None:
        while True:
            self.pulse.beat()
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
            delay_s = self._delay_s(self._n_failures)
            self.pulse.beat(rest_s=delay_s)
            await asyncio.sleep(delay_s)

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
            connection(self._client(report, f"{topic}/availability")) as client,
            farewell(client, f"{topic}/availability"),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._read(client, topic, report.host_id), name="mqtt-reader")
            await self._listen(client, topic, report.host_id)
            await self._greet(client, topic, report)
            tasks.create_task(self._repeat_outgoing(client, topic), name="mqtt-events")
            tasks.create_task(self._greet_the_born(client, topic), name="mqtt-birth")
            tasks.create_task(self._note_unheard(), name="mqtt-echo")
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
            tls_context=tls_context(options.tls_ca),
            will=aiomqtt.Will(availability, b"offline", qos=QOS, retain=True),
            keepalive=KEEPALIVE_S,
            timeout=options.timeout_s,
            max_queued_incoming_messages=_MOST_INCOMING,  # a flood costs its sender, not our memory
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
            requests=tuple(self._requests.verbs),
        )
        await self._announce(client, topic, report, anyway=True)
        await publish(client, f"{topic}/info", info, retain=True)
        await self._publish_state(client, topic, report)
        await publish(client, f"{topic}/availability", b"online", retain=True)
        if self._last_error is not None:
            log.info("broker back", action="mqtt_back", n_failures=self._n_failures)
        self._connected, self._last_error = True, None

    async def _listen(self, client: aiomqtt.Client, topic: str, host_id: str) -> None:
        """Hear requests, our own last availability, and Home Assistant's births with what it was told before."""
        self._heard, self._announced = False, {}
        topics = [f"{topic}/request/+", f"{topic}/availability"]
        if self._options.discovery is not None:
            prefix = self._options.discovery
            topics += [f"{prefix}/status", homeassistant.discovery_topic(prefix, host_id)]
        for one in topics:
            await client.subscribe(one, qos=QOS)
            notice_stop()

    async def _announce(self, client: aiomqtt.Client, topic: str, report: Report, *, anyway: bool = False) -> None:
        """Tell Home Assistant which entities there are, and which are gone; only `anyway` where that is no news."""
        prefix = self._options.discovery
        if prefix is None:
            return
        entities = homeassistant.components(report, topic, self._requests.allowed)
        now = {key: str(entity["p"]) for key, entity in entities.items()}
        if now == self._announced and not anyway:
            return
        before = self._announced
        gone = {key: platform for key, platform in before.items() if key not in now}
        where = homeassistant.discovery_topic(prefix, report.host_id)
        if gone:  # first without them by name: what is merely missing would stay
            await publish(client, where, homeassistant.payload(report, topic, entities, gone), retain=True)
        await publish(client, where, homeassistant.payload(report, topic, entities, {}), retain=True)
        # What the broker reminded us of meanwhile stays to be taken back.
        self._announced = {key: p for key, p in self._announced.items() if key not in before} | now

    async def _publish_state(self, client: aiomqtt.Client, topic: str, report: Report) -> None:
        self._level = report.level
        self._level_changed.clear()
        await publish(client, f"{topic}/state", report.figures, retain=False)

    async def _repeat_state(self, client: aiomqtt.Client, topic: str) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.state_every_s):
                    await self._level_changed.wait()
            report = await self._report_source()
            await self._announce(client, topic, report)
            await self._publish_state(client, topic, report)
            self.pulse.beat(rest_s=self._options.state_every_s)
            self._n_failures = 0  # only now: a broker that accepts and kicks must not be asked every second

    async def _repeat_health(self, client: aiomqtt.Client, topic: str) -> None:
        every_s = self._options.health_every_s
        while True:
            report = await self._report_source()
            # Two intervals: one late message is not yet an end.
            health = Health(ts=report.at, valid_for_s=2 * every_s, **msgspec.structs.asdict(report.figures))
            await publish(client, f"{topic}/health", health, retain=True)
            await asyncio.sleep(every_s)

    async def _repeat_outgoing(self, client: aiomqtt.Client, topic: str) -> None:
        """Events and responses as they come; what a lost session had not said is not said later."""
        self._outgoing.clear()
        while True:
            await self._something_to_say.wait()
            self._something_to_say.clear()
            while self._outgoing:
                leaf, body = self._outgoing.popleft()
                await publish(client, f"{topic}/{leaf}", body, retain=False)

    async def _greet_the_born(self, client: aiomqtt.Client, topic: str) -> None:
        """Home Assistant started: it knows nothing any more, and many devices want to tell it at once."""
        while True:
            await self._born.wait()
            self._born.clear()
            await asyncio.sleep(self._birth_wait_s())
            report = await self._report_source()
            await self._announce(client, topic, report, anyway=True)
            await self._publish_state(client, topic, report)
            await publish(client, f"{topic}/availability", b"online", retain=True)

    async def _note_unheard(self) -> None:
        """A broker whose rights keep our words to itself says nothing; only their missing echo tells."""
        await asyncio.sleep(self._options.timeout_s)
        if not self._heard:
            log.warning(
                "our words do not come back",
                action="mqtt_unheard",
                advice=f"let this user read and write {self._options.prefix}/# at the broker",
            )

    async def _read(self, client: aiomqtt.Client, topic: str, host_id: str) -> None:
        """Without a reader a dropped session goes unnoticed; its end is the sign. Raises: MqttError."""
        prefix = self._options.discovery
        config = None if prefix is None else homeassistant.discovery_topic(prefix, host_id)
        async for message in client.messages:
            where, body = str(message.topic), message.payload
            if where.startswith(f"{topic}/request/"):
                self._requests.take(where.rsplit("/", 1)[1], body, retained=message.retain)
            elif where == f"{topic}/availability" and body == b"online":
                self._heard = True
            elif prefix is not None and where == f"{prefix}/status" and body == b"online":
                self._home_seen_at = None if self._clock is None else self._clock()
                self._born.set()
            elif where == config and message.retain and isinstance(body, bytes):
                # From an earlier life: what it announced and we no longer have is taken back with the next state.
                self._announced = homeassistant.announced(body) | self._announced
                self._level_changed.set()
