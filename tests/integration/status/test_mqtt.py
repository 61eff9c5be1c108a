"""The publisher against a real broker: the tree, the last will, the farewell, and every way of losing the broker."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiomqtt
import pytest
from structlog.testing import capture_logs

from agent.errors import StoreError
from agent.status.mqtt import MqttOptions, MqttPublisher
from agent.status.report import Report, report
from agent.status.state import MqttLive
from agent.status.statements import Level
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto
from tests.fakes.process import free_port
from tests.unit.status.house import NOW, make_live, make_state

pytestmark = needs_mosquitto

TREE = "oddsd/home-1"
AVAILABILITY, INFO, STATE, HEALTH = (f"{TREE}/{leaf}" for leaf in ("availability", "info", "state", "health"))
PATIENCE_S = 10


class House:
    """The daemon's side: a report that can turn bad, or fail to be made."""

    def __init__(self) -> None:
        self.stored = make_state()
        self.error: Exception | None = None

    async def report(self) -> Report:
        if self.error is not None:
            raise self.error
        return report(self.stored, make_live(), NOW)

    def spoil(self) -> None:
        """Make the house critical."""
        self.stored = make_state(last_collected_at=NOW - timedelta(days=1))


class Listener:
    """A dashboard: everything published below the house's topic, in order."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def next(self, topic: str) -> aiomqtt.Message:
        """The next message on a topic; others on the way are passed over."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self._client.messages:
                if message.topic.value == topic:
                    return message
        raise AssertionError("the messages ended")

    async def all_until(self, topic: str) -> dict[str, aiomqtt.Message]:
        """Everything that comes before a message on a topic, by topic."""
        messages: dict[str, aiomqtt.Message] = {}
        async with asyncio.timeout(PATIENCE_S):
            async for message in self._client.messages:
                if message.topic.value == topic:
                    return messages
                messages[message.topic.value] = message
        raise AssertionError("the messages ended")

    async def mark(self, topic: str) -> None:
        """Publish something to wait for: the broker keeps the order."""
        await self._client.publish(topic, b"", qos=1)


@asynccontextmanager
async def listening(broker: Mosquitto, **credentials: str) -> AsyncIterator[Listener]:
    async with aiomqtt.Client(broker.host, broker.port, **credentials) as client:
        await client.subscribe(f"{TREE}/#", qos=1)
        yield Listener(client)


@asynccontextmanager
async def running(publisher: MqttPublisher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(publisher.run(), name="publisher")
    try:
        yield task
    finally:
        await stop(task)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def make_publisher(broker: Mosquitto, house: House, **over) -> MqttPublisher:
    options = MqttOptions(**{"host": broker.host, "port": broker.port, "timeout_s": 1.0} | over)
    return MqttPublisher(options, house.report, delay_s=lambda n_failures: 0.01)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as mosquitto:
        yield mosquitto


async def test_greeting_ends_with_online(broker, house) -> None:
    """Whoever hears "online" finds who and how already said; the client id tells host and stream."""
    async with listening(broker) as listener, running(make_publisher(broker, house)):
        info = await listener.next(INFO)
        state = await listener.next(STATE)
        online = await listener.next(AVAILABILITY)

    said = json.loads(info.payload)
    assert (said["host_id"], said["stream"], said["version"], said["transport"]) == (
        "home-1",
        "7f3ac0de",
        "0.1.0",
        "postgres",
    )
    assert json.loads(state.payload)["level"] == "ok"
    assert online.payload == b"online"
    assert (info.qos, state.qos, online.qos) == (1, 1, 1)
    assert any("oddsd-home-1-7f3a" in line for line in broker.log)


async def test_only_what_may_be_old_is_retained(broker, house) -> None:
    """A dashboard that comes late gets availability, info and health; never a state that looks fresh and is not."""
    async with listening(broker) as early, running(make_publisher(broker, house)):
        await early.next(HEALTH)
        async with listening(broker) as late:
            await late.mark(f"{TREE}/end")
            kept = await late.all_until(f"{TREE}/end")

    assert kept.keys() == {AVAILABILITY, INFO, HEALTH}
    assert all(message.retain for message in kept.values())
    health = json.loads(kept[HEALTH].payload)
    assert (health["level"], health["ts"], health["valid_for_s"]) == ("ok", "2026-03-17T14:15:43Z", 600.0)


async def test_state_is_repeated_at_its_interval(broker, house) -> None:
    """A consumer expires values it does not hear again."""
    async with listening(broker) as listener, running(make_publisher(broker, house, state_every_s=0.01)):
        for _ in range(3):
            assert json.loads((await listener.next(STATE)).payload)["pending_rows"] == 0


async def test_change_of_level_is_published_at_once(broker, house) -> None:
    """The minute's rhythm is too slow for bad news; a level that stays the same is no news."""
    publisher = make_publisher(broker, house)
    async with listening(broker) as listener, running(publisher):
        assert json.loads((await listener.next(STATE)).payload)["level"] == "ok"
        await listener.next(HEALTH)

        publisher.note_level(Level.OK)
        await listener.mark(f"{TREE}/end")
        assert STATE not in await listener.all_until(f"{TREE}/end")

        house.spoil()
        publisher.note_level(Level.CRITICAL)
        state = json.loads((await listener.next(STATE)).payload)
    assert (state["level"], state["problem"]) == ("critical", True)


async def test_stopping_says_offline_and_leaves_cleanly(broker, house) -> None:
    """A planned stop is announced by us, so that the broker's last will is not what people see."""
    async with listening(broker) as listener:
        async with running(make_publisher(broker, house)) as task:
            assert (await listener.next(AVAILABILITY)).payload == b"online"
            await stop(task)
        assert (await listener.next(AVAILABILITY)).payload == b"offline"
        await broker.logged("Received DISCONNECT from oddsd-home-1-7f3a")

    async with listening(broker) as late:
        kept = await late.next(AVAILABILITY)
    assert (kept.payload, kept.retain) == (b"offline", True)


async def test_stop_is_heard_at_any_moment(broker, house) -> None:
    """A cancellation that meets the broker's answer was swallowed by asyncio.wait_for: the stop then hung for ever."""
    async with listening(broker) as listener:
        for _ in range(25):  # about one in four met it
            async with running(make_publisher(broker, house)) as task:
                assert (await listener.next(AVAILABILITY)).payload == b"online"
                task.cancel()
                assert task in (await asyncio.wait({task}, timeout=PATIENCE_S))[0]
            assert (await listener.next(AVAILABILITY)).payload == b"offline"


async def test_last_will_speaks_when_the_socket_dies(broker, house) -> None:
    """After kill -9 or a cut cable nobody says goodbye: the broker does it; then the publisher comes back."""
    async with listening(broker) as listener, running(make_publisher(broker, house)):
        assert (await listener.next(AVAILABILITY)).payload == b"online"
        cut_publisher_socket(broker)

        assert (await listener.next(AVAILABILITY)).payload == b"offline"
        assert (await listener.next(AVAILABILITY)).payload == b"online"


def cut_publisher_socket(broker: Mosquitto) -> None:
    """Shut the publisher's TCP connection down without a word of MQTT, as the kernel does for a killed process."""
    line = next(line for line in broker.log if "New client connected" in line and "oddsd-home-1" in line)
    port = int(line.split(" as ")[0].rsplit(":", 1)[1])
    for fd in range(3, 256):
        with contextlib.suppress(OSError):
            probe = socket.socket(fileno=fd)
            try:
                if probe.getsockname() == (broker.host, port) and probe.getpeername() == (broker.host, broker.port):
                    probe.shutdown(socket.SHUT_RDWR)
            finally:
                probe.detach()


async def test_broker_restart_republishes_everything(broker, house) -> None:
    """A broker without persistence forgets what was retained; after its return the tree must be whole again."""
    publisher = make_publisher(broker, house)
    async with running(publisher):
        async with listening(broker) as before:
            await before.next(HEALTH)
        await broker.restart()
        await broker.logged("New client connected", after=len(broker.log))
        async with listening(broker) as after:
            await after.next(HEALTH)
            assert publisher.live == MqttLive(configured=True, connected=True, last_error=None)
        async with listening(broker) as late:
            await late.mark(f"{TREE}/end")
            assert (await late.all_until(f"{TREE}/end")).keys() == {AVAILABILITY, INFO, HEALTH}


async def test_no_broker_is_a_recorded_fact_and_not_an_error(house) -> None:
    """The house works without its dashboard: the task goes on, the report can say why."""
    failures: list[int] = []
    third = asyncio.Event()

    def delay_s(n_failures: int) -> float:
        failures.append(n_failures)
        if n_failures == 3:
            third.set()
        return 0.0

    port = free_port()
    publisher = MqttPublisher(MqttOptions(host="127.0.0.1", port=port), house.report, delay_s=delay_s)
    assert publisher.live == MqttLive(configured=True)
    async with running(publisher) as task:
        await asyncio.wait_for(third.wait(), PATIENCE_S)
        assert not task.done()

    assert failures[:3] == [1, 2, 3]
    assert publisher.live.connected is False
    assert f"127.0.0.1:{port}: [Errno 111]" in (publisher.live.last_error or "")


async def test_wrong_password_is_said_once_and_tried_for_ever(house) -> None:
    """Credentials may be repaired at the broker: no exit, no log line per attempt, and it connects when it can."""
    async with Mosquitto(users={"oddsd": "other"}) as broker:
        publisher = make_publisher(broker, house, username="oddsd", password="right")
        async with running(publisher) as task:
            with capture_logs() as said:
                for _ in range(3):
                    await broker.logged("not authorised", after=len(broker.log))
            assert not task.done()
            assert "Not authorized" in (publisher.live.last_error or "")
            assert ["mqtt_username" in line["advice"] for line in said] == [True]

            broker.users["oddsd"] = "right"
            await broker.restart()
            async with listening(broker, username="oddsd", password="right") as listener:
                assert (await listener.next(AVAILABILITY)).payload == b"online"
    assert publisher.live.last_error is None


@pytest.mark.parametrize(
    ("options", "words"),
    [({"host": "a..b"}, "a..b"), ({"tls_ca": "/nowhere/ca.pem"}, "/nowhere/ca.pem")],
    ids=["impossible name", "missing authority"],
)
async def test_setting_that_cannot_work_does_not_end_the_task(broker, house, options, words) -> None:
    """Even a mistake in the settings costs the dashboard only."""
    again = asyncio.Event()
    publisher = MqttPublisher(
        MqttOptions(**{"host": broker.host, "port": broker.port} | options),
        house.report,
        delay_s=lambda n_failures: again.set() or 0.01,
    )
    async with running(publisher) as task:
        await asyncio.wait_for(again.wait(), PATIENCE_S)
        assert not task.done()
    assert words in (publisher.live.last_error or "")


async def test_failure_of_our_own_is_not_taken_for_the_brokers(broker, house) -> None:
    """When the report cannot be made the daemon must know; the dashboard still hears offline."""
    publisher = make_publisher(broker, house, state_every_s=0.01)
    async with listening(broker) as listener:
        task = asyncio.create_task(publisher.run(), name="publisher")
        await listener.next(HEALTH)
        house.error = StoreError("disk I/O error")
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(task, PATIENCE_S)
        assert caught.group_contains(StoreError)
        assert (await listener.next(AVAILABILITY)).payload == b"offline"


async def test_stop_while_connecting_waits_no_longer_than_the_deadline(house) -> None:
    """The daemon's stop must not depend on a broker that accepts and then says nothing."""
    async with silent_broker() as (port, accepted):
        publisher = MqttPublisher(MqttOptions(host="127.0.0.1", port=port, timeout_s=0.1), house.report)
        async with running(publisher) as task:
            await asyncio.wait_for(accepted.wait(), PATIENCE_S)
            task.cancel()
            assert task in (await asyncio.wait({task}, timeout=PATIENCE_S))[0]


@asynccontextmanager
async def silent_broker() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Takes connections and never answers; hangs up when the caller stops waiting."""
    accepted = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        accepted.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], accepted
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
