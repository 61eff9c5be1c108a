"""What Home Assistant and a person at the broker get, over a real one: discovery, births, requests, events, rights."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiomqtt
import pytest

from agent.errors import OddsdError
from agent.status.mqtt import MqttOptions, MqttPublisher
from agent.status.report import Report, report
from agent.store.glance import WatchedMarket
from agent.store.incidents import Incident
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto
from tests.unit.status.house import NOW, make_live, make_state

pytestmark = needs_mosquitto

TREE = "oddsd/home-1"
CONFIG, BIRTH = "homeassistant/device/oddsd_home-1/config", "homeassistant/status"
PATIENCE_S = 10
WATCHED = WatchedMarket(market_key="kalshi:KXFED-26", title="Will the Fed cut?", mid=0.42, seen_at=NOW)


class House:
    """The daemon's side, and what was asked of it."""

    def __init__(self) -> None:
        self.watched: tuple[WatchedMarket, ...] = (WATCHED,)
        self.asked: list[str] = []
        self.release = asyncio.Event()

    async def report(self) -> Report:
        return report(make_state(watched=self.watched), make_live(), NOW)

    async def collect(self) -> dict[str, str]:
        self.asked.append("collect_now")
        await self.release.wait()
        return {"state": "ok"}

    async def refuse(self) -> None:
        raise OddsdError("the store is away")


class Home:
    """A client that sees everything."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def next(self, topic: str, *, retained: bool | None = None) -> aiomqtt.Message:
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.client.messages:
                if message.topic.value == topic and (retained is None or message.retain is retained):
                    return message
        raise AssertionError("the messages ended")

    async def say(self, topic: str, body: bytes, *, retain: bool = False) -> None:
        await self.client.publish(topic, body, qos=1, retain=retain)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture
async def home(broker) -> AsyncIterator[Home]:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe("#", qos=1)
        yield Home(client)


class Running:
    """A publisher that runs while the block lasts."""

    def __init__(self, broker: Mosquitto, house: House, **over) -> None:
        options = {"host": broker.host, "port": broker.port, "timeout_s": 1.0, "state_every_s": 0.05}
        commands = over.pop("commands", {})
        self.publisher = MqttPublisher(
            MqttOptions(**options | over), house.report, commands=commands, clock=lambda: NOW,
            delay_s=lambda n_failures: 0.01, birth_wait_s=lambda: 0.0,
        )  # fmt: skip

    async def __aenter__(self) -> MqttPublisher:
        self._task = asyncio.create_task(self.publisher.run(), name="publisher")
        return self.publisher

    async def __aexit__(self, *_) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


async def test_discovery_is_the_first_word_and_stays(broker, house, home):
    """Whoever hears "online" must know what the values mean; a Home Assistant that starts later finds it retained."""
    seen: list[str] = []
    async with Running(broker, house):
        async with asyncio.timeout(PATIENCE_S):
            async for message in home.client.messages:
                seen.append(message.topic.value)
                if message.topic.value == f"{TREE}/availability":
                    break
        async with aiomqtt.Client(broker.host, broker.port) as late:
            await late.subscribe(CONFIG)
            kept = await Home(late).next(CONFIG)

    assert seen[:4] == [CONFIG, f"{TREE}/info", f"{TREE}/state", f"{TREE}/availability"]
    assert kept.retain
    assert "watch_kalshi_kxfed_26" in json.loads(kept.payload)["components"]


async def test_state_carries_what_the_entities_read(broker, house, home):
    """The watched market's probability and the time of each venue's last collect travel in one flat message."""
    async with Running(broker, house):
        state = json.loads((await home.next(f"{TREE}/state")).payload)

    assert state["watched"]["kalshi:KXFED-26"]["probability"] == 0.42
    assert state["last_collect"].keys() == {"polymarket", "kalshi"}
    assert state["llm_left_usd"] == pytest.approx(0.9686)


async def test_home_assistants_birth_brings_everything_back(broker, house, home):
    """After its restart, and with the announcement deleted by hand, the entities are there again."""
    async with Running(broker, house, state_every_s=600.0) as publisher:
        await home.next(f"{TREE}/availability")
        await home.say(CONFIG, b"", retain=True)
        await home.next(CONFIG)
        await home.say(BIRTH, b"online")

        assert json.loads((await home.next(CONFIG)).payload)["components"]
        await home.next(f"{TREE}/state")
        assert (await home.next(f"{TREE}/availability")).payload == b"online"
        assert publisher.live.home_seen_at == NOW


async def test_a_market_that_leaves_the_watch_list_leaves_home_assistant(broker, house, home):
    """Named by its platform once, then no more."""
    async with Running(broker, house):
        await home.next(f"{TREE}/availability")
        house.watched = ()
        taken_back = json.loads((await home.next(CONFIG)).payload)["components"]
        clean = json.loads((await home.next(CONFIG)).payload)["components"]

    assert taken_back["watch_kalshi_kxfed_26"] == {"p": "sensor"}
    assert "watch_kalshi_kxfed_26" not in clean


async def test_what_an_earlier_life_announced_is_taken_back(broker, house, home):
    """The watch list changed while the daemon was down; only the broker remembers."""
    async with Running(broker, house):
        await home.next(f"{TREE}/availability")
    house.watched = ()
    await home.next(f"{TREE}/availability")
    async with Running(broker, house):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = json.loads((await home.next(CONFIG)).payload)["components"]
                if found.get("watch_kalshi_kxfed_26") == {"p": "sensor"}:
                    break


async def test_no_discovery_where_none_is_wanted(broker, house, home):
    """An empty prefix: other homes need no such messages."""
    async with Running(broker, house, discovery=None):
        async with asyncio.timeout(PATIENCE_S):
            async for message in home.client.messages:
                assert message.topic.value != CONFIG
                if message.topic.value == f"{TREE}/health":
                    return


async def test_only_the_health_check_is_answered_by_default(broker, house, home):
    """Whoever may write to a broker is not thereby an operator."""
    async with Running(broker, house):
        await home.next(f"{TREE}/availability")
        await home.say(f"{TREE}/request/pause", b"")
        refused = json.loads((await home.next(f"{TREE}/response/pause")).payload)
        await home.say(f"{TREE}/request/health_check", b'{"transaction": "t-1"}')
        healthy = json.loads((await home.next(f"{TREE}/response/health_check")).payload)

    assert refused["status"] == "error"
    assert "not allowed" in refused["error"]
    assert (healthy["status"], healthy["transaction"]) == ("ok", "t-1")


async def test_an_allowed_command_runs_once_at_a_time(broker, house, home):
    """A nervous finger on the button starts one collect."""
    async with Running(broker, house, commands={"collect_now": house.collect}):
        await home.next(f"{TREE}/availability")
        await home.say(f"{TREE}/request/collect_now", b"PRESS")
        await home.say(f"{TREE}/request/collect_now", b"PRESS")
        busy = json.loads((await home.next(f"{TREE}/response/collect_now")).payload)
        house.release.set()
        done = json.loads((await home.next(f"{TREE}/response/collect_now")).payload)

    assert house.asked == ["collect_now"]
    assert busy["error"] == "still at it"
    assert done["data"] == {"state": "ok"}


async def test_a_retained_command_is_never_obeyed(broker, house, home):
    """It would fire again with every connection."""
    await home.say(f"{TREE}/request/collect_now", b"PRESS", retain=True)
    async with Running(broker, house, commands={"collect_now": house.collect}):
        await home.next(f"{TREE}/availability")
        await home.say(f"{TREE}/request/health_check", b"")
        await home.next(f"{TREE}/response/health_check")  # it came later, and is answered

    assert house.asked == []


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"x" * 5000, "at most 4096"), (b"[1]", "Expected"), (b"\xff\xfe", "JSON")],
    ids=["too long", "no object", "no text"],
)
async def test_a_bad_request_costs_its_sender_an_answer(broker, house, home, body, words):
    """Nothing a stranger sends ends the session."""
    async with Running(broker, house, commands={"collect_now": house.collect}) as publisher:
        await home.next(f"{TREE}/availability")
        await home.say(f"{TREE}/request/collect_now", body)
        answer = json.loads((await home.next(f"{TREE}/response/collect_now")).payload)
        assert publisher.live.connected

    assert words in answer["error"]
    assert house.asked == []


async def test_a_failing_command_is_an_answer(broker, house, home):
    """The reason reaches whoever asked."""
    async with Running(broker, house, commands={"pause": house.refuse}):
        await home.next(f"{TREE}/availability")
        await home.say(f"{TREE}/request/pause", b"")
        assert json.loads((await home.next(f"{TREE}/response/pause")).payload)["error"] == "the store is away"


async def test_a_command_outlives_the_connection_it_came_over(broker, house, home):
    """A broker that restarts must not cut a collect short."""
    async with Running(broker, house, commands={"collect_now": house.collect}) as publisher:
        await home.next(f"{TREE}/availability")
        await home.say(f"{TREE}/request/collect_now", b"")
        async with asyncio.timeout(PATIENCE_S):
            while not house.asked:
                await asyncio.sleep(0.01)
        running = publisher._requests._running["collect_now"]
        await broker.restart()
        async with aiomqtt.Client(broker.host, broker.port) as client:
            await client.subscribe(f"{TREE}/availability", qos=1)
            await Home(client).next(f"{TREE}/availability")
        assert not running.done()
        house.release.set()
        async with asyncio.timeout(PATIENCE_S):
            await running


async def test_what_goes_wrong_and_what_is_over_are_events(broker, house, home):
    """An automation can act on the moment, not on the next minute's state."""
    incident = Incident(key="mqtt", level="degraded", text="gone", why="refused", advice=None, began_at=NOW)
    async with Running(broker, house) as publisher:
        await home.next(f"{TREE}/health")
        publisher.note_incidents([incident], now=NOW)
        event = await home.next(f"{TREE}/event")

    told = json.loads(event.payload)
    assert (told["type"], told["level"], told["text"]) == ("mqtt", "degraded", "refused")
    assert not event.retain


async def test_a_client_of_our_name_kicks_us_and_we_come_back(broker, house, home):
    """The broker's rule for two clients of one id; without a reader we would stay deaf and call it connected."""
    async with Running(broker, house):
        await home.next(f"{TREE}/availability")
        async with aiomqtt.Client(broker.host, broker.port, identifier="oddsd-home-1-7f3a"):
            assert (await home.next(f"{TREE}/availability")).payload == b"offline"  # our last will
            assert (await home.next(f"{TREE}/availability")).payload == b"online"


async def test_rights_that_keep_our_words_are_noticed():
    """MQTT 3.1.1 has no word for "you may not publish this": the missing echo is the only sign."""
    async with Mosquitto(rights=["topic read #"]) as broker, Running(broker, House(), timeout_s=0.2) as publisher:
        async with asyncio.timeout(PATIENCE_S):
            while not publisher.live.connected:
                await asyncio.sleep(0.01)
        assert publisher.live.unheard
        line = next(
            line for line in report(make_state(), make_live(mqtt=publisher.live), NOW).lines() if line.key == "mqtt"
        )
    assert "do not come back" in line.text
